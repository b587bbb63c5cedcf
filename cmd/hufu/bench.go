package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/hufu-id/hufu/internal/bench"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
)

// benchReport is what `hufu bench` prints: the parts that were measured.
type benchReport struct {
	Cores    int                    `json:"cores"`
	Go       string                 `json:"go"`
	Verify   []bench.VerifyFigures  `json:"verify,omitempty"`
	Issue    []issuer.IssueFigures  `json:"issue,omitempty"`
	Ledger   *bench.LedgerFigures   `json:"ledger,omitempty"`
	Store    *bench.StoreFigures    `json:"store,omitempty"`
	Resolve  *bench.ResolveFigures  `json:"resolve,omitempty"`
	Revoke   *bench.RevokeFigures   `json:"revoke,omitempty"`
	Protocol *bench.ProtocolFigures `json:"protocol,omitempty"`
	Peak     int64                  `json:"peak_memory_bytes"` // of this process
}

// Sizes that keep each measurement well below a minute on two cores.
const (
	benchPresentations = 4000
	benchCopies        = 4000
	benchBatch         = 10
	benchTransactions  = 20_000
	benchRounds        = 3
	benchSubmitters    = 2048
	benchLatency       = 200
	benchRecords       = 1_000_000
	benchCommits       = 500 // so many that merging has to keep up: memtables are merged six at a time, and one has a quarter of a million records
	benchCommit        = 10_000
	benchValue         = 200
	benchMost          = 100_000_000
	benchValidatorsMax = 16              // all in one process
	benchOverloadMax   = 2 * time.Minute // its transactions are made before
	allSuites          = "all"
)

func (a *app) benchCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure verifying, issuing, the ledger and the protocols beside the bare work in them",
		Long: `Measures what the network's work costs beside the bare work that it contains, both in one run and in
turns: judging a presentation beside its two signatures, issuing beside signing and hashing, the ledger
beside its engine with an application that does nothing, whole exchanges beside their signatures. Ratios can be compared between machines, rates
cannot. Rates "per core" are per second of processor time.

Without a subcommand it runs verify, issue and ledger, each as it is by default.`,
		Example: "  hufu bench\n  hufu bench --json > figures.json\n  hufu bench ledger --transactions 100000",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			return a.runBench(
				func(r *benchReport) error { return a.benchVerify(c.Context(), r, allSuites, benchPresentations) },
				func(r *benchReport) error { return a.benchIssue(c.Context(), r, allSuites, benchCopies, benchBatch) },
				a.benchLedger(c.Context(), "", bench.LedgerConfig{
					Transactions: benchTransactions, Rounds: benchRounds, Submitters: benchSubmitters, Latency: benchLatency,
				}))
		},
	}
	c.AddCommand(a.benchVerifyCmd(), a.benchIssueCmd(), a.benchLedgerCmd(), a.benchStoreCmd(), a.benchResolveCmd(), a.benchRevokeCmd(), a.benchProtocolCmd())
	return c
}

// runBench runs parts one after the other and prints what they report.
func (a *app) runBench(parts ...func(*benchReport) error) error {
	r := benchReport{Cores: runtime.GOMAXPROCS(0), Go: runtime.Version()}
	for _, part := range parts {
		if err := part(&r); err != nil {
			return err
		}
	}
	r.Peak = bench.PeakMemory()
	return a.emit(r, r.print)
}

func (a *app) benchVerifyCmd() *cobra.Command {
	var suite string
	var n int
	c := &cobra.Command{
		Use:   "verify",
		Short: "Presentations judged per second, beside the signatures in them",
		Long: `People present a credential of one claim at a door, and a gate that has the ledger's records in its
cache judges them: everything is checked, no receipt is made. Beside it, and in turns, only the two
signatures of each presentation are checked. The ratio is of processor time, at most ` + fmt.Sprint(bench.VerifyBar) + `.`,
		Example: "  hufu bench verify --suite P-256 --presentations 10000",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := atLeast("presentations", n, bench.VerifyRounds); err != nil {
				return err
			}
			return a.runBench(func(r *benchReport) error { return a.benchVerify(c.Context(), r, suite, n) })
		},
	}
	suiteFlag(c, &suite)
	c.Flags().IntVar(&n, "presentations", benchPresentations, "how many of each suite")
	return c
}

