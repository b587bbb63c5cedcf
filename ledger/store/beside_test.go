package store

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// TestFilesBeginTogether makes the files of pages at the first commit, and none later as long as they do not grow; and
// looks for records while the rows of a commit are being written.
func TestFilesBeginTogether(t *testing.T) {
	files := vfs.NewMem()
	s, err := Open("store", Options{Settings: Settings{FS: files}, Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	key := func(i int) []byte { return fmt.Appendf(nil, "key %d", i) }
	for i := range 20 {
		staged, err := s.Stage([]Change{{Key: key(i), Value: []byte("v")}})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Commit(staged, s.State().Height+1, nil); err != nil {
			t.Fatal(err)
		}
		names, err := files.List("store/" + pagesDir)
		if err != nil || len(names) != segments {
			t.Fatalf("%d files of pages after %d commits (%v)", len(names), i+1, err)
		}
	}
	d := s.(*disk)
	d.rows.Lock()
	defer d.rows.Unlock()
	for i := range 40 {
		if has, err := s.Has(key(i)); err != nil || has != (i < 20) {
			t.Errorf("record %d is there: %v (%v)", i, has, err)
		}
	}
}
