package bench

import (
	"os"
	"testing"

	"github.com/hufu-id/hufu/ledger/store/storebench"
)

func TestMeasureStore(t *testing.T) {
	steps := 0
	c := storebench.Config{Dir: t.TempDir(), Records: 2000, Batch: 500, Commits: 2, ValueSize: 64, Step: func(n int) { steps += n }}
	f, err := MeasureStore(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []StoreRate{f.Fill, f.Inserts, f.Updates} {
		if r.PerS <= 0 || r.PlainPerS <= 0 || r.Ratio != r.PerS/r.PlainPerS {
			t.Errorf("%+v", r)
		}
	}
	if f.Records != 2000 || f.ProofBytes <= 0 || f.OpenMillis <= 0 || steps != c.Steps() {
		t.Errorf("%+v after %d steps", f, steps)
	}
	left, err := os.ReadDir(c.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left behind (%v)", left, err)
	}
}