func (a *app) benchIssueCmd() *cobra.Command {
	var suite string
	var copies, batch int
	c := &cobra.Command{
		Use:   "issue",
		Short: "Credential copies issued per second, beside signing and hashing",
		Long: `Issues copies of a resident identity, with salts, decoys and a status entry each, in batches. Beside it,
and in turns, only what a copy signs is signed and what it hashes is hashed.`,
		Example: "  hufu bench issue --copies 20000 --batch 10",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(atLeast("copies", copies, 1), atLeast("batch", batch, 1)); err != nil {
				return err
			}
			return a.runBench(func(r *benchReport) error { return a.benchIssue(c.Context(), r, suite, copies, batch) })
		},
	}
	suiteFlag(c, &suite)
	c.Flags().IntVar(&copies, "copies", benchCopies, "how many of each suite")
	c.Flags().IntVar(&batch, "batch", benchBatch, "copies in a batch: one person's")
	return c
}

func (a *app) benchLedgerCmd() *cobra.Command {
	var cfg bench.LedgerConfig
	var dir string
	c := &cobra.Command{
		Use:   "ledger",
		Short: "Transactions committed per second, beside the engine alone",
		Long: `Creates identifiers on a network of one validator or several, an Ed25519 signature each, offered to all
validators by many at once. Beside it, and in turns, the same nodes commit the same transactions with an
application that does nothing. In each round the parts are measured alone, too (verifying signatures in batches,
committing the records) to say where processor time goes and how near the whole comes to what its parts
add up to. With --overload, callers who do not wait for one another then offer twice that load for so long:
what was accepted must be committed, what was not must have been refused at once. Last, single transactions
under light load say how long a commit takes.

All validators run in this process, each with a home and connections of its own, so that figures of
processor time are of all of them.`,
		Example: "  hufu bench ledger --transactions 50000 --rounds 5\n  hufu bench ledger --validators 4 --overload 10s",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(atLeast("transactions", cfg.Transactions, 1), atLeast("rounds", cfg.Rounds, 1),
				atLeast("submitters", cfg.Submitters, 1), atLeast("singles", cfg.Latency, 2), atLeast("validators", cfg.Validators, 1)); err != nil {
				return err
			}
			switch {
			case cfg.Validators > benchValidatorsMax:
				return usagef("--validators must be at most %d", benchValidatorsMax)
			case cfg.Overload < 0 || cfg.Overload > benchOverloadMax:
				return usagef("--overload must be from 0 to %s", benchOverloadMax)
			}
			return a.runBench(a.benchLedger(c.Context(), dir, cfg))
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.Validators, "validators", 1, "of the network, all on this machine")
	f.DurationVar(&cfg.Overload, "overload", 0, "how long twice the carried load is offered; 0: not at all")
	f.IntVar(&cfg.Transactions, "transactions", benchTransactions, "how many in a round")
	f.IntVar(&cfg.Rounds, "rounds", benchRounds, "how often each kind of node runs")
	f.IntVar(&cfg.Submitters, "submitters", benchSubmitters, "how many offer transactions at once")
	f.IntVar(&cfg.Latency, "singles", benchLatency, "transactions sent one by one")
	dirFlag(c, &dir)
	return c
}

