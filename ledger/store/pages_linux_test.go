package store_test

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestPagesNotInMemory has the system forget the pages' files: what is not in memory is fetched, and comes to the same.
func TestPagesNotInMemory(t *testing.T) {
	dir := t.TempDir() // in memory alone nothing can be forgotten
	p := grown(t, dir, 40)
	forgotten := 0
	for _, path := range pagesIn(t, dir) {
		forgotten += forget(t, path)
	}
	if forgotten == 0 {
		t.Skip("the file system keeps everything in memory")
	}
	p.goOn(t, dir, crashOptions(), 20)
	p.check(t, dir, crashOptions(), p.at, p.at)
}

// forget is 1 when the first page of a file is not in memory any more.
func forget(t *testing.T, path string) int {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED)); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Preadv2(int(f.Fd()), [][]byte{make([]byte, 64)}, 0, unix.RWF_NOWAIT); errors.Is(err, unix.EAGAIN) {
		return 1
	}
	return 0
}
