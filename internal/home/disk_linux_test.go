package home_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/hufu-id/hufu/internal/disktest"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/node"
)

func found(h *home.Home) error {
	_, err := h.Found(rand.Reader, home.DefaultParams(), home.Founder{Identity: "member", Name: "Member", Power: 1})
	return errors.Join(err, h.SetGenesis(bytes.Repeat([]byte("genesis "), 1<<10)))
}

func TestDiskFull(t *testing.T) {
	disk := t.TempDir()
	room := disktest.Mount(t, disk, 128<<10)
	dir := filepath.Join(disk, "home")
	for _, pages := range []uint64{0, 1, 2, 4} { // so that it fails at one step or another
		room.Leave(pages << 12)
		before := files(t, disk)
		if _, err := home.CreateWith(dir, unlock("right"), network, found); !errors.Is(err, home.ErrDiskFull) {
			t.Errorf("made with %d pages of room: %v", pages, err)
		}
		if after := files(t, disk); len(after) != len(before) {
			t.Errorf("%d names, before it %d", len(after), len(before))
		}
		room.Whole()
	}
	h, err := home.CreateWith(dir, unlock("right"), network, func(h *home.Home) error { return h.SetGenesis([]byte("{}")) })
	if err != nil {
		t.Fatal(err)
	}
	if err := node.CheckRoom(dir); !errors.Is(err, node.ErrDiskFull) {
		t.Errorf("a node would start on 128 KiB: %v", err)
	}
	room.Leave(0)
	if _, _, err := h.NewIdentity(rand.Reader, "agency", keys.Ed25519); !errors.Is(err, home.ErrDiskFull) {
		t.Error(err)
	}
	if err := h.SetRunning(&home.Running{PID: 1}); !errors.Is(err, home.ErrDiskFull) {
		t.Error(err)
	}
	room.Whole()
	if again := open(t, dir); len(again.Identities()) != 0 || len(again.Keys().List()) != 0 {
		t.Errorf("%v and %d keys of what failed", again.Identities(), len(again.Keys().List()))
	}
	// With room it goes on.
	if _, _, err := h.NewIdentity(rand.Reader, "agency", keys.Ed25519); err != nil {
		t.Error(err)
	}
}

func TestBackupDiskFull(t *testing.T) {
	disk := t.TempDir()
	room := disktest.Mount(t, disk, 1<<20)
	h, copied := backUp(t)
	for _, pages := range []uint64{0, 1, 2, 4, 8} { // so that it fails at one step or another
		room.Leave(pages << 12)
		if _, err := home.Backup(t.Context(), h.Path(""), filepath.Join(disk, "backup"), time.Now()); !errors.Is(err, home.ErrDiskFull) {
			t.Errorf("backed up with %d pages of room: %v", pages, err)
		}
		if err := restore(t, copied, filepath.Join(disk, "home"), "right"); !errors.Is(err, home.ErrDiskFull) {
			t.Errorf("restored with %d pages of room: %v", pages, err)
		}
		room.Whole()
		nothingIn(t, disk)
	}
	if err := restore(t, copied, filepath.Join(disk, "home"), "right"); err != nil {
		t.Error(err)
	}
}

func TestReadOnly(t *testing.T) {
	disk := t.TempDir()
	room := disktest.Mount(t, disk, 1<<20)
	dir := filepath.Join(disk, "home")
	if _, err := home.CreateWith(dir, unlock("right"), network, found); err != nil {
		t.Fatal(err)
	}
	room.Protect()
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
