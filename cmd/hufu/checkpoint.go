package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/ledger/client"
)

func (a *app) auditCheckpointCmd() *cobra.Command {
	var t target
	var file string
	c := &cobra.Command{
		Use:   "checkpoint",
		Short: "Print the newest verified header, or make one what --home trusts",
		Long: `Clients verify from the genesis, or from a header they verified since. Commands renew that by themselves;
a home that was not used for months no longer can, and needs a header from somebody it trusts. Compare the
hash with them before you give it to --trust.`,
		Example: "  hufu audit checkpoint --json > checkpoint.json\n  hufu audit checkpoint --trust checkpoint.json --home ./net",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			var point home.Checkpoint
			if file != "" {
				h, err := home.Peek(a.home)
				if err != nil {
					return err
				}
				if err := readJSON(file, &point); err != nil {
					return err
				}
				if err := h.Settle(point); err != nil {
					return err
				}
			} else {
				l, err := t.dial(a)
				if err != nil {
					return err
				}
				defer l.Close() //nolint:errcheck // only read
				if point, err = newestCheckpoint(c.Context(), l); err != nil {
					return err
				}
			}
			return a.emit(point, func(w io.Writer) {
				fmt.Fprintf(w, "height %d, %s\n  hash %s\n", point.Height, point.Time.Format(time.RFC3339), point.Hash)
				if file != "" {
					fmt.Fprintf(w, "%s trusts it from now on\n", a.home)
				}
			})
		},
	}
	c.Flags().StringVar(&file, "trust", "", "make the checkpoint in this file what --home trusts")
	return t.flags(c)
}

func (a *app) auditEvidenceCmd() *cobra.Command {
	var t target
	c := &cobra.Command{
		Use:   "evidence FILE",
		Short: "Verify that two headers of one height are signed, and say by whom",
		Long: `A client that is shown two headers of one height, both signed, believes neither, and keeps both in a file of
its home. This verifies such a file from the genesis, or from what --home trusted, and names the validators who signed. Compare
with the members which header is of the history that holds; then give a home a checkpoint of that one with
"hufu audit checkpoint --trust FILE".`,
		Example: "  hufu audit evidence net/height-1200.evidence --genesis genesis.json",
		Args:    usageArgs(cobra.ExactArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
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
			f, err := e.Verify(trust, time.Now())
			if err != nil {
				return err
			}
			return a.emit(f, func(w io.Writer) { printFinding(w, &f) })
		},
	}
	c.Flags().StringVar(&t.genesis, "genesis", "", "genesis file of the network (default: what --home trusts)")
	return c
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

// trustInterval is how often a running node looks whether its trust has to be renewed.
const trustInterval = 24 * time.Hour

// keepTrust renews what the home trusts for as long as the process runs.
func keepTrust(ctx context.Context, log *slog.Logger, h *home.Home, c *client.Client) {
	tick := time.NewTicker(trustInterval)
	defer tick.Stop()
	for {
		if err := renewTrust(ctx, h, c); err != nil && ctx.Err() == nil {
			log.Error("what this home trusts could not be renewed; it is tried again in a day", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
