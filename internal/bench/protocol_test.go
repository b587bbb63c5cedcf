package bench

import (
	"context"
	"errors"
	"testing"
)

// The figures are for people; the test is that measuring works, that every page is told, and that what
// has ended is swept.
func TestMeasureProtocol(t *testing.T) {
	c := ProtocolConfig{Dir: t.TempDir(), Exchanges: ProtocolRounds, Clients: 4, Sessions: 20, Open: 6}
	steps := 0
	c.Progress = func(n int) { steps += n }
	f, err := MeasureProtocol(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Exchanges) != len(exchanges()) {
		t.Fatalf("%d kinds", len(f.Exchanges))
	}
	for _, x := range f.Exchanges {
		if x.Exchanges < ProtocolRounds || x.PerS <= 0 || x.BarePerS <= 0 || x.Ratio <= 0 || x.P50Millis <= 0 || x.P99Millis < x.P50Millis {
			t.Errorf("%+v", x)
		}
		t.Logf("%+v", x)
	}
	if m := f.Memory; m.Sessions != 20 || m.WarmHeap == 0 || m.EndHeap == 0 {
		t.Errorf("%+v", m)
	}
	// What was just done is there, and nothing of before.
	want := map[string]int64{
		"issuer.offers": 1, "issuer.authorizations": 0, "issuer.grants": 1, "issuer.tokens": 2, "issuer.deferrals": 0,
		"issuer.notifications": 1, "gate.requests": 1,
	}
	for table, n := range want {
		if f.Memory.Swept[table] != n {
			t.Errorf("%s: %d rows are left of %d, not %d", table, f.Memory.Swept[table], f.Memory.Rows[table], n)
		}
	}
	if n := f.Memory.Swept["issuer.spent"]; n == 0 || n >= f.Memory.Rows["issuer.spent"] {
		t.Errorf("spent: %d of %d rows are left", n, f.Memory.Rows["issuer.spent"])
	}
	t.Logf("%+v", *f.Memory)
	if f.Open.Told != 6 || f.Open.Goroutines <= 0 {
		t.Errorf("%+v", *f.Open)
	}
	t.Logf("%+v", *f.Open)
	if steps != c.Steps() {
		t.Errorf("%d of %d steps", steps, c.Steps())
	}
}

// BenchmarkProtocol is for profiles of one kind of exchange.
func BenchmarkProtocol(b *testing.B) {
	const clients = 16
	for _, e := range exchanges() {
		b.Run(e.name, func(b *testing.B) {
			s, err := openSite(b.Context(), b.TempDir(), clients)
			if err != nil {
				b.Fatal(err)
			}
			phones := max(1, b.N/e.each)
			ready, err := s.ready(b.Context(), clients, phones, e.prepare)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			err = atOnce(b.Context(), clients, phones, func(ctx context.Context, i int) error {
				for range e.each {
					if err := e.run(ctx, ready[i]); err != nil {
						return err
					}
				}
				return nil
			})
			b.StopTimer()
			if err = errors.Join(err, s.close()); err != nil {
				b.Fatal(err)
			}
		})
	}
}
