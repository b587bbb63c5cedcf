package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node/snapshots"
	"github.com/hufu-id/hufu/ledger/store"
)

// engineDatabases are what the engine keeps of the ledger, by their directories.
var engineDatabases = [...]string{"blockstore", "state", "evidence"}

// openApp opens the state, and makes the application on it. A home that was cut off while it began with a
// snapshot has nothing worth keeping but what its validator signed, and begins anew.
func (n *Node) openApp(cfg *Config) error {
	mark := n.home.path(syncingFile)
	_, err := os.Stat(mark)
	switch {
	case err == nil:
		cfg.Log.Warn("starting from a snapshot was cut off, and begins anew")
		if err := n.clear(); err != nil {
			return err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return diskError(err)
	}
	if n.store, err = store.Open(n.home.path(stateDir), cfg.Store); err != nil {
		return storeError(err)
	}
	if cfg.StateSync != nil && n.store.State().Height > 0 {
		cfg.StateSync = nil // it has blocks
	}
	if cfg.StateSync != nil {
		// A home that was started without, and got no block, has the genesis.
		if err := n.store.Close(); err != nil {
			return err
		}
		if err := writeFile(mark, nil); err != nil {
			return err
		}
		if err := n.clear(); err != nil {
			return err
		}
		if n.store, err = store.Open(n.home.path(stateDir), cfg.Store); err != nil {
			return storeError(err)
		}
	} else if err := removeMark(mark); err != nil {
		return err
	}
	if n.app, err = newApp(n.network, n.store, cfg.Log); err != nil {
		return err
	}
	if cfg.StateSync != nil {
		n.app.sync = &syncing{fail: n.fail, ready: make(chan struct{}), finished: func() {
			if err := removeMark(mark); err != nil {
				n.fail(err)
			}
		}}
	}
	n.app.history = n.headers.from.Load
	if cfg.alone() {
		return nil
	}
	dir, err := snapshots.Open(n.home.path(shotsDir), n.network)
	if err != nil {
		return diskError(err)
	}
	n.app.taker = newTaker(dir, n.store, cfg.SnapshotEvery, func() error { return checkRoom(n.home.dir, 2*cfg.Reserve) }, cfg.Log)
	return nil
}

func removeMark(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return diskError(err)
	}
	return nil
}

// clear removes everything that is the ledger's, and leaves what the validator signed.
func (n *Node) clear() error {
	dirs := []string{stateDir, shotsDir}
	for _, id := range engineDatabases {
		dirs = append(dirs, filepath.Join(engineDir, id))
	}
	for _, dir := range append(dirs, filepath.Join(engineDir, "data")) {
		if err := os.RemoveAll(n.home.path(dir)); err != nil {
			return diskError(err)
		}
	}
	return nil
}

// guarded is the voter, held back where it does not know what it signed.
func (n *Node) guarded(cfg *Config, v *voter) (types.PrivValidator, error) {
	if n.app == nil || cfg.alone() {
		return v, nil // nobody else made blocks that it could have signed
	}
	if cfg.SignAgain {
		return v, removeMark(n.home.path(restoredFile))
	}
	var err error
	if n.guard, err = newGuard(v, n.home.dir, time.Now(), cfg.Log); err != nil {
		return nil, err
	}
	n.app.saw = n.guard.saw
	return n.guard, nil
}

// Base is the height of the first block that the node has, 0 before it has one.
func (n *Node) Base() hufu.Height { return hufu.Height(n.engine.BlockStore().Base()) }

// AwaitSynced waits until a node that begins with a snapshot has a block after it, and says where its history
// begins. It is nil for a node that has blocks from elsewhere, and when the node or ctx ends first.
func (n *Node) AwaitSynced(ctx context.Context) (*Synced, error) {
	if n.app == nil || n.app.sync == nil {
		return nil, nil //nolint:nilnil // that it did not is an answer
	}
	select {
	case <-n.app.sync.ready:
		n.app.sync.mu.Lock()
		defer n.app.sync.mu.Unlock()
		s := n.app.sync.done.next
		var err error
		s.Missing, err = n.headers.from.Load().missing()
		return &s, err
	case <-n.ended:
		return nil, n.Err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
