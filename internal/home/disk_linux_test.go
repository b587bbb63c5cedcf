package home_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
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

// fillDisk leaves no room in dir, until the function it returns is called.
func fillDisk(t *testing.T, dir string) (undo func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Error(err)
		}
	}
}

func found(h *home.Home) error {
	_, err := h.Found(rand.Reader, home.DefaultParams(), home.Founder{Identity: "member", Name: "Member", Power: 1})
	return errors.Join(err, h.SetGenesis(bytes.Repeat([]byte("genesis "), 1<<10)))
}

func TestDiskFull(t *testing.T) {
	disk := mount(t, "size=128k")
	dir := filepath.Join(disk, "home")
	for _, room := range []int{0, 1, 2, 4} { // pages, so that it fails at one step or another
		undo := fillDisk(t, disk)
		if err := os.Truncate(filepath.Join(disk, "filler"), int64(128<<10-room*4096)); err != nil {
			t.Fatal(err)
		}
		before := files(t, disk)
		if _, err := home.CreateWith(dir, unlock("right"), network, found); !errors.Is(err, home.ErrDiskFull) {
			t.Errorf("made with %d pages of room: %v", room, err)
		}
		if after := files(t, disk); len(after) != len(before) {
			t.Errorf("%d names, before it %d", len(after), len(before))
		}
		undo()
	}
	h, err := home.CreateWith(dir, unlock("right"), network, func(h *home.Home) error { return h.SetGenesis([]byte("{}")) })
	if err != nil {
		t.Fatal(err)
	}
	if err := node.CheckRoom(dir); !errors.Is(err, node.ErrDiskFull) {
		t.Errorf("a node would start on 128 KiB: %v", err)
	}
	undo := fillDisk(t, disk)
	if _, _, err := h.NewIdentity(rand.Reader, "agency", keys.Ed25519); !errors.Is(err, home.ErrDiskFull) {
		t.Error(err)
	}
	if err := h.SetRunning(&home.Running{PID: 1}); !errors.Is(err, home.ErrDiskFull) {
		t.Error(err)
	}
	undo()
	if again := open(t, dir); len(again.Identities()) != 0 || len(again.Keys().List()) != 0 {
		t.Errorf("%v and %d keys of what failed", again.Identities(), len(again.Keys().List()))
	}
	// With room it goes on.
	if _, _, err := h.NewIdentity(rand.Reader, "agency", keys.Ed25519); err != nil {
		t.Error(err)
	}
}

func TestReadOnly(t *testing.T) {
	disk := mount(t, "size=1m")
	dir := filepath.Join(disk, "home")
	if _, err := home.CreateWith(dir, unlock("right"), network, found); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("", disk, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	unchanged(t, disk)
	h := open(t, dir) // reading is no matter
	for name, err := range map[string]error{
		"another home": second(home.Create(filepath.Join(disk, "other"), unlock("right"), network)),
		"an identity":  third(h.NewIdentity(rand.Reader, "agency", keys.Ed25519)),
		"running":      h.SetRunning(&home.Running{PID: 1}),
		"people's key": second(h.PeopleKey(rand.Reader)),
	} {
		if !errors.Is(err, home.ErrReadOnly) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := node.InitHome(filepath.Join(dir, home.NodeDir), nil); err == nil {
		t.Error("a node's home was made")
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }
