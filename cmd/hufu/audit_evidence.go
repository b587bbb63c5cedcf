package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/ledger/client"
)

// recordTimeout bounds how long the block is waited for that holds evidence which was handed in.
const recordTimeout = 30 * time.Second

// What became of evidence that was handed in.
const (
	evidenceRecorded = "recorded" // by a block since
	evidenceKnown    = "known"    // the ledger had it before
	evidenceTaken    = "taken"    // by the node, and no block shows a conviction by it
)

// handedIn is what a node and the ledger did with evidence.
type handedIn struct {
	Outcome string      `json:"outcome"`
	Block   hufu.Height `json:"block,omitempty"` // that recorded it
	False   hufu.Digest `json:"false_header"`    // by the node's history
	Accused []string    `json:"accused"`         // validator keys that the headers convict, hexadecimal
}

// evidenceReport is what evidence shows, and what became of it.
type evidenceReport struct {
	client.Finding
	HandedIn *handedIn `json:"handed_in,omitempty"`
}

func (a *app) auditEvidenceCmd() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "evidence FILE",
		Short: "Verify that two headers of one height are signed, say by whom, and hand it in",
		Long: `A client that is shown two headers of one height, both signed, believes neither, keeps both in a file of
its home and hands them to its nodes. This verifies such a file from the genesis, or from what --home trusted, and names the
validators who signed. With --node it is also handed in to that node (of several, the first that answers), which holds
it against its own headers; then what the ledger says of those validators is waited for. Compare
with the members which header is of the history that holds; then give a home a checkpoint of that one with
"hufu audit checkpoint --trust FILE".`,
		Example: `  hufu audit evidence net/height-1200.evidence --genesis genesis.json
  hufu audit evidence net/height-1200.evidence --genesis genesis.json --node http://127.0.0.1:26657`,
		Args: usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			e, err := client.ParseEvidence(raw)
			if err != nil {
				return err
			}
			trust, err := t.anchor(a)
			if err != nil {
				return err
			}
			var out evidenceReport
			if out.Finding, err = e.Verify(trust, time.Now()); err != nil {
				return err
			}
			if t.node != "" {
				out.HandedIn, err = handIn(c.Context(), t.node, trust, e)
			}
			// What the file shows is told also when nobody takes it.
			return errors.Join(a.emit(out, func(w io.Writer) {
				printFinding(w, &out.Finding)
				printHandedIn(w, out.HandedIn)
			}), err)
		},
	}
	c.Flags().StringVar(&t.genesis, "genesis", "", "genesis file of the network (default: what --home trusts)")
	c.Flags().StringVar(&t.node, "node", "", "hand it in to the node at this URL (default: hand it in to nobody)")
	return c
}

// handIn gives evidence to a node, and waits for what the ledger says of it.
func handIn(ctx context.Context, urls string, trust client.Trust, e *client.Evidence) (*handedIn, error) {
	transport, err := firstThatAnswers(ctx, urls)
	if err != nil {
		return nil, err
	}
	defer transport.Close() //nolint:errcheck // nothing is written
	l, err := client.New(trust, transport, client.Options{})
	if err != nil {
		return nil, err
	}
	defer l.Close() //nolint:errcheck // nothing is written
	before, err := l.Head(ctx)
	if err != nil {
		return nil, err
	}
	accusation, err := transport.HandIn(ctx, e)
	if err != nil {
		return nil, err
	}
	h := &handedIn{Outcome: evidenceTaken, False: accusation.Header}
	for _, key := range accusation.Keys {
		h.Accused = append(h.Accused, hex.EncodeToString(key[:]))
	}
	if h.Block, err = awaitRecord(ctx, l, &accusation, before.Height); err != nil {
		return h, err
	}
	switch {
	case h.Block == 0:
	case h.Block <= before.Height:
		h.Outcome = evidenceKnown
	default:
		h.Outcome = evidenceRecorded
	}
	return h, nil
}

// awaitRecord is the block by which all who are accused are convicted, 0 when there is none for a while.
func awaitRecord(ctx context.Context, l *client.Client, accusation *client.Accusation, height hufu.Height) (block hufu.Height, err error) {
	waiting, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	for {
		if err := l.Read(ctx, func(v client.View) (err error) {
			block, err = recorded(v, accusation)
			return err
		}); err != nil || block > 0 {
			return block, err
		}
		at, err := l.Await(waiting, height+1)
		switch {
		case waiting.Err() != nil && ctx.Err() == nil:
			return 0, nil
		case err != nil:
			return 0, err
		}
		height = at.Height
	}
}

func recorded(v client.View, accusation *client.Accusation) (last hufu.Height, err error) {
	for _, key := range accusation.Keys {
		block, err := audit.Recorded(v, key[:], accusation.Height)
		if err != nil || block == 0 {
			return 0, err
		}
		last = max(last, block)
	}
	return last, nil
}

func printHandedIn(w io.Writer, h *handedIn) {
	if h == nil {
		return
	}
	switch h.Outcome {
	case evidenceRecorded:
		fmt.Fprintf(w, "handed in: block %d records it\n", h.Block)
	case evidenceKnown:
		fmt.Fprintf(w, "known already: block %d recorded it\n", h.Block)
	case evidenceTaken:
		fmt.Fprintln(w, "handed in: the node has it, and no block shows a conviction by it")
	}
	fmt.Fprintf(w, "  by the node's history %s is the false header\n", h.False)
	for _, key := range h.Accused {
		fmt.Fprintf(w, "  it convicts validator %s\n", key)
	}
}

func printFinding(w io.Writer, f *client.Finding) {
	fmt.Fprintf(w, "%s at height %d of %s: two headers are signed; the two sides agree up to height %d\n", f.Attack, f.Height, f.Network, f.Shared)
	for _, x := range []struct {
		name string
		side *client.Side
	}{{"first ", &f.First}, {"second", &f.Second}} {
		fmt.Fprintf(w, "  %s  %s, %s, round %d\n          app hash %s\n", x.name, x.side.Hash, x.side.Time.Format(time.RFC3339), x.side.Round, x.side.AppHash)
	}
	for i := range f.Signers {
		s := &f.Signers[i]
		which := map[[2]bool]string{{true, false}: "the first", {false, true}: "the second", {true, true}: "BOTH"}[[2]bool{s.First, s.Second}]
		fmt.Fprintf(w, "  validator %s, power %d, signed %s\n", s.Key, s.Power, which)
	}
	fmt.Fprintf(w, "  validators with %d of %d power signed both\n", f.BothOf, f.AllPower)
}
