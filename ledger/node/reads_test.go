package node

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/store"
)

// commit writes changes to both and tells the reads.
func commit(t *testing.T, r *reads, height hufu.Height, changes ...store.Change) {
	t.Helper()
	staged, err := r.store.Stage(changes)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.store.Commit(staged, height, []byte{1}); err != nil {
		t.Fatal(err)
	}
	r.committed(changes)
}

// What is read is what the store holds, however often it was read before, and through generations.
func TestReadsFollowTheStore(t *testing.T) {
	r := newReads(store.NewMemory())
	random := rand.New(rand.NewPCG(1, 2))
	key := func(i int) []byte { return fmt.Appendf(nil, "key %d", i) }
	const keys = 40
	known := 0
	for height := hufu.Height(1); height < 200; height++ {
		var changes []store.Change
		for i := range keys {
			switch random.IntN(4) {
			case 0:
				changes = append(changes, store.Change{Key: key(i), Value: bytes.Repeat([]byte{byte(height)}, 1+random.IntN(store.MaxValue))})
			case 1:
				changes = append(changes, store.Change{Key: key(i)})
			}
		}
		commit(t, r, height, changes...)
		for range keys {
			k := key(random.IntN(keys))
			want, err := r.store.Get(k)
			if err != nil {
				t.Fatal(err)
			}
			raw, decoded, err := r.Kept(k)
			if err != nil || !bytes.Equal(raw, want) || decoded != nil && decoded != hufu.Digest(sha256.Sum256(want)) {
				t.Fatalf("at height %d %s is decoded to %v of %d bytes (%v)", height, k, decoded, len(want), err)
			}
			if decoded != nil {
				known++
			}
			r.Keep(k, raw, hufu.Digest(sha256.Sum256(raw)))
			r.Keep(k, bytes.Clone(raw), "of another version")
			got, err := r.Get(k)
			if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
				t.Fatalf("at height %d %s is %d bytes, not %d (%v)", height, k, len(got), len(want), err)
			}
			k = key(random.IntN(keys))
			for range 2 {
				has, err := r.Has(k)
				want, err2 := r.store.Has(k)
				if err != nil || err2 != nil || has != want {
					t.Fatalf("at height %d there is %s: %v, not %v (%v)", height, k, has, want, errors.Join(err, err2))
				}
			}
		}
	}
	if known == 0 {
		t.Error("what was kept is not found again")
	}
	if r.old == nil {
		t.Error("one generation was enough: the test is too small")
	}
}

// slow is a store in which something happens between a read and its return.
type slow struct {
	store.Store
	meanwhile func()
}

func (s *slow) Has(key []byte) (bool, error) {
	has, err := s.Store.Has(key)
	s.meanwhile()
	return has, err
}

func (s *slow) Get(key []byte) ([]byte, error) {
	value, err := s.Store.Get(key)
	s.meanwhile()
	return value, err
}

// A read that a commit overtakes is not kept.
func TestReadsOvertaken(t *testing.T) {
	s := &slow{Store: store.NewMemory(), meanwhile: func() {}}
	r := newReads(s)
	commit(t, r, 1, store.Change{Key: []byte("k"), Value: []byte("before")})
	s.meanwhile = func() { commit(t, r, 2, store.Change{Key: []byte("k"), Value: []byte("after")}) }
	if v, err := r.Get([]byte("k")); err != nil || string(v) != "before" {
		t.Fatalf("%q, %v", v, err)
	}
	s.meanwhile = func() {}
	if v, err := r.Get([]byte("k")); err != nil || string(v) != "after" {
		t.Errorf("%q, %v", v, err)
	}
}

// That a key is not there is not kept when a commit overtook the question.
func TestMissingOvertaken(t *testing.T) {
	s := &slow{Store: store.NewMemory(), meanwhile: func() {}}
	r := newReads(s)
	s.meanwhile = func() { commit(t, r, 1, store.Change{Key: []byte("k"), Value: []byte("v")}) }
	if has, err := r.Has([]byte("k")); err != nil || has {
		t.Fatalf("%v, %v", has, err)
	}
	s.meanwhile = func() {}
	if has, err := r.Has([]byte("k")); err != nil || !has {
		t.Errorf("%v, %v", has, err)
	}
}

// The store is asked once of a key that is not there, until there are too many to keep.
func TestMissingIsKept(t *testing.T) {
	asked := 0
	r := newReads(&slow{Store: store.NewMemory(), meanwhile: func() { asked++ }})
	for i := range 2 * maxMissing {
		for range 2 {
			if has, err := r.Has(fmt.Appendf(nil, "key %d", i)); err != nil || has {
				t.Fatalf("%v, %v", has, err)
			}
		}
		if len(r.missing.keys) > maxMissing {
			t.Fatalf("%d are kept", len(r.missing.keys))
		}
	}
	if asked != 2*maxMissing {
		t.Errorf("the store was asked %d times of %d keys", asked, 2*maxMissing)
	}
	r.reset()
	if len(r.missing.keys) != 0 {
		t.Errorf("%d are kept of another state", len(r.missing.keys))
	}
}
