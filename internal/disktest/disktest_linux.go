package disktest

import (
	"errors"
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
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil { // who still has files there may end later
			t.Error(err)
		}
	})
	return d
}

func bytes(size uint64) string { return fmt.Sprintf("size=%d", size) }

// Leave leaves room for so many bytes more, in whole pages, and no more, by making the disk smaller.
func (d *Disk) Leave(room uint64) {
	d.t.Helper()
	for range 1000 {
		var s syscall.Statfs_t
		if err := syscall.Statfs(d.dir, &s); err != nil {
			d.t.Fatal(err)
		}
		used := (s.Blocks - s.Bfree) * uint64(s.Bsize)
		err := d.remount(0, max(used+room, uint64(s.Bsize))) // a size of 0 would be no limit
		if err == nil {
			return
		}
		if !errors.Is(err, syscall.EINVAL) { // somebody wrote more meanwhile, so that it would be too small
			d.t.Fatal(err)
		}
	}
	d.t.Fatal("somebody writes faster than the disk can be filled")
}

// Whole makes the disk as large as it was.
func (d *Disk) Whole() {
	d.t.Helper()
	if err := d.remount(0, d.size); err != nil {
		d.t.Fatal(err)
	}
}

// Protect lets nobody write any more.
func (d *Disk) Protect() {
	d.t.Helper()
	if err := d.remount(syscall.MS_RDONLY, d.size); err != nil {
		d.t.Fatal(err)
	}
}

func (d *Disk) remount(flags uintptr, size uint64) error {
	return syscall.Mount("", d.dir, "", syscall.MS_REMOUNT|flags, bytes(size))
}