func (a *app) benchStoreCmd() *cobra.Command {
	var cfg bench.StoreConfig
	var dir string
	c := &cobra.Command{
		Use:   "store",
		Short: "Records written per second with an fsync, beside plain pebble",
		Long: `Fills the authenticated store as from a snapshot and updates a tenth of it, then updates and inserts
records in commits that are synced to the disk one by one, and does the same with plain pebble under the same
settings: what authentication costs. With several sizes each is measured: what size costs. A hundred million
records of 200 bytes take up to 50 GB of disk, which must be free; --plain-up-to spares plain pebble the larger
sizes.`,
		Example: "  hufu bench store --records 1000000,10000000,100000000 --plain-up-to 10000000 --dir /var/tmp",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := errors.Join(atLeast("batch", cfg.Batch, 1), atLeast("commits", cfg.Commits, 1),
				atLeast("value-bytes", cfg.ValueSize, 8), atLeast("plain-up-to", cfg.PlainUpTo, 0)); err != nil {
				return err
			}
			least := cfg.Batch
			for _, n := range cfg.Sizes {
				if err := atLeast("records", n, least); err != nil {
					return err
				}
				least = n + cfg.Inserts(n)
			}
			return a.runBench(a.benchStore(c.Context(), dir, cfg))
		},
	}
	f := c.Flags()
	f.IntSliceVar(&cfg.Sizes, "records", []int{benchRecords}, "sizes at which inserts and updates are measured, ascending")
	f.IntVar(&cfg.PlainUpTo, "plain-up-to", benchMost, "largest size at which plain pebble is measured beside")
	f.IntVar(&cfg.Batch, "batch", benchCommit, "records in a commit")
	f.IntVar(&cfg.Commits, "commits", benchCommits, "measured, of updates, and of inserts as long as they do not more than double the records")
	f.IntVar(&cfg.ValueSize, "value-bytes", benchValue, "size of a value")
	dirFlag(c, &dir)
	return c
}

func suiteFlag(c *cobra.Command, suite *string) {
	c.Flags().StringVar(suite, "suite", allSuites, "signature suite: Ed25519, P-256, SM2 or all")
}

func dirFlag(c *cobra.Command, dir *string) {
	c.Flags().StringVar(dir, "dir", "", "where to put databases meanwhile: on the disk that is to be measured (default the system's temporary directory)")
}

func atLeast(flag string, n, least int) error {
	if n < least || n > benchMost {
		return usagef("--%s must be from %d to %d", flag, least, benchMost)
	}
	return nil
}

func (a *app) benchVerify(ctx context.Context, r *benchReport, suite string, n int) error {
	return eachSuite(suite, func(s *keys.Suite) error {
		add, done := a.progress("verify "+s.Name(), bench.VerifyRounds)
		defer done()
		f, err := bench.MeasureVerify(ctx, s, n, add)
		r.Verify = append(r.Verify, f)
		return err
	})
}

func (a *app) benchIssue(ctx context.Context, r *benchReport, suite string, copies, batch int) error {
	return eachSuite(suite, func(s *keys.Suite) error {
		add, done := a.progress("issue "+s.Name(), copies)
		defer done()
		f, err := issuer.MeasureIssue(ctx, s, copies, batch, bench.CPUTime, add)
		r.Issue = append(r.Issue, f)
		return err
	})
}

// eachSuite measures the suites that a flag names.
func eachSuite(name string, measure func(*keys.Suite) error) error {
	suites := keys.Suites()
	if name != allSuites {
		s, err := keys.SuiteByName(name)
		if err != nil {
			return usageError{fmt.Errorf("--suite: %w", err)}
		}
		suites = []*keys.Suite{s}
	}
	for _, s := range suites {
		if err := measure(s); err != nil {
			return err
		}
	}
	return nil
}

// inDirectory is a part that has a directory for its databases, gone afterwards, and shows how far it is.
func inDirectory[F any](a *app, name, under string, steps int, to func(*benchReport) **F, measure func(dir string, step func(int)) (F, error)) func(*benchReport) error {
	return func(r *benchReport) error {
		dir, err := os.MkdirTemp(under, "hufu-bench-*")
		if err != nil {
			return err
		}
		add, done := a.progress(name, steps)
		defer done()
		f, err := measure(dir, add)
		*to(r) = &f
		return errors.Join(err, os.RemoveAll(dir))
	}
}

