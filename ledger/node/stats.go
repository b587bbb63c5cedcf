package node

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hufu-id/hufu"
)

// Stats says how the node stands, and what it did since it started; blocks that it replayed then are counted.
type Stats struct {
	Height       hufu.Height
	Peers        int // connected
	Waiting      int // transactions that wait for a block
	WaitingBytes int

	Transactions uint64               // committed
	Blocks       uint64               // committed
	Between      time.Duration        // from each of them to the next, in sum
	Committing   time.Duration        // writing their state to the disk, in sum
	Refused      map[hufu.Rule]uint64 // transactions of clients and peers that were not taken, by rule
}

// rhythm is how blocks follow one another.
type rhythm struct {
	blocks, between, committing atomic.Uint64 // the latter in nanoseconds

	last time.Time // when the last block was committed; of the one goroutine that commits
}

// committed counts a block whose commit began at begun.
func (p *rhythm) committed(begun time.Time) {
	now := time.Now()
	if !p.last.IsZero() {
		p.between.Add(uint64(now.Sub(p.last)))
	}
	p.last = now
	p.committing.Add(uint64(now.Sub(begun)))
	p.blocks.Add(1)
}

// ruleCounts count refusals. Rules are names in the program, so there are few.
type ruleCounts struct {
	mu     sync.Mutex
	counts map[hufu.Rule]uint64
}

func (c *ruleCounts) add(rule hufu.Rule) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.counts == nil {
		c.counts = map[hufu.Rule]uint64{}
	}
	c.counts[rule]++
}

func (c *ruleCounts) all() map[hufu.Rule]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.counts)
}

// Stats says how the node stands.
func (n *Node) Stats() Stats {
	s := Stats{Height: n.Height(), Peers: n.engine.Switch().Peers().Size(), Transactions: n.Transactions(), Refused: n.refusals.all()}
	if n.app != nil {
		s.Waiting, s.WaitingBytes = n.app.pending.load()
		p := &n.app.rhythm
		s.Blocks, s.Between, s.Committing = p.blocks.Load(), time.Duration(p.between.Load()), time.Duration(p.committing.Load()) //nolint:gosec // 292 years
	}
	return s
}
