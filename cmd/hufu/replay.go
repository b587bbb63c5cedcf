package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/receipt"
)

func (a *app) gateReplayCmd() *cobra.Command {
	var node, answerPath, snapshot string
	c := &cobra.Command{
		Use:   "replay RECEIPT --answer FILE",
		Short: "Decide again from a receipt and what was shown, and compare",
		Long: `Checks the receipt's signature, that it is about this answer, and decides again on the ledger as it was at
the receipt's height: from a snapshot file of that height, or by replaying the blocks up to it.`,
		Example: "  hufu gate replay receipt.jwt --answer answer.json",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			token := strings.TrimSpace(string(raw))
			signed, err := receipt.Parse(token)
			if err != nil {
				return err
			}
			answer, err := readAnswer(answerPath)
			if err != nil {
				return err
			}
			view, done, err := a.viewAt(c.Context(), node, snapshot, signed.AsOf.Height)
			if err != nil {
				return err
			}
			defer done()
			again, err := gate.Replay(view, token, answer.VPToken)
			if err != nil {
				return err
			}
			return a.reportReplay(again)
		},
	}
	c.Flags().StringVar(&answerPath, "answer", "", "the answer that was judged, as the wallet wrote it")
	c.Flags().StringVar(&snapshot, "snapshot", "", "a snapshot of the ledger at the receipt's height")
	_ = c.MarkFlagRequired("answer")
	return nodeFlag(c, &node)
}

// errDiffers ends a replay that came to another decision.
var errDiffers = errors.New("the replay came to another decision")

func (a *app) reportReplay(r *gate.Replayed) error {
	out := struct {
		Same     bool          `json:"same"`
		Decision hufu.Decision `json:"decision"`
		Again    hufu.Decision `json:"again"`
		Rule     hufu.Rule     `json:"rule,omitempty"`
		Policies []string      `json:"policies"`
		Height   hufu.Height   `json:"height"`
	}{r.Same, r.Receipt.Decision, r.Again.Decision, r.Again.Rule, r.Again.Policies, r.Receipt.AsOf.Height}
	err := a.emit(out, func(w io.Writer) {
		if r.Same {
			fmt.Fprintf(w, "the same again: %s by %v %s, on the ledger at height %d\n", out.Again, out.Policies, out.Rule, out.Height)
			return
		}
		fmt.Fprintf(w, "DIFFERENT: the receipt says %s, deciding again says %s (%s)\n", out.Decision, out.Again, out.Rule)
	})
	if err == nil && !r.Same {
		return silentError{errDiffers}
	}
	return err
}

// viewAt is the ledger as of a height: from a snapshot file of that height, or replayed from genesis.
func (a *app) viewAt(ctx context.Context, node, snapshot string, height hufu.Height) (client.View, func(), error) {
	t := &target{node: node}
	if snapshot != "" {
		v, err := t.openSnapshot(a, snapshot, 0)
		return v, func() {}, err
	}
	r, err := a.replay(ctx, t, audit.Options{Until: height})
	if err != nil {
		return nil, nil, err
	}
	if r.Divergence != nil {
		return nil, nil, errors.Join(r.Divergence, r.Close())
	}
	return r, func() { _ = r.Close() }, nil
}
