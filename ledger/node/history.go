package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/cometbft/cometbft/config"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	sm "github.com/cometbft/cometbft/state"
	cmtstore "github.com/cometbft/cometbft/store"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

// History is what the home of a node that is not running holds: its blocks, and the state it came to.
// It is for reading. Any number of goroutines may use it.
type History struct {
	home   *home
	dbs    *databases
	engine history
	state  store.Store
}

// OpenHistory opens a home to read what it holds. A node cannot run there meanwhile: while one does, the
// error wraps [ErrLocked]. Nothing that is read is believed to be right.
func OpenHistory(dir string, log *slog.Logger) (*History, error) {
	h := new(History)
	if err := h.open(dir, log); err != nil {
		return nil, errors.Join(err, h.Close())
	}
	return h, nil
}

func (h *History) open(dir string, log *slog.Logger) (err error) {
	defer unreadable(&err)
	if h.home, err = openHome(dir, 0); err != nil {
		return err
	}
	h.dbs = newDatabases(h.home.path(engineDir), log)
	for id, use := range map[string]func(*database){
		"blockstore": func(db *database) { h.engine.blocks = cmtstore.NewBlockStore(db) },
		"state":      func(db *database) { h.engine.state = sm.NewStore(db, sm.StoreOptions{}) },
	} {
		db, err := h.dbs.open(&config.DBContext{ID: id})
		if err != nil {
			return err
		}
		use(db.(*database))
	}
	if h.state, err = store.Open(h.home.path(stateDir), store.Options{}); err != nil {
		return storeError(err)
	}
	return nil
}

// unreadable makes an error of the panic that is the engine's way of telling of a bad database.
func unreadable(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("node: the blocks cannot be read: %v", r)
	}
}

// Close gives the home back.
func (h *History) Close() error {
	var errs []error
	if h.dbs != nil {
		errs = append(errs, h.dbs.close())
	}
	if h.state != nil {
		errs = append(errs, h.state.Close())
	}
	if h.home != nil {
		errs = append(errs, h.home.close())
	}
	return errors.Join(errs...)
}

// Heights are those of the oldest and the newest block, 0 and 0 when there is none.
func (h *History) Heights() (first, last hufu.Height) {
	return hufu.Height(h.engine.blocks.Base()), hufu.Height(h.engine.blocks.Height())
}

// State is a view of the state as it is stored. It must be closed.
func (h *History) State() (store.Snapshot, error) { return h.state.Snapshot() }

// LightBlock is the header of height, its commit and its validators.
func (h *History) LightBlock(_ context.Context, height hufu.Height) (_ *proof.LightBlock, err error) {
	defer unreadable(&err)
	b := h.engine.lightBlock(int64(height))
	if b == nil {
		return nil, h.missing(height)
	}
	raw, err := encodeLightBlock(b)
	if err != nil {
		return nil, fmt.Errorf("node: header %d: %w", height, err)
	}
	return proof.ParseLightBlock(raw)
}

// Block is the transactions of height, in order. The error of a block that is not here wraps [ErrNotKept].
func (h *History) Block(_ context.Context, height hufu.Height) (_ [][]byte, err error) {
	defer unreadable(&err)
	b := h.engine.blocks.LoadBlock(int64(height))
	if b == nil {
		return nil, h.missing(height)
	}
	return b.Txs.ToSliceOfBytes(), nil
}

// Evidence is the evidence of misbehaviour in the block of height, in the engine's JSON: an array.
func (h *History) Evidence(_ context.Context, height hufu.Height) (_ []byte, err error) {
	defer unreadable(&err)
	b := h.engine.blocks.LoadBlock(int64(height))
	if b == nil {
		return nil, h.missing(height)
	}
	return cmtjson.Marshal(b.Evidence.Evidence)
}

func (h *History) missing(height hufu.Height) error {
	first, last := h.Heights()
	return fmt.Errorf("%w: it has blocks from %d to %d, and was asked for %d", ErrNotKept, first, last, height)
}
