package store

import "github.com/hufu-id/hufu/ledger/proof"

// leafCache keeps the leaves of a segment's buckets, so that changing a record does not have to read
// its bucket's rows: those reads are far dearer than all hashing. It is only a cache: an absent
// bucket is read from its rows. Lists of slots in one array without pointers cost the garbage
// collector nothing and waste nothing on buckets that are not full.
type leafCache struct {
	slots []slot // element 0 is not used
	free  uint32 // list of unused slots
	used  int
	hand  uint32 // node to consider next for eviction
}

type slot struct {
	leaf proof.Leaf
	next uint32 // 0 ends a list
}

const slotSize = 68

// read appends a list's leaves.
func (c *leafCache) read(head uint32, leaves []proof.Leaf) []proof.Leaf {
	for ; head != 0; head = c.slots[head].next {
		leaves = append(leaves, c.slots[head].leaf)
	}
	return leaves
}

// put replaces a list by one of these leaves.
func (c *leafCache) put(head uint32, leaves []proof.Leaf) uint32 {
	first, last := uint32(0), uint32(0)
	for i := range leaves {
		at := head
		if at != 0 {
			head = c.slots[at].next
		} else {
			at = c.alloc()
		}
		c.slots[at].leaf = leaves[i]
		if last == 0 {
			first = at
		} else {
			c.slots[last].next = at
		}
		last = at
	}
	if last != 0 {
		c.slots[last].next = 0
	}
	c.drop(head)
	return first
}

func (c *leafCache) alloc() uint32 {
	c.used++
	if at := c.free; at != 0 {
		c.free = c.slots[at].next
		return at
	}
	if len(c.slots) == 0 {
		c.slots = append(c.slots, slot{})
	}
	c.slots = append(c.slots, slot{})
	return uint32(len(c.slots) - 1)
}

func (c *leafCache) drop(head uint32) {
	for head != 0 {
		next := c.slots[head].next
		c.slots[head].next, c.free = c.free, head
		c.used--
		head = next
	}
}

// evict drops buckets, in no order that matters, until at most so many leaves are left.
func (c *leafCache) evict(seg segment, most int) {
	for c.used > most {
		c.hand = (c.hand + 1) % uint32(len(seg))
		n := &seg[c.hand]
		c.drop(n.cached())
		n.setCached(0)
	}
}

// apply makes a part of a staged state the present one.
func (c *leafCache) apply(seg *segment, p *part, most int) {
	*seg = append(*seg, p.added...)
	for _, change := range p.changed {
		at := &(*seg)[change.at]
		head := at.cached()
		*at = change.node
		if at.bucket() {
			at.setCached(head)
		} else {
			c.drop(head)
		}
	}
	leaves := p.leaves
	for _, b := range p.buckets {
		at := &(*seg)[b.at]
		at.setCached(c.put(at.cached(), leaves[:b.leaves]))
		leaves = leaves[b.leaves:]
	}
	c.evict(*seg, most)
}
