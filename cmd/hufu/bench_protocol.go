package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/bench"
)

// Sizes that keep the measurement of exchanges below half a minute; memory over 100,000 sessions takes minutes.
const (
	benchExchanges = 1000
	benchClients   = 16
	benchSessions  = 2000
	benchOpen      = 1000
	benchClientsMx = 1024   // each has a connection
	benchOpenMax   = 20_000 // each has a connection, and a gate holds no more
)

func (a *app) benchProtocolCmd() *cobra.Command {
	var cfg bench.ProtocolConfig
	var dir string
	c := &cobra.Command{
		Use:   "protocol",
		Short: "Complete issuances and presentations per second, beside the signatures in them",
		Long: fmt.Sprintf(`Wallets get credentials of an issuer by OpenID4VCI (offer, metadata, token bound by DPoP, nonce, proofs,
credentials, notification) and present them at a gate by OpenID4VP (the service opens a session, the
wallet fetches the request and answers, the service reads the decision), over HTTP on a loopback address
with the handlers, limits and databases that "hufu up" has. Beside it, and in turns, only the keys,
and signatures of both sides are computed, and beside these what encryption adds. The goal is at most %.0f
times the processor time of the signatures. Then memory is watched while --sessions people present, and --open sessions across devices wait at
once with a page each.`, bench.ProtocolGoal),
		Example: "  hufu bench protocol --exchanges 5000\n  hufu bench protocol --sessions 100000 --dir /var/tmp",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(atLeast("exchanges", cfg.Exchanges, bench.ProtocolRounds), atLeast("clients", cfg.Clients, 1),
				atLeast("sessions", cfg.Sessions, 0), atLeast("open", cfg.Open, 0)); err != nil {
				return err
			}
			switch {
			case cfg.Clients > benchClientsMx:
				return usagef("--clients must be at most %d", benchClientsMx)
			case cfg.Open > benchOpenMax:
				return usagef("--open must be at most %d", benchOpenMax)
			}
			return a.runBench(a.benchProtocol(c.Context(), dir, cfg))
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.Exchanges, "exchanges", benchExchanges, "how many of each kind")
	f.IntVar(&cfg.Clients, "clients", benchClients, "wallets at work at once, each on a connection of its own")
	f.IntVar(&cfg.Sessions, "sessions", benchSessions, "presentations through which memory is watched; 0: none")
	f.IntVar(&cfg.Open, "open", benchOpen, "sessions across devices that wait at once; 0: none")
	dirFlag(c, &dir)
	return c
}

func (a *app) benchProtocol(ctx context.Context, dir string, cfg bench.ProtocolConfig) func(*benchReport) error {
	return inDirectory(a, "protocol", dir, cfg.Steps(), func(r *benchReport) **bench.ProtocolFigures { return &r.Protocol },
		func(dir string, step func(int)) (bench.ProtocolFigures, error) {
			cfg.Dir, cfg.Progress = dir, step
			return bench.MeasureProtocol(ctx, cfg)
		})
}

func printProtocol(w io.Writer, f *bench.ProtocolFigures) {
	for _, x := range f.Exchanges {
		fmt.Fprintf(w, "%-31s %5.0f/s, its bare signatures %5.0f/s: %.2f × their processor time (goal: at most %.0f; elapsed %.2f)\n",
			x.Name, x.PerS, x.BarePerS, x.Ratio, bench.ProtocolGoal, x.WallRatio)
		fmt.Fprintf(w, "                %.0f µs of processor time: signatures %.0f, key agreement %.0f (%.2f × both); p50 %.1f ms, p99 %.1f ms\n",
			x.Micros, x.Bare, x.Agreement, x.KeyRatio, x.P50Millis, x.P99Millis)
	}
	fmt.Fprintf(w, "                %d clients at once\n", f.Clients)
	if m := f.Memory; m != nil {
		fmt.Fprintf(w, "memory          %d presentations, %d issuances: heap %.1f MiB after a tenth, %.1f MiB at the end; resident %d and %d MiB; %d goroutines more\n",
			m.Sessions, m.Issuances, mebi(m.WarmHeap), mebi(m.EndHeap), m.WarmRSS>>20, m.EndRSS>>20, m.Goroutines)
		var rows, swept int64
		for table := range m.Rows {
			rows, swept = rows+m.Rows[table], swept+m.Swept[table]
		}
		fmt.Fprintf(w, "                %d rows of sessions, tokens and nonces; %d once their time had passed\n", rows, swept)
	}
	if o := f.Open; o != nil {
		fmt.Fprintf(w, "open            %d sessions across devices at once: %.1f goroutines, %.1f KiB of heap and %.1f KiB of stack each; pages told after p50 %.1f ms, p99 %.1f ms\n",
			o.Sessions, o.Goroutines, o.Heap/1024, o.Stack/1024, o.P50Millis, o.P99Millis)
	}
}

func mebi(n uint64) float64 { return float64(n) / (1 << 20) }
