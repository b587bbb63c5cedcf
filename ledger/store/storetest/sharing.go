package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

// concurrent proves, reads and stages while commits go on: each answer must be of one version.
func concurrent(t *testing.T, s store.Store) {
	const keys, versions = 50, 40
	value := func(v int) string { return fmt.Sprintf("of version %d", v) }
	write := func(v int) (changes []store.Change, ask [][]byte) {
		for i := range keys {
			changes = append(changes, set(fmt.Sprint("k", i), value(v)))
			ask = append(ask, fmt.Append(nil, "k", i))
		}
		return changes, ask
	}
	first, ask := write(1)
	Put(t, s, first...)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := s.Prove(ask)
				if err != nil {
					t.Error(err)
					return
				}
				for _, item := range a.Items {
					if string(item.Value) != value(int(a.Height)) {
						t.Errorf("%q in an answer for height %d", item.Value, a.Height)
						return
					}
					if err := proof.VerifyValue(a.Root, item.Key, item.Value, item.Proof); err != nil {
						t.Error(err)
						return
					}
				}
				for i, key := range append(ask[:len(ask):len(ask)], []byte("absent")) {
					if has, err := s.Has(key); err != nil || has != (i < len(ask)) {
						t.Errorf("Has(%q) = %v, %v", key, has, err)
						return
					}
				}
				if _, err := s.Stage(first); err != nil {
					t.Error(err)
					return
				}
				snap, err := s.Snapshot()
				if err != nil {
					t.Error(err)
					return
				}
				for kv, err := range snap.Records() {
					if err != nil || string(kv.Value) != value(int(snap.State().Height)) {
						t.Errorf("%q in a snapshot of height %d (%v)", kv.Value, snap.State().Height, err)
						break
					}
				}
				if err := snap.Close(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for v := 2; v <= versions; v++ {
		changes, _ := write(v)
		Put(t, s, changes...)
	}
	close(stop)
	wg.Wait()
}

func closed(t *testing.T, s store.Store) {
	Put(t, s, set("a", "1"))
	staged, err := s.Stage(nil)
	if err != nil {
		t.Fatal(err)
	}
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal("close with an open snapshot:", err)
	}
	errs := map[string]error{"Close": s.Close(), "Commit": s.Commit(staged, 2, nil)}
	_, errs["Get"] = s.Get([]byte("a"))
	_, errs["Has"] = s.Has([]byte("a"))
	_, errs["Stage"] = s.Stage(nil)
	_, errs["Prove"] = s.Prove(nil)
	_, errs["Snapshot"] = s.Snapshot()
	errs["Restore"] = s.Restore(store.State{}, func(func(proof.KV, error) bool) {})
	for name, err := range errs {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	if err := snap.Close(); err != nil {
		t.Error(err)
	}
}

func ownership(t *testing.T, s store.Store) {
	key, value, meta := []byte("a"), []byte("1"), []byte("meta")
	staged, err := s.Stage([]store.Change{{Key: key, Value: value}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(staged, 1, meta); err != nil {
		t.Fatal(err)
	}
	key[0], value[0], meta[0] = 'x', 'x', 'x'
	for range 2 {
		got, err := s.Get([]byte("a"))
		if err != nil || string(got) != "1" {
			t.Fatalf("%q, %v", got, err)
		}
		st := s.State()
		if string(st.Meta) != "meta" {
			t.Fatalf("meta is %q", st.Meta)
		}
		got[0], st.Meta[0] = 'y', 'y'
	}
	Check(t, s, Model{"a": "1"}, []string{"a"})
}
