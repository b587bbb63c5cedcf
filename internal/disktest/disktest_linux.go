package disktest

import (
	"fmt"
	"syscall"
	"testing"
)

// Disk is a file system in memory. What is not written to it takes none.
type Disk struct {
	t    testing.TB
	dir  string
	size uint64 // bytes
}

// Mount puts a disk of so many bytes under an empty directory until the test is over, and skips the test where
// that is not allowed.
func Mount(t testing.TB, dir string, size uint64) *Disk {
	t.Helper()
	d := &Disk{t, dir, size}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, bytes(size)); err != nil {
		t.Skipf("a file system to fill or to protect needs the right to mount one (root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return d
}

func bytes(size uint64) string { return fmt.Sprintf("size=%d", size) }

// Leave leaves room for so many bytes more, in whole pages, and no more, by making the disk smaller.
func (d *Disk) Leave(room uint64) {
	d.t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		d.t.Fatal(err)
	}
	d.remount(0, max((s.Blocks-s.Bfree)*uint64(s.Bsize)+room, uint64(s.Bsize))) // a size of 0 would be no limit
}

// Whole makes the disk as large as it was.
func (d *Disk) Whole() {
	d.t.Helper()
	d.remount(0, d.size)
}

// Protect lets nobody write any more.
func (d *Disk) Protect() {
	d.t.Helper()
	d.remount(syscall.MS_RDONLY, d.size)
}

func (d *Disk) remount(flags uintptr, size uint64) {
	d.t.Helper()
	if err := syscall.Mount("", d.dir, "", syscall.MS_REMOUNT|flags, bytes(size)); err != nil {
		d.t.Fatal(err)
	}
}