func (a *app) benchLedger(ctx context.Context, dir string, cfg bench.LedgerConfig) func(*benchReport) error {
	return inDirectory(a, "ledger", dir, cfg.Steps(), func(r *benchReport) **bench.LedgerFigures { return &r.Ledger },
		func(dir string, step func(int)) (bench.LedgerFigures, error) {
			cfg.Dir, cfg.Progress = dir, step
			return bench.MeasureLedger(ctx, cfg)
		})
}

func (a *app) benchStore(ctx context.Context, dir string, cfg bench.StoreConfig) func(*benchReport) error {
	return inDirectory(a, "store", dir, cfg.Steps(), func(r *benchReport) **bench.StoreFigures { return &r.Store },
		func(dir string, step func(int)) (bench.StoreFigures, error) {
			cfg.Dir, cfg.Progress = dir, step
			return bench.MeasureStore(ctx, cfg)
		})
}

func (r *benchReport) print(w io.Writer) {
	for _, f := range r.Verify {
		fmt.Fprintf(w, "verify %-8s %7.0f presentations/s per core, their bare signatures %7.0f/s: %.2f × their time (bar: at most %.2f; elapsed %.2f)\n",
			f.Suite, f.VerifyPerS, f.BarePerS, f.Ratio, bench.VerifyBar, f.WallRatio)
		fmt.Fprintf(w, "                with a signed receipt, stored: %.0f/s; after a new block: %.0f µs; %d bytes each\n", f.RespondPerS, f.ColdMicros, f.PresentedBytes)
	}
	for _, f := range r.Issue {
		fmt.Fprintf(w, "issue %-8s  %7.0f copies/s per core, bare signing and hashing %7.0f/s: %.2f × its time (elapsed %.2f)\n",
			f.Suite, f.CopiesPerS, f.BarePerS, f.Ratio, f.WallRatio)
	}
	if r.Ledger != nil {
		printLedger(w, r.Ledger)
	}
	if r.Store != nil {
		printStore(w, r.Store)
	}
	if r.Resolve != nil {
		printResolve(w, r.Resolve)
	}
	if r.Revoke != nil {
		printRevoke(w, r.Revoke)
	}
	if r.Protocol != nil {
		printProtocol(w, r.Protocol)
	}
	fmt.Fprintf(w, "%d cores, %s, at most %d MiB of memory\n", r.Cores, r.Go, r.Peak>>20)
}

func printLedger(w io.Writer, f *bench.LedgerFigures) {
	bar := fmt.Sprintf("bar: at least %.2f", bench.LedgerBar)
	if f.Validators > 1 {
		bar = fmt.Sprintf("bar for 4 validators on 2 cores: at least %d tx/s", bench.FourValidatorsBar)
	}
	fmt.Fprintf(w, "ledger          %7.0f tx/s committed by %d validator(s), the engine alone %7.0f/s: %.2f of it (%s)\n",
		f.TxPerS, f.Validators, f.BareTxPerS, f.Ratio, bar)
	fmt.Fprintf(w, "                %d transactions of %d bytes in each of %d rounds, %.0f in a block\n", f.Transactions, f.TxBytes, f.Rounds, f.BlockTxs)
	fmt.Fprintf(w, "                processor time %.1f µs/tx: engine %.1f, verification %.1f, store %.1f, rules %.1f, the rest %.1f\n",
		f.CPU.Total, f.CPU.Engine, f.CPU.Verification, f.CPU.Store, f.CPU.Rules, f.CPU.Rest)
	fmt.Fprintf(w, "                %.2f of the %.0f tx/s that engine, verification and store add up to (by processor time %.2f; goal %.1f)\n",
		f.ComposedRatio, f.ComposedTxPerS, f.ComposedCPURatio, bench.ComposedGoal)
	if o := f.Overload; o != nil {
		fmt.Fprintf(w, "                offered %.0f/s for %.0f s: %d accepted and committed, %d refused as busy; %.0f tx/s, %d blocks\n",
			o.OfferedPerS, o.Seconds, o.Accepted, o.Refused, o.TxPerS, o.Blocks)
		fmt.Fprintf(w, "                commit of those accepted: p50 %.0f ms, p99 %.0f ms (bar: at most %d ms); answered after p99 %.0f ms\n",
			o.CommitP50Millis, o.CommitP99Millis, bench.OverloadP99Bar, o.AnswerP99Millis)
	}
	fmt.Fprintf(w, "                commit under light load: p50 %.1f ms, p99 %.1f ms (bar: at most %d and %d ms); proven to a client: p50 %.1f ms, p99 %.1f ms\n",
		f.CommitP50Millis, f.CommitP99Millis, bench.IdleP50Bar, bench.IdleP99Bar, f.ProvenP50Millis, f.ProvenP99Millis)
	fmt.Fprintf(w, "                replayed by an auditor at %.0f tx/s, %.2f of it live (bar: at least %d)\n", f.ReplayTxPerS, f.ReplayRatio, bench.ReplayBar)
}

