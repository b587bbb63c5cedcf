package bench

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// records are those numbered 0 … n-1, in the order that a store is restored in. Of a record its number is kept,
// what it consists of is made anew each time.
type records struct {
	valueSize int
	parts     [256][]uint32 // by the first byte of the key hash, and then in the order of it
	root      hufu.Digest
}

// newRecords sorts n records and computes the root of a state that has them, on all cores.
func newRecords(ctx context.Context, n, valueSize int) (*records, error) {
	r := &records{valueSize: valueSize}
	workers := runtime.GOMAXPROCS(0)
	found := make([][256][]uint32, workers) // by each worker
	inTurn(workers, workers, func(w int) {
		for i := range &found[w] {
			found[w][i] = make([]uint32, 0, n/workers/256*11/10+8)
		}
		for number := w; number < n && ctx.Err() == nil; number += workers {
			kh := proof.HashKey(storeKey(number))
			found[w][kh[0]] = append(found[w][kh[0]], uint32(number))
		}
	})
	var level [512]proof.Node // as a heap: 1 is the root, parts are from 256
	inTurn(workers, len(r.parts), func(i int) {
		if ctx.Err() != nil {
			return
		}
		var numbers []uint32
		for w := range found {
			numbers = append(numbers, found[w][i]...)
			found[w][i] = nil
		}
		level[256+i] = r.sort(i, numbers)
	})
	for i := 255; i > 0; i-- {
		level[i] = proof.Join(&level[2*i], &level[2*i+1])
	}
	r.root = level[1].Hash
	return r, ctx.Err()
}

// sort makes a part of numbers in no order and returns the top of its trie.
func (r *records) sort(part int, numbers []uint32) proof.Node {
	type placed struct {
		first uint64 // bytes of the key hash
		at    uint32 // in numbers and hashes
	}
	order, hashes := make([]placed, len(numbers)), make([]hufu.Digest, len(numbers))
	for i, number := range numbers {
		hashes[i] = proof.HashKey(storeKey(int(number)))
		order[i] = placed{binary.BigEndian.Uint64(hashes[i][:]), uint32(i)}
	}
	slices.SortFunc(order, func(a, b placed) int {
		if a.first != b.first {
			return cmp.Compare(a.first, b.first)
		}
		return bytes.Compare(hashes[a.at][:], hashes[b.at][:])
	})
	leaves := make([]proof.Leaf, len(order))
	r.parts[part] = make([]uint32, len(order))
	value := make([]byte, r.valueSize)
	for i, p := range order {
		r.parts[part][i] = numbers[p.at]
		r.value(value, numbers[p.at])
		leaves[i] = proof.NewLeaf(hashes[p.at], proof.HashValue(value))
	}
	return proof.Subtree(leaves, 8)
}

// value makes the value of record number.
func (r *records) value(value []byte, number uint32) {
	fillValue(value, rand.NewPCG(uint64(number), 11))
}

// all yields every record, each in the memory of the one before.
func (r *records) all(ctx context.Context, p Progress) iter.Seq2[proof.KV, error] {
	return func(yield func(proof.KV, error) bool) {
		value := make([]byte, r.valueSize)
		for i := range r.parts {
			if err := ctx.Err(); err != nil {
				yield(proof.KV{}, err)
				return
			}
			for _, number := range r.parts[i] {
				r.value(value, number)
				if !yield(proof.KV{Key: storeKey(int(number)), Value: value}, nil) {
					return
				}
			}
			p.done(len(r.parts[i]))
		}
	}
}

// fillValue makes a value that does not compress; the last bytes of one that is no multiple of 8 stay.
func fillValue(value []byte, random interface{ Uint64() uint64 }) {
	for j := 0; j+8 <= len(value); j += 8 {
		binary.BigEndian.PutUint64(value[j:], random.Uint64())
	}
}

// inTurn runs job for 0 … jobs-1 on so many goroutines.
func inTurn(workers, jobs int, job func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < jobs; i = int(next.Add(1)) - 1 {
				job(i)
			}
		})
	}
	wg.Wait()
}
