package store

import (
	"encoding/binary"
	"errors"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// The trie is cut at depth 8 into 256 segments, by the first byte of the key hash: the unit of
// parallel work and of checkpoints. Within a segment the upper part of the trie is in memory, down
// to buckets: subtrees of few leaves, known by their hash, whose rows lie side by side on disk. A
// bucket that outgrows its limit splits when it is next touched, so the trie in memory deepens
// where and when the state grows and no step ever costs more than what it touches.
const (
	segments     = 256
	segmentDepth = 8
	// maxBucketDepth keeps a bucket's path in 8 bytes. Nobody can make 2^56 keys.
	maxBucketDepth = 56
)

// node is a place of the trie in memory: 36 bytes without pointers, so that millions of them cost
// the garbage collector nothing.
type node struct {
	hash hufu.Digest
	link uint32 // above buckets, the index of the left child, the right one follows; of a bucket, where
	// its page is or 0; and the two bits
}

const (
	leafBit  = 1 << 31
	innerBit = 1 << 30
	linkMask = innerBit - 1
)

// newNode makes a bucket without a page when children is 0.
func newNode(n *proof.Node, children uint32) node {
	if children != 0 {
		children |= innerBit
	}
	if n.Leaf {
		children |= leafBit
	}
	return node{hash: n.Hash, link: children}
}

func newBucket(n *proof.Node, at pageRef) node {
	b := newNode(n, 0)
	b.setPage(at)
	return b
}

func (n *node) bucket() bool { return n.link&innerBit == 0 }

// children is 0 for a bucket.
func (n *node) children() uint32 {
	if n.bucket() {
		return 0
	}
	return n.link & linkMask
}

// page is where a bucket's leaves are; 0 when they are in no page.
func (n *node) page() pageRef {
	if !n.bucket() {
		return 0
	}
	return pageRef(n.link & linkMask)
}

// setPage is for buckets.
func (n *node) setPage(at pageRef) { n.link = n.link&^linkMask | uint32(at) }

func (n *node) seen() proof.Node { return proof.Node{Hash: n.hash, Leaf: n.link&leafBit != 0} }

// segment is the part of the trie below one first byte; its top is element 0.
type segment []node

// find is the bucket that a key hash belongs in.
func (seg segment) find(keyHash *hufu.Digest) (at uint32, depth int) {
	depth = segmentDepth
	for kids := seg[at].children(); kids != 0; kids = seg[at].children() {
		at = kids + uint32(proof.Bit(keyHash, depth))
		depth++
	}
	return at, depth
}

// spot is a place in a segment.
type spot struct {
	at    uint32
	depth int
}

// walk appends the bucket of each change, as find finds it. It goes down one level of all at a time: a large trie is in no
// cache, and what many wait for they wait for together.
func (seg segment) walk(spots []spot, todo []pending) []spot {
	for range todo {
		spots = append(spots, spot{depth: segmentDepth})
	}
	for deeper := true; deeper; {
		deeper = false
		for i := range spots {
			b := &spots[i]
			if kids := seg[b.at].children(); kids != 0 {
				b.at = kids + uint32(proof.Bit(&todo[i].keyHash, b.depth))
				b.depth++
				deeper = true
			}
		}
	}
	return spots
}

// crown is the part above the segments, as a heap: 1 is the root, 2i and 2i+1 are below i, and
// segment s is at 256+s.
type crown [2 * segments]proof.Node

func (c *crown) root() hufu.Digest { return c[1].Hash }

// set replaces the tops of segments and rehashes what is above them.
func (c *crown) set(tops map[int]proof.Node) {
	var dirty [segments]bool
	for s, n := range tops {
		c[segments+s] = n
		dirty[(segments+s)/2] = true
	}
	for i := segments - 1; i > 0; i-- {
		if dirty[i] {
			c[i] = proof.Join(&c[2*i], &c[2*i+1])
			dirty[i/2] = true
		}
	}
}

// place names a bucket: the first depth bits of its keys, left-aligned.
type place struct {
	path  uint64
	depth int
}

func placeOf(keyHash *hufu.Digest, depth int) place {
	return place{path: binary.BigEndian.Uint64(keyHash[:8]) &^ (1<<(64-depth) - 1), depth: depth}
}

func (p place) segment() int { return int(p.path >> 56) }

func (p place) bit(depth int) uint32 { return uint32(p.path>>(63-depth)) & 1 }

func (p place) child(bit uint64) place {
	return place{path: p.path | bit<<(63-p.depth), depth: p.depth + 1}
}

func (p place) holds(keyHash []byte) bool {
	return binary.BigEndian.Uint64(keyHash[:8])&^(1<<(64-p.depth)-1) == p.path
}

var errBadTree = errors.New("a checkpoint or journal does not parse")

// appendSegment writes a segment's shape, bucket hashes and places of pages in preorder. Hashes above
// buckets follow from them. Move says where a page is from now on.
func appendSegment(out []byte, seg segment, at uint32, move func(pageRef) pageRef) []byte {
	n := &seg[at]
	if kids := n.children(); kids != 0 {
		out = append(out, shapeInner)
		out = appendSegment(out, seg, kids, move)
		return appendSegment(out, seg, kids+1, move)
	}
	return appendBucket(out, n.seen(), move(n.page()))
}

// setPages gives the buckets below element at their pages, in the order of appendSegment, and returns
// those that are left.
func (seg segment) setPages(at uint32, pages []pageRef) []pageRef {
	if kids := seg[at].children(); kids != 0 {
		return seg.setPages(kids+1, seg.setPages(kids, pages))
	}
	seg[at].setPage(pages[0])
	return pages[1:]
}

// pagesInUse is how many bytes of its file the segment's pages take, with the empty unit.
func (seg segment) pagesInUse() int64 {
	n := int64(pageUnit)
	for i := range seg {
		n += int64(seg[i].page().size())
	}
	return n
}

const (
	shapeEmpty  = 0
	shapeInner  = 1
	shapeBucket = 2
	shapeLeaf   = 3 // a bucket of one leaf
)

// bucketRow is a bucket without its leaves as it is written.
const bucketRow = 1 + 32 + 4

func appendBucket(out []byte, n proof.Node, at pageRef) []byte {
	switch {
	case n.Hash == (hufu.Digest{}):
		return append(out, shapeEmpty)
	case n.Leaf:
		out = append(out, shapeLeaf)
	default:
		out = append(out, shapeBucket)
	}
	return binary.BigEndian.AppendUint32(append(out, n.Hash[:]...), uint32(at))
}

func readBucket(data []byte) (b node, rest []byte, err error) {
	if len(data) == 0 || data[0] == shapeInner || data[0] > shapeLeaf {
		return b, nil, errBadTree
	}
	if data[0] == shapeEmpty {
		return b, data[1:], nil
	}
	if len(data) < bucketRow {
		return b, nil, errBadTree
	}
	at := binary.BigEndian.Uint32(data[33:])
	if at > linkMask {
		return b, nil, errBadTree
	}
	n := proof.Node{Hash: hufu.Digest(data[1:33]), Leaf: data[0] == shapeLeaf}
	return newBucket(&n, pageRef(at)), data[bucketRow:], nil
}

// readSegment reads what appendSegment wrote, without the hashes above buckets.
func readSegment(data []byte) (segment, error) {
	seg := make(segment, 1, 1+len(data)/16)
	rest, err := seg.read(0, segmentDepth, data)
	if err != nil {
		return nil, err
	}
	if len(rest) != 0 {
		return nil, errBadTree
	}
	return seg, nil
}

func (seg *segment) read(at uint32, depth int, data []byte) ([]byte, error) {
	if len(data) > 0 && data[0] == shapeInner && depth < maxBucketDepth {
		kids := seg.pair()
		(*seg)[at].link = kids | innerBit
		rest, err := seg.read(kids, depth+1, data[1:])
		if err != nil {
			return nil, err
		}
		return seg.read(kids+1, depth+1, rest)
	}
	b, rest, err := readBucket(data)
	if err != nil {
		return nil, err
	}
	(*seg)[at] = b
	return rest, nil
}

// pair adds two empty buckets side by side.
func (seg *segment) pair() uint32 {
	at := uint32(len(*seg))
	*seg = append(*seg, node{}, node{})
	return at
}

// put sets the bucket at p, making or removing the inner nodes that takes.
func (seg *segment) put(p place, bucket node) {
	at := uint32(0)
	for depth := segmentDepth; depth < p.depth; depth++ {
		kids := (*seg)[at].children()
		if kids == 0 {
			kids = seg.pair()
			(*seg)[at] = node{link: kids | innerBit}
		}
		at = kids + p.bit(depth)
	}
	(*seg)[at] = bucket
}

// rehash computes the hashes above buckets, and joins buckets that hold a single leaf between them.
func (seg segment) rehash(at uint32) proof.Node {
	kids := seg[at].children()
	if kids == 0 {
		return seg[at].seen()
	}
	left, right := seg.rehash(kids), seg.rehash(kids+1)
	n := proof.Join(&left, &right)
	if n.Leaf || n.Hash == (hufu.Digest{}) {
		kids = 0
	}
	seg[at] = newNode(&n, kids)
	return n
}

// grow makes the subtree of these leaves, which is at p, at element at. It calls made for each
// bucket.
func (seg *segment) grow(at uint32, p place, limit int, leaves []proof.Leaf, made func(at uint32, p place, leaves []proof.Leaf, n proof.Node)) proof.Node {
	if len(leaves) <= limit || p.depth >= maxBucketDepth {
		n := proof.Subtree(leaves, p.depth)
		(*seg)[at] = newNode(&n, 0)
		made(at, p, leaves, n)
		return n
	}
	kids := seg.pair()
	mid := proof.Split(leaves, p.depth)
	left := seg.grow(kids, p.child(0), limit, leaves[:mid], made)
	right := seg.grow(kids+1, p.child(1), limit, leaves[mid:], made)
	n := proof.Join(&left, &right)
	(*seg)[at] = newNode(&n, kids)
	return n
}
