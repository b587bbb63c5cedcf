package disktest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	done, err := afterwards("umount", "-l", dir) // who still has files there may end later
	if err != nil {
		t.Error(errors.Join(err, syscall.Unmount(dir, syscall.MNT_DETACH)))
		t.FailNow()
	}
	t.Cleanup(func() {
		if err := done(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// afterwards runs a command when done is called, or when this process ends, also if it is killed: what the command waits
// for to end is a pipe of this process.
func afterwards(command ...string) (done func() error, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	c := exec.CommandContext(context.Background(), "sh", append([]string{"-c", `read -r _; exec "$0" "$@"`}, command...)...)
	c.Stdin = read
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no signal to the tests' group ends it
	err = errors.Join(c.Start(), read.Close())
	if err != nil {
		return nil, errors.Join(err, write.Close())
	}
	return func() error { return errors.Join(write.Close(), c.Wait()) }, nil
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
