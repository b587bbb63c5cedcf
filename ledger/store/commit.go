package store

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hufu-id/hufu"
)

func (d *disk) Commit(s *Staged, height hufu.Height, meta []byte) error {
	if err := d.running.enter(); err != nil {
		return err
	}
	defer d.running.leave()
	d.writer.Lock()
	defer d.writer.Unlock()
	if d.broken != nil {
		return fmt.Errorf("store: an earlier commit failed: %w", d.broken)
	}
	if err := checkCommit(d, s, d.now.number, d.now.Height, height); err != nil {
		return err
	}
	next := s.next.(*staged)
	if err := d.space(2 * next.bytes); err != nil {
		return err
	}
	now := version{
		State:  State{Height: height, Root: s.root, Meta: bytes.Clone(meta), Count: s.count},
		number: d.now.number + 1,
	}
	batch, err := d.commitBatch(next, now)
	if err == nil {
		err = d.swap(batch, next, now)
	}
	if err != nil {
		d.broken = err
		return writeError(err)
	}
	return nil
}

// commitBatch gathers everything a commit writes.
func (d *disk) commitBatch(next *staged, now version) (*pebble.Batch, error) {
	row, err := encodeMeta(now)
	if err != nil {
		return nil, err
	}
	batch := d.db.NewBatch()
	if len(next.batches) > 0 { // the first worker's rows are not copied
		batch, next.batches = next.batches[0], next.batches[1:]
	}
	for _, rows := range next.batches {
		if err := batch.Apply(rows, nil); err != nil {
			return nil, err
		}
	}
	var journal []byte
	for i := range next.parts {
		journal = append(journal, next.parts[i].journal...)
	}
	if err := batch.Set(journalKey(now.number), journal, nil); err != nil {
		return nil, err
	}
	if err := batch.Set(metaKey(), row, nil); err != nil {
		return nil, err
	}
	return batch, d.addCheckpoints(batch, len(journal))
}

// addCheckpoints writes as many bytes of checkpoints as journals were written, half a commit late:
// journals since the oldest checkpoint then stay about as large as one round of checkpoints, and no
// commit pays more than its share.
func (d *disk) addCheckpoints(batch *pebble.Batch, journal int) error {
	const overhead = 64 // of a row
	for d.owed += journal; d.owed > 0; d.next = (d.next + 1) % segments {
		row := encodeCheckpoint(d.segs[d.next], d.now.number)
		if err := batch.Set(checkpointKey(d.next), row, nil); err != nil {
			return err
		}
		d.owed -= len(row) + overhead
		d.checkpoints[d.next] = d.now.number
	}
	oldest := d.checkpoints[d.next] // they are written in turn
	for ; d.trimmed < oldest; d.trimmed++ {
		if err := batch.Delete(journalKey(d.trimmed+1), nil); err != nil {
			return err
		}
	}
	return nil
}

// swap makes a version the present one, for readers at once and for good when it returns. What
// readers see before it is durable is only what the next start would compute again.
func (d *disk) swap(batch *pebble.Batch, next *staged, now version) (err error) {
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
	if err := d.apply(batch, next, now); err != nil {
		return err
	}
	if err := batch.SyncWait(); err != nil {
		return err
	}
	return batch.Close()
}

func nothing() (struct{}, error) { return struct{}{}, nil }

func nothingMore(struct{}) error { return nil }

func (d *disk) apply(batch *pebble.Batch, next *staged, now version) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		return err
	}
	most := int(max(0, d.opts.LeafCache) / (slotSize * segments))
	_ = inParallel(d.workers(1+next.bytes>>16), len(next.parts), nothing,
		func(_ struct{}, i int) error {
			p := &next.parts[i]
			d.caches[p.segment].apply(&d.segs[p.segment], p, most)
			return nil
		}, nothingMore)
	d.crown, d.now = next.crown, now
	d.fresh.Store(false)
	return nil
}
