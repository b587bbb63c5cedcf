package node

import (
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Bounds of what waits for a block. One line fills half of it at most: see room.
const (
	maxPending      = 40_000
	maxPendingBytes = 128 << 20

	// patience is how long what a client offers may have to wait, by the pace of the last blocks: whoever would
	// wait longer is told at once, and can come again. What a peer passes on was let in there, and is bounded by
	// number alone; with it, the wait until it is looked at and the block that is being made, a commit takes up to
	// twice as long (2.2 to 2.5 s were seen; with 1.7 s here, 2.0 to 3.1), which is to stay below 3 s.
	patience = 1300 * time.Millisecond
	// leastPending and leastPendingBytes may wait whatever the pace was, as it says nothing where there was little
	// to do. A block has room for as much.
	leastPending      = 4096
	leastPendingBytes = 4 << 20
)

// pending is what waits for a block: by author, so that an author can send transactions one after the other
// without waiting for blocks, and by whose quota it uses, so that nobody's flood leaves others without room or
// with a long wait.
type pending struct {
	tip     *tip // moved with what is taken out of here for a block
	mu      sync.Mutex
	authors map[hufu.ID]queue
	lines   map[line]*waitingLine
	ids     map[hufu.Digest]*waiting
	bytes   int
	leaving int         // of them, how many are in the block that is being committed
	told    bool        // whether the engine knows that something waits, or is just being told
	height  hufu.Height // of the last block
	txs     pace        // of blocks, in transactions
	size    pace        // and in bytes
}

// queue is one author's. Next is the sequence number after the last one waiting.
type queue struct {
	next  uint64
	count int
}

// line is the quota that a transaction uses. A member's open quota is a line apart: anybody can use it up, and
// that must not cost the member's own transactions their place.
type line struct {
	member hufu.ID
	open   bool
}

func lineOf(a machine.Admission) line { return line{a.Member, a.Open} }

// waitingLine is what waits of one line.
type waitingLine struct {
	order        []*waiting // as they came; what left is still there, marked, until it is at the front
	count, bytes int
	used         hufu.Height // of the last block that had one, or of when the line began
}

type waiting struct {
	*parsed
	line line
	gone bool
}

func newPending(t *tip) *pending {
	return &pending{tip: t, authors: map[hufu.ID]queue{}, lines: map[line]*waitingLine{}, ids: map[hufu.Digest]*waiting{}}
}

// tell reports whether the engine is to be told now that something waits.
func (p *pending) tell() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.told || len(p.ids) <= p.leaving {
		return false
	}
	p.told = true
	return true
}

// waits reports whether something does, which is not in the block that is being committed. If not, the engine is
// to be told again of what comes.
func (p *pending) waits() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.told = len(p.ids) > p.leaving
	return p.told
}

// decided says which transactions are in the block that is being committed, until it is, and reports whether others
// wait, as waits does.
func (p *pending) decided(txs []*tx.Tx) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.leaving = 0
	for _, t := range txs {
		if p.ids[t.ID()] != nil {
			p.leaving++
		}
	}
	p.told = p.told && len(p.ids) > p.leaving // never from here: who let in what waits may not have told yet
	return p.told
}

// next is the sequence number that author's next transaction must have because of those waiting, or
// 0 when none wait.
func (p *pending) next(author hufu.ID) (next uint64, waiting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q, waiting := p.authors[author]
	return q.next, waiting
}

func (p *pending) has(id hufu.Digest) bool { return p.get(id) != nil }

// get is the transaction, if it waits.
func (p *pending) get(id hufu.Digest) *parsed {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w := p.ids[id]; w != nil {
		return w.parsed
	}
	return nil
}

// bounds are how many transactions and bytes may wait before what a client offers now.
func (p *pending) bounds(now time.Time) (txs, bytes int) {
	return min(max(leastPending, int(p.txs.within(patience, now))), maxPending),
		min(max(leastPendingBytes, int(p.size.within(patience, now))), maxPendingBytes)
}

// load is how many transactions wait, and their bytes.
func (p *pending) load() (count, bytes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.ids), p.bytes
}

// look reports whether the transaction waits, and whether no more may.
func (p *pending) look(id hufu.Digest) (waits, full bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[id] != nil, len(p.ids) >= maxPending || p.bytes >= maxPendingBytes
}

// room reports whether one more of the line may wait: as long as its transactions are fewer, and have fewer
// bytes, than would still find room. So one line alone gets half of the room, of several that want all each
// gets the same, and there always is some left for the next (dynamic thresholds, Choudhury and Hahne 1998).
//
// Of what a client offers the room is bounded by time too, and takes of other lines only what will be in blocks
// before it: lines take turns, so whoever wants little does not wait for the long line of another, which may have
// come by a peer and then is bounded by number alone.
func (p *pending) room(l line, client bool, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := p.lines[l]
	if w == nil {
		return true
	}
	if w.count >= maxPending-len(p.ids) || w.bytes >= maxPendingBytes-p.bytes {
		return false
	}
	if !client {
		return true
	}
	txs, bytes := p.bounds(now)
	for _, other := range p.lines {
		txs -= min(other.count, w.count+1)
		bytes -= min(other.bytes, w.bytes+lineStep)
	}
	return w.count < txs && w.bytes < bytes
}

// add makes t wait, whose signatures hold, if the state and its author's queue are still those that it was admitted by.
func (p *pending) add(t *parsed, by *admitted) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if height, _, _ := p.tip.get(); height != by.height || p.ids[t.ID()] != nil {
		return false
	}
	q := p.authors[t.Payload.Author]
	if q.next != by.next { // both are 0 where none waits
		return false
	}
	l := lineOf(by.Admission)
	p.authors[t.Payload.Author] = queue{next: t.Payload.Sequence + 1, count: q.count + 1}
	w := &waiting{parsed: t, line: l}
	p.ids[t.ID()] = w
	p.bytes += len(t.Raw())
	in := p.lines[l]
	if in == nil {
		in = &waitingLine{used: p.height}
		p.lines[l] = in
	}
	in.order = append(in.order, w)
	in.count++
	in.bytes += len(t.Raw())
	return true
}

// remove takes transactions out: they will never be in a block.
func (p *pending) remove(txs []*tx.Tx) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.take(txs)
}

// committed takes out the transactions that are in the block, which was committed at a time, and moves the tip.
func (p *pending) committed(b *Block, txs []*tx.Tx, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	height, size := b.Height, 0
	for _, raw := range b.Txs {
		size += len(raw)
	}
	p.height, p.leaving = height, 0
	p.tip.move(height, b.Time)
	p.txs.done(float64(len(txs)), at)
	p.size.done(float64(size), at)
	for l := range p.take(txs) {
		p.lines[l].used = height
	}
	for l, w := range p.lines {
		if w.count == 0 && !p.active(w) {
			delete(p.lines, l)
		}
	}
}

// take takes transactions out and returns the lines that they were in.
func (p *pending) take(txs []*tx.Tx) map[line]bool {
	lines := map[line]bool{}
	for _, t := range txs {
		w := p.ids[t.ID()]
		if w == nil {
			continue
		}
		w.gone = true
		delete(p.ids, t.ID())
		p.bytes -= len(w.Raw())
		q := p.authors[w.Payload.Author]
		if q.count--; q.count == 0 {
			delete(p.authors, w.Payload.Author)
		} else {
			p.authors[w.Payload.Author] = q
		}
		in := p.lines[w.line]
		in.count--
		in.bytes -= len(w.Raw())
		in.tidy()
		lines[w.line] = true
	}
	return lines
}

// tidy lets go of what has left: at the front always, elsewhere when it is more than what waits.
func (w *waitingLine) tidy() {
	for len(w.order) > 0 && w.order[0].gone {
		w.order = w.order[1:]
	}
	if len(w.order) <= 2*w.count {
		return
	}
	kept := make([]*waiting, 0, w.count)
	for _, x := range w.order {
		if !x.gone {
			kept = append(kept, x)
		}
	}
	w.order = kept
}

// behind reports whether a transaction of t's author with an earlier sequence number waits, other
// than those of without.
func (p *pending) behind(t *tx.Tx, without map[hufu.Digest]bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.authors[t.Payload.Author].count < 2 {
		return false
	}
	for id, other := range p.ids {
		if other.Payload.Author == t.Payload.Author && other.Payload.Sequence < t.Payload.Sequence && !without[id] {
			return true
		}
	}
	return false
}

const (
	// activeBlocks is for how many blocks after its last transaction a line counts as one that may want more.
	activeBlocks = 64
	// lineBytes is what one line gets of a block, in bytes, while there are others: some 1,000 transactions,
	// well under 0.1 s of everybody's work, which is what a block that has just begun makes another's
	// transaction wait. A line that is alone gets the whole block, as large blocks are the cheapest.
	lineBytes = 256 << 10
	// lineStep is how many bytes of each line come in turn, so that those who want little are first.
	lineStep = 4 << 10
	// txOverhead is the most that the engine's encoding of a block adds to a transaction.
	txOverhead = 6
)

func (p *pending) active(w *waitingLine) bool { return w.count > 0 || w.used+activeBlocks > p.height }

// choose is what to fill a block of at most limit bytes with. A line that is alone gets what there is, as it came. Of
// several, all that want little get it, and the rest is shared out equally.
func (p *pending) choose(limit int) []*parsed {
	p.mu.Lock()
	defer p.mu.Unlock()
	active := 0
	var all []*waitingLine
	for _, w := range p.lines {
		if p.active(w) {
			active++
		}
		if w.count > 0 {
			all = append(all, w)
		}
	}
	most := lineBytes
	if active < 2 {
		most = limit + lineStep
	}
	var out []*parsed
	at, used := make([]int, len(all)), make([]int, len(all))
	for turn, more := lineStep, true; more && turn <= most; turn += lineStep {
		more = false
		for i, w := range all {
			for at[i] < len(w.order) && used[i] < turn {
				x := w.order[at[i]]
				at[i]++
				if x.gone {
					continue
				}
				size := len(x.Raw()) + txOverhead
				if size > limit {
					return out
				}
				limit -= size
				used[i] += size
				out = append(out, x.parsed)
			}
			more = more || at[i] < len(w.order)
		}
	}
	return out
}
