package chaos

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/tx"
)

// block is one as a node has it.
type block struct {
	header  proof.Header
	txs     [][]byte
	results []client.Result
}

// chain is the blocks of a node from height 1 on.
type chain struct {
	node   string
	blocks []block
}

func (c *chain) last() hufu.Height           { return hufu.Height(len(c.blocks)) }
func (c *chain) at(height hufu.Height) block { return c.blocks[height-1] }
func (c *chain) has(height hufu.Height) bool { return height >= 1 && height <= c.last() }

// noEvidence is the evidence hash of a block that accuses nobody: of no data.
var noEvidence = sha256.Sum256(nil)

// checkChains compares what the nodes have: one chain, whole, of which every node has the same app hashes.
func checkChains(chains []chain) error {
	var errs []error
	first := &chains[0]
	for i := range chains {
		c := &chains[i]
		if c.last() != first.last() {
			return fmt.Errorf("%s was read to height %d and %s to %d", first.node, first.last(), c.node, c.last())
		}
		for j := range c.blocks {
			b, same := &c.blocks[j], &first.blocks[j]
			switch {
			case b.header.Height != hufu.Height(j+1):
				errs = append(errs, fmt.Errorf("%s has height %d in place of %d", c.node, b.header.Height, j+1))
			case !bytes.Equal(b.header.AppHash, same.header.AppHash):
				errs = append(errs, fmt.Errorf("height %d: %s has app hash %x and %s has %x", j+1, first.node, same.header.AppHash, c.node, b.header.AppHash))
			case b.header.Hash() != same.header.Hash():
				errs = append(errs, fmt.Errorf("height %d: a fork: %s has %s and %s has %s", j+1, first.node, same.header.Hash(), c.node, b.header.Hash()))
			}
			if hash := b.header.Hash(); j+1 < len(c.blocks) && !bytes.Equal(c.blocks[j+1].header.LastBlockID.Hash, hash[:]) {
				errs = append(errs, fmt.Errorf("height %d: %s has a block that does not follow the one before", j+2, c.node))
			}
			if root := proof.TransactionsRoot(b.txs); !bytes.Equal(root[:], b.header.DataHash) {
				errs = append(errs, fmt.Errorf("height %d: %s has other transactions than its header", j+1, c.node))
			}
		}
	}
	return errors.Join(errs...)
}

// checkAccused wants evidence against validators in the chain, or none.
func checkAccused(c *chain, want bool) error {
	var at []hufu.Height
	for i := range c.blocks {
		if !bytes.Equal(c.blocks[i].header.EvidenceHash, noEvidence[:]) {
			at = append(at, c.blocks[i].header.Height)
		}
	}
	switch {
	case want && len(at) == 0:
		return errors.New("no block holds evidence against a validator")
	case !want && len(at) > 0:
		return fmt.Errorf("blocks %v hold evidence against a validator, and none cheated", at)
	}
	return nil
}

// checkLies wants another block wherever a lie was proposed.
func checkLies(c *chain, lies []lied) error {
	for _, l := range lies {
		if c.has(l.Height) && bytes.Equal(c.at(l.Height).header.DataHash, l.Root[:]) {
			return fmt.Errorf("height %d holds a lie: %s", l.Height, l.Name)
		}
	}
	return nil
}

// lied is what an evil proposer tells of a block it proposed.
type lied struct {
	Height hufu.Height `json:"height"`
	Name   string      `json:"name"`
	Rule   hufu.Rule   `json:"rule"` // by which it is refused
	Root   hufu.Digest `json:"root"` // of the transactions
}

// checkTimes wants the ledger's time to be what clocks showed while it ran, whoever's clock is off.
func checkTimes(c *chain, began, ended time.Time) error {
	for i := range c.blocks {
		// The first block's time is the genesis file's.
		if at := c.blocks[i].header.Time; i > 0 && (at.Before(began) || at.After(ended)) {
			return fmt.Errorf("height %d is of %s, and the network ran from %s to %s", i+1, at.UTC(), began.UTC(), ended.UTC())
		}
	}
	return nil
}

