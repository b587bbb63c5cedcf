package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/hufu-id/hufu/internal/disktest"
	"github.com/hufu-id/hufu/ledger/node"
)

func TestSmallDisk(t *testing.T) {
	n, cfg := found(t)
	disk := t.TempDir()
	disktest.Mount(t, disk, 64<<10)
	cfg.Home = filepath.Join(disk, "node")
	if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
		t.Fatal(err)
	}
	refused(t, n, cfg, node.ErrDiskFull)
	tiny := t.TempDir()
	disktest.Mount(t, tiny, 4<<10)
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
	disk := t.TempDir()
	room := disktest.Mount(t, disk, 1<<20)
	cfg.Home = filepath.Join(disk, "node")
	if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
		t.Fatal(err)
	}
	room.Protect()
	refused(t, n, cfg, node.ErrReadOnly)
	if err := node.InitHome(filepath.Join(disk, "another"), n.Genesis); !errors.Is(err, node.ErrReadOnly) {
		t.Error(err)
	}
}
