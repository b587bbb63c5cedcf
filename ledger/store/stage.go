package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// staged is what a Stage on disk computed: rows to write and nodes to replace.
type staged struct {
	crown   crown
	parts   []part
	batches []*pebble.Batch // rows, one batch for each worker
	bytes   int
}

// part is the new state of one segment, as a difference.
type part struct {
	segment int
	todo    []pending
	changed []changedNode
	added   []node // follow the segment's present ones
	buckets []changedBucket
	pages   []byte // of the buckets that have one, in their order
	count   int64  // records more
	top     proof.Node
}

type changedNode struct {
	at   uint32
	node node
}

type changedBucket struct {
	at     uint32
	leaves int
	place  place
	node   node // its page is known when it is committed
}

func (d *disk) Stage(changes []Change) (*Staged, error) {
	if err := d.running.enter(); err != nil {
		return nil, err
	}
	defer d.running.leave()
	todo, err := sorted(changes)
	if err != nil {
		return nil, err
	}
	d.rows.RLock()
	defer d.rows.RUnlock()
	d.mu.RLock()
	defer d.mu.RUnlock()
	next := &staged{crown: d.crown, parts: bySegment(todo)}
	workers := d.workers(min(len(next.parts), 1+len(todo)/8))
	stagers := make(chan *stager, workers)
	err = inParallel(workers, len(next.parts),
		func() (*stager, error) { return &stager{bucket: d.opts.Bucket, batch: d.db.NewBatch(), store: d}, nil },
		func(s *stager, i int) error { return s.segment(&next.parts[i]) },
		func(s *stager) error { err := s.finish(0); stagers <- s; return errors.Join(err, s.reader.close()) })
	close(stagers)
	if err != nil {
		return nil, err
	}
	for s := range stagers {
		next.batches = append(next.batches, s.batch)
		next.bytes += s.batch.Len()
	}
	tops, count := make(map[int]proof.Node, len(next.parts)), int64(d.now.Count)
	for i := range next.parts {
		p := &next.parts[i]
		tops[p.segment] = p.top
		count += p.count
		next.bytes += len(p.buckets)*journalRow + len(p.pages)
		p.todo = nil
	}
	next.crown.set(tops)
	return &Staged{root: next.crown.root(), count: uint64(count), owner: d, base: d.now.number, next: next}, nil
}

// bySegment cuts sorted changes where the segment changes.
func bySegment(todo []pending) []part {
	var parts []part
	for len(todo) > 0 {
		seg := todo[0].keyHash[0]
		n := 1
		for n < len(todo) && todo[n].keyHash[0] == seg {
			n++
		}
		parts = append(parts, part{segment: int(seg), todo: todo[:n]})
		todo = todo[n:]
	}
	return parts
}

// stager is one worker of one Stage.
type stager struct {
	bucket int // most leaves
	batch  *pebble.Batch
	store  *disk

	seg    segment // being worked on
	part   *part
	reader bucketReader
	split  []proof.Leaf // scratch
	grown  segment

	spots []spot
	ahead []view // segments that were looked into and have to wait, the oldest first
	far   int    // changes in them
	view  view   // of the segment being worked on
	turn  int    // which of its buckets is next
	spare []view // memory of views that are done with
}

// farAhead is how many changes a worker looks ahead. Those of one segment are too few: where a page has to come from the
// disk, behind what merging reads and writes there, it takes as long as several hundred changes.
const farAhead = 2048

// view is what lookAhead knows of a segment.
type view struct {
	part  *part
	whole bool    // nothing of it has to be waited for
	found []found // buckets that changes are in, in the order of update
	known []byte  // memory of their leaves
}

// found is what lookAhead knows of a bucket.
type found struct {
	leaves []proof.Leaf
	ok     bool
}

// recordRows iterates over the records as they are now.
func (d *disk) recordRows() (*pebble.Iterator, error) {
	rows, err := d.db.NewIter(&pebble.IterOptions{LowerBound: []byte{rowRecord}, UpperBound: []byte{rowRecord + 1}})
	if err != nil {
		return nil, readError(err)
	}
	return rows, nil
}

// segment looks into a segment and updates it: at once when nothing has to be waited for, while what was seen of it is in the
// processor's caches, and otherwise when enough others are ahead.
func (s *stager) segment(p *part) error {
	v := s.lookAhead(p)
	if v.whole {
		return s.updateSegment(v)
	}
	s.ahead = append(s.ahead, v)
	s.far += len(p.todo)
	return s.finish(farAhead)
}

