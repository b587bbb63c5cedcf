package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hufu-id/hufu/ledger/proof"
)

// Open opens the store in dir and makes one when there is none. It fails with ErrLocked, ErrFull,
// or, when what is there is not a whole store, ErrCorrupt.
func Open(dir string, opts Options) (Store, error) {
	if opts.Bucket <= 0 {
		opts.Bucket = 8
	}
	if opts.CacheBytes == 0 {
		opts.CacheBytes = StateCache
	}
	if opts.MemTableBytes == 0 {
		opts.MemTableBytes = StateMemTable
	}
	if opts.Reserve == 0 {
		opts.Reserve = 256 << 20
	}
	if opts.FS == nil {
		opts.FS = vfs.Default
	}
	lock, err := lockDir(opts.FS, dir)
	if err != nil {
		return nil, err
	}
	db, err := openDatabase(dir, opts, lock)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d := &disk{dir: dir, opts: opts, db: db, lock: lock, snapshots: map[*diskSnapshot]struct{}{}}
	d.forget()
	if err := makeDir(opts.FS, d.pagesPath("")); err != nil {
		d.pagesFailed(err)
	}
	if err := d.load(); err != nil {
		d.forget()
		return nil, errors.Join(err, db.Close(), lock.Close())
	}
	return d, nil
}

func lockDir(files vfs.FS, dir string) (*pebble.Lock, error) {
	if err := makeDir(files, dir); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	lock, err := pebble.LockDirectory(dir, files)
	var path *fs.PathError
	switch {
	case err == nil:
		return lock, nil
	case errors.As(err, &path):
		return nil, fmt.Errorf("store: %w", err)
	}
	return nil, fmt.Errorf("%w: %s (%w)", ErrLocked, dir, err)
}

// makeDir makes dir so that it survives a crash: its entry is in its parent.
func makeDir(files vfs.FS, dir string) error {
	if _, err := files.Stat(dir); err == nil {
		return nil
	}
	if err := files.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for dir != files.PathDir(dir) {
		dir = files.PathDir(dir)
		parent, err := files.OpenDir(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(parent.Sync(), parent.Close()); err != nil {
			return err
		}
	}
	return nil
}

func openDatabase(dir string, opts Options, lock *pebble.Lock) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: database in %s: %v", ErrCorrupt, dir, p)
		}
	}()
	o := PebbleOptions(opts.Settings)
	o.Lock = lock
	db, err = pebble.Open(dir, o)
	if err == nil {
		return db, nil
	}
	if full := writeError(err); errors.Is(full, ErrFull) {
		return nil, full
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("store: %w", err)
	}
	return nil, fmt.Errorf("%w: database in %s: %w", ErrCorrupt, dir, err)
}

// load brings the trie into memory: from checkpoints and journals, or else from the records. Either
// must have the root that the last commit wrote.
func (d *disk) load() error {
	row, closer, err := d.db.Get(metaKey())
	if errors.Is(err, pebble.ErrNotFound) {
		d.fresh.Store(true)
		d.openPages()
		return d.wipe()
	}
	if err != nil {
		return readError(err)
	}
	now, old, err := decodeMeta(row)
	if err = errors.Join(err, closer.Close()); err != nil {
		return err
	}
	if d.now = now; old {
		d.log().Info("the store is of an older format, reading every record once")
	} else {
		err = d.loadTrie()
		if err == nil && d.crown.root() == d.now.Root {
			d.openPages()
			return nil
		}
		d.log().Warn("checkpoints do not lead to the root, reading every record", "error", err)
	}
	count, err := d.rebuild(d.now.number)
	if err != nil {
		return err
	}
	if d.crown.root() != d.now.Root || count != d.now.Count {
		return fmt.Errorf("%w: the records at height %d have root %s, the commit wrote %s",
			ErrCorrupt, d.now.Height, d.crown.root(), d.now.Root)
	}
	if row, err = encodeMeta(d.now); err != nil {
		return err
	}
	err = d.checkpointAll(row)
	d.openPages()
	return err
}

func (d *disk) loadTrie() error {
	for i := range d.segs {
		row, closer, err := d.db.Get(checkpointKey(i))
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return readError(err)
		}
		d.segs[i], d.checkpoints[i], d.pages[i].number, err = decodeCheckpoint(row)
		if err = errors.Join(err, closer.Close()); err != nil {
			return err
		}
		if d.checkpoints[i] > d.now.number {
			return errBadTree
		}
	}
	// The next to write is the first of the oldest, of which there may be some at the end of the round and more at its beginning.
	d.trimmed = slices.Min(d.checkpoints[:])
	for i, v := range d.checkpoints {
		if before := d.checkpoints[(i+segments-1)%segments]; v == d.trimmed && before != d.trimmed {
			d.next = i
		}
	}
	if err := d.loadJournals(); err != nil {
		return err
	}
	return d.rehash()
}

