package storetest

import (
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

// Run checks an implementation. Open makes a new empty store, which Run closes.
func Run(t *testing.T, open func(t testing.TB) store.Store) {
	tests := []struct {
		name string
		test func(*testing.T, store.Store)
	}{
		{"new", isEmpty},
		{"one record", oneRecord},
		{"many records", manyRecords},
		{"delete to empty", deleteToEmpty},
		{"stale", stale},
		{"heights", heights},
		{"bad changes", badChanges},
		{"staging touches nothing", stagingTouchesNothing},
		{"order does not matter", order},
		{"tampered proofs", tampered},
		{"neighbours", neighbours},
		{"snapshot", snapshot},
		{"concurrent readers", concurrent},
		{"closed", closed},
		{"results are the caller's", ownership},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := open(t)
			tt.test(t, s)
			if err := s.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
				t.Fatal(err)
			}
		})
	}
	t.Run("restore", func(t *testing.T) { restore(t, open) })
	t.Run("any history", func(t *testing.T) { history(t, open) })
}

// Put stages and commits changes at the next height.
func Put(t testing.TB, s store.Store, changes ...store.Change) {
	t.Helper()
	staged, err := s.Stage(changes)
	if err != nil {
		t.Fatal(err)
	}
	height := s.State().Height + 1
	if err := s.Commit(staged, height, fmt.Appendf(nil, "meta %d", height)); err != nil {
		t.Fatal(err)
	}
	if st := s.State(); st.Root != staged.Root() || st.Count != staged.Count() || st.Height != height ||
		string(st.Meta) != fmt.Sprintf("meta %d", height) {
		t.Fatalf("committed %s, the state is %+v", staged.Root(), st)
	}
}

func set(key, value string) store.Change {
	return store.Change{Key: []byte(key), Value: []byte(value)}
}

func del(key string) store.Change { return store.Change{Key: []byte(key)} }

// numbered makes n records named by their number.
func numbered(n int) (changes []store.Change, keys []string) {
	for i := range n {
		keys = append(keys, fmt.Sprintf("key/%d", i))
		changes = append(changes, set(keys[i], fmt.Sprintf("value %d of some length", i)))
	}
	return changes, keys
}

func isEmpty(t *testing.T, s store.Store) {
	if st := s.State(); st.Height != 0 || st.Root != (hufu.Digest{}) || st.Meta != nil || st.Count != 0 {
		t.Fatalf("a new store has %+v", st)
	}
	Check(t, s, Model{}, []string{"a", "b"})
	staged, err := s.Stage(nil)
	if err != nil || staged.Root() != (hufu.Digest{}) {
		t.Fatal(staged, err)
	}
	if err := s.Commit(staged, 0, []byte("genesis")); err != nil {
		t.Fatal("the first commit may be at height 0:", err)
	}
	Check(t, s, Model{}, []string{"a", "b"})
}

func oneRecord(t *testing.T, s store.Store) {
	Put(t, s, set("a", "1"))
	Check(t, s, Model{"a": "1"}, []string{"a", "b", "c", "d"})
	Put(t, s, set("a", "2"))
	Check(t, s, Model{"a": "2"}, []string{"a", "b", "c", "d"})
}

func manyRecords(t *testing.T, s store.Store) {
	changes, keys := numbered(5000)
	m := Model{}
	for chunk := range slices.Chunk(changes, 1234) {
		Put(t, s, chunk...)
		m = m.With(chunk)
		Check(t, s, m, append(keys[:200:200], "absent", "absent too"))
	}
	var drop []store.Change
	for _, k := range keys[:4000] {
		drop = append(drop, del(k))
	}
	Put(t, s, drop...)
	Check(t, s, m.With(drop), keys[3900:4100])
}

