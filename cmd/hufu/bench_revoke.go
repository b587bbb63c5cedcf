package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/bench"
)

// Sizes of the measurement of revocations.
const (
	benchRevokeValidators = 4
	benchRevokeRounds     = 200
	benchRevokeEntries    = 1_000_000
	benchRevokeMost       = 10_000_000
)

func (a *app) benchRevokeCmd() *cobra.Command {
	var cfg bench.RevokeConfig
	var dir string
	c := &cobra.Command{
		Use:   "revoke",
		Short: "From an agency's order to revoke until a connected gate refuses; and a million in one go",
		Long: fmt.Sprintf(`Runs a network, an issuer and a gate that follows the ledger from another validator than the issuer writes to.
People's credentials are revoked one by one, and the time is taken from the order until the gate refuses to let
them in: p99 is to be at most %d ms. Then a list full of entries is revoked in one go, until all validators have all of it
and the gate refuses one of them: a million are to take at most %d s.

All of it runs in this process, each validator with a home and connections of its own.`, bench.RevokeP99Bar, bench.RevokeSecondsBar),
		Example: "  hufu bench revoke\n  hufu bench revoke --validators 1 --entries 100000 --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(atLeast("validators", cfg.Validators, 1), atLeast("singles", cfg.Rounds, 1), atLeast("entries", cfg.Entries, 1)); err != nil {
				return err
			}
			switch {
			case cfg.Validators > benchValidatorsMax:
				return usagef("--validators must be at most %d", benchValidatorsMax)
			case cfg.Entries > benchRevokeMost:
				return usagef("--entries must be at most %d", benchRevokeMost)
			}
			return a.runBench(inDirectory(a, "revoke", dir, cfg.Steps(), func(r *benchReport) **bench.RevokeFigures { return &r.Revoke },
				func(dir string, step func(int)) (bench.RevokeFigures, error) {
					cfg.Dir, cfg.Progress = dir, step
					return bench.MeasureRevoke(c.Context(), cfg)
				}))
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.Validators, "validators", benchRevokeValidators, "of the network, all on this machine")
	f.IntVar(&cfg.Rounds, "singles", benchRevokeRounds, "credentials revoked one by one")
	f.IntVar(&cfg.Entries, "entries", benchRevokeEntries, "revoked in one go")
	dirFlag(c, &dir)
	return c
}

func printRevoke(w io.Writer, f *bench.RevokeFigures) {
	fmt.Fprintf(w, "revoke          order until a gate refuses, %d validator(s): p50 %.1f ms, p99 %.1f ms (bar: at most %d ms); until it is proven to the issuer: p50 %.1f ms, p99 %.1f ms\n",
		f.Validators, f.RefusedP50Millis, f.RefusedP99Millis, bench.RevokeP99Bar, f.ProvenP50Millis, f.ProvenP99Millis)
	fmt.Fprintf(w, "                %d in one go: %.1f s (bar for a million: at most %d s), %.1f s of it until the first is sent; %.0f/s, %d transactions in %d blocks, %.1f µs of processor time each\n",
		f.Entries, f.Seconds, bench.RevokeSecondsBar, f.PrepareS, f.EntriesPerS, f.Transactions, f.Blocks, f.MicrosPer)
}
