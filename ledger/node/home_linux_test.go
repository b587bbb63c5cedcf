package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hufu-id/hufu/ledger/node"
)

// mount puts a small file system of its own under a directory, where the test may do that.
func mount(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("a file system to fill or to protect needs the right to mount one (root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestSmallDisk(t *testing.T) {
	n, cfg := found(t)
	disk := mount(t, "size=64k")
	cfg.Home = filepath.Join(disk, "node")
	if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
		t.Fatal(err)
	}
	refused(t, n, cfg, node.ErrDiskFull)
	tiny := mount(t, "size=4k")
	if err := node.InitHome(tiny, make([]byte, 8<<10)); err == nil {
		t.Error("what is no genesis made a home")
	}
	if err := os.WriteFile(filepath.Join(tiny, "filler"), make([]byte, 4<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := node.InitHome(filepath.Join(tiny, "node"), n.Genesis); !errors.Is(err, node.ErrDiskFull) || len(names(t, tiny)) != 2 {
		t.Errorf("%v, and %d names are left, not the disk's and the filler's", err, len(names(t, tiny)))
	}
}

func TestReadOnlyHome(t *testing.T) {
	n, cfg := found(t)
	disk := mount(t, "size=1m")
	cfg.Home = filepath.Join(disk, "node")
	if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	refused(t, n, cfg, node.ErrReadOnly)
	if err := node.InitHome(filepath.Join(disk, "another"), n.Genesis); !errors.Is(err, node.ErrReadOnly) {
		t.Error(err)
	}
}
