package store

import (
	"encoding/binary"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// What is found was kept under that very hash; the last two of a set are, and no set takes another's room.
func TestRecent(t *testing.T) {
	bucket := func(n uint64, count int) (hufu.Digest, []proof.Leaf) {
		leaves := make([]proof.Leaf, count)
		for i := range leaves {
			binary.BigEndian.PutUint64(leaves[i].KeyHash[:], n)
			leaves[i].Hash[0] = byte(i)
		}
		return hufu.Digest{byte(n), 1}, leaves
	}
	var r recent
	found := func(p place, n uint64) bool {
		hash, want := bucket(n, recentLeaves)
		return r.find(p, hash, func(leaves []proof.Leaf) {
			if len(leaves) != len(want) || leaves[7] != want[7] {
				t.Errorf("%d: %v", n, leaves)
			}
		})
	}
	at := func(set uint64) place { return place{path: set << (64 - segmentDepth - recentBits), depth: 13} }
	if found(at(0), 0) {
		t.Error("found in nothing")
	}
	for set := range uint64(1 << recentBits) {
		for n := range uint64(3) {
			hash, leaves := bucket(3*set+n, recentLeaves)
			r.keep(at(set), hash, leaves)
			r.keep(at(set), hash, leaves) // as nothing new
		}
	}
	for set := range uint64(1 << recentBits) {
		for n := range uint64(3) {
			if got := found(at(set), 3*set+n); got != (n > 0) {
				t.Errorf("bucket %d of set %d is kept: %v", n, set, got)
			}
		}
	}
	for _, count := range []int{0, recentLeaves + 1} {
		hash, leaves := bucket(200, count)
		r.keep(at(0), hash, leaves)
		if r.find(at(0), hash, func([]proof.Leaf) {}) {
			t.Errorf("a bucket of %d leaves is kept", count)
		}
	}
}