func printStore(w io.Writer, f *bench.StoreFigures) {
	fmt.Fprintf(w, "store           records of %d + %d bytes, commits of %d with an fsync each, beside plain pebble\n", f.KeyBytes, f.ValueBytes, f.Batch)
	for i := range f.Sizes {
		printStoreSize(w, &f.Sizes[i], i > 0)
	}
	fmt.Fprintf(w, "                bars: updates at 10 million records at least %.1f of plain pebble, goal %.1f; a proof at most %d µs and %d bytes;\n",
		bench.StoreBar, bench.StoreGoal, bench.ProveBarMicros, bench.ProofBarBytes)
	fmt.Fprintf(w, "                a record at 100 million, with what is merged for it, at most %.1f × what it takes at 1 million\n", bench.StoreCostBar)
}

func printStoreSize(w io.Writer, s *bench.StoreSize, compare bool) {
	fmt.Fprintf(w, "  %d records\n", s.Records)
	for _, x := range []struct {
		name string
		rate bench.StoreRate
	}{{"fill", s.Fill}, {"insert", s.Inserts}, {"update", s.Updates}} {
		fmt.Fprintf(w, "  %-13s %7.0f/s, processor time %.1f µs", x.name, x.rate.PerS, x.rate.Micros)
		if x.rate.PlainPerS > 0 {
			fmt.Fprintf(w, "; plain %7.0f/s, %.1f µs: %.2f of its rate, %.2f until all is merged, %.2f by processor time",
				x.rate.PlainPerS, x.rate.PlainMicros, x.rate.Ratio, x.rate.MergedRatio, x.rate.CPURatio)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "                a proof takes %.0f µs, %.0f µs of processor time, and is %d bytes; opening takes %.0f ms\n",
		s.ProveMicros, s.ProveCPUMicros, s.ProofBytes, s.OpenMillis)
	n := float64(s.Stored)
	fmt.Fprintf(w, "                %.0f bytes of disk a record, %.0f of them pages; %d MiB of memory, %d after opening\n",
		float64(s.DiskBytes)/n, float64(s.PagesBytes)/n, s.ResidentBytes>>20, s.OpenedBytes>>20)
	if compare {
		c := &s.Cost
		fmt.Fprintf(w, "                beside the first size, until all is merged, an insert takes %.2f × (processor time %.2f ×), an update %.2f × (%.2f ×);\n",
			c.InsertsMerged, c.InsertsCPU, c.UpdatesMerged, c.UpdatesCPU)
		fmt.Fprintf(w, "                the commits alone %.2f and %.2f ×\n", c.Inserts, c.Updates)
	}
}
