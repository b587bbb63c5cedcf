package bench

import "testing"

func TestMeasureRevoke(t *testing.T) {
	steps := 0
	c := RevokeConfig{Dir: t.TempDir(), Validators: 4, Rounds: 3, Entries: 25_000, Progress: func(n int) { steps += n }}
	f, err := MeasureRevoke(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if f.RefusedP50Millis <= 0 || f.RefusedP99Millis < f.RefusedP50Millis || f.ProvenP50Millis <= 0 || f.Seconds <= 0 || f.PrepareS <= 0 ||
		f.PrepareS > f.Seconds || f.Transactions != 3 || f.Blocks < 1 || f.Blocks > 3 || f.MicrosPer <= 0 || steps != c.Steps() {
		t.Errorf("%+v after %d steps", f, steps)
	}
	t.Logf("%+v", f)
}

// BenchmarkRevoke is for profiles, at the size that the command has.
func BenchmarkRevoke(b *testing.B) {
	for b.Loop() {
		f, err := MeasureRevoke(b.Context(), RevokeConfig{Dir: b.TempDir(), Validators: 4, Rounds: 100, Entries: 1_000_000})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(f.RefusedP50Millis, "refused-p50-ms")
		b.ReportMetric(f.RefusedP99Millis, "refused-p99-ms")
		b.ReportMetric(f.Seconds, "bulk-s")
		b.Logf("%+v", f)
	}
}
