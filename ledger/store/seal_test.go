package store

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// TestPageIsBelieved changes each bit of a page: it is believed as it was written, and for the bucket it was written for.
func TestPageIsBelieved(t *testing.T) {
	for _, count := range []int{1, 2, maxPage} {
		var leaves []proof.Leaf
		for i := range count {
			leaves = append(leaves, proof.LeafOf(fmt.Appendf(nil, "key %d", i), []byte("value")))
		}
		slices.SortFunc(leaves, func(a, b proof.Leaf) int { return bytes.Compare(a.KeyHash[:], b.KeyHash[:]) })
		bucket, other := proof.Subtree(leaves, 0).Hash, proof.Subtree(leaves[:count-1], 0).Hash
		page := appendPage([]byte("before"), &bucket, leaves)[len("before"):]
		if len(page) != pageSize(count) {
			t.Fatalf("%d bytes", len(page))
		}
		if got, ok := openPage(page, &bucket); !ok || !slices.Equal(got, leaves) {
			t.Errorf("%d leaves: %v, %v", count, got, ok)
		}
		for _, not := range []hufu.Digest{other, {}} {
			if _, ok := openPage(page, &not); ok {
				t.Error("believed for another bucket")
			}
		}
		for bit := range 8 * len(page) {
			page[bit/8] ^= 1 << (bit % 8)
			if _, ok := openPage(page, &bucket); ok {
				t.Errorf("believed with bit %d changed", bit)
			}
			page[bit/8] ^= 1 << (bit % 8)
		}
	}
}