// finish updates what is ahead, until no more than far changes are.
func (s *stager) finish(far int) error {
	for len(s.ahead) > 0 && s.far > far {
		v := s.ahead[0]
		s.ahead = s.ahead[1:]
		s.far -= len(v.part.todo)
		if err := s.updateSegment(v); err != nil {
			return err
		}
	}
	return nil
}

// updateSegment computes what a segment is after its changes. When it can't, nothing else is computed.
func (s *stager) updateSegment(v view) (err error) {
	p := v.part
	s.view, s.turn = v, 0
	s.seg, s.part = s.store.segs[p.segment], p
	// Ample for one change a bucket: each path has a few nodes of its own, a bucket a few leaves.
	p.changed = make([]changedNode, 0, 8*len(p.todo)+8)
	p.buckets = make([]changedBucket, 0, len(p.todo)+len(p.todo)/4+1)
	p.pages = make([]byte, 0, pageSize(s.ample())*len(p.todo))
	p.top, err = s.update(0, segmentDepth, p.todo)
	if s.spare = append(s.spare, s.view); err != nil {
		s.ahead = nil
	}
	return err
}

// ample is more leaves than most buckets have.
func (s *stager) ample() int { return s.bucket*3/4 + 1 }

// lookAhead finds the buckets that a segment's changes are in, and their leaves as far as that takes no waiting. The system
// begins to fetch the pages of the others, all that are ahead at once; update would wait for one after the other.
func (s *stager) lookAhead(p *part) view {
	v := view{part: p, whole: true}
	if n := len(s.spare); n > 0 {
		v.found, v.known, s.spare = s.spare[n-1].found[:0], s.spare[n-1].known[:0], s.spare[:n-1]
	} else {
		v.found, v.known = make([]found, 0, len(p.todo)), make([]byte, 0, pageSize(s.ample())*len(p.todo))
	}
	seg := s.store.segs[p.segment]
	s.spots = seg.walk(s.spots[:0], p.todo)
	for i := range s.spots {
		at, depth := s.spots[i].at, s.spots[i].depth
		if i > 0 && at == s.spots[i-1].at {
			continue
		}
		where := placeOf(&p.todo[i].keyHash, depth)
		leaves, ok := s.store.keptLeaves(&seg[at], where, &v.known)
		if !ok {
			leaves, ok = s.store.readPage(&seg[at], where, &v.known, s.store.readOrFetch)
		}
		v.found = append(v.found, found{leaves: leaves, ok: ok})
		v.whole = v.whole && ok
	}
	return v
}

// foundAhead are the leaves of the next bucket, as lookAhead found them.
func (s *stager) foundAhead() ([]proof.Leaf, bool) {
	f := &s.view.found[s.turn]
	s.turn++
	return f.leaves, f.ok
}

// update computes what is at element at after the changes, all of which belong below it.
func (s *stager) update(at uint32, depth int, todo []pending) (proof.Node, error) {
	kids := s.seg[at].children()
	switch {
	case len(todo) == 0:
		return s.seg[at].seen(), nil
	case kids == 0:
		return s.updateBucket(at, depth, todo)
	}
	mid := splitPending(todo, depth)
	left, err := s.update(kids, depth+1, todo[:mid])
	if err != nil {
		return left, err
	}
	right, err := s.update(kids+1, depth+1, todo[mid:])
	if err != nil {
		return right, err
	}
	n := proof.Join(&left, &right)
	s.part.changed = append(s.part.changed, changedNode{at: at, node: newNode(&n, kids)})
	return n, nil
}

func (s *stager) updateBucket(at uint32, depth int, todo []pending) (proof.Node, error) {
	old, where, p := &s.seg[at], placeOf(&todo[0].keyHash, depth), s.part
	before, ok := s.foundAhead()
	if !ok {
		var err error
		if before, err = s.store.bucketLeaves(old, where, &s.reader); err != nil {
			return proof.Node{}, err
		}
	}
	if err := s.writeRows(before, todo); err != nil {
		return proof.Node{}, err
	}
	after := merge(p.nextPage(len(before)+len(todo)), before, todo)
	p.count += int64(len(after) - len(before))
	if len(after) <= s.bucket || depth >= maxBucketDepth {
		now := proof.Subtree(after, depth)
		s.made(at, where, after, now)
		return now, nil
	}
	s.split = append(s.split[:0], after...) // the pages they become lie where they are
	// Elements of grown after its top become elements of the segment after those it has by then.
	grown := append(s.grown[:0], node{}) //nolint:gocritic // grown becomes s.grown below
	shift := uint32(len(s.seg)+len(p.added)) - 1
	now := grown.grow(0, where, s.bucket, s.split, func(i uint32, w place, leaves []proof.Leaf, n proof.Node) {
		if i += shift; i == shift {
			i = at
		}
		s.made(i, w, leaves, n)
	})
	s.grown = grown
	for i := range grown {
		if !grown[i].bucket() {
			grown[i].link += shift
		}
	}
	p.changed = append(p.changed, changedNode{at: at, node: grown[0]})
	p.added = append(p.added, grown[1:]...)
	return now, nil
}

