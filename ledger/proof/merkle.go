package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding"
	"encoding/binary"
	"math/bits"

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
	return hashPair(leafPrefix, keyHash, &valueHash)
}

// HashInner is the hash of an inner node. Neither rule of the trie about empty children is applied:
// see [Node] for that.
func HashInner(left, right *hufu.Digest) hufu.Digest { return hashPair(innerPrefix, left, right) }

// pairBits is the length in bits of what hashPair hashes, which SHA-256 pads to 128 bytes (FIPS 180-4 §5.1.1).
const pairBits = 8 * (1 + 32 + 32)

// hashPair is SHA-256 of a prefix and two digests, which is most of what a trie is made of. The padding is the same for all of
// them, so it is hashed with them in one piece and the sum is read off the digest's state: a third less time than by
// sha256.Sum256. The state begins by saying of what form it is.
func hashPair(prefix byte, a, b *hufu.Digest) hufu.Digest {
	const size = 2 * sha256.BlockSize
	padded := [size]byte{0: prefix, pairBits / 8: 0x80, size - 2: pairBits >> 8, size - 1: pairBits & 0xff}
	copy(padded[1:], a[:])
	copy(padded[33:], b[:])
	h := sha256.New()
	h.Write(padded[:])
	var buf [128]byte // a state is 108
	if h, ok := h.(encoding.BinaryAppender); ok {
		if state, err := h.AppendBinary(buf[:0]); err == nil && bytes.HasPrefix(state, []byte("sha\x03")) && len(state) >= 4+sha256.Size {
			return hufu.Digest(state[4 : 4+sha256.Size])
		}
	}
	return sha256.Sum256(padded[:pairBits/8])
}

// Node is a subtree seen from above: its hash, and whether it is a single leaf, which rises to its
// parent's place when its sibling is empty. The zero Node is the empty subtree.
type Node struct {
	Hash hufu.Digest
	Leaf bool
}

// Join is the subtree made of two halves.
func Join(left, right *Node) Node {
	switch {
	case right.Hash == (hufu.Digest{}) && (left.Leaf || left.Hash == (hufu.Digest{})):
		return *left
	case left.Hash == (hufu.Digest{}) && right.Leaf:
		return *right
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

// Encode writes the protobuf ics23.CommitmentProof that m's record is in the state. What it writes is
// what the library would, which [VerifyValue] insists on.
func (m *Membership) Encode() []byte {
	size := m.size()
	return m.append(appendTag(make([]byte, 0, size+maxTag), 1, size)) // exist
}

// EncodeAbsence writes the proof that key is in no record: its neighbours left and right in the
// order of key hashes, of which one is nil at an end of the trie. Both nil is the empty state,
// whose proof is empty.
func EncodeAbsence(key []byte, left, right *Membership) []byte {
	if left == nil && right == nil {
		return nil
	}
	size := tagged(len(key))
	for _, m := range [...]*Membership{left, right} {
		if m != nil {
			size += tagged(m.size())
		}
	}
	b := appendTag(make([]byte, 0, size+maxTag), 2, size) // nonexist
	b = append(appendTag(b, 1, len(key)), key...)
	for i, m := range [...]*Membership{left, right} {
		if m != nil {
			b = m.append(appendTag(b, 2+i, m.size()))
		}
	}
	return b
}

// Fields of ics23.ExistenceProof that are the same in every proof, with their tags.
const (
	leafOp  = "\x1a\x09\x08\x01\x10\x01\x18\x01\x2a\x01\x00" // leaf: SHA-256 three times, no length, the prefix of leaves
	onRight = "\x22\x27\x08\x01\x12\x01\x01\x1a\x20"         // path: SHA-256, prefix of inner nodes, and 32 bytes of suffix
	onLeft  = "\x22\x25\x08\x01\x12\x21\x01"                 // path: SHA-256, prefix of inner nodes with 32 bytes more
)

// size is the length of the ics23.ExistenceProof of m.
func (m *Membership) size() int {
	n := tagged(len(m.Key)) + tagged(len(m.Value)) + len(leafOp)
	for i := range m.Path {
		if m.Path[i].OnRight {
			n += len(onRight) + 32
		} else {
			n += len(onLeft) + 32
		}
	}
	return n
}

func (m *Membership) append(b []byte) []byte {
	b = append(appendTag(b, 1, len(m.Key)), m.Key...)
	b = append(appendTag(b, 2, len(m.Value)), m.Value...)
	b = append(b, leafOp...)
	for i := range m.Path {
		if m.Path[i].OnRight {
			b = append(b, onRight...)
		} else {
			b = append(b, onLeft...)
		}
		b = append(b, m.Path[i].Sibling[:]...)
	}
	return b
}

// maxTag is the most that a tag and a length take.
const maxTag = 1 + binary.MaxVarintLen32

// appendTag begins a protobuf field of length bytes.
func appendTag(b []byte, field, length int) []byte {
	return binary.AppendUvarint(append(b, byte(field<<3|2)), uint64(length))
}

// tagged is the length of a field of n bytes.
func tagged(n int) int { return 1 + (bits.Len(uint(n)|1)+6)/7 + n }
