package bench

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

func TestMeasureStore(t *testing.T) {
	steps := 0
	c := StoreConfig{
		Dir: t.TempDir(), Sizes: []int{600, 4000}, PlainUpTo: 600, Batch: 500, Commits: 2, ValueSize: 64,
		Progress: func(n int) { steps += n },
	}
	f, err := MeasureStore(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range f.Sizes {
		for _, r := range []StoreRate{s.Inserts, s.Updates} {
			if r.PerS <= 0 || (i < 1) != (r.PlainPerS > 0) || i < 1 && r.Ratio != r.PerS/r.PlainPerS || r.MergedPerS <= 0 || r.MergedPerS > r.PerS ||
				(i < 1) != (r.PlainMergedPerS > 0) || r.PlainMergedPerS > r.PlainPerS || i < 1 && r.MergedRatio != r.MergedPerS/r.PlainMergedPerS {
				t.Errorf("%+v", r)
			}
		}
		if s.Records != c.Sizes[i] || s.Stored != s.Records+[]int{600, 1000}[i] || s.ProofBytes <= 0 || s.OpenMillis <= 0 || s.PagesBytes <= 0 ||
			s.DiskBytes <= s.PagesBytes || (i < 1) != (s.PlainDiskBytes > 0) || s.Fill.PerS <= 0 || s.Cost.Updates != f.Sizes[0].Updates.PerS/s.Updates.PerS ||
			s.Cost.InsertsMerged != f.Sizes[0].Inserts.MergedPerS/s.Inserts.MergedPerS || s.Cost.UpdatesCPU != s.Updates.Micros/f.Sizes[0].Updates.Micros {
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

// A small store is changed as often as is inserted before it is measured, a large one a tenth as often as it has records.
func TestSeason(t *testing.T) {
	c := StoreConfig{Batch: 100, Commits: 10}
	for size, want := range map[int]int{500: 500, 1000: 1000, 10_000: 1000, 100_000: 10_000} {
		if got := c.season(size); got != want {
			t.Errorf("%d updates of %d records, not %d", got, size, want)
		}
	}
}

// TestMerge leaves nothing that was put off: neither in the log nor in tables above the level that all are merged with.
func TestMerge(t *testing.T) {
	dir := t.TempDir()
	db, err := pebble.Open(dir, databaseOptions())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		err = errors.Join(err, db.Set(storeKey(i), []byte("value"), pebble.Sync))
		if i == 50 {
			err = errors.Join(err, db.Flush())
		}
	}
	if before := db.Metrics().Levels[0].TablesCount; before == 0 {
		t.Error("nothing was put off")
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	took, err := merge(t.Context(), dir)
	if err != nil || took.wall <= 0 || took.cpu <= 0 {
		t.Fatal(took, err)
	}
	if db, err = pebble.Open(dir, databaseOptions()); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if m := db.Metrics(); m.Levels[0].TablesCount != 0 || m.MemTable.Count > 1 {
		t.Errorf("%d tables and %d memtables are left", m.Levels[0].TablesCount, m.MemTable.Count)
	}
}

type countedCloser struct{ closed int }

func (c *countedCloser) Close() error { c.closed++; return nil }

// A database that could not be opened again is none, and is not closed twice.
func TestClosed(t *testing.T) {
	bad := errors.New("bad")
	for _, tt := range []struct {
		name            string
		meanwhile, open error
	}{{"all is well", nil, nil}, {"what is done meanwhile fails", bad, nil}, {"it does not open", nil, bad}} {
		first, second := &countedCloser{}, &countedCloser{}
		db := first
		err := closed(&db, func() (*countedCloser, error) { return second, tt.open })(func() error {
			if first.closed != 1 || db != nil {
				t.Errorf("%s: it is not closed meanwhile", tt.name)
			}
			return tt.meanwhile
		})
		want := second
		if tt.meanwhile != nil || tt.open != nil {
			want = nil
		}
		if (err == nil) != (want != nil) || db != want || first.closed != 1 || second.closed != 0 {
			t.Errorf("%s: %v, %v", tt.name, err, db)
		}
	}
}

// A measurement that is ended in the middle leaves nothing behind, whatever it was doing.
func TestStoreEnds(t *testing.T) {
	for _, after := range []int{600, 1300, 4200} {
		ctx, stop := context.WithCancel(t.Context())
		steps := 0
		c := StoreConfig{Dir: t.TempDir(), Sizes: []int{600}, PlainUpTo: 600, Batch: 300, Commits: 2, ValueSize: 64, Progress: func(n int) {
			if steps += n; steps >= after {
				stop()
			}
		}}
		_, err := MeasureStore(ctx, c)
		stop()
		left, bad := os.ReadDir(c.Dir)
		if !errors.Is(err, context.Canceled) || bad != nil || len(left) > 0 {
			t.Errorf("after %d steps: %v, and %v is left behind (%v)", after, err, left, bad)
		}
	}
}

func TestStoreNeedsRoom(t *testing.T) {
	c := StoreConfig{Dir: t.TempDir(), Sizes: []int{1000, 1 << 50}, PlainUpTo: 1000, Batch: 500, Commits: 2, ValueSize: 64}
	if _, err := MeasureStore(t.Context(), c); err == nil || !strings.Contains(err.Error(), "GB free") {
		t.Errorf("a store that no disk holds: %v", err)
	}
	left, err := os.ReadDir(c.Dir)
	if err != nil || len(left) > 0 {
		t.Errorf("%v is left behind (%v)", left, err)
	}
}