// checkOnce wants every acknowledged transaction where the client was told, and no transaction twice.
func checkOnce(c *chain, acks map[hufu.Digest]client.Receipt) error {
	type place struct {
		height hufu.Height
		index  int
	}
	var errs []error
	in := map[hufu.Digest]place{}
	for i := range c.blocks {
		for j, raw := range c.blocks[i].txs {
			id, here := hufu.Digest(sha256.Sum256(raw)), place{hufu.Height(i + 1), j}
			if before, ok := in[id]; ok {
				errs = append(errs, fmt.Errorf("transaction %s is there twice: %v and %v", id, before, here))
			}
			in[id] = here
		}
	}
	for id, r := range acks {
		if there, ok := in[id]; !ok {
			errs = append(errs, fmt.Errorf("transaction %s, acknowledged in block %d, is nowhere", id, r.Height))
		} else if there != (place{r.Height, r.Index}) {
			errs = append(errs, fmt.Errorf("transaction %s, acknowledged in block %d at %d, is in block %d at %d", id, r.Height, r.Index, there.height, there.index))
		} else if results := c.at(r.Height).results; r.Index >= len(results) || results[r.Index].Code != 0 {
			errs = append(errs, fmt.Errorf("transaction %s, acknowledged in block %d, was refused there", id, r.Height))
		}
	}
	return errors.Join(errs...)
}

// values are what each register was after each block, from what the blocks hold.
type values map[hufu.ID][]valueAt

type valueAt struct {
	height hufu.Height
	register
}

// registersOf follows the registers through the chain.
func registersOf(c *chain) (values, error) {
	out := values{}
	for i := range c.blocks {
		b := &c.blocks[i]
		for j, raw := range b.txs {
			t, err := tx.Parse(raw, b.header.Network)
			if err != nil {
				return nil, fmt.Errorf("height %d: %w", b.header.Height, err)
			}
			id := t.Payload.Author
			if j >= len(b.results) {
				return nil, fmt.Errorf("height %d has %d results for %d transactions", b.header.Height, len(b.results), len(b.txs))
			}
			switch body := t.Body.(type) {
			case *tx.DIDCreate:
				if b.results[j].Code == 0 {
					out[id] = []valueAt{{b.header.Height, register{sequence: 1}}}
				}
			case *tx.DIDUpdate:
				if b.results[j].Code == 0 && body.SetServices != nil && len(*body.SetServices) == 1 {
					out[id] = append(out[id], valueAt{b.header.Height, register{t.Payload.Sequence + 1, (*body.SetServices)[0].Endpoint}})
				}
			}
		}
	}
	return out, nil
}

// as of a height.
func (v values) as(id hufu.ID, of hufu.Height) (register, bool) {
	for i := len(v[id]) - 1; i >= 0; i-- {
		if v[id][i].height <= of {
			return v[id][i].register, true
		}
	}
	return register{}, false
}

// checkReads wants every proven read, through whichever node, to have given what the ledger has at the height it
// was proven for, under that height's app hash.
func checkReads(c *chain, ops []operation) error {
	v, err := registersOf(c)
	if err != nil {
		return err
	}
	for i := range ops {
		o := &ops[i]
		if o.write {
			continue
		}
		if !c.has(o.at + 1) {
			return fmt.Errorf("%s proved a read at height %d, and the chain ends at %d", o.through, o.at, c.last())
		}
		if root := c.at(o.at + 1).header.AppHash; !bytes.Equal(root, o.root[:]) {
			return fmt.Errorf("%s proved a read at height %d under app hash %s, which is %x", o.through, o.at, o.root, root)
		}
		if want, _ := v.as(o.register, o.at); want != o.was {
			return fmt.Errorf("%s proved %+v for register %x at height %d, where the blocks make it %+v", o.through, o.was, o.register, o.at, want)
		}
	}
	return nil
}

// checkFair wants 99 of 100 waits during something to be of at most twice as many blocks as before it, and one.
func checkFair(before, during []wait) error {
	blocks := func(w wait) hufu.Height { return w.blocks }
	if is, was := percentile(99, during, blocks), percentile(99, before, blocks); len(before) == 0 || len(during) == 0 || is > 2*was+1 {
		return fmt.Errorf("99 of 100 of %d transactions waited up to %d blocks, and up to %d (of %d) before", len(during), is, was, len(before))
	}
	return nil
}
