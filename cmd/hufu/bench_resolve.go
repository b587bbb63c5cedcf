package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/bench"
)

// Sizes that keep the measurement of resolutions to some seconds.
const (
	benchIdentifiers = 2000
	benchResolutions = 500_000
)

func (a *app) benchResolveCmd() *cobra.Command {
	var cfg bench.ResolveConfig
	var dir string
	c := &cobra.Command{
		Use:   "resolve",
		Short: "Verified resolutions of identifiers: with the record known, and with its proof fetched",
		Long: fmt.Sprintf(`Creates identifiers on a network of one validator and resolves each to its document once with nothing known of it: its
proof is fetched over HTTP on a loopback address and checked up to the signed header. Then it resolves them again and
again, with every record proven before for the newest state. The bars are at least %d a second and core with the
record known, and at most %.0f ms without.`, bench.ResolveBar, bench.ColdBar),
		Example: "  hufu bench resolve --identifiers 10000 --json",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(atLeast("identifiers", cfg.Identifiers, 1), atLeast("resolutions", cfg.Resolutions, 1)); err != nil {
				return err
			}
			return a.runBench(inDirectory(a, "resolve", dir, cfg.Steps(), func(r *benchReport) **bench.ResolveFigures { return &r.Resolve },
				func(dir string, step func(int)) (bench.ResolveFigures, error) {
					cfg.Dir, cfg.Progress = dir, step
					return bench.MeasureResolve(c.Context(), cfg)
				}))
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.Identifiers, "identifiers", benchIdentifiers, "on the ledger, each resolved once cold")
	f.IntVar(&cfg.Resolutions, "resolutions", benchResolutions, "with every record known")
	dirFlag(c, &dir)
	return c
}

func printResolve(w io.Writer, f *bench.ResolveFigures) {
	fmt.Fprintf(w, "resolve         %7.0f/s per core with the record known (bar: at least %d): %.1f µs of processor time\n", f.WarmPerS, bench.ResolveBar, f.WarmMicros)
	fmt.Fprintf(w, "                with its proof fetched: p50 %.2f ms, p99 %.2f ms (bar: at most %.0f), of which a bare round trip %.2f ms; %.0f µs of processor time, the node's included\n",
		f.ColdP50Millis, f.ColdP99Millis, bench.ColdBar, f.TripP50Millis, f.ColdMicros)
}
