package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/objstorage/objstorageprovider"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

func (d *disk) Restore(as State, records iter.Seq2[proof.KV, error]) error {
	if err := d.running.enter(); err != nil {
		return err
	}
	defer d.running.leave()
	d.writer.Lock()
	defer d.writer.Unlock()
	switch {
	case d.broken != nil:
		return fmt.Errorf("store: an earlier commit failed: %w", d.broken)
	case !d.fresh.Load():
		return ErrNotEmpty
	}
	if err := d.restore(as, records); err != nil {
		d.forget()
		if again := d.wipe(); again != nil {
			d.broken = again
		}
		return err
	}
	return nil
}

// forget makes the trie empty.
func (d *disk) forget() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range d.segs {
		d.segs[i] = segment{node{}}
		_ = d.pages[i].close() // it holds nothing that is needed
		d.pages[i] = pageFile{}
	}
	d.checkpoints, d.crown, d.trimmed = [segments]uint64{}, crown{}, 0
}

// wipe clears what a Restore that did not finish left. Where nothing was left it writes nothing: a deletion of
// everything would lie in the way of the tables of a Restore.
func (d *disk) wipe() error {
	if err := d.opts.FS.Remove(d.tablePath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return writeError(err)
	}
	rows, err := d.db.NewIter(nil)
	if err != nil {
		return readError(err)
	}
	left := rows.First()
	if err := rows.Close(); err != nil {
		return readError(err)
	}
	if !left {
		return nil
	}
	first, end := []byte{rowCheckpoint}, []byte{rowRecord + 1}
	if err := d.db.DeleteRange(first, end, pebble.Sync); err != nil {
		return writeError(err)
	}
	if err := d.db.Compact(context.Background(), first, end, false); err != nil {
		return writeError(err)
	}
	return nil
}

// restore writes records as they come; until the meta row, the last to be written, they are litter
// that the next Open clears.
func (d *disk) restore(as State, records iter.Seq2[proof.KV, error]) error {
	if err := d.writeRecords(records); err != nil {
		return err
	}
	d.rows.Lock()
	defer d.rows.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	count, err := d.rebuild(1)
	if err != nil {
		return err
	}
	if d.crown.root() != as.Root {
		return fmt.Errorf("%w: %s, not %s", ErrRoot, d.crown.root(), as.Root)
	}
	now := version{State: as, number: 1}
	now.Count, now.Meta = count, bytes.Clone(as.Meta)
	row, err := encodeMeta(now)
	if err != nil {
		return err
	}
	if err := d.checkpointAll(row); err != nil {
		return err
	}
	d.now = now
	d.fresh.Store(false)
	return nil
}

// table is rows in the order of their keys, one after the other.
type table struct {
	keys []hufu.Digest
	rows []byte
	ends []int // of each row in rows
}

func (t *table) add(keyHash hufu.Digest, key, value []byte) {
	t.keys = append(t.keys, keyHash)
	t.rows = appendRecord(t.rows, key, value)
	t.ends = append(t.ends, len(t.rows))
}

// writeRecords gives the database records as tables, which it takes in as they are: no log, no memtable, and
// nothing to merge. Each is as large as a memtable; one is written while the next is gathered.
func (d *disk) writeRecords(records iter.Seq2[proof.KV, error]) error {
	full, spare, written := make(chan *table), make(chan *table, 2), make(chan error, 1)
	spare <- &table{}
	spare <- &table{}
	go func() {
		var err error
		for t := range full {
			if err != nil {
				continue
			}
			if err = recovered(func() error { return d.writeTable(t) }); err != nil {
				close(spare)
				continue
			}
			*t = table{keys: t.keys[:0], rows: t.rows[:0], ends: t.ends[:0]}
			spare <- t
		}
		written <- err
	}()
	err := gather(records, int(PebbleOptions(d.opts.Settings).MemTableSize), full, spare)
	close(full)
	return errors.Join(err, <-written)
}

// gather sends records on in tables of so many bytes, until there are none to spare.
func gather(records iter.Seq2[proof.KV, error], size int, full chan<- *table, spare <-chan *table) error {
	t, order := <-spare, inOrder{}
	for r, err := range records {
		if err != nil {
			return err
		}
		kh, err := order.next(r)
		if err != nil {
			return err
		}
		if t.add(kh, r.Key, r.Value); len(t.rows) >= size {
			full <- t
			if t = <-spare; t == nil {
				return nil
			}
		}
	}
	if len(t.keys) > 0 {
		full <- t
	}
	return nil
}

// inOrder checks the records of a Restore one by one.
type inOrder struct {
	last  hufu.Digest
	begun bool
}

func (o *inOrder) next(r proof.KV) (hufu.Digest, error) {
	if err := checkRecord(r.Key, r.Value, false); err != nil {
		return hufu.Digest{}, err
	}
	kh := proof.HashKey(r.Key)
	if o.begun && bytes.Compare(o.last[:], kh[:]) >= 0 {
		return kh, fmt.Errorf("%w: the record of key %x comes twice or not in order", ErrChange, r.Key)
	}
	o.last, o.begun = kh, true
	return kh, nil
}

// tablePath is where the next table is written before the database takes it in.
func (d *disk) tablePath() string { return d.opts.FS.PathJoin(d.dir, "restoring") }

func (d *disk) writeTable(t *table) error {
	if err := d.space(2 * len(t.rows)); err != nil {
		return err
	}
	path := d.tablePath()
	file, err := d.opts.FS.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return writeError(err)
	}
	opts := PebbleOptions(d.opts.Settings)
	opts.EnsureDefaults()
	w := sstable.NewWriter(objstorageprovider.NewFileWritable(newTableFile(file)), opts.MakeWriterOptions(len(opts.Levels)-1, d.db.TableFormat()))
	from, key := 0, []byte(nil)
	for i := range t.keys {
		key = append(append(key[:0], rowRecord), t.keys[i][:]...)
		if err := w.Set(key, t.rows[from:t.ends[i]]); err != nil {
			return writeError(errors.Join(err, w.Close()))
		}
		from = t.ends[i]
	}
	if err := w.Close(); err != nil {
		return writeError(err)
	}
	if err := d.db.Ingest(context.Background(), []string{path}); err != nil {
		return writeError(err)
	}
	return nil
}

// recovered is f's error, also when the database cannot go on.
func recovered(f func() error) (err error) {
	defer func() {
		switch p := recover().(type) {
		case nil:
		case fatal:
			err = p
		case error:
			err = p
		default:
			panic(p)
		}
	}()
	return f()
}
