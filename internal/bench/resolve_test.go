package bench

import "testing"

func TestMeasureResolve(t *testing.T) {
	steps := 0
	c := ResolveConfig{Dir: t.TempDir(), Identifiers: 20, Resolutions: 500, Progress: func(n int) { steps += n }}
	f, err := MeasureResolve(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if f.WarmPerS <= 0 || f.ColdP50Millis <= 0 || f.ColdP99Millis < f.ColdP50Millis || f.ColdMicros <= 0 || f.TripP50Millis <= 0 || steps != c.Steps() {
		t.Errorf("%+v after %d steps", f, steps)
	}
	t.Logf("%+v", f)
}

// BenchmarkResolve is for profiles: few identifiers, many times.
func BenchmarkResolve(b *testing.B) {
	for b.Loop() {
		f, err := MeasureResolve(b.Context(), ResolveConfig{Dir: b.TempDir(), Identifiers: 200, Resolutions: 500_000})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(f.WarmPerS, "warm/s")
		b.ReportMetric(f.WarmMicros, "warm-cpu-µs")
	}
}
