package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/store/storetest"
)

// grown makes a store of some commits with small files, so that there are several of each kind.
func grown(t *testing.T, dir string, commits hufu.Height) *progress {
	t.Helper()
	s, err := store.Open(dir, crashOptions())
	if err != nil {
		t.Fatal(err)
	}
	p := &progress{model: storetest.Model{}}
	for p.at < commits {
		p.at++
		if err := commitNext(s, p.at); err != nil {
			t.Fatal(err)
		}
		p.model = p.model.With(crashChanges(p.at))
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

// TestDamagedFiles overwrites and cuts each file of the database: what opens is a state that was committed,
// and what cannot be read says so.
func TestDamagedFiles(t *testing.T) {
	whole := fastDir(t)
	p := grown(t, whole, 60)
	files, err := os.ReadDir(whole)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, f := range files {
		if f.IsDir() {
			continue // TestPages
		}
		for name, damage := range map[string]func([]byte) []byte{
			"garbage": func(b []byte) []byte {
				for i := len(b) / 4; i < len(b)/4+64 && i < len(b); i++ {
					b[i] ^= 0x5a
				}
				return b
			},
			"torn":  func(b []byte) []byte { return b[:len(b)*3/4] },
			"empty": func([]byte) []byte { return nil },
		} {
			if f.Name() == "LOCK" {
				continue
			}
			dir := fastDir(t)
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(dir, f.Name())
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, damage(data), 0o600); err != nil {
				t.Fatal(err)
			}
			if !survives(t, dir, p.at) {
				t.Logf("%s %s: refused", f.Name(), name)
				refused++
			}
		}
	}
	if refused == 0 {
		t.Fatal("no damage was noticed")
	}
}

// survives opens a damaged store and checks that it is either a committed state or says it is
// corrupt.
func survives(t *testing.T, dir string, most hufu.Height) bool {
	t.Helper()
	s, err := store.Open(dir, crashOptions())
	if err != nil {
		if !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("another error than ErrCorrupt: %v", err)
		}
		return false
	}
	defer s.Close()
	st := s.State()
	model := storetest.Model{}
	for h := hufu.Height(1); h <= st.Height; h++ {
		model = model.With(crashChanges(h))
	}
	if st.Height > most || st.Root != model.Root() {
		t.Fatalf("opened at height %d with root %s", st.Height, st.Root)
	}
	for i := range crashKeys {
		got, err := s.Get([]byte(crashKey(i)))
		if errors.Is(err, store.ErrCorrupt) {
			return false
		}
		if err != nil || string(got) != model[crashKey(i)] {
			t.Fatalf("Get(%s) = %q, %v", crashKey(i), got, err)
		}
	}
	return true
}

// edit changes rows behind the store's back.
func edit(t *testing.T, dir string, change func(db *pebble.DB) error) {
	t.Helper()
	db, err := pebble.Open(dir, store.PebbleOptions(crashOptions().Settings))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(change(db), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestRows(t *testing.T) {
	firstRecord := func(db *pebble.DB, f func(key, row []byte) error) error {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte("v")})
		if err != nil {
			return err
		}
		defer it.Close()
		it.First()
		return f(append([]byte(nil), it.Key()...), append([]byte(nil), it.Value()...))
	}
	noCheckpoints := func(db *pebble.DB) error { return db.DeleteRange([]byte("c"), []byte("d"), pebble.Sync) }
	tests := []struct {
		name   string
		change func(db *pebble.DB) error
		want   string // part of the error, "" when the store mends itself
	}{
		{"checkpoints lost", noCheckpoints, ""},
		{"journals lost", func(db *pebble.DB) error { return db.DeleteRange([]byte("j"), []byte("k"), pebble.Sync) }, ""},
		{"checkpoint garbage", func(db *pebble.DB) error { return db.Set([]byte("c\x07"), []byte("garbage"), pebble.Sync) }, ""},
		{"checkpoint from later", func(db *pebble.DB) error { return db.Set([]byte("c\x07"), []byte("\xffffffff\x00"), pebble.Sync) }, ""},
		{"journal garbage", func(db *pebble.DB) error {
			return db.Set([]byte("j\x00\x00\x00\x00\x00\x00\x00\xff"), []byte("garbage"), pebble.Sync)
		}, ""},
		{"meta garbage", func(db *pebble.DB) error { return db.Set([]byte("m"), []byte("garbage"), pebble.Sync) }, "meta row"},
		{"later format", func(db *pebble.DB) error {
			return db.Set([]byte("m"), []byte("\xa5\x01\x05\x02\x01\x03\x01\x04\x58\x20"+strings.Repeat("r", 32)+"\x05\x00"), pebble.Sync)
		}, "format 5 on disk"},
		{"record lost", func(db *pebble.DB) error {
			return errors.Join(noCheckpoints(db), firstRecord(db, func(key, _ []byte) error { return db.Delete(key, pebble.Sync) }))
		}, "have root"},
		{"record changed", func(db *pebble.DB) error {
			return errors.Join(noCheckpoints(db), firstRecord(db, func(key, row []byte) error {
				row[len(row)-1] ^= 1
				return db.Set(key, row, pebble.Sync)
			}))
		}, "have root"},
		{"record garbage", func(db *pebble.DB) error {
			return errors.Join(noCheckpoints(db), firstRecord(db, func(key, _ []byte) error { return db.Set(key, []byte("x"), pebble.Sync) }))
		}, "does not parse"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := fastDir(t)
			p := grown(t, dir, 30)
			edit(t, dir, tt.change)
			if tt.want == "" {
				p.check(t, dir, crashOptions(), p.at, p.at)
				p.check(t, dir, crashOptions(), p.at, p.at)
				return
			}
			_, err := store.Open(dir, crashOptions())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("%v, want %q", err, tt.want)
			}
			if tt.name != "later format" && !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("not ErrCorrupt: %v", err)
			}
		})
	}
}

