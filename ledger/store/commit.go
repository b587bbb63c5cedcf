package store

import (
	"bytes"
	"fmt"
	"slices"
	"sync"

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
	batch, fresh, err := d.commitBatch(next, now)
	if err == nil {
		err = d.swap(batch, next, fresh, now)
	}
	if err != nil {
		d.broken = err
		return writeError(err)
	}
	return nil
}

// commitBatch gathers everything a commit writes.
func (d *disk) commitBatch(next *staged, now version) (*pebble.Batch, []*renewed, error) {
	row, err := encodeMeta(now)
	if err != nil {
		return nil, nil, err
	}
	batch := d.db.NewBatch()
	if len(next.batches) > 0 { // the first worker's rows are not copied
		batch, next.batches = next.batches[0], next.batches[1:]
	}
	buckets := 0
	for i := range next.parts {
		buckets += len(next.parts[i].buckets)
	}
	fresh, err := d.addCheckpoints(batch, buckets*journalRow)
	if err != nil {
		return nil, nil, err
	}
	var writing sync.WaitGroup
	defer writing.Wait()
	fresh = d.writePages(next.parts, fresh, &writing)
	for _, rows := range next.batches {
		if err := batch.Apply(rows, nil); err != nil {
			return nil, nil, err
		}
	}
	journal := make([]byte, 0, buckets*journalRow)
	for i := range next.parts {
		p := &next.parts[i]
		for j := range p.buckets {
			journal = appendJournal(journal, p.buckets[j].place, &p.buckets[j].node)
		}
	}
	if err := batch.Set(journalKey(now.number), journal, nil); err != nil {
		return nil, nil, err
	}
	return batch, fresh, batch.Set(metaKey(), row, nil)
}

// addCheckpoints writes as many bytes of checkpoints as journals were written, half a commit late:
// journals since the oldest checkpoint then stay about as large as one round of checkpoints, and no
// commit pays more than its share.
//
// A segment whose file of pages has grown gets a new one.
func (d *disk) addCheckpoints(batch *pebble.Batch, journal int) (fresh []*renewed, err error) {
	const overhead = 64 // of a row
	d.owed += journal
	for n := 0; n < segments && d.owed > 0; n++ {
		row := []byte(nil)
		if d.pages[d.next].stale() {
			var r *renewed
			if r, row, err = d.renew(d.next); err == nil {
				fresh = append(fresh, r)
			} else {
				d.pagesFailed(err)
			}
		}
		if row == nil {
			row = encodeCheckpoint(d.segs[d.next], d.now.number, d.pages[d.next].number, stay)
		}
		if err := batch.Set(checkpointKey(d.next), row, nil); err != nil {
			return fresh, err
		}
		d.owed -= len(row) + overhead
		d.checkpoints[d.next] = d.now.number
		d.next = (d.next + 1) % segments
	}
	d.owed = min(d.owed, 0)
	for oldest := slices.Min(d.checkpoints[:]); d.trimmed < oldest; d.trimmed++ {
		if err := batch.Delete(journalKey(d.trimmed+1), nil); err != nil {
			return fresh, err
		}
	}
	return fresh, nil
}

// swap makes a version the present one, for readers at once and for good when it returns. What
// readers see before it is durable is only what the next start would compute again.
func (d *disk) swap(batch *pebble.Batch, next *staged, fresh []*renewed, now version) error {
	return recovered(func() error {
		old, err := d.apply(batch, next, fresh, now)
		if err != nil {
			return err
		}
		if err := batch.SyncWait(); err != nil {
			return err
		}
		if len(old) > 0 { // not before the checkpoint that names another is there to stay
			d.tidying.Go(func() { d.removePages(old) })
		}
		return batch.Close()
	})
}

func nothing() (struct{}, error) { return struct{}{}, nil }

func nothingMore(struct{}) error { return nil }

// apply returns the files that nobody reads any more.
func (d *disk) apply(batch *pebble.Batch, next *staged, fresh []*renewed, now version) ([]renewed, error) {
	d.rows.Lock()
	defer d.rows.Unlock()
	if err := d.db.ApplyNoSyncWait(batch, pebble.Sync); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	old := make([]renewed, 0, len(fresh))
	for _, r := range fresh {
		if r.pages != nil {
			old = append(old, renewed{segment: r.segment, file: d.pages[r.segment]})
			d.segs[r.segment].setPages(0, r.pages)
		}
		d.pages[r.segment] = r.file
	}
	_ = inParallel(d.workers(1+next.bytes>>16), len(next.parts), nothing,
		func(_ struct{}, i int) error {
			p := &next.parts[i]
			d.segs[p.segment].apply(p)
			return nil
		}, nothingMore)
	d.crown, d.now = next.crown, now
	d.fresh.Store(false)
	return old, nil
}

// apply makes a part of a staged state the present one.
func (seg *segment) apply(p *part) {
	*seg = append(*seg, p.added...)
	for _, c := range p.changed {
		(*seg)[c.at] = c.node
	}
	for i := range p.buckets {
		(*seg)[p.buckets[i].at] = p.buckets[i].node
	}
}
