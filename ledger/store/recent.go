package store

import (
	"sync"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// A record that is about to be made is asked for when its transaction is offered and when it is executed, and
// its bucket's leaves are needed when it is staged: what one of them read, or computed, the next finds here.
// A bucket is found by its hash, which says what its leaves are; so what is kept is never wrong, whichever
// version it is of, and is thrown away only to make room.
const (
	recentBits   = 7 // of the path, after the segment's, say in which set a bucket is
	recentWays   = 2 // the bucket as it is committed, and as it is staged
	recentLeaves = 8 // a bucket of more is not kept
	// A segment of more nodes has eight times as many buckets as are kept: of those that are staged hardly one is asked
	// for again before others take its place, and they would take that of buckets that are about to be staged.
	recentNodes = 8 * 2 * recentWays << recentBits
)

// recentSets of all segments together are 36 MB, and as many buckets as transactions may wait and blocks may have, when there are buckets in all of them.
type recentSets [1 << recentBits][recentWays]keptBucket

// recent keeps leaves of one segment's buckets.
type recent struct {
	mu   sync.Mutex
	sets *recentSets // nil until something is kept
}

type keptBucket struct {
	hash   hufu.Digest
	count  uint8 // 0: nothing is kept here
	newest bool  // of its set
	leaves [recentLeaves]proof.Leaf
}

func recentSet(p place) int { return int(p.path>>(64-segmentDepth-recentBits)) % len(recentSets{}) }

// find calls use with the leaves of the bucket at p, if they are kept. Use may not keep them.
func (r *recent) find(p place, hash hufu.Digest, use func([]proof.Leaf)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sets == nil {
		return false
	}
	set := &r.sets[recentSet(p)]
	for i := range set {
		if k := &set[i]; k.count > 0 && k.hash == hash {
			use(k.leaves[:k.count])
			return true
		}
	}
	return false
}

// keep remembers the leaves of a bucket at p, which hash to hash, in the place of the oldest of its set.
func (r *recent) keep(p place, hash hufu.Digest, leaves []proof.Leaf) {
	if len(leaves) == 0 || len(leaves) > recentLeaves {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sets == nil {
		r.sets = new(recentSets)
	}
	set := &r.sets[recentSet(p)]
	at := &set[0]
	for i := range set {
		if set[i].count > 0 && set[i].hash == hash {
			return
		}
		if set[i].count == 0 || !set[i].newest {
			at = &set[i]
		}
	}
	for i := range set {
		set[i].newest = false
	}
	at.hash, at.count, at.newest = hash, uint8(len(leaves)), true
	copy(at.leaves[:], leaves)
}