func deleteToEmpty(t *testing.T, s store.Store) {
	changes, keys := numbered(300)
	Put(t, s, changes...)
	m := Model{}.With(changes)
	for i := 0; len(m) > 0; i++ {
		n := min(1+i*7, len(m))
		var drop []store.Change
		for _, k := range keys[:n] {
			drop = append(drop, del(k))
		}
		Put(t, s, append(drop, del("never there"))...)
		m = m.With(drop)
		Check(t, s, m, keys)
		keys = keys[n:]
	}
	Put(t, s, changes...)
	Check(t, s, Model{}.With(changes), keys)
}

func stale(t *testing.T, s store.Store) {
	var rivals []*store.Staged
	for i := range 3 {
		staged, err := s.Stage([]store.Change{set("a", fmt.Sprint(i))})
		if err != nil {
			t.Fatal(err)
		}
		rivals = append(rivals, staged)
	}
	if err := s.Commit(rivals[1], 1, nil); err != nil {
		t.Fatal(err)
	}
	for i, rival := range rivals {
		if err := s.Commit(rival, 2, nil); !errors.Is(err, store.ErrStale) {
			t.Fatalf("rival %d: %v", i, err)
		}
	}
	if err := s.Commit(nil, 2, nil); !errors.Is(err, store.ErrStale) {
		t.Fatal(err)
	}
	other := store.NewMemory()
	Put(t, other, set("a", "1"))
	foreign, err := other.Stage(nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(foreign, 2, nil); !errors.Is(err, store.ErrStale) {
		t.Fatal("committed what another store staged:", err)
	}
	Check(t, s, Model{"a": "1"}, []string{"a"})
	Put(t, s, del("a"))
	Check(t, s, Model{}, []string{"a"})
}

func heights(t *testing.T, s store.Store) {
	commit := func(height hufu.Height) error {
		staged, err := s.Stage(nil)
		if err != nil {
			t.Fatal(err)
		}
		return s.Commit(staged, height, nil)
	}
	if err := commit(7); err != nil {
		t.Fatal(err)
	}
	for _, h := range []hufu.Height{0, 6, 7} {
		if err := commit(h); !errors.Is(err, store.ErrHeight) {
			t.Fatalf("height %d after 7: %v", h, err)
		}
	}
	if err := commit(9); err != nil {
		t.Fatal(err)
	}
}

func badChanges(t *testing.T, s store.Store) {
	long := strings.Repeat("x", store.MaxValue+1)
	for name, bad := range map[string][]store.Change{
		"twice":             {set("a", "1"), set("b", "1"), set("a", "2")},
		"set and deleted":   {set("a", "1"), del("a")},
		"empty key":         {set("", "1")},
		"empty key deleted": {del("")},
		"empty value":       {{Key: []byte("a"), Value: []byte{}}},
		"long key":          {set(long[:store.MaxKey+1], "1")},
		"long value":        {set("a", long)},
		"long among good":   {set("b", "1"), set("a", long), set("c", "1")},
	} {
		if _, err := s.Stage(bad); !errors.Is(err, store.ErrChange) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := s.Prove([][]byte{nil}); !errors.Is(err, store.ErrChange) {
		t.Errorf("a proof about an empty key: %v", err)
	}
	most := []store.Change{set(long[:store.MaxKey], long[:store.MaxValue])}
	Put(t, s, most...)
	Check(t, s, Model{}.With(most), []string{long[:store.MaxKey], "a"})
}

func stagingTouchesNothing(t *testing.T, s store.Store) {
	changes, keys := numbered(500)
	Put(t, s, changes[:400]...)
	m := Model{}.With(changes[:400])
	var alive []*store.Staged
	for i := range 5 {
		more := []store.Change{set(keys[i], "other"), del(keys[100+i]), set(keys[400+i], "new")}
		staged, err := s.Stage(append(more, changes[450:]...))
		if err != nil || staged.Root() != m.With(more).With(changes[450:]).Root() {
			t.Fatal(staged.Root(), err)
		}
		alive = append(alive, staged)
	}
	Check(t, s, m, keys)
	if err := s.Commit(alive[3], 10, nil); err != nil {
		t.Fatal(err)
	}
	m = m.With([]store.Change{set(keys[3], "other"), del(keys[103]), set(keys[403], "new")}).With(changes[450:])
	Check(t, s, m, keys)
}

func order(t *testing.T, s store.Store) {
	changes, _ := numbered(2000)
	want := Model{}.With(changes).Root()
	for seed := range uint64(3) {
		mixed := slices.Clone(changes)
		rand.New(rand.NewPCG(seed, 1)).Shuffle(len(mixed), func(i, j int) { mixed[i], mixed[j] = mixed[j], mixed[i] })
		staged, err := s.Stage(mixed)
		if err != nil || staged.Root() != want {
			t.Fatal(staged.Root(), err)
		}
	}
}

// tampered changes every byte of proofs of presence and absence, and swaps claims.
func tampered(t *testing.T, s store.Store) {
	for _, n := range []int{1, 2, 40} {
		changes, keys := numbered(n)
		Put(t, s, changes...)
		root, m := s.State().Root, Model{}.With(changes)
		for _, key := range []string{keys[0], keys[n-1], "absent", "absent as well"} {
			a, err := s.Prove([][]byte{[]byte(key)})
			if err != nil {
				t.Fatal(err)
			}
			p, value := a.Items[0].Proof, m.Value(key)
			refused := func(what string, root hufu.Digest, key string, value, p []byte) {
				t.Helper()
				if err := proof.VerifyValue(root, []byte(key), value, p); hufu.RuleOf(err) == "" {
					t.Fatalf("%d records, %q, %s: %v", n, key, what, err)
				}
			}
			for i := range p {
				for _, flip := range []byte{1, 0x80, 0xff} {
					bad := slices.Clone(p)
					bad[i] ^= flip
					refused(fmt.Sprintf("byte %d flipped", i), root, key, value, bad)
				}
			}
			refused("cut", root, key, value, p[:len(p)-1])
			refused("extended", root, key, value, append(slices.Clone(p), 0))
			refused("other root", hufu.Digest{1}, key, value, p)
			refused("empty root", hufu.Digest{}, key, value, p)
			refused("other key", root, key+"x", value, p)
			refused("other value", root, key, append(slices.Clone(value), 'x'), p)
			refused("empty value", root, key, []byte{}, p)
			if value != nil {
				refused("said to be absent", root, key, nil, p)
			}
		}
	}
}

// neighbours proves absence between every two neighbours and at both ends.
func neighbours(t *testing.T, s store.Store) {
	changes, _ := numbered(30)
	Put(t, s, changes...)
	m := Model{}.With(changes)
	gaps := map[int]bool{}
	var hashes []hufu.Digest
	for k := range m {
		hashes = append(hashes, proof.HashKey([]byte(k)))
	}
	slices.SortFunc(hashes, func(a, b hufu.Digest) int { return slices.Compare(a[:], b[:]) })
	var ask []string
	for i := 0; len(gaps) < len(hashes)+1 && i < 100_000; i++ {
		key := fmt.Sprintf("absent/%d", i)
		kh := proof.HashKey([]byte(key))
		gap, _ := slices.BinarySearchFunc(hashes, kh, func(a, b hufu.Digest) int { return slices.Compare(a[:], b[:]) })
		if !gaps[gap] {
			gaps[gap] = true
			ask = append(ask, key)
		}
	}
	Check(t, s, m, ask)
}

func snapshot(t *testing.T, s store.Store) {
	changes, keys := numbered(1000)
	Put(t, s, changes...)
	snap, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	was := s.State()
	Put(t, s, set(keys[0], "later"), del(keys[1]), set("later", "x"))
	if st := snap.State(); st.Root != was.Root || st.Height != was.Height || st.Count != 1000 || string(st.Meta) != "meta 1" {
		t.Fatalf("snapshot of %+v is %+v", was, st)
	}
	for range 2 {
		var records []proof.KV
		for r, err := range snap.Records() {
			if err != nil {
				t.Fatal(err)
			}
			if n := len(records); n > 0 && !less(records[n-1].Key, r.Key) {
				t.Fatal("records are not in the order of key hashes")
			}
			records = append(records, r)
		}
		if root, err := proof.Root(records); err != nil || root != was.Root || len(records) != 1000 {
			t.Fatal(root, len(records), err)
		}
	}
	for range snap.Records() {
		break
	}
	if err := snap.Close(); err != nil {
		t.Fatal(err)
	}
}

func less(a, b []byte) bool {
	x, y := proof.HashKey(a), proof.HashKey(b)
	return slices.Compare(x[:], y[:]) < 0
}

func restore(t *testing.T, open func(t testing.TB) store.Store) {
	from := open(t)
	defer from.Close()
	changes, keys := numbered(3000)
	Put(t, from, changes...)
	snap, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer snap.Close()
	to := open(t)
	defer to.Close()
	lost := errors.New("connection lost")
	for _, bad := range []struct {
		name    string
		records iter.Seq2[proof.KV, error]
		want    error
	}{
		{"short", take(snap.Records(), 2999, nil), store.ErrRoot},
		{"interrupted", take(snap.Records(), 2000, lost), lost},
		{"twice", twice(snap.Records()), store.ErrChange},
		{"out of order", swapped(snap.Records(), 2000), store.ErrChange},
		{"empty value", func(yield func(proof.KV, error) bool) { yield(proof.KV{Key: []byte("a")}, nil) }, store.ErrChange},
	} {
		if err := to.Restore(snap.State(), bad.records); !errors.Is(err, bad.want) {
			t.Fatalf("%s: %v", bad.name, err)
		}
		Check(t, to, Model{}, keys[:10])
	}
	if err := to.Restore(snap.State(), snap.Records()); err != nil {
		t.Fatal(err)
	}
	m := Model{}.With(changes)
	Check(t, to, m, keys)
	if st := to.State(); st.Height != 1 || string(st.Meta) != "meta 1" {
		t.Fatalf("restored %+v", st)
	}
	if err := to.Restore(snap.State(), snap.Records()); !errors.Is(err, store.ErrNotEmpty) {
		t.Fatal(err)
	}
	more := []store.Change{set("more", "x"), del(keys[5])}
	Put(t, to, more...)
	Check(t, to, m.With(more), append(keys[:50:50], "more"))
}

func take(seq iter.Seq2[proof.KV, error], n int, end error) iter.Seq2[proof.KV, error] {
	return func(yield func(proof.KV, error) bool) {
		i := 0
		for r, err := range seq {
			if i == n {
				break
			}
			if i++; !yield(r, err) {
				return
			}
		}
		if end != nil {
			yield(proof.KV{}, end)
		}
	}
}

// swapped has record n after the next.
func swapped(seq iter.Seq2[proof.KV, error], n int) iter.Seq2[proof.KV, error] {
	return func(yield func(proof.KV, error) bool) {
		i, held := 0, proof.KV{}
		for r, err := range seq {
			if i++; i == n {
				held = r
				continue
			}
			if !yield(r, err) || i == n+1 && !yield(held, nil) {
				return
			}
		}
	}
}

func twice(seq iter.Seq2[proof.KV, error]) iter.Seq2[proof.KV, error] {
	return func(yield func(proof.KV, error) bool) {
		for r, err := range seq {
			for range 2 {
				if !yield(r, err) {
					return
				}
			}
		}
	}
}

// history runs random histories over few keys against the model.
func history(t *testing.T, open func(t testing.TB) store.Store) {
	rapid.Check(t, func(rt *rapid.T) {
		s := open(t)
		defer s.Close()
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[a-z/]{1,12}`), 1, 60, rapid.ID[string]).Draw(rt, "keys")
		m := Model{}
		for range rapid.IntRange(1, 5).Draw(rt, "commits") {
			var changes []store.Change
			for _, k := range rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(rt, "changed") {
				if rapid.Bool().Draw(rt, "delete") {
					changes = append(changes, del(k))
				} else {
					changes = append(changes, set(k, rapid.StringN(1, 20, 80).Draw(rt, "value")))
				}
			}
			Put(t, s, changes...)
			m = m.With(changes)
			Check(t, s, m, names)
		}
	})
}
