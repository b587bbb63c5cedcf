package store

import (
	"bytes"
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
	d.rows.RLock()
	defer d.rows.RUnlock()
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
