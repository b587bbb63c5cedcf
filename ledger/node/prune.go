package node

import (
	"sort"
	"time"

	"github.com/hufu-id/hufu"
)

// LeastRetain is the shortest time for which an operator may keep blocks: the trusting period of clients, who
// ask for headers as old as what they trust. Nodes that join (blocks since the oldest snapshot) and nodes that were down
// and catch up (longer than that, they begin anew from a snapshot) need less. So does evidence, unless the network stood
// still: see retainHeight.
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

// retainHeight is the first block to keep of those up to tip, whose time is now: the first that is not older
// than retain, but none after oldest, the height of the oldest snapshot that peers may be fetching (0: none),
// none of the last evidenceBlocks, and 0 as long as there are less than pruneStep to remove. As long as evidence of a
// height counts, which by time it does for less than [LeastRetain], the engine keeps the header; a node that joins has to
// learn which evidence the block holds, too, so that the block stays whole.
func retainHeight(p past, tip hufu.Height, now time.Time, retain time.Duration, oldest hufu.Height) hufu.Height {
	base, cut := p.Base(), now.Add(-retain)
	old := func(height int64) bool {
		at, ok := p.timeOf(height)
		return ok && at.Before(cut) && height+evidenceBlocks < int64(tip)
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
