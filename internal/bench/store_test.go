package bench

import (
	"os"
	"testing"
)

func TestMeasureStore(t *testing.T) {
	steps := 0
	c := StoreConfig{
		Dir: t.TempDir(), Sizes: []int{2000, 4000, 6000}, PlainUpTo: 4000, Batch: 500, Commits: 2, ValueSize: 64,
		Progress: func(n int) { steps += n },
	}
	f, err := MeasureStore(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range f.Sizes {
		for _, r := range []StoreRate{s.Fill, s.Inserts, s.Updates} {
			if r.PerS <= 0 || (i < 2) != (r.PlainPerS > 0) || i < 2 && r.Ratio != r.PerS/r.PlainPerS {
				t.Errorf("%+v", r)
			}
		}
		if s.Records != c.Sizes[i] || s.Stored != s.Records+1000 || s.ProofBytes <= 0 || s.OpenMillis <= 0 || s.PagesBytes <= 0 ||
			s.DiskBytes <= s.PagesBytes || (i < 2) != (s.PlainDiskBytes > 0) || s.Cost.Updates != f.Sizes[0].Updates.PerS/s.Updates.PerS {
			t.Errorf("%+v", s)
		}
	}
	if steps != c.Steps() {
		t.Errorf("%d steps, not %d", steps, c.Steps())
	}
	left, err := os.ReadDir(c.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left behind (%v)", left, err)
	}
}
