package node_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
)

// names are the files below dir.
func names(t *testing.T, dir string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		out[path] = true
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// refused checks that a node does not start, for this reason, and leaves no file behind.
func refused(t *testing.T, n *sample.Network, cfg node.Config, is error) {
	t.Helper()
	before := names(t, cfg.Home)
	running, err := node.Start(context.Background(), cfg, n.Members[0].Keys)
	if err == nil {
		t.Fatal(errors.Join(errors.New("it started"), running.Stop()))
	}
	if !errors.Is(err, is) {
		t.Errorf("%v, not %v", err, is)
	}
	for path := range names(t, cfg.Home) {
		if !before[path] && filepath.Base(path) != "lock" {
			t.Errorf("%s was made", path)
		}
	}
}

func TestHomeInUse(t *testing.T) {
	n, cfg := found(t)
	running, err := node.Start(context.Background(), cfg, n.Members[0].Keys)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := node.Start(context.Background(), cfg, n.Members[0].Keys); !errors.Is(err, node.ErrLocked) {
		t.Fatalf("%v, %v", second, err) // what files there are is the running node's to say
	}
	if err := running.Stop(); err != nil {
		t.Fatal(err)
	}
	start(t, n, cfg) // which the refusal did not spoil
}

func TestHomesThatWillNotDo(t *testing.T) {
	n, cfg := found(t)
	other := cfg
	other.Network = "other"
	refused(t, n, other, node.ErrWrongNetwork)
	crowded := cfg
	crowded.Reserve = 1 << 62
	refused(t, n, crowded, node.ErrDiskFull)
	none := cfg
	none.Home = t.TempDir()
	refused(t, n, none, node.ErrNoHome)
	foreign, err := sample.New("foreign", 1)
	if err != nil {
		t.Fatal(err)
	}
	for genesis, is := range map[string]error{string(n.Genesis): node.ErrExists, string(foreign.Genesis): node.ErrWrongNetwork} {
		if err := node.InitHome(cfg.Home, []byte(genesis)); !errors.Is(err, is) {
			t.Errorf("made again: %v, not %v", err, is)
		}
	}
	start(t, n, cfg)
}
