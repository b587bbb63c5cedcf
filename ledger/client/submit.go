package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Receipt says where a transaction is on the ledger. It was verified: the block's data hash holds
// the transaction and the next header's results hash holds its result.
type Receipt struct {
	Height hufu.Height `json:"height"`
	Index  int         `json:"index"` // in the block, from 0
	TxID   hufu.Digest `json:"tx"`
	Time   time.Time   `json:"time"` // of the block
}

// waiter is one Submit that waits for its transaction.
type waiter struct {
	expires hufu.Height
	found   bool // in a block whose results are not verified yet
	done    chan struct{}
	receipt Receipt
	err     error
}

func (w *waiter) resolve(r Receipt, err error) {
	w.receipt, w.err = r, err
	close(w.done)
}

// found is a waited-for transaction in the last verified block.
type found struct {
	w       *waiter
	receipt Receipt
	id      hufu.Digest
}

// settled is an outcome to be told once the header that proves it is the trusted one.
type settled struct {
	w       *waiter
	receipt Receipt
	err     error
}

// Submit offers a transaction and waits until it is on the ledger. When it returns, reads of this
// client see its effects. Many may run at once.
//
// A refusal by a rule is a *hufu.Refusal: proven by the results hash when Receipt.Height is set
// (the transaction is in that block and changed nothing but its author's sequence and quota), else
// the node's own word at admission. [RuleBusy] is waited out until ctx ends. Other errors wrap
// [ErrNotCommitted], [ErrUnknownOutcome], [ErrUnreachable] or are lies by client.* rules.
//
// Offering the same transaction again is safe: it takes effect once.
func (c *Client) Submit(ctx context.Context, raw []byte) (Receipt, error) {
	t, err := tx.Parse(raw, c.trust.Network)
	if err != nil {
		return Receipt{}, err
	}
	// The follower must be past the blocks of before: only new ones are searched.
	if _, err := c.Head(ctx); err != nil {
		return Receipt{}, err
	}
	id := t.ID()
	w, first, err := c.register(id, t.Payload.Expires)
	if err != nil {
		return Receipt{}, err
	}
	if first {
		if err := c.offer(ctx, id, w, raw); err != nil {
			return Receipt{}, err
		}
	}
	select {
	case <-w.done:
		return w.receipt, w.err
	case <-ctx.Done():
		c.forget(id, w)
		return Receipt{}, errors.Join(ErrUnknownOutcome, ctx.Err())
	case <-c.ctx.Done():
		return Receipt{}, errors.Join(ErrUnknownOutcome, ErrClosed)
	}
}

// register makes the follower look for a transaction. A second caller with the same one shares the
// first one's waiter.
func (c *Client) register(id hufu.Digest, expires hufu.Height) (w *waiter, first bool, err error) {
	if c.ctx.Err() != nil {
		return nil, false, ErrClosed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.waiting[id]; w != nil {
		return w, false, nil
	}
	w = &waiter{expires: expires, done: make(chan struct{})}
	c.waiting[id] = w
	return w, true, nil
}

func (c *Client) forget(id hufu.Digest, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[id] == w && !w.found {
		delete(c.waiting, id)
	}
}

// offer broadcasts until the node has room. An error is told to every caller that shares w.
func (c *Client) offer(ctx context.Context, id hufu.Digest, w *waiter, raw []byte) error {
	for {
		head, err := c.Head(ctx)
		if err == nil {
			var a Admission
			a, err = c.transport.Broadcast(ctx, raw)
			switch {
			case err != nil:
				err = unreachable(err)
			case a.Rule == "" || a.Rule == RuleKnown:
				return nil
			case a.Rule != RuleBusy:
				err = &hufu.Refusal{Rule: a.Rule, Detail: a.Detail}
			default:
				if _, err = c.Await(ctx, head.Height+1); err == nil {
					continue
				}
				err = errors.Join(&hufu.Refusal{Rule: a.Rule, Detail: a.Detail}, err)
			}
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.waiting[id] == w && !w.found {
			delete(c.waiting, id)
			w.resolve(Receipt{}, err)
			return err
		}
		return nil // it got into a block all the same
	}
}

// search looks for waited-for transactions in the block of b.
func (c *Client) search(b *proof.LightBlock, txs [][]byte) error {
	if root := proof.TransactionsRoot(txs); string(root[:]) != string(b.Header.DataHash) {
		return hufu.Refuse(RuleBadBlock, "the transactions of height %d are not those of its header", b.Header.Height)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, raw := range txs {
		id := hufu.Digest(sha256.Sum256(raw))
		w := c.waiting[id]
		if w == nil || w.found {
			continue
		}
		w.found = true
		c.found = append(c.found, found{w: w, id: id, receipt: Receipt{
			Height: b.Header.Height, Index: i, TxID: id, Time: b.Header.Time.UTC(),
		}})
	}
	return nil
}

// settle gives the transactions found in the block before b their results, which b commits to.
func (c *Client) settle(b *proof.LightBlock, results []Result) error {
	if len(c.found) == 0 {
		return nil
	}
	bare := make([]proof.Result, len(results))
	for i := range results {
		bare[i] = results[i].Result
	}
	if root := proof.ResultsRoot(bare); string(root[:]) != string(b.Header.LastResultsHash) {
		return hufu.Refuse(RuleBadResult, "the results of height %d are not those of the next header", b.Header.Height-1)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.found {
		s := settled{w: f.w, receipt: f.receipt}
		if f.receipt.Index >= len(results) {
			return hufu.Refuse(RuleBadResult, "height %d has no result %d", f.receipt.Height, f.receipt.Index)
		}
		if r := &results[f.receipt.Index]; r.Code != 0 {
			s.err = &hufu.Refusal{Rule: hufu.Rule(r.Data), Detail: r.Log}
		}
		delete(c.waiting, f.id)
		c.settled = append(c.settled, s)
	}
	c.found = nil
	return nil
}
