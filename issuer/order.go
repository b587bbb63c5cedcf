package issuer

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
	"math/bits"
)

// order is a secret permutation of the numbers below size: the order in which a list's entries are
// given. As it is a permutation, counting up never gives one twice; as its seed is secret, neighbours
// in time are no neighbours in the list. It needs no memory, however long the list.
//
// It is a Feistel network over an even number of bits, walked on while the result is not below size,
// which on average is less than four steps.
type order struct {
	size  uint64
	half  uint // bits of one half
	block cipher.Block
}

const (
	orderSeedLen = 16
	orderRounds  = 8
)

func newOrder(seed []byte, size uint64) (*order, error) {
	if len(seed) != orderSeedLen || size == 0 || size > 1<<32 {
		return nil, fmt.Errorf("issuer: no order of %d entries with a seed of %d bytes", size, len(seed))
	}
	block, err := aes.NewCipher(seed)
	if err != nil {
		return nil, err
	}
	return &order{size: size, half: uint(bits.Len64(size-1)+1) / 2, block: block}, nil
}

// at is the n-th entry to be given; n must be below the size.
func (o *order) at(n uint64) uint64 {
	return o.walk(n, o.step)
}

// position is the n of which entry is at(n): an entry was given if that many were. It must be below the size.
func (o *order) position(entry uint64) uint64 {
	return o.walk(entry, o.stepBack)
}

// walk takes steps from n, which is below the size, until one ends below it again.
func (o *order) walk(n uint64, step func(uint64) uint64) uint64 {
	if o.half == 0 {
		return 0
	}
	for {
		if n = step(n); n < o.size {
			return n
		}
	}
}

func (o *order) stepBack(n uint64) uint64 {
	mask := uint64(1)<<o.half - 1
	left, right := n>>o.half, n&mask
	var in, out [aes.BlockSize]byte
	for round := orderRounds - 1; round >= 0; round-- {
		in[0] = byte(round)
		binary.LittleEndian.PutUint64(in[8:], left)
		o.block.Encrypt(out[:], in[:])
		left, right = right^binary.LittleEndian.Uint64(out[:])&mask, left
	}
	return left<<o.half | right
}

func (o *order) step(n uint64) uint64 {
	mask := uint64(1)<<o.half - 1
	left, right := n>>o.half, n&mask
	var in, out [aes.BlockSize]byte
	for round := range orderRounds {
		in[0] = byte(round)
		binary.LittleEndian.PutUint64(in[8:], right)
		o.block.Encrypt(out[:], in[:])
		left, right = right, left^binary.LittleEndian.Uint64(out[:])&mask
	}
	return left<<o.half | right
}
