package snapshots_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node/snapshots"
	"github.com/hufu-id/hufu/ledger/store"
)

const network = "test"

// ledger is a store with some records that fill more than one chunk.
func ledger(t *testing.T, height hufu.Height, records int) store.Store {
	t.Helper()
	st := store.NewMemory()
	t.Cleanup(func() { st.Close() })
	advance(t, st, height, records)
	return st
}

func advance(t *testing.T, st store.Store, height hufu.Height, records int) {
	t.Helper()
	var changes []store.Change
	for i := range records {
		changes = append(changes, store.Change{Key: fmt.Appendf(nil, "key/%d", i), Value: bytes.Repeat([]byte{byte(i), byte(height)}, 30_000)})
	}
	staged, err := st.Stage(changes)
	if err == nil {
		err = st.Commit(staged, height, []byte("meta"))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func room() error { return nil }

func open(t *testing.T, path string) *snapshots.Dir {
	t.Helper()
	d, err := snapshots.Open(path, network)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func take(t *testing.T, d *snapshots.Dir, st store.Store) snapshots.Snapshot {
	t.Helper()
	view, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	s, err := d.Take(context.Background(), view, room)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func chunks(t *testing.T, d *snapshots.Dir, s snapshots.Snapshot) (out [][]byte) {
	t.Helper()
	for i := range s.Chunks {
		c, err := d.Chunk(s.Height, i)
		if err != nil || c == nil {
			t.Fatalf("chunk %d: %d bytes, %v", i, len(c), err)
		}
		out = append(out, c)
	}
	return out
}

// What one node takes another restores to the same state, whoever sent the chunks; two nodes take the same.
func TestRoundTrip(t *testing.T) {
	for _, records := range []int{0, 1, 200} {
		t.Run(fmt.Sprint(records), func(t *testing.T) {
			st := ledger(t, 7, records)
			path := t.TempDir()
			d := open(t, path)
			s := take(t, d, st)
			if other := take(t, open(t, t.TempDir()), st); other.Hash != s.Hash || !bytes.Equal(other.Metadata, s.Metadata) {
				t.Error("two nodes take different snapshots")
			}
			if records == 200 && s.Chunks < 2 {
				t.Errorf("%d chunks", s.Chunks)
			}
			// As after a restart.
			if list := open(t, path).List(); len(list) != 1 || list[0].Hash != s.Hash {
				t.Fatalf("listed: %+v", list)
			}
			to := store.NewMemory()
			r, err := snapshots.Restore(to, network, s, st.State().Root, []byte("other"))
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range chunks(t, d, s) {
				if i > 0 { // a bad one changes nothing
					if _, err := r.Add(uint32(i), append([]byte{0}, c...)); !errors.Is(err, snapshots.ErrChunk) {
						t.Fatal(err)
					}
				}
				whole, err := r.Add(uint32(i), c)
				if err != nil || whole != (i+1 == int(s.Chunks)) {
					t.Fatalf("chunk %d: %v, %v", i, whole, err)
				}
			}
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if got, want := to.State(), st.State(); got.Root != want.Root || got.Height != 7 || string(got.Meta) != "other" || got.Count != want.Count {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
}

// A snapshot that is not what the validators signed is refused, at once or at its end, and the store is empty
// for the next.
func TestRefused(t *testing.T) {
	st := ledger(t, 7, 200)
	root := st.State().Root
	d := open(t, t.TempDir())
	s := take(t, d, st)
	for name, c := range map[string]struct {
		network hufu.Network
		root    hufu.Digest
		change  func(*snapshots.Snapshot)
	}{
		"network":      {"other", root, func(*snapshots.Snapshot) {}},
		"root":         {network, hufu.Digest{1}, func(*snapshots.Snapshot) {}},
		"height":       {network, root, func(s *snapshots.Snapshot) { s.Height++ }},
		"chunks":       {network, root, func(s *snapshots.Snapshot) { s.Chunks++ }},
		"hash":         {network, root, func(s *snapshots.Snapshot) { s.Hash[0] ^= 1 }},
		"metadata":     {network, root, func(s *snapshots.Snapshot) { s.Metadata[len(s.Metadata)-1] ^= 1 }},
		"no metadata":  {network, root, func(s *snapshots.Snapshot) { s.Metadata = nil }},
		"cut metadata": {network, root, func(s *snapshots.Snapshot) { s.Metadata = s.Metadata[:len(s.Metadata)-1] }},
	} {
		bad := s
		bad.Metadata = bytes.Clone(s.Metadata)
		c.change(&bad)
		if r, err := snapshots.Restore(store.NewMemory(), c.network, bad, c.root, nil); !errors.Is(err, snapshots.ErrSnapshot) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}

	// Another state under the root that was signed: all chunks are what was announced.
	lie := ledger(t, 8, 150)
	ld := open(t, t.TempDir())
	ls := take(t, ld, &lying{lie, st.State()})
	to := store.NewMemory()
	r, err := snapshots.Restore(to, network, ls, root, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range chunks(t, ld, ls) {
		if _, err = r.Add(uint32(i), c); err != nil {
			break
		}
	}
	if !errors.Is(err, snapshots.ErrSnapshot) || to.State().Count != 0 {
		t.Fatalf("%v, with %d records left", err, to.State().Count)
	}
	// One that is given up in the middle leaves the store for the next, too.
	if r, err = snapshots.Restore(to, network, s, root, nil); err != nil {
		t.Fatal(err)
	}
	all := chunks(t, d, s)
	if _, err := r.Add(1, all[1]); err == nil {
		t.Error("a chunk out of turn was taken")
	}
	if _, err := r.Add(0, all[0]); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err = snapshots.Restore(to, network, s, root, nil); err != nil {
		t.Fatal(err)
	}
	for i, c := range all {
		if _, err := r.Add(uint32(i), c); err != nil {
			t.Fatal(err)
		}
	}
	if to.State().Root != root {
		t.Error("another root")
	}
}

// lying shows a store's records as another's state.
type lying struct {
	store.Store
	as store.State
}

func (l *lying) Snapshot() (store.Snapshot, error) {
	view, err := l.Store.Snapshot()
	return &lyingView{view, l.as}, err
}

type lyingView struct {
	store.Snapshot
	as store.State
}

func (l *lyingView) State() store.State { return l.as }

// The newest are kept; what a crash or an error left is cleared, and so is what is damaged.
func TestDirectory(t *testing.T) {
	path := t.TempDir()
	d := open(t, path)
	st := ledger(t, 1, 100)
	for h := hufu.Height(2); h < 6; h++ {
		take(t, d, st)
		advance(t, st, h, 3)
	}
	if list := d.List(); len(list) != snapshots.Kept || list[0].Height != 3 || list[1].Height != 4 {
		t.Fatalf("%+v", list)
	}
	if c, err := d.Chunk(1, 0); c != nil || err != nil {
		t.Errorf("a removed one: %d bytes, %v", len(c), err)
	}
	if c, err := d.Chunk(4, 99); c != nil || err != nil {
		t.Errorf("a chunk beyond the last: %d bytes, %v", len(c), err)
	}

	view, err := st.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	defer view.Close()
	full := errors.New("full")
	calls := 0
	if _, err := d.Take(context.Background(), view, func() error {
		if calls++; calls > 1 {
			return full
		}
		return nil
	}); !errors.Is(err, full) {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := d.Take(ended, view, room); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if names, _ := os.ReadDir(path); len(names) != 2 {
		t.Errorf("left: %v", names)
	}

	for _, name := range []string{".5", ".removed-1", "9", "0x7", "junk"} {
		if err := os.MkdirAll(filepath.Join(path, name, "sub"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(path, "4", "0"), []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	if names, _ := os.ReadDir(path); len(names) != 2 {
		t.Errorf("after the crash: %v", names)
	}
	if c, err := d.Chunk(4, 0); err == nil || c != nil {
		t.Errorf("a damaged chunk is served: %d bytes", len(c))
	}
	if list := d.List(); len(list) != 1 || list[0].Height != 3 {
		t.Errorf("%+v", list)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte{0xa0}, uint64(1), uint32(1))
	f.Fuzz(func(t *testing.T, raw []byte, height uint64, chunks uint32) {
		s := snapshots.Snapshot{Height: hufu.Height(height), Chunks: chunks, Metadata: raw}
		if _, err := snapshots.Restore(store.NewMemory(), network, s, hufu.Digest{}, nil); !errors.Is(err, snapshots.ErrSnapshot) {
			t.Fatalf("without its hash: %v", err)
		}
	})
}
