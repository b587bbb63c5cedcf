package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/wallet"
)

var (
	errAccused   = errors.New("a gate's log is not what its receipts say")
	errUnchecked = errors.New("a log could not be read")
)

// evidenceFile is what "hufu wallet receipts" writes against gates.
type evidenceFile struct {
	Network  string              `json:"network"`
	Checked  time.Time           `json:"checked"`
	Findings []wallet.LogFinding `json:"findings"`
}

func (a *app) walletReceiptsCmd() *cobra.Command {
	var o walletNet
	var log, evidence string
	c := &cobra.Command{
		Use:   "receipts",
		Short: "Check that every receipt of this wallet is in its gate's log on the ledger",
		Long: `Looks for each receipt in the log of the gate that gave it, and has its place there proven by the checkpoint that
the ledger has of the log. A receipt that is not there when it has to be, or a gate that signed two logs that
contradict each other, is written to a file as evidence, and the exit status is 1. Evidence of two logs can be
put on the ledger by "hufu gate report". The file has the receipts in it, and nothing that was shown.`,
		Example: "  hufu wallet receipts --home alice",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.online(c.Context(), &o, func(w *wallet.Wallet, l *client.Client) error {
				found, err := w.CheckReceipts(c.Context(), l, log)
				if err != nil {
					return err
				}
				return a.reportFindings(found, string(l.Network()), evidence)
			})
		},
	}
	c.Flags().StringVar(&log, "log", "", "address of the log, for receipts whose answer was not sent by this wallet itself")
	c.Flags().StringVar(&evidence, "evidence", "", "file to write evidence to, which must be new (default: evidence-TIME.json)")
	return o.flags(c)
}

// reportFindings says what was found, and ends with an error when that is not that all is well.
func (a *app) reportFindings(found []wallet.LogFinding, network, file string) error {
	e := evidenceFile{Network: network, Checked: time.Now().UTC().Truncate(time.Second)}
	unchecked := false
	for i := range found {
		unchecked = unchecked || found[i].Standing == wallet.ReceiptUnreachable
		if found[i].Accuses() {
			e.Findings = append(e.Findings, found[i])
		}
	}
	if len(e.Findings) > 0 {
		if file == "" {
			file = "evidence-" + e.Checked.Format("20060102T150405Z") + ".json"
		}
		if err := writeNew(file, func(out io.Writer) error {
			enc := json.NewEncoder(out)
			enc.SetIndent("", "  ")
			return enc.Encode(&e)
		}); err != nil {
			return err
		}
	}
	if found == nil {
		found = []wallet.LogFinding{}
	}
	err := a.emit(found, func(out io.Writer) {
		if len(found) == 0 {
			fmt.Fprintln(out, "no receipts yet")
		}
		for i := range found {
			f := &found[i]
			fmt.Fprintf(out, "%s  %s  %s", f.Time.Format(time.RFC3339), f.Gate, f.Standing)
			if f.Detail != "" {
				fmt.Fprintf(out, ": %s", wallet.Plain(f.Detail))
			}
			fmt.Fprintln(out)
		}
	})
	switch {
	case err != nil:
		return err
	case len(e.Findings) > 0:
		return hint(errAccused, "the evidence is in %s", file)
	case unchecked:
		return errUnchecked
	}
	return nil
}

func (a *app) gateReportCmd() *cobra.Command {
	var node, as string
	c := &cobra.Command{
		Use:   "report EVIDENCE --as NAME",
		Short: "Put evidence that a gate signed two logs on the ledger, where it convicts the log",
		Long: `Reads a file that "hufu wallet receipts" wrote. Two checkpoints that contradict each other are kept on the ledger for
good, and the log takes no more checkpoints. A missing receipt is no proof of that kind: show the file to whoever
is to judge.`,
		Example: "  hufu gate report evidence.json --as library",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			var e evidenceFile
			if err := readJSON(args[0], &e); err != nil {
				return err
			}
			var body *tx.AnchorReport
			for i := range e.Findings {
				if f := e.Findings[i].Conflict; f != nil {
					body = &tx.AnchorReport{First: f.First, Second: f.Second, Path: f.Path}
					break
				}
			}
			if body == nil {
				return errors.New("the file has no two checkpoints that contradict each other")
			}
			return a.withActor(c.Context(), node, as, func(_ *session, actor *home.Actor) error {
				r, err := actor.Submit(c.Context(), body, nil)
				if err != nil {
					return err
				}
				return a.emitWritten("the log is convicted", actor.DID(), r)
			})
		},
	}
	c.Flags().StringVar(&as, "as", "", "identity of this home that reports")
	_ = c.MarkFlagRequired("as")
	return nodeFlag(c, &node)
}
