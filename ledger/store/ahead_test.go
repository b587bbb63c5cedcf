package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hufu-id/hufu/ledger/proof"
)

// TestLooksAhead commits more changes than a worker looks ahead, to a store and to one in memory: both come to the same. On
// the way all buckets are found alike one by one and level by level, and no worker looks further ahead than it should.
func TestLooksAhead(t *testing.T) {
	s, err := Open("store", Options{Settings: Settings{FS: vfs.NewMem()}, Reserve: 1, Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	d, model, random := s.(*disk), NewMemory(), rand.New(rand.NewPCG(1, 2))
	for round := range 4 {
		changes := make([]Change, 0, 3*farAhead)
		for _, i := range random.Perm(4 * farAhead)[:3*farAhead] {
			c := Change{Key: fmt.Appendf(nil, "key %d", i)}
			if random.IntN(8) > 0 {
				c.Value = fmt.Appendf(nil, "value %d", random.Uint64())
			}
			changes = append(changes, c)
		}
		looksAhead(t, d, changes)
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
func looksAhead(t *testing.T, d *disk, changes []Change) {
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
	if most := farAhead - len(parts[0].todo); furthest > farAhead || furthest < most/2 {
		t.Errorf("looked %d changes ahead, not %d", furthest, farAhead)
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