func TestSettingsMayChange(t *testing.T) {
	dir := fastDir(t)
	p := grown(t, dir, 40)
	for _, bucket := range []int{1, 50, 3} {
		opts := crashOptions()
		opts.Bucket = bucket
		s, err := store.Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		for range 40 {
			p.at++
			if err := commitNext(s, p.at); err != nil {
				t.Fatal(err)
			}
			p.model = p.model.With(crashChanges(p.at))
		}
		if s.State().Root != p.model.Root() {
			t.Fatalf("another root with buckets of %d", bucket)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		p.check(t, dir, opts, p.at, p.at)
	}
}

func TestLockedHere(t *testing.T) {
	dir := fastDir(t)
	s := open(t, dir, store.Options{})
	if _, err := store.Open(dir, store.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := open(t, dir, store.Options{}).Close(); err != nil {
		t.Fatal(err)
	}
}

// smallDisk is a file system of its own, in memory.
func smallDisk(t *testing.T, options string) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("SKIPPED: cannot mount a small file system here: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestReadOnlyDirectory(t *testing.T) {
	dir := smallDisk(t, "size=8m")
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Skipf("SKIPPED: cannot remount: %v", err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "below")} {
		_, err := store.Open(path, store.Options{})
		if !errors.Is(err, syscall.EROFS) || errors.Is(err, store.ErrLocked) || errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("%v", err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	dir := smallDisk(t, "size=48m")
	opts := crashOptions()
	opts.Reserve = 16 << 20
	s, err := store.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	model := storetest.Model{}
	put := func(height hufu.Height) error {
		c := store.Change{Key: []byte(crashKey(int(height))), Value: []byte(strings.Repeat("x", 60_000))}
		staged, err := s.Stage([]store.Change{c})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(staged, height, nil); err != nil {
			return err
		}
		model = model.With([]store.Change{c})
		return nil
	}
	height := hufu.Height(1)
	for err == nil && height < 2000 {
		if err = put(height); err == nil {
			height++
		}
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("height %d: %v", height, err)
	}
	keys := []string{crashKey(1), crashKey(int(height) - 1), crashKey(int(height))}
	storetest.Check(t, s, model, keys)
	if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=96m"); err != nil {
		t.Fatal(err)
	}
	if err := put(height); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if s, err = store.Open(dir, opts); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	storetest.Check(t, s, model, keys)
}

func TestLargestProof(t *testing.T) {
	s := store.NewMemory()
	long := strings.Repeat("k", store.MaxKey)
	for i := range 2 {
		storetest.Put(t, s, store.Change{Key: []byte(long[i:]), Value: make([]byte, store.MaxValue)})
	}
	a, err := s.Prove([][]byte{[]byte("absent")})
	if err != nil || len(a.Items[0].Proof) > proof.MaxProofSize {
		t.Fatal(len(a.Items[0].Proof), err)
	}
}

// A restore on a disk without room ends early and leaves the store empty.
func TestRestoreNeedsRoom(t *testing.T) {
	opts := crashOptions()
	opts.Reserve = 1 << 60
	s, err := store.Open(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	keys := make([]string, 300)
	for i := range keys {
		keys[i] = crashKey(i)
	}
	slices.SortFunc(keys, func(a, b string) int {
		x, y := proof.HashKey([]byte(a)), proof.HashKey([]byte(b))
		return slices.Compare(x[:], y[:])
	})
	value, taken := make([]byte, store.MaxValue), 0
	err = s.Restore(store.State{}, func(yield func(proof.KV, error) bool) {
		for _, key := range keys {
			if taken++; !yield(proof.KV{Key: []byte(key), Value: value}, nil) {
				return
			}
		}
	})
	if !errors.Is(err, store.ErrFull) || taken == len(keys) {
		t.Errorf("%v, after %d of %d records", err, taken, len(keys))
	}
	storetest.Check(t, s, storetest.Model{}, keys[:3])
}
