package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/store/storetest"
)

// pagesIn are the files that have pages.
func pagesIn(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "pages", "*-*"))
	files = slices.DeleteFunc(files, func(path string) bool {
		info, bad := os.Stat(path)
		err = errors.Join(err, bad)
		return bad == nil && info.Size() == 0
	})
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files of pages (%v)", len(files), err)
	}
	return files
}

// rewrite changes every file of pages.
func rewrite(t *testing.T, dir string, change func(old []byte) []byte) {
	t.Helper()
	changed := false
	for _, path := range pagesIn(t, dir) {
		old, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		now := change(bytes.Clone(old))
		changed = changed || !bytes.Equal(old, now)
		if err := os.WriteFile(path, now, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !changed {
		t.Fatal("nothing is damaged")
	}
}

// eachUnit changes every so many of the pieces of 32 bytes that pages consist of: a seal, and a key hash and a hash of each leaf.
func eachUnit(step int, change func(unit []byte)) func([]byte) []byte {
	return func(b []byte) []byte {
		for i := 32; i+32 <= len(b); i += 32 * step {
			change(b[i : i+32])
		}
		return b
	}
}

// TestPages does everything to pages that can happen to files that nobody syncs. No root and no proof may
// become another by it, neither at once nor with what is committed then, nor may it fail.
func TestPages(t *testing.T) {
	tests := []struct {
		name   string
		damage func(t *testing.T, dir string)
	}{
		{"whole", func(*testing.T, string) {}},
		{"lost", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "pages")); err != nil {
				t.Fatal(err)
			}
		}},
		{"some files lost", func(t *testing.T, dir string) {
			for i, path := range pagesIn(t, dir) {
				if i%2 == 0 {
					if err := os.Remove(path); err != nil {
						t.Fatal(err)
					}
				}
			}
		}},
		{"empty", func(t *testing.T, dir string) { rewrite(t, dir, func([]byte) []byte { return nil }) }},
		{"torn", func(t *testing.T, dir string) {
			rewrite(t, dir, func(b []byte) []byte { return b[:len(b)/2+13] })
		}},
		{"zeros", func(t *testing.T, dir string) { rewrite(t, dir, func(b []byte) []byte { return make([]byte, len(b)) }) }},
		{"longer", func(t *testing.T, dir string) {
			rewrite(t, dir, func(b []byte) []byte { return append(b, "tail"...) })
		}},
		{"shifted", func(t *testing.T, dir string) {
			rewrite(t, dir, func(b []byte) []byte { return append(make([]byte, 64), b...) })
		}},
		{"first bit of everything", func(t *testing.T, dir string) { rewrite(t, dir, eachUnit(1, func(unit []byte) { unit[0] ^= 0x80 })) }},
		// These bits decide nothing about the shape of a bucket.
		{"last bit of everything", func(t *testing.T, dir string) { rewrite(t, dir, eachUnit(1, func(unit []byte) { unit[31] ^= 1 })) }},
		{"a bit of some units", func(t *testing.T, dir string) { rewrite(t, dir, eachUnit(5, func(unit []byte) { unit[12] ^= 4 })) }},
		{"units in another order", func(t *testing.T, dir string) {
			rewrite(t, dir, func(b []byte) []byte {
				for i := 32; i+64 <= len(b); i += 64 {
					copy(b[i:], bytes.Join([][]byte{b[i+32 : i+64], b[i : i+32]}, nil))
				}
				return b
			})
		}},
		{"leaves in another order", func(t *testing.T, dir string) {
			rewrite(t, dir, func(b []byte) []byte {
				for i := 64; i+128 <= len(b); i += 160 { // of pages of two leaves
					copy(b[i:], bytes.Join([][]byte{b[i+64 : i+128], b[i : i+64]}, nil))
				}
				return b
			})
		}},
		{"a unit twice", func(t *testing.T, dir string) {
			rewrite(t, dir, func(b []byte) []byte {
				for i := 32; i+64 <= len(b); i += 64 {
					copy(b[i+32:i+64], b[i:i+32])
				}
				return b
			})
		}},
		{"of an older backup", func(t *testing.T, dir string) { replacePages(t, dir, 25) }},
		{"of another store", func(t *testing.T, dir string) {
			other := fastDir(t)
			s := open(t, other, store.Options{Bucket: 2})
			for h := range hufu.Height(60) {
				changes := crashChanges(h + 1)
				for i := range changes {
					changes[i].Value = fmt.Appendf(nil, "another store's %d at %d", i, h)
				}
				storetest.Put(t, s, changes...)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			exchange(t, dir, other)
		}},
		{"directories", func(t *testing.T, dir string) {
			for _, path := range pagesIn(t, dir) {
				if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
					t.Fatal(err)
				}
			}
		}},
		{"a file in their place", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "pages")
			if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600)); err != nil {
				t.Fatal(err)
			}
		}},
	}
	whole := fastDir(t)
	grownTo := *grown(t, whole, 60)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir, p := fastDir(t), grownTo
			if err := os.CopyFS(dir, os.DirFS(whole)); err != nil {
				t.Fatal(err)
			}
			tt.damage(t, dir)
			p.check(t, dir, crashOptions(), 60, 60)
			p.goOn(t, dir, crashOptions(), 30)
			p.check(t, dir, crashOptions(), 90, 90)
		})
	}
}