func (d *disk) loadJournals() error {
	rows, err := d.db.NewIter(&pebble.IterOptions{LowerBound: journalKey(d.trimmed + 1), UpperBound: []byte{rowJournal + 1}})
	if err != nil {
		return readError(err)
	}
	defer rows.Close()
	for ok := rows.First(); ok; ok = rows.Next() {
		if len(rows.Key()) != 9 {
			return errBadTree
		}
		number := binary.BigEndian.Uint64(rows.Key()[1:])
		err := eachJournal(rows.Value(), func(p place, bucket node) {
			if number > d.checkpoints[p.segment()] {
				d.segs[p.segment()].put(p, bucket)
			}
		})
		if err != nil {
			return err
		}
	}
	return rows.Error()
}

// rehash computes everything above buckets.
func (d *disk) rehash() error {
	var tops [segments]proof.Node
	err := inParallel(d.workers(segments), segments, nothing,
		func(_ struct{}, i int) error { tops[i] = d.segs[i].rehash(0); return nil }, nothingMore)
	d.setCrown(&tops)
	return err
}

func (d *disk) setCrown(tops *[segments]proof.Node) {
	all := make(map[int]proof.Node, segments)
	for i, n := range tops {
		all[i] = n
	}
	d.crown.set(all)
}

// rebuild makes the trie from the records and counts them.
func (d *disk) rebuild(number uint64) (uint64, error) {
	var tops [segments]proof.Node
	var counts [segments]uint64
	err := inParallel(d.workers(segments), segments, d.recordRows,
		func(rows *pebble.Iterator, i int) error {
			leaves, err := rehashLeaves(rows, i)
			if err != nil {
				return err
			}
			tops[i], counts[i] = d.growSegment(i, leaves, number), uint64(len(leaves))
			return nil
		},
		func(rows *pebble.Iterator) error { return rows.Close() })
	if err != nil {
		return 0, err
	}
	var count uint64
	for i, n := range counts {
		count += n
		d.checkpoints[i] = number
	}
	d.setCrown(&tops)
	d.next, d.owed = 0, 0
	return count, nil
}

// growSegment makes a segment and its pages from its leaves.
func (d *disk) growSegment(seg int, leaves []proof.Leaf, number uint64) proof.Node {
	d.segs[seg] = make(segment, 1, 1+3*len(leaves)/d.opts.Bucket) // buckets are two thirds full, and as many nodes above
	_ = d.pages[seg].close()                                      // of whatever trie there was before
	d.pages[seg] = pageFile{number: number}
	pages := make([]byte, 0, len(leaves)*(leafSize+pageUnit/4))
	top := d.segs[seg].grow(0, place{path: uint64(seg) << 56, depth: segmentDepth}, d.opts.Bucket, leaves,
		func(i uint32, _ place, leaves []proof.Leaf, n proof.Node) {
			if hasPage(len(leaves)) {
				d.segs[seg][i].setPage(pageAt(pageUnit+int64(len(pages)), len(leaves)))
				pages = appendPage(pages, &n.Hash, leaves)
			}
		})
	if len(pages) > 0 {
		f := &d.pages[seg]
		f.begun = pageUnit + int64(len(pages))
		f.end = f.begun
		err := f.create(d.opts.FS, d.pagesPath(pagesName(seg, number)))
		if err == nil {
			_, err = f.file.WriteAt(pages, pageUnit)
		}
		if err != nil {
			d.pagesFailed(err)
		}
	}
	return top
}

// rehashLeaves computes the leaves of a segment from its records, believing no stored hash.
func rehashLeaves(rows *pebble.Iterator, seg int) ([]proof.Leaf, error) {
	lower, upper := recordBounds(seg)
	rows.SetBounds(lower, upper)
	var leaves []proof.Leaf
	for ok := rows.First(); ok; ok = rows.Next() {
		kv, err := recordHere(rows)
		if err != nil {
			return nil, err
		}
		leaf := proof.LeafOf(kv.Key, kv.Value)
		if string(rows.Key()[1:]) != string(leaf.KeyHash[:]) {
			return nil, fmt.Errorf("%w: the record of key %x is not what was written", ErrCorrupt, kv.Key)
		}
		leaves = append(leaves, leaf)
	}
	if err := rows.Error(); err != nil {
		return nil, readError(err)
	}
	return leaves, nil
}

// checkpointAll writes every segment as of the present version, and with the last of them the meta row.
func (d *disk) checkpointAll(meta []byte) error {
	batch := d.db.NewBatch()
	for i := range d.segs {
		row := encodeCheckpoint(d.segs[i], d.checkpoints[i], d.pages[i].number, stay)
		if err := batch.Set(checkpointKey(i), row, nil); err != nil {
			return err
		}
		if batch.Len() > 4<<20 {
			if err := batch.Commit(pebble.NoSync); err != nil {
				return writeError(err)
			}
			batch.Reset()
		}
	}
	if err := batch.Set(metaKey(), meta, nil); err != nil {
		return err
	}
	if err := batch.DeleteRange(journalKey(0), journalKey(d.checkpoints[0]+1), nil); err != nil {
		return err
	}
	d.trimmed = d.checkpoints[0]
	if err := batch.Commit(pebble.Sync); err != nil {
		return writeError(err)
	}
	return batch.Close()
}
