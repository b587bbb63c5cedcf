package node

import (
	"sync"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Bounds of what waits for a block. The engine's own mempool is made larger, so that these decide.
const (
	maxPending      = 20_000
	maxPendingBytes = 64 << 20
)

// pending is what waits in the mempool, by author, so that an author can send transactions one after
// the other without waiting for blocks.
type pending struct {
	mu      sync.Mutex
	authors map[hufu.ID]*queue
	ids     map[hufu.Digest]*tx.Tx
	bytes   int
}

// queue is one author's. Next is the sequence number after the last one waiting.
type queue struct {
	next  uint64
	count int
}

func newPending() *pending {
	return &pending{authors: map[hufu.ID]*queue{}, ids: map[hufu.Digest]*tx.Tx{}}
}

// next is the sequence number that author's next transaction must have because of those waiting, or
// 0 when none wait.
func (p *pending) next(author hufu.ID) (next uint64, waiting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if q := p.authors[author]; q != nil {
		return q.next, true
	}
	return 0, false
}

func (p *pending) has(id hufu.Digest) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[id] != nil
}

func (p *pending) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ids) >= maxPending || p.bytes >= maxPendingBytes
}

// add makes t wait if next is still what its author's queue says.
func (p *pending) add(t *tx.Tx, next uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ids[t.ID()] != nil {
		return false
	}
	q := p.authors[t.Payload.Author]
	switch {
	case q == nil && next == 0:
		q = &queue{}
		p.authors[t.Payload.Author] = q
	case q == nil || q.next != next:
		return false
	}
	q.next = t.Payload.Sequence + 1
	q.count++
	p.ids[t.ID()] = t
	p.bytes += len(t.Raw())
	return true
}

// remove takes transactions out: they are in a block, or will never be.
func (p *pending) remove(ids []hufu.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		t := p.ids[id]
		if t == nil {
			continue
		}
		delete(p.ids, id)
		p.bytes -= len(t.Raw())
		q := p.authors[t.Payload.Author]
		if q.count--; q.count == 0 {
			delete(p.authors, t.Payload.Author)
		}
	}
}

// behind reports whether a transaction of t's author with an earlier sequence number waits, other
// than those of without.
func (p *pending) behind(t *tx.Tx, without map[hufu.Digest]bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := p.authors[t.Payload.Author]
	if q == nil || q.count < 2 {
		return false
	}
	for id, other := range p.ids {
		if other.Payload.Author == t.Payload.Author && other.Payload.Sequence < t.Payload.Sequence && !without[id] {
			return true
		}
	}
	return false
}