// goOn commits more, and checks the root after each.
func (p *progress) goOn(t *testing.T, dir string, opts store.Options, commits int) {
	t.Helper()
	s, err := store.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	for range commits {
		p.at++
		if err := commitNext(s, p.at); err != nil {
			t.Fatal(err)
		}
		p.model = p.model.With(crashChanges(p.at))
		if got, want := s.State().Root, p.model.Root(); got != want {
			t.Fatalf("root %s at height %d, not %s", got, p.at, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// replacePages puts those of the same store in their place, as they were at an earlier height. They get the
// names of the present ones.
func replacePages(t *testing.T, dir string, height hufu.Height) {
	t.Helper()
	old := fastDir(t)
	grown(t, old, height)
	exchange(t, dir, old)
}

func exchange(t *testing.T, dir, other string) {
	t.Helper()
	segment := func(path string) string { return strings.Split(filepath.Base(path), "-")[0] }
	from := map[string]string{}
	for _, path := range pagesIn(t, other) {
		from[segment(path)] = path
	}
	for _, path := range pagesIn(t, dir) {
		data, err := os.ReadFile(from[segment(path)])
		if err != nil && from[segment(path)] != "" {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPagesAreRead takes a record's row away: proofs of its neighbours need their own rows and the page.
// Without pages they are refused: a bucket whose records are not those that were committed proves nothing.
func TestPagesAreRead(t *testing.T) {
	dir := fastDir(t)
	s := open(t, dir, store.Options{})
	var changes []store.Change
	for i := range 200 {
		changes = append(changes, store.Change{Key: []byte(crashKey(2 * (i % 200))), Value: fmt.Appendf(nil, "value %d", i)})
	}
	storetest.Put(t, s, changes...)
	root := s.State().Root
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	gone := proof.HashKey([]byte(crashKey(0)))
	edit(t, dir, func(db *pebble.DB) error { return db.Delete(append([]byte("v"), gone[:]...), pebble.Sync) })
	prove := func() (proven, refused int) {
		s := open(t, dir, store.Options{})
		defer s.Close()
		for i, c := range changes[1:] {
			a, err := s.Prove([][]byte{c.Key})
			switch {
			case errors.Is(err, store.ErrCorrupt):
				refused++
			case err != nil:
				t.Fatal(err)
			default:
				proven++
				if err := proof.VerifyValue(root, c.Key, c.Value, a.Items[0].Proof); err != nil {
					t.Fatal(i, err)
				}
			}
		}
		return proven, refused
	}
	if proven, refused := prove(); refused != 0 {
		t.Fatalf("with pages %d proven, %d refused", proven, refused)
	}
	if err := os.RemoveAll(filepath.Join(dir, "pages")); err != nil {
		t.Fatal(err)
	}
	if proven, refused := prove(); refused < 1 || refused > 7 {
		t.Fatalf("without pages %d proven, %d refused", proven, refused)
	}
}

// TestFormatsBefore opens stores of formats before, whose pages say nothing to this one: pages, trie and format are
// written anew from the records, once.
func TestFormatsBefore(t *testing.T) {
	for _, before := range []byte{2, 3} {
		dir := fastDir(t)
		p := grown(t, dir, 40)
		format := func(db *pebble.DB, change func(row []byte)) error {
			row, closer, err := db.Get([]byte("m"))
			if err != nil {
				return err
			}
			row = bytes.Clone(row)
			change(row)
			return errors.Join(closer.Close(), db.Set([]byte("m"), row, pebble.Sync))
		}
		edit(t, dir, func(db *pebble.DB) error { return format(db, func(row []byte) { row[2] = before }) })
		rewrite(t, dir, func(b []byte) []byte { return make([]byte, len(b)) })
		p.check(t, dir, crashOptions(), p.at, p.at)
		edit(t, dir, func(db *pebble.DB) error {
			return format(db, func(row []byte) {
				if row[2] != 4 {
					t.Errorf("the format is %d", row[2])
				}
			})
		})
		for _, path := range pagesIn(t, dir) {
			data, err := os.ReadFile(path)
			if err != nil || len(bytes.Trim(data, "\x00")) == 0 {
				t.Errorf("%s is empty (%v)", path, err)
			}
		}
		p.goOn(t, dir, crashOptions(), 20)
		p.check(t, dir, crashOptions(), p.at, p.at)
	}
}

// TestPagesComeBack loses the pages; what is changed then has pages again.
func TestPagesComeBack(t *testing.T) {
	dir := fastDir(t)
	p := grown(t, dir, 20)
	if err := os.RemoveAll(filepath.Join(dir, "pages")); err != nil {
		t.Fatal(err)
	}
	p.goOn(t, dir, crashOptions(), 40)
	pagesIn(t, dir)
	p.check(t, dir, crashOptions(), p.at, p.at)
}

// TestPagesAreWrittenAnew bounds a segment's file, of which there is one, however often the store is opened.
func TestPagesAreWrittenAnew(t *testing.T) {
	for _, starts := range []int{1, 60} {
		dir := fastDir(t)
		p := grown(t, dir, 1)
		for range starts {
			p.goOn(t, dir, crashOptions(), 600/starts)
		}
		files, err := filepath.Glob(filepath.Join(dir, "pages", fmt.Sprintf("%02x-*", busySegment)))
		if err != nil || len(files) != 1 || strings.HasSuffix(files[0], "-0") {
			t.Fatalf("%d starts: %q (%v)", starts, files, err)
		}
		info, err := os.Stat(files[0])
		if err != nil || info.Size() > 400<<10 {
			t.Fatalf("%d starts: %d bytes for 200 records (%v)", starts, info.Size(), err)
		}
		p.check(t, dir, crashOptions(), p.at, p.at)
	}
}

// TestPagesFail lets every access to pages fail, or every write.
func TestPagesFail(t *testing.T) {
	for name, fails := range map[string]func(errorfs.Op) bool{
		"all":    func(errorfs.Op) bool { return true },
		"writes": func(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite },
		"reads":  func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileReadAt },
	} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			opts := crashOptions()
			opts.Workers = 1
			opts.FS = errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
				if strings.Contains(op.Path, "/pages/") && fails(op) {
					failed++
					return errorfs.ErrInjected
				}
				return nil
			}))
			dir := fastDir(t)
			p := progress{model: storetest.Model{}}
			p.goOn(t, dir, opts, 40)
			p.check(t, dir, opts, p.at, p.at)
			if failed == 0 {
				t.Fatal("nothing failed")
			}
		})
	}
}
