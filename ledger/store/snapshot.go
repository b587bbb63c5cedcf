package store

import (
	"bytes"
	"fmt"
	"iter"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hufu-id/hufu/ledger/proof"
)

// diskSnapshot is one version of the records on disk.
type diskSnapshot struct {
	of   *disk
	as   State
	rows *pebble.Snapshot
}

func (d *disk) Snapshot() (Snapshot, error) {
	if err := d.running.enter(); err != nil {
		return nil, err
	}
	defer d.running.leave()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := &diskSnapshot{of: d, as: d.now.State, rows: d.db.NewSnapshot()}
	d.snapshots[s] = struct{}{}
	return s, nil
}

func (s *diskSnapshot) State() State {
	as := s.as
	as.Meta = bytes.Clone(as.Meta)
	return as
}

// Close frees the snapshot; a second time does nothing.
func (s *diskSnapshot) Close() error {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	if _, open := s.of.snapshots[s]; !open {
		return nil // also when the store was closed
	}
	delete(s.of.snapshots, s)
	return s.rows.Close()
}

func (s *diskSnapshot) open() bool {
	s.of.mu.RLock()
	defer s.of.mu.RUnlock()
	_, open := s.of.snapshots[s]
	return open
}

func (s *diskSnapshot) Records() iter.Seq2[proof.KV, error] {
	return func(yield func(proof.KV, error) bool) {
		if err := s.each(yield); err != nil {
			yield(proof.KV{}, err)
		}
	}
}

func (s *diskSnapshot) each(yield func(proof.KV, error) bool) error {
	if err := s.of.running.enter(); err != nil {
		return err
	}
	defer s.of.running.leave()
	if !s.open() {
		return ErrClosed
	}
	rows, err := s.rows.NewIter(&pebble.IterOptions{LowerBound: []byte{rowRecord}, UpperBound: []byte{rowRecord + 1}})
	if err != nil {
		return readError(err)
	}
	defer rows.Close()
	for ok := rows.First(); ok; ok = rows.Next() {
		kv, err := recordHere(rows)
		if err != nil {
			return err
		}
		if !yield(proof.KV{Key: bytes.Clone(kv.Key), Value: bytes.Clone(kv.Value)}, nil) {
			return nil
		}
	}
	if err := rows.Error(); err != nil {
		return readError(err)
	}
	return nil
}

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

// restore writes records as they come; until the meta row, the last to be written, they are litter
// that the next Open clears.
func (d *disk) restore(as State, records iter.Seq2[proof.KV, error]) error {
	written, err := d.writeRecords(records)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	count, err := d.rebuild(1)
	if err != nil {
		return err
	}
	if count != written {
		return fmt.Errorf("%w: %d records, %d of them twice", ErrChange, written, written-count)
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

func (d *disk) writeRecords(records iter.Seq2[proof.KV, error]) (uint64, error) {
	batch := d.db.NewBatch()
	defer batch.Close()
	var count uint64
	flush := func() error {
		if err := d.space(2 * batch.Len()); err != nil {
			return err
		}
		if err := batch.Commit(pebble.NoSync); err != nil {
			return writeError(err)
		}
		batch.Reset()
		return nil
	}
	var row []byte
	for r, err := range records {
		if err != nil {
			return 0, err
		}
		if err := checkRecord(r.Key, r.Value, false); err != nil {
			return 0, err
		}
		kh := proof.HashKey(r.Key)
		row = appendRecord(row[:0], r.Key, r.Value)
		if err := batch.Set(recordKey(&kh), row, nil); err != nil {
			return 0, err
		}
		count++
		if batch.Len() > 4<<20 {
			if err := flush(); err != nil {
				return 0, err
			}
		}
	}
	return count, flush()
}
