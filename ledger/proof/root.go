package proof

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/hufu-id/hufu"
)

// KV is one record of the state.
type KV struct {
	Key   []byte
	Value []byte
}

// Errors of [Root].
var (
	ErrEmptyRecord  = errors.New("proof: a record with an empty key or value")
	ErrDuplicateKey = errors.New("proof: two records with one key")
)

// Leaf is a record as the trie sees it.
type Leaf struct {
	KeyHash hufu.Digest
	Hash    hufu.Digest // of the key's and the value's
}

// NewLeaf is the leaf of a record whose key and value have these hashes.
func NewLeaf(keyHash, valueHash hufu.Digest) Leaf {
	return Leaf{KeyHash: keyHash, Hash: hashLeaf(&keyHash, valueHash)}
}

// LeafOf hashes one record.
func LeafOf(key, value []byte) Leaf {
	return NewLeaf(HashKey(key), HashValue(value))
}

// Root recomputes the root of a whole state from its records, in any order. It fails with
// [ErrEmptyRecord] or [ErrDuplicateKey].
func Root(records []KV) (hufu.Digest, error) {
	leaves := make([]Leaf, len(records))
	for i, r := range records {
		if len(r.Key) == 0 || len(r.Value) == 0 {
			return hufu.Digest{}, fmt.Errorf("%w (record %d)", ErrEmptyRecord, i)
		}
		leaves[i] = LeafOf(r.Key, r.Value)
	}
	slices.SortFunc(leaves, func(a, b Leaf) int { return bytes.Compare(a.KeyHash[:], b.KeyHash[:]) })
	for i := 1; i < len(leaves); i++ {
		if leaves[i].KeyHash == leaves[i-1].KeyHash {
			return hufu.Digest{}, ErrDuplicateKey
		}
	}
	return Subtree(leaves, 0).Hash, nil
}

// Prove proves keys of a whole state, given as its records in the order of SHA-256(key), as [Root] takes them. The
// proofs are those that [VerifyValue] takes.
func Prove(records []KV, keys [][]byte) [][]byte {
	leaves := make([]Leaf, len(records))
	for i, r := range records {
		leaves[i] = LeafOf(r.Key, r.Value)
	}
	at := func(i int) *Membership {
		if i < 0 || i >= len(records) {
			return nil
		}
		return &Membership{KV: records[i], Path: PathIn(leaves, 0, i, nil)}
	}
	out := make([][]byte, len(keys))
	for n, key := range keys {
		hash := HashKey(key)
		i, found := slices.BinarySearchFunc(leaves, hash, func(l Leaf, h hufu.Digest) int { return bytes.Compare(l.KeyHash[:], h[:]) })
		if found {
			out[n] = at(i).Encode()
		} else {
			out[n] = EncodeAbsence(key, at(i-1), at(i))
		}
	}
	return out
}

// Subtree is the subtree at depth that holds exactly these leaves. They are strictly sorted by
// KeyHash and agree on its first depth bits.
func Subtree(leaves []Leaf, depth int) Node {
	switch len(leaves) {
	case 0:
		return Node{}
	case 1:
		return Node{Hash: leaves[0].Hash, Leaf: true}
	}
	mid := Split(leaves, depth)
	left, right := Subtree(leaves[:mid], depth+1), Subtree(leaves[mid:], depth+1)
	return Join(&left, &right)
}

// Split is the number of leaves that go left at depth.
func Split(leaves []Leaf, depth int) int {
	lo, hi := 0, len(leaves)
	for lo < hi {
		m := int(uint(lo+hi) >> 1)
		if Bit(&leaves[m].KeyHash, depth) == 0 {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// PathIn appends to path the steps from leaf number i of a subtree at depth up to that subtree's
// top.
func PathIn(leaves []Leaf, depth, i int, path []Step) []Step {
	if len(leaves) <= 1 {
		return path
	}
	mid := Split(leaves, depth)
	if i < mid {
		path = PathIn(leaves[:mid], depth+1, i, path)
		return append(path, Step{Sibling: Subtree(leaves[mid:], depth+1).Hash, OnRight: true})
	}
	path = PathIn(leaves[mid:], depth+1, i-mid, path)
	return append(path, Step{Sibling: Subtree(leaves[:mid], depth+1).Hash})
}
