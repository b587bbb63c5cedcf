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

// waiter is a transaction that one Submit or several wait for.
type waiter struct {
	expires hufu.Height
	callers int                // who wait
	cancel  context.CancelFunc // ends the offering
	busy    error              // the node's refusal for want of room, until it has some
	found   bool               // in a block whose results are not verified yet
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
	t, err := tx.Parse(raw, c.Network())
	if err != nil {
		return Receipt{}, err
	}
	// The follower must be past the blocks of before: only new ones are searched.
	if _, err := c.Head(ctx); err != nil {
		return Receipt{}, err
	}
	id := t.ID()
	w, err := c.register(id, t.Payload.Expires, raw)
	if err != nil {
		return Receipt{}, err
	}
	defer c.leave(id, w)
	select {
	case <-w.done:
		return w.receipt, w.err
	case <-ctx.Done():
		return Receipt{}, errors.Join(ErrUnknownOutcome, c.noRoom(w), ctx.Err())
	case <-c.ctx.Done():
		return Receipt{}, errors.Join(ErrUnknownOutcome, ErrClosed)
	}
}

// register makes the follower look for a transaction, and offers it. A second caller with the same one
// shares the first one's waiter.
func (c *Client) register(id hufu.Digest, expires hufu.Height, raw []byte) (*waiter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}
	if w := c.waiting[id]; w != nil {
		w.callers++
		return w, nil
	}
	// The offering ends when the last caller is gone, not when the first one is.
	ctx, cancel := context.WithCancel(c.ctx)
	w := &waiter{expires: expires, callers: 1, cancel: cancel, done: make(chan struct{})}
	c.waiting[id] = w
	c.work.Go(func() {
		if err := c.offer(ctx, w, raw); err != nil && ctx.Err() == nil {
			c.fail(id, w, err)
		}
	})
	return w, nil
}

func (c *Client) leave(id hufu.Digest, w *waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w.callers--; w.callers > 0 {
		return
	}
	w.cancel()
	if c.waiting[id] == w && !w.found {
		delete(c.waiting, id)
	}
}

// offer broadcasts until a node has room. When another node takes the lead before the transaction is in a
// block, it is offered to that one, too: the first may have kept it to itself.
func (c *Client) offer(ctx context.Context, w *waiter, raw []byte) error {
	for failed := 0; ; {
		head, err := c.Head(ctx)
		if err != nil {
			return errors.Join(c.noRoom(w), err)
		}
		lead := c.lead()
		a, err := lead.Broadcast(ctx, raw)
		if err != nil {
			if failed++; failed < len(c.peers) && c.turn(ctx, lead) == nil {
				continue
			}
			return errors.Join(ErrUnknownOutcome, unreachable(err)) // it may have got there
		}
		failed = 0
		switch {
		case a.Rule == "" || a.Rule == RuleKnown:
			if err := c.awaitTurn(ctx, lead); err != nil {
				return nil //nolint:nilerr // nobody waits any more
			}
			continue
		case a.Rule != RuleBusy:
			return &hufu.Refusal{Rule: a.Rule, Detail: a.Detail}
		}
		c.mu.Lock()
		w.busy = &hufu.Refusal{Rule: a.Rule, Detail: a.Detail}
		c.mu.Unlock()
		if _, err := c.Await(ctx, head.Height+1); err != nil {
			return errors.Join(c.noRoom(w), err)
		}
	}
}

func (c *Client) noRoom(w *waiter) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.busy
}

// fail tells every caller of w an error, unless it got into a block all the same.
func (c *Client) fail(id hufu.Digest, w *waiter, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[id] == w && !w.found {
		delete(c.waiting, id)
		w.resolve(Receipt{}, err)
	}
}

// checkBlock holds the transactions of b against its header.
func checkBlock(b *proof.LightBlock, txs [][]byte) error {
	if root := proof.TransactionsRoot(txs); string(root[:]) != string(b.Header.DataHash) {
		return hufu.Refuse(RuleBadBlock, "the transactions of height %d are not those of its header", b.Header.Height)
	}
	return nil
}

// search looks for waited-for transactions in the block of b.
func (c *Client) search(b *proof.LightBlock, txs [][]byte) {
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
}

// checkResults holds the results of the block before b against b, which commits to them.
func checkResults(b *proof.LightBlock, results []Result) error {
	bare := make([]proof.Result, len(results))
	for i := range results {
		bare[i] = results[i].Result
	}
	if root := proof.ResultsRoot(bare); string(root[:]) != string(b.Header.LastResultsHash) {
		return hufu.Refuse(RuleBadResult, "the results of height %d are not those of the next header", b.Header.Height-1)
	}
	return nil
}

// settle gives the transactions found in the block before their results.
func (c *Client) settle(results []Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, f := range c.found {
		s := settled{w: f.w, receipt: f.receipt}
		switch {
		case f.receipt.Index >= len(results): // of a network whose validators signed too few
			s = settled{w: f.w, err: hufu.Refuse(RuleBadResult, "height %d has no result %d", f.receipt.Height, f.receipt.Index)}
		case results[f.receipt.Index].Code != 0:
			r := &results[f.receipt.Index]
			s.err = &hufu.Refusal{Rule: hufu.Rule(r.Data), Detail: r.Log}
		}
		delete(c.waiting, f.id)
		c.settled = append(c.settled, s)
	}
	c.found = nil
}
