package node

import (
	"sort"
	"time"

	"github.com/hufu-id/hufu"
)

// LeastRetain is the shortest time for which an operator may keep blocks: the trusting period of clients, who
// ask for headers as old as what they trust. Nodes that join (blocks since the oldest snapshot) and nodes that were down
// and catch up (longer than that, they begin anew from a snapshot) need less. So does evidence, unless the network stood
// still: see retention.
const LeastRetain = 180 * 24 * time.Hour

// pruneStep is how many blocks go at once.
const pruneStep = 100

// past tells of the blocks that a node has.
type past interface {
	Base() int64                           // the first
	timeOf(height int64) (time.Time, bool) // of a block
}

func (h *history) Base() int64 { return h.blocks.Base() }

func (h *history) timeOf(height int64) (time.Time, bool) {
	m := h.blocks.LoadBlockMeta(height)
	if m == nil {
		return time.Time{}, false
	}
	return m.Header.Time, true
}

// retention is what a node keeps of the past.
type retention struct {
	age    time.Duration // of blocks; 0: all are kept
	blocks int64         // that stay however old they are: those for which evidence counts by the genesis
}

// first is the first block to keep of those up to tip, whose time is now: the first that is not older
// than the age, but none after oldest, the height of the oldest snapshot that peers may be fetching (0: none),
// none of the last that stay, and 0 as long as there are less than pruneStep to remove. As long as evidence of a
// height counts, which by time it does for less than [LeastRetain], the engine keeps the header; a node that joins has to
// learn which evidence the block holds, too, so that the block stays whole.
func (r retention) first(p past, tip hufu.Height, now time.Time, oldest hufu.Height) hufu.Height {
	base, cut := p.Base(), now.Add(-r.age)
	old := func(height int64) bool {
		at, ok := p.timeOf(height)
		return ok && at.Before(cut) && height+r.blocks < int64(tip)
	}
	if base <= 0 || base+pruneStep > int64(tip) || !old(base+pruneStep-1) {
		return 0
	}
	// Block times increase.
	first := base + int64(sort.Search(int(int64(tip)-base), func(i int) bool { return !old(base + int64(i)) }))
	if oldest > 0 {
		first = min(first, int64(oldest)+1)
	}
	if first < base+pruneStep {
		return 0
	}
	return hufu.Height(first)
}
