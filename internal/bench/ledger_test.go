package bench

import (
	"testing"
	"time"

	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
)

func TestMeasureLedger(t *testing.T) {
	steps := 0
	c := LedgerConfig{Dir: t.TempDir(), Transactions: 250, Rounds: 2, Submitters: 16, Latency: 6, Progress: func(n int) { steps += n }}
	f, err := MeasureLedger(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]float64{
		"tx_per_s": f.TxPerS, "bare_tx_per_s": f.BareTxPerS, "ratio": f.Ratio, "block_txs": f.BlockTxs,
		"total": f.CPU.Total, "engine": f.CPU.Engine, "verification": f.CPU.Verification, "store": f.CPU.Store,
		"records": f.State.Records, "bytes": f.State.Bytes, "composed_ratio": f.ComposedRatio, "composed_cpu_ratio": f.ComposedCPURatio,
		"commit_p50": f.CommitP50Millis, "proven_p99": f.ProvenP99Millis,
		"replay_tx_per_s": f.ReplayTxPerS, "replay_ratio": f.ReplayRatio,
	} {
		if v <= 0 {
			t.Errorf("%s is %v", name, v)
		}
	}
	if f.CommitP99Millis < f.CommitP50Millis || f.BlockTxs > 250 || steps != c.Steps() {
		t.Errorf("%+v after %d steps", f, steps)
	}
	t.Logf("%+v", f)
}

func TestOverload(t *testing.T) {
	c := LedgerConfig{Dir: t.TempDir(), Validators: 4, Transactions: 100, Rounds: 1, Submitters: 16, Latency: 8, Overload: 200 * time.Millisecond}
	f, err := MeasureLedger(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	o := f.Overload
	if o == nil || o.Accepted == 0 || o.Accepted+o.Refused != o.Offered || o.CommitP50Millis <= 0 || o.CommitP99Millis < o.CommitP50Millis {
		t.Errorf("%+v", o)
	}
}

// BenchmarkLedger is for profiles: one round at the size that the command has.
func BenchmarkLedger(b *testing.B) {
	for b.Loop() {
		f, err := MeasureLedger(b.Context(), LedgerConfig{Dir: b.TempDir(), Rounds: 3, Latency: 20})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(f.TxPerS, "tx/s")
		b.ReportMetric(f.Ratio, "ratio")
		b.ReportMetric(f.ComposedCPURatio, "composed-cpu-ratio")
		b.Logf("%+v", f)
	}
}

// BenchmarkNode is for profiles, too: of the real nodes alone, and of the bare ones to compare with.
func BenchmarkNode(b *testing.B) {
	for _, n := range []struct {
		name       string
		validators int
		start      starter
	}{{"real", 1, node.Start}, {"bare", 1, node.StartBare}, {"real-4", 4, node.Start}, {"bare-4", 4, node.StartBare}} {
		b.Run(n.name, func(b *testing.B) {
			network, err := sample.New("bench", n.validators)
			if err != nil {
				b.Fatal(err)
			}
			defer node.Dedicate(n.validators)()
			l := &ledgerBench{LedgerConfig: LedgerConfig{Dir: b.TempDir(), Transactions: 100_000 / n.validators}, network: network}
			l.defaults()
			if l.txs, err = l.make(0, l.Transactions); err != nil {
				b.Fatal(err)
			}
			var took spent
			for b.Loop() {
				if err := l.with(b.Context(), n.start, func(v *validators) error {
					once, err := measure(func() error { return l.load(b.Context(), v) })
					took.add(once)
					return err
				}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(micros(b.N*l.Transactions, took.cpu), "cpu-µs/tx")
			b.ReportMetric(perSecond(b.N*l.Transactions, took.wall), "tx/s")
		})
	}
}