// nextPage is empty memory for so many leaves, where the next page of the part would have them.
func (p *part) nextPage(leaves int) []proof.Leaf {
	size := pageSize(leaves)
	p.pages = slices.Grow(p.pages, size)
	return leavesIn(p.pages[len(p.pages)+pageUnit : len(p.pages)+size])[:0]
}

// made notes the bucket that element at will be.
func (s *stager) made(at uint32, where place, leaves []proof.Leaf, n proof.Node) {
	p := s.part
	if hasPage(len(leaves)) {
		p.pages = appendPage(p.pages, &n.Hash, leaves)
		if len(s.seg) <= recentNodes {
			s.store.recent[p.segment].keep(where, n.Hash, leaves)
		}
	}
	p.buckets = append(p.buckets, changedBucket{at: at, leaves: len(leaves), place: where, node: newNode(&n, 0)})
}

// merge appends the leaves that follow from those before and the changes.
func merge(after, before []proof.Leaf, todo []pending) []proof.Leaf {
	for i := range todo {
		c := &todo[i]
		for len(before) > 0 && bytes.Compare(before[0].KeyHash[:], c.keyHash[:]) < 0 {
			after, before = append(after, before[0]), before[1:]
		}
		if len(before) > 0 && before[0].KeyHash == c.keyHash {
			before = before[1:]
		}
		if c.Value != nil {
			after = append(after, proof.NewLeaf(c.keyHash, proof.HashValue(c.Value)))
		}
	}
	return append(after, before...)
}

// writeRows writes the changed rows of a bucket that has these leaves.
func (s *stager) writeRows(before []proof.Leaf, todo []pending) error {
	for i := range todo {
		c := &todo[i]
		if c.Value != nil {
			s.writeRow(c)
		} else if holds(before, &c.keyHash) {
			if err := s.batch.Delete(recordKey(&c.keyHash), nil); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *stager) writeRow(c *pending) {
	var lenBuf [binary.MaxVarintLen64]byte
	lenPart := binary.AppendUvarint(lenBuf[:0], uint64(len(c.Key)))
	op := s.batch.SetDeferred(33, len(lenPart)+len(c.Key)+len(c.Value))
	op.Key[0] = rowRecord
	copy(op.Key[1:], c.keyHash[:])
	appendRecord(op.Value[:0], c.Key, c.Value)
	_ = op.Finish() // fails only for batches with an index
}

// bucketReader is the memory of one goroutine that reads buckets.
type bucketReader struct {
	leaves []proof.Leaf
	page   []byte
	iter   *pebble.Iterator // made when it is needed: mostly it is not
}

// rows iterates over the records as they were when it was first called.
func (r *bucketReader) rows(d *disk) (*pebble.Iterator, error) {
	var err error
	if r.iter == nil {
		r.iter, err = d.recordRows()
	}
	return r.iter, err
}

func (r *bucketReader) close() error {
	if r.iter == nil {
		return nil
	}
	return r.iter.Close()
}

// readLeaves appends the leaves of the bucket at p. The iterator must not have bounds inside it.
func readLeaves(rows *pebble.Iterator, p place, leaves []proof.Leaf) ([]proof.Leaf, error) {
	prefix := recordPrefix(p)
	for ok := rows.SeekGE(prefix[:]); ok; ok = rows.Next() {
		key := rows.Key()
		if len(key) != 33 || !p.holds(key[1:]) {
			break
		}
		kv, err := recordHere(rows)
		if err != nil {
			return leaves, err
		}
		leaves = append(leaves, proof.NewLeaf(hufu.Digest(key[1:33]), proof.HashValue(kv.Value)))
	}
	if err := rows.Error(); err != nil {
		return leaves, readError(err)
	}
	return leaves, nil
}

// recordHere is the record that the iterator is at, in its memory.
func recordHere(rows *pebble.Iterator) (proof.KV, error) {
	row, err := rows.ValueAndErr()
	if err != nil {
		return proof.KV{}, readError(err)
	}
	kv, err := decodeRecord(row)
	if err != nil {
		return kv, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return kv, nil
}
