package store

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

func (d *disk) Prove(keys [][]byte) (*Answer, error) {
	if err := d.running.enter(); err != nil {
		return nil, err
	}
	defer d.running.leave()
	for _, key := range keys {
		if err := checkRecord(key, nil, true); err != nil {
			return nil, err
		}
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	rows, err := d.recordRows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	a := &Answer{Height: d.now.Height, Root: d.now.Root, Items: make([]Item, len(keys))}
	p := prover{store: d, rows: rows}
	for i, key := range keys {
		if a.Items[i], err = p.prove(key); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// prover reads one version.
type prover struct {
	store  *disk
	rows   *pebble.Iterator
	leaves []proof.Leaf
	prefix [9]byte
}

func (p *prover) prove(key []byte) (Item, error) {
	item := Item{Key: bytes.Clone(key)}
	kh := proof.HashKey(key)
	found := p.rows.SeekGE(recordKey(&kh))
	if found && bytes.Equal(p.rows.Key()[1:], kh[:]) {
		m, err := p.membership()
		if err != nil {
			return item, err
		}
		item.Value = m.Value
		item.Proof, err = m.Encode()
		return item, err
	}
	left, right, err := p.neighbours(&kh, found)
	if err != nil {
		return item, err
	}
	item.Proof, err = proof.EncodeAbsence(key, left, right)
	return item, err
}

// neighbours are the records on both sides of a key hash that no record has.
func (p *prover) neighbours(kh *hufu.Digest, found bool) (left, right *proof.Membership, err error) {
	if found {
		if right, err = p.membership(); err != nil {
			return nil, nil, err
		}
	}
	if p.rows.SeekLT(recordKey(kh)) {
		if left, err = p.membership(); err != nil {
			return nil, nil, err
		}
	}
	if err := p.rows.Error(); err != nil {
		return nil, nil, readError(err)
	}
	return left, right, nil
}

// membership proves the record that the iterator is at, and moves it.
func (p *prover) membership() (*proof.Membership, error) {
	row, err := p.rows.ValueAndErr()
	if err != nil {
		return nil, readError(err)
	}
	kh := hufu.Digest(p.rows.Key()[1:])
	kv, err := decodeRecord(row)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	m := &proof.Membership{KV: proof.KV{Key: bytes.Clone(kv.Key), Value: bytes.Clone(kv.Value)}}
	above, depth, bucket := p.descend(&kh)
	m.Path = make([]proof.Step, 0, len(above)+4)
	if bucket != nil {
		if bucket.cached() != 0 {
			p.leaves = p.store.caches[kh[0]].read(bucket.cached(), p.leaves[:0])
		} else if p.leaves, err = readLeaves(p.rows, placeOf(&kh, depth), p.leaves[:0], p.prefix[:]); err != nil {
			return nil, err
		}
		at := slices.IndexFunc(p.leaves, func(l proof.Leaf) bool { return l.KeyHash == kh })
		if at < 0 {
			return nil, fmt.Errorf("%w: record of key %x is not in its bucket", ErrCorrupt, m.Key)
		}
		m.Path = proof.PathIn(p.leaves, depth, at, m.Path)
	}
	for _, step := range slices.Backward(above) {
		m.Path = append(m.Path, step)
	}
	return m, nil
}

// descend walks from the root towards a record that exists: to its bucket, at depth, or to where it
// stands alone and there is none.
func (p *prover) descend(kh *hufu.Digest) (above []proof.Step, depth int, bucket *node) {
	above = make([]proof.Step, 0, 32)
	step := func(left, right proof.Node) {
		if proof.Bit(kh, depth) == 0 {
			above = append(above, proof.Step{Sibling: right.Hash, OnRight: true})
		} else {
			above = append(above, proof.Step{Sibling: left.Hash})
		}
	}
	at := 1
	for ; depth < segmentDepth; depth++ {
		if p.store.crown[at].Leaf {
			return above, depth, nil
		}
		step(p.store.crown[2*at], p.store.crown[2*at+1])
		at = 2*at + proof.Bit(kh, depth)
	}
	seg, i := p.store.segs[kh[0]], uint32(0)
	for {
		n := &seg[i]
		kids := n.children()
		if n.seen().Leaf {
			return above, depth, nil
		}
		if kids == 0 {
			return above, depth, n
		}
		step(seg[kids].seen(), seg[kids+1].seen())
		i = kids + uint32(proof.Bit(kh, depth))
		depth++
	}
}
