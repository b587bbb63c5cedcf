package store

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/hufu-id/hufu/ledger/proof"
)

// TestLooksAhead commits more changes than a worker looks ahead, to a store and to one in memory: both come to the same. On
// the way all buckets are found alike one by one and level by level. No worker looks further ahead than it should when pages
// are not in memory, nor at all when they are.
func TestLooksAhead(t *testing.T) {
	var away atomic.Bool // the pages, as if they were not in memory
	files := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if away.Load() && op.Kind == errorfs.OpFileReadAt && strings.Contains(op.Path, "/pages/") {
			return errorfs.ErrInjected
		}
		return nil
	}))
	s, err := Open("store", Options{Settings: Settings{FS: files}, Reserve: 1, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	d, model, random := s.(*disk), NewMemory(), rand.New(rand.NewPCG(1, 2))
	for round := range 5 {
		changes := make([]Change, 0, 3*farAhead)
		for _, i := range random.Perm(4 * farAhead)[:3*farAhead] {
			c := Change{Key: fmt.Appendf(nil, "key %d", i)}
			if random.IntN(8) > 0 {
				c.Value = fmt.Appendf(nil, "value %d", random.Uint64())
			}
			changes = append(changes, c)
		}
		for i := range d.recent {
			d.recent[i].sets = nil
		}
		away.Store(round%2 == 1) // there are none at first
		most := 0
		if away.Load() {
			most = farAhead
		}
		looksAhead(t, d, changes, most)
		for _, st := range []Store{s, model} {
			staged, err := st.Stage(changes)
			if err != nil {
				t.Fatal(err)
			}
			if err := st.Commit(staged, st.State().Height+1, nil); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := s.State(), model.State(); got.Root != want.Root || got.Count != want.Count {
			t.Fatalf("commit %d: %v, not %v", round, got, want)
		}
	}
}

// looksAhead is a Stage with its stager in sight.
func looksAhead(t *testing.T, d *disk, changes []Change, most int) {
	t.Helper()
	todo, err := sorted(changes)
	if err != nil {
		t.Fatal(err)
	}
	st := &stager{bucket: d.opts.Bucket, batch: d.db.NewBatch(), store: d}
	parts, furthest := bySegment(todo), 0
	for i := range parts {
		p := &parts[i]
		seg := d.segs[p.segment]
		for j, got := range seg.walk(nil, p.todo) {
			if at, depth := seg.find(&p.todo[j].keyHash); got != (spot{at, depth}) {
				t.Fatalf("bucket %v, not %d at depth %d", got, at, depth)
			}
		}
		if err := st.segment(p); err != nil {
			t.Fatal(err)
		}
		ahead := 0
		for _, v := range st.ahead {
			if ahead += len(v.part.todo); v.part.top != (proof.Node{}) {
				t.Fatal("what is ahead was updated")
			}
		}
		furthest = max(furthest, ahead)
	}
	if furthest > most || furthest < most/2 {
		t.Errorf("looked %d changes ahead, not %d", furthest, most)
	}
	if err := st.finish(0); err != nil || len(st.ahead) > 0 {
		t.Errorf("%d left (%v)", len(st.ahead), err)
	}
	if err := st.batch.Close(); err != nil {
		t.Error(err)
	}
	if err := st.reader.close(); err != nil {
		t.Error(err)
	}
}
