package store

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// StateCache is the block cache in bytes of a state whose Settings leave it open: room for the indexes and filters of
// 50 million records, without which reading one record means reading several blocks.
const StateCache = 256 << 20

// StateMemTable is the size in bytes of a memtable of a state whose Settings leave it open: with twice what other databases
// have, tables are merged with those below them half as often.
const StateMemTable = 64 << 20

// Options are local: none changes a root or a proof. The zero value is good.
type Options struct {
	Settings // CacheBytes 0 means StateCache, MemTableBytes 0 StateMemTable
	// Bucket is the most leaves of a part of the trie that is read and rehashed together; 0 means 8, and
	// with more than 15 many have no page and are read record by record.
	// Memory is about 13 bytes × 8/Bucket for each record.
	Bucket int
	// Reserve is the free disk space in bytes below which Commit fails with ErrFull while the
	// database can still tidy up after itself; 0 means 256 MiB.
	Reserve uint64
	// Workers bounds the goroutines of one Stage; 0 means GOMAXPROCS.
	Workers int
}

// disk is the store in pebble.
type disk struct {
	dir     string
	opts    Options
	db      *pebble.DB
	lock    *pebble.Lock
	running calls

	writer sync.Mutex // one Commit or Restore at a time
	broken error      // under writer: why there will be no further commits

	// rows, held for reading, keeps the rows at the current version for who reads them beside the trie, and for iterators and
	// snapshots made meanwhile. It is taken before mu.
	rows sync.RWMutex

	// mu guards the current version.
	mu    sync.RWMutex
	now   version
	crown crown
	segs  [segments]segment
	pages [segments]pageFile // written by the writer, beyond what others read

	recent [segments]recent

	// Under writer: the round of checkpoints.
	checkpoints [segments]uint64 // version of each segment's checkpoint
	next        int              // segment to write next
	owed        int              // bytes of journal that no checkpoint was written for
	trimmed     uint64           // journals up to this version are deleted
	mover       mover
	tidying     sync.WaitGroup // removing files of pages that nobody reads any more

	snapshots map[*diskSnapshot]struct{} // open ones, under mu
	fresh     atomic.Bool                // nothing was ever committed
}

var _ Store = (*disk)(nil)

// Get needs no lock: a row changes in the instant its version becomes the current one.
func (d *disk) Get(key []byte) ([]byte, error) {
	if err := d.running.enter(); err != nil {
		return nil, err
	}
	defer d.running.leave()
	if d.fresh.Load() {
		return nil, nil
	}
	kh := proof.HashKey(key)
	r, err := d.record(&kh)
	if err == nil && r.Key != nil && !bytes.Equal(r.Key, key) {
		err = fmt.Errorf("%w: record of key %x", ErrCorrupt, key)
	}
	return r.Value, err
}

// record reads one row, zero when there is none.
func (d *disk) record(kh *hufu.Digest) (proof.KV, error) {
	row, closer, err := d.db.Get(recordKey(kh))
	if errors.Is(err, pebble.ErrNotFound) {
		return proof.KV{}, nil
	}
	if err != nil {
		return proof.KV{}, readError(err)
	}
	defer closer.Close()
	kv, err := decodeRecord(bytes.Clone(row))
	if err != nil {
		return kv, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return kv, nil
}

func (d *disk) State() State {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := d.now.State
	s.Meta = bytes.Clone(s.Meta)
	return s
}

func (d *disk) Close() error {
	if err := d.running.close(); err != nil {
		return err
	}
	d.tidying.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for s := range d.snapshots {
		errs = append(errs, s.rows.Close())
	}
	d.snapshots, d.segs = nil, [segments]segment{}
	for i := range d.pages {
		errs = append(errs, d.pages[i].close())
	}
	errs = append(errs, d.db.Close(), d.lock.Close())
	return errors.Join(errs...)
}

func (d *disk) workers(jobs int) int {
	n := d.opts.Workers
	if n <= 0 {
		n = runtime.GOMAXPROCS(0)
	}
	return max(1, min(n, jobs))
}

// inParallel runs job for 0 … jobs-1 on up to workers goroutines. Each has its own worker value.
func inParallel[W any](workers, jobs int, start func() (W, error), job func(W, int) error, stop func(W) error) error {
	var at atomic.Int64
	errs := make([]error, workers)
	run := func(w int) {
		worker, err := start()
		if err != nil {
			errs[w] = err
			return
		}
		for err == nil {
			i := int(at.Add(1)) - 1
			if i >= jobs {
				break
			}
			err = job(worker, i)
		}
		errs[w] = errors.Join(err, stop(worker))
	}
	var wg sync.WaitGroup
	for w := 1; w < workers; w++ {
		wg.Go(func() { run(w) })
	}
	run(0)
	wg.Wait()
	return errors.Join(errs...)
}

// readError tells corruption from other trouble.
func readError(err error) error {
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("store: read: %w", err)
}

// space fails with ErrFull when less than the reserve and need are free.
func (d *disk) space(need int) error {
	free, err := d.opts.FS.GetDiskUsage(d.dir)
	if errors.Is(err, vfs.ErrUnsupported) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: free disk space: %w", err)
	}
	if want := d.opts.Reserve + uint64(need); free.AvailBytes < want {
		return fmt.Errorf("%w in %s: %d MiB, %d MiB wanted", ErrFull, d.dir, free.AvailBytes>>20, want>>20)
	}
	return nil
}

// writeError is err with ErrFull added when that is the cause.
func writeError(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return fmt.Errorf("store: write: %w", err)
}

// calls counts running calls so that Close can wait for them. Unlike a read-write lock it lets one
// call make another while a Close waits.
type calls struct {
	mu     sync.Mutex
	n      int
	idle   chan struct{} // made by close, closed when n reaches 0
	closed bool
}

func (c *calls) enter() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return ErrClosed
	}
	c.n++
	return nil
}

func (c *calls) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n--
	if c.n == 0 && c.closed {
		close(c.idle)
	}
}

func (c *calls) close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	c.closed, c.idle = true, make(chan struct{})
	if c.n == 0 {
		close(c.idle)
	}
	c.mu.Unlock()
	<-c.idle
	return nil
}

func (d *disk) log() *slog.Logger {
	if d.opts.Logger != nil {
		return d.opts.Logger
	}
	return slog.New(slog.DiscardHandler)
}
