package proof

import (
	"crypto/sha256"

	ics23 "github.com/cosmos/ics23/go"

	"github.com/hufu-id/hufu"
)

const (
	leafPrefix  = 0x00
	innerPrefix = 0x01
)

// HashKey is a key's place in the trie.
func HashKey(key []byte) hufu.Digest { return sha256.Sum256(key) }

// HashLeaf is the hash of the leaf for a record whose key hashes to keyHash.
func HashLeaf(keyHash hufu.Digest, value []byte) hufu.Digest {
	return hashLeaf(&keyHash, HashValue(value))
}

// HashValue is what a leaf knows of a record's value.
func HashValue(value []byte) hufu.Digest { return sha256.Sum256(value) }

func hashLeaf(keyHash *hufu.Digest, valueHash hufu.Digest) hufu.Digest {
	var buf [65]byte
	buf[0] = leafPrefix
	copy(buf[1:], keyHash[:])
	copy(buf[33:], valueHash[:])
	return sha256.Sum256(buf[:])
}

// HashInner is the hash of an inner node. Neither rule of the trie about empty children is applied:
// see [Node] for that.
func HashInner(left, right *hufu.Digest) hufu.Digest {
	var buf [65]byte
	buf[0] = innerPrefix
	copy(buf[1:], left[:])
	copy(buf[33:], right[:])
	return sha256.Sum256(buf[:])
}

// Node is a subtree seen from above: its hash, and whether it is a single leaf, which rises to its
// parent's place when its sibling is empty. The zero Node is the empty subtree.
type Node struct {
	Hash hufu.Digest
	Leaf bool
}

// Join is the subtree made of two halves.
func Join(left, right Node) Node {
	switch {
	case right.Hash == (hufu.Digest{}) && (left.Leaf || left.Hash == (hufu.Digest{})):
		return left
	case left.Hash == (hufu.Digest{}) && right.Leaf:
		return right
	}
	return Node{Hash: HashInner(&left.Hash, &right.Hash)}
}

// Bit is the bit of a key hash that decides at depth: 0 is the most significant.
func Bit(keyHash *hufu.Digest, depth int) int {
	return int(keyHash[depth>>3]>>(7-depth&7)) & 1
}

// Step is one level of a path from a leaf to the root.
type Step struct {
	Sibling hufu.Digest
	OnRight bool // the sibling is the right child
}

// Membership is a record and its path to the root, leaf first.
type Membership struct {
	KV
	Path []Step
}

// Encode writes the protobuf ics23.CommitmentProof that m's record is in the state.
func (m *Membership) Encode() ([]byte, error) {
	p := ics23.CommitmentProof{Proof: &ics23.CommitmentProof_Exist{Exist: m.message()}}
	return p.Marshal()
}

// EncodeAbsence writes the proof that key is in no record: its neighbours left and right in the
// order of key hashes, of which one is nil at an end of the trie. Both nil is the empty state,
// whose proof is empty.
func EncodeAbsence(key []byte, left, right *Membership) ([]byte, error) {
	if left == nil && right == nil {
		return nil, nil
	}
	absent := &ics23.NonExistenceProof{Key: key}
	if left != nil {
		absent.Left = left.message()
	}
	if right != nil {
		absent.Right = right.message()
	}
	p := ics23.CommitmentProof{Proof: &ics23.CommitmentProof_Nonexist{Nonexist: absent}}
	return p.Marshal()
}

func (m *Membership) message() *ics23.ExistenceProof {
	ops := make([]ics23.InnerOp, len(m.Path))
	path := make([]*ics23.InnerOp, len(m.Path))
	prefix := []byte{innerPrefix}
	for i := range m.Path {
		step := &m.Path[i]
		ops[i].Hash = ics23.HashOp_SHA256
		if step.OnRight {
			ops[i].Prefix, ops[i].Suffix = prefix, step.Sibling[:]
		} else {
			ops[i].Prefix = append([]byte{innerPrefix}, step.Sibling[:]...)
		}
		path[i] = &ops[i]
	}
	return &ics23.ExistenceProof{Key: m.Key, Value: m.Value, Leaf: Spec().LeafSpec, Path: path}
}
