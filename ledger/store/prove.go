package store

import (
	"bytes"
	"errors"
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
	d.rows.RLock()
	defer d.rows.RUnlock()
	d.mu.RLock()
	defer d.mu.RUnlock()
	a := &Answer{Height: d.now.Height, Root: d.now.Root, Items: make([]Item, len(keys))}
	p := prover{store: d}
	for i, key := range keys {
		item, err := p.prove(key)
		if err != nil {
			return nil, errors.Join(err, p.reader.close())
		}
		a.Items[i] = item
	}
	return a, p.reader.close()
}

// prover reads one version, while the store's lock is held for reading.
type prover struct {
	store  *disk
	reader bucketReader
}

func (p *prover) prove(key []byte) (Item, error) {
	item := Item{Key: bytes.Clone(key)}
	kh := proof.HashKey(key)
	record, err := p.store.record(&kh)
	if err != nil {
		return item, err
	}
	if record.Value != nil {
		m, err := p.membership(&kh, record)
		if err != nil {
			return item, err
		}
		item.Value, item.Proof = record.Value, m.Encode()
		return item, nil
	}
	left, right, err := p.neighbours(&kh)
	if err != nil {
		return item, err
	}
	item.Proof = proof.EncodeAbsence(key, left, right)
	return item, nil
}

// neighbours are the records on both sides of a key hash that no record has.
func (p *prover) neighbours(kh *hufu.Digest) (left, right *proof.Membership, err error) {
	rows, err := p.reader.rows(p.store)
	if err != nil {
		return nil, nil, err
	}
	if rows.SeekGE(recordKey(kh)) {
		if right, err = p.here(rows); err != nil {
			return nil, nil, err
		}
	}
	if rows.SeekLT(recordKey(kh)) {
		if left, err = p.here(rows); err != nil {
			return nil, nil, err
		}
	}
	if err := rows.Error(); err != nil {
		return nil, nil, readError(err)
	}
	return left, right, nil
}

// here proves the record that the iterator is at, and may move it.
func (p *prover) here(rows *pebble.Iterator) (*proof.Membership, error) {
	kh := hufu.Digest(rows.Key()[1:])
	kv, err := recordHere(rows)
	if err != nil {
		return nil, err
	}
	return p.membership(&kh, proof.KV{Key: bytes.Clone(kv.Key), Value: bytes.Clone(kv.Value)})
}

func (p *prover) membership(kh *hufu.Digest, record proof.KV) (*proof.Membership, error) {
	above, depth, bucket := p.descend(kh)
	m := &proof.Membership{KV: record, Path: make([]proof.Step, 0, len(above)+4)}
	if bucket != nil {
		leaves, err := p.store.bucketLeaves(bucket, placeOf(kh, depth), &p.reader)
		if err != nil {
			return nil, err
		}
		at := slices.Index(leaves, proof.NewLeaf(*kh, proof.HashValue(record.Value)))
		if at < 0 {
			return nil, fmt.Errorf("%w: record of key %x is not what was committed", ErrCorrupt, m.Key)
		}
		m.Path = proof.PathIn(leaves, depth, at, m.Path)
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
