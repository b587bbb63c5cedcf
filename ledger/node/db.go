package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/cockroachdb/pebble/v2"
	dbm "github.com/cometbft/cometbft-db"
	"github.com/cometbft/cometbft/config"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"
)

// The engine's databases: blocks, its own state, evidence. They are small beside the ledger's state
// and written once a block.

const (
	engineMemTable = 8 << 20
	engineCache    = 8 << 20
)

var (
	errKeyEmpty = errors.New("node: empty database key")
	errValueNil = errors.New("node: nil database value")
)

// databases opens the engine's databases under one directory and closes them all.
type databases struct {
	dir    string
	log    *slog.Logger
	cache  *pebble.Cache
	mu     sync.Mutex
	opened map[string]*database
}

func newDatabases(dir string, log *slog.Logger) *databases {
	return &databases{dir: dir, log: log, cache: pebble.NewCache(engineCache), opened: map[string]*database{}}
}

// open is a config.DBProvider.
func (d *databases) open(ctx *config.DBContext) (dbm.DB, error) {
	options := &pebble.Options{
		Cache:        d.cache,
		MemTableSize: engineMemTable,
		Logger:       pebbleLog{d.log.With("database", ctx.ID)},
	}
	p, err := pebble.Open(filepath.Join(d.dir, ctx.ID), options)
	if err != nil {
		return nil, fmt.Errorf("node: database %s: %w", ctx.ID, err)
	}
	db := &database{p: p}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.opened[ctx.ID] = db
	return db, nil
}

// named is an open database, nil when it is not open: "state" is the engine's own state.
func (d *databases) named(id string) *database {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.opened[id]
}

// validators are those of the next block, nil while the engine has no state yet.
func (d *databases) validators() (*types.ValidatorSet, error) {
	db := d.named("state")
	if db == nil {
		return nil, nil //nolint:nilnil // before the first block it has none
	}
	s, err := sm.NewStore(db, sm.StoreOptions{}).Load()
	return s.Validators, err
}

func (d *databases) close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, db := range d.opened {
		errs = append(errs, db.Close())
	}
	d.opened = nil
	d.cache.Unref()
	return errors.Join(errs...)
}

// pebbleLog keeps the database quiet. Fatalf must not return: a database that cannot write its log
// has lost what the engine believes is stored, and only a restart finds out what is.
type pebbleLog struct{ to *slog.Logger }

func (l pebbleLog) Infof(string, ...any) {}
func (l pebbleLog) Errorf(format string, args ...any) {
	l.to.Error(fmt.Sprintf(format, args...))
}

func (l pebbleLog) Fatalf(format string, args ...any) {
	panic(fmt.Errorf("node: engine database: "+format, args...))
}

// database is cometbft-db's interface over pebble.
type database struct {
	p *pebble.DB

	mu     sync.RWMutex // held by readers: Close waits for them
	closed bool
}

// Get does not return once the database is closed: the engine's routines for its peers outlive its stop a
// little, and panic on an error. They end here.
func (db *database) Get(key []byte) ([]byte, error) {
	if len(key) == 0 {
		return nil, errKeyEmpty
	}
	db.mu.RLock()
	defer db.mu.RUnlock()
	if db.closed {
		runtime.Goexit()
	}
	value, closer, err := db.p.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := append([]byte{}, value...)
	return out, closer.Close()
}

func (db *database) Has(key []byte) (bool, error) {
	value, err := db.Get(key)
	return value != nil, err
}

func (db *database) Set(key, value []byte) error     { return db.set(key, value, pebble.NoSync) }
func (db *database) SetSync(key, value []byte) error { return db.set(key, value, pebble.Sync) }
func (db *database) Delete(key []byte) error         { return db.delete(key, pebble.NoSync) }
func (db *database) DeleteSync(key []byte) error     { return db.delete(key, pebble.Sync) }

func (db *database) set(key, value []byte, o *pebble.WriteOptions) error {
	if len(key) == 0 {
		return errKeyEmpty
	}
	if value == nil {
		return errValueNil
	}
	return db.p.Set(key, value, o)
}

func (db *database) delete(key []byte, o *pebble.WriteOptions) error {
	if len(key) == 0 {
		return errKeyEmpty
	}
	return db.p.Delete(key, o)
}

func (db *database) Iterator(start, end []byte) (dbm.Iterator, error) {
	return db.iterate(start, end, false)
}

func (db *database) ReverseIterator(start, end []byte) (dbm.Iterator, error) {
	return db.iterate(start, end, true)
}

func (db *database) iterate(start, end []byte, reverse bool) (dbm.Iterator, error) {
	if start != nil && len(start) == 0 || end != nil && len(end) == 0 {
		return nil, errKeyEmpty
	}
	it, err := db.p.NewIter(&pebble.IterOptions{LowerBound: start, UpperBound: end})
	if err != nil {
		return nil, err
	}
	if reverse {
		it.Last()
	} else {
		it.First()
	}
	return &iterator{it: it, start: start, end: end, reverse: reverse}, nil
}

// Close may be called twice: by the engine and by [databases].
func (db *database) Close() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed {
		return nil
	}
	db.closed = true
	return db.p.Close()
}

func (db *database) NewBatch() dbm.Batch { return &batch{b: db.p.NewBatch()} }

func (db *database) Print() error             { return nil }
func (db *database) Stats() map[string]string { return nil }

func (db *database) Compact(start, end []byte) error {
	if start == nil {
		start = []byte{0}
	}
	if end == nil {
		end = bytes.Repeat([]byte{0xff}, 64)
	}
	return db.p.Compact(context.Background(), start, end, false)
}

type batch struct{ b *pebble.Batch }

func (b *batch) Set(key, value []byte) error {
	switch {
	case len(key) == 0:
		return errKeyEmpty
	case value == nil:
		return errValueNil
	case b.b == nil:
		return pebble.ErrClosed
	}
	return b.b.Set(key, value, nil)
}

func (b *batch) Delete(key []byte) error {
	switch {
	case len(key) == 0:
		return errKeyEmpty
	case b.b == nil:
		return pebble.ErrClosed
	}
	return b.b.Delete(key, nil)
}

func (b *batch) Write() error     { return b.write(pebble.NoSync) }
func (b *batch) WriteSync() error { return b.write(pebble.Sync) }

func (b *batch) write(o *pebble.WriteOptions) error {
	if b.b == nil {
		return pebble.ErrClosed
	}
	if err := b.b.Commit(o); err != nil {
		return err
	}
	return b.Close()
}

func (b *batch) Close() error {
	if b.b == nil {
		return nil
	}
	err := b.b.Close()
	b.b = nil
	return err
}

type iterator struct {
	it         *pebble.Iterator
	start, end []byte
	reverse    bool
}

func (i *iterator) Domain() (start, end []byte) { return i.start, i.end }
func (i *iterator) Valid() bool                 { return i.it.Valid() }
func (i *iterator) Key() []byte                 { return append([]byte{}, i.it.Key()...) }
func (i *iterator) Value() []byte               { return append([]byte{}, i.it.Value()...) }
func (i *iterator) Error() error                { return i.it.Error() }
func (i *iterator) Close() error                { return i.it.Close() }

func (i *iterator) Next() {
	if i.reverse {
		i.it.Prev()
	} else {
		i.it.Next()
	}
}
