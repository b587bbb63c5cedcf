package client

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/machine"
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

// Outcome is what became of a transaction, as [Client.Submit] says it.
type Outcome struct {
	Receipt Receipt
	Err     error
}

// waiter is a transaction that one caller or several wait for.
type waiter struct {
	id      hufu.Digest
	raw     []byte
	expires hufu.Height
	callers int       // who wait
	offered *offering // that it is part of
	taken   bool      // a node said that it waits for a block there
	busy    error     // the node's refusal for want of room, until it has some
	found   bool      // in a block whose results are not verified yet
	done    chan struct{}
	receipt Receipt
	err     error
}

// offering is transactions that are offered one after the other, in this order.
type offering struct {
	waiters []*waiter
	awaited int                // how many of them somebody waits for
	cancel  context.CancelFunc // ends the offering
}

func (w *waiter) resolve(r Receipt, err error) {
	w.receipt, w.err = r, err
	close(w.done)
}

// found is a waited-for transaction in the last verified block.
type found struct {
	w       *waiter
	receipt Receipt
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
	o := c.SubmitAll(ctx, [][]byte{raw}, nil)[0]
	return o.Receipt, o.Err
}

// SubmitAll is Submit for transactions that follow one another, as those of one author do: each is offered as
// soon as the node has taken the one before it, and all are waited for together. When one is refused at
// admission, those after it are not offered: their errors wrap [ErrNotOffered]. told, if not nil, is called
// with each outcome, in the order of raws.
func (c *Client) SubmitAll(ctx context.Context, raws [][]byte, told func(Outcome)) []Outcome {
	outcomes := make([]Outcome, len(raws))
	waiters, err := c.prepare(ctx, raws)
	defer c.leave(waiters)
	for i := range outcomes {
		switch {
		case i < len(waiters):
			outcomes[i] = c.outcome(ctx, waiters[i])
		case i > len(waiters):
			outcomes[i].Err = ErrNotOffered
		default:
			outcomes[i].Err = err
		}
		if told != nil {
			told(outcomes[i])
		}
	}
	return outcomes
}

// prepare begins the offering. With an error, it is of transactions up to the one that the error is about.
func (c *Client) prepare(ctx context.Context, raws [][]byte) ([]*waiter, error) {
	// The follower must be past the blocks of before: only new ones are searched.
	var failed error
	txs := make([]*tx.Tx, 0, len(raws))
	for _, raw := range raws {
		t, err := tx.Parse(raw, c.Network())
		if err != nil {
			failed = err
			break
		}
		txs = append(txs, t)
	}
	if len(txs) == 0 {
		return nil, failed
	}
	if _, err := c.Head(ctx); err != nil {
		return nil, err
	}
	waiters, err := c.register(txs)
	return waiters, errors.Join(err, failed)
}

func (c *Client) outcome(ctx context.Context, w *waiter) Outcome {
	select {
	case <-w.done:
		return Outcome{w.receipt, w.err}
	case <-ctx.Done():
		return Outcome{Err: errors.Join(ErrUnknownOutcome, c.noRoom(w), ctx.Err())}
	case <-c.ctx.Done():
		return Outcome{Err: errors.Join(ErrUnknownOutcome, ErrClosed)}
	}
}

// register makes the follower look for transactions, and offers them. A second caller with one of them shares
// the first one's waiter.
func (c *Client) register(txs []*tx.Tx) ([]*waiter, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		return nil, ErrClosed
	}
	// The offering ends when the last caller is gone, not when the first one is.
	ctx, cancel := context.WithCancel(c.ctx)
	o := &offering{cancel: cancel}
	waiters := make([]*waiter, len(txs))
	for i, t := range txs {
		w := c.waiting[t.ID()]
		if w == nil {
			w = &waiter{id: t.ID(), raw: t.Raw(), expires: t.Payload.Expires, offered: o, done: make(chan struct{})}
			c.waiting[w.id] = w
			o.waiters = append(o.waiters, w)
		}
		if w.callers++; w.callers == 1 {
			w.offered.awaited++
		}
		waiters[i] = w
	}
	if len(o.waiters) == 0 {
		cancel() // others offer them all
		return waiters, nil
	}
	c.work.Go(func() {
		defer cancel()
		c.offer(ctx, o.waiters)
	})
	return waiters, nil
}

func (c *Client) leave(waiters []*waiter) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range waiters {
		if w.callers--; w.callers > 0 {
			continue
		}
		if w.offered.awaited--; w.offered.awaited == 0 {
			w.offered.cancel()
		}
		if c.waiting[w.id] == w && !w.found {
			delete(c.waiting, w.id)
		}
	}
}

// offer broadcasts transactions in their order, each until a node has room. When another node takes the lead
// before they are in blocks, they are offered to that one, too: the first may have kept them to itself. So are
// those that a node took before one that it refused.
func (c *Client) offer(ctx context.Context, waiters []*waiter) {
	lead, next, failed := c.lead(), 0, 0
	giveUp := func(first, rest error) {
		c.giveUp(ctx, waiters[next:], first, rest)
		waiters = slices.DeleteFunc(waiters, c.decided)
		next = len(waiters)
	}
	for ctx.Err() == nil && len(waiters) > 0 {
		if l := c.lead(); l != lead {
			lead, next = l, 0
		}
		if next == len(waiters) {
			if c.awaitTurn(ctx, lead) != nil {
				return // nobody waits any more, or there is no other node
			}
			continue
		}
		w := waiters[next]
		if c.decided(w) {
			next++
			continue
		}
		head, err := c.Head(ctx)
		if err != nil {
			giveUp(errors.Join(c.noRoom(w), err), err)
			continue
		}
		a, err := lead.Broadcast(ctx, w.raw)
		if err != nil {
			if failed++; failed < len(c.peers) && c.turn(ctx, lead) == nil {
				continue
			}
			err = errors.Join(ErrUnknownOutcome, unreachable(err)) // it may have got there
			giveUp(err, err)
			continue
		}
		failed = 0
		switch {
		case c.takes(w, a):
			next++
		case a.Rule != RuleBusy:
			giveUp(&hufu.Refusal{Rule: a.Rule, Detail: a.Detail}, nil)
		default:
			if _, err := c.Await(ctx, head.Height+1); err != nil {
				giveUp(errors.Join(c.noRoom(w), err), err)
			}
		}
	}
}

// decided reports whether there is nothing to offer any more.
func (c *Client) decided(w *waiter) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-w.done:
		return true
	default:
		return w.found
	}
}

// takes notes a node's answer and reports whether w waits for a block there. To another node than the one that
// took it first, it may be in a block already that is not verified yet.
func (c *Client) takes(w *waiter, a Admission) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.Rule == RuleBusy {
		w.busy = &hufu.Refusal{Rule: a.Rule, Detail: a.Detail}
		return false
	}
	if a.Rule == "" || a.Rule == RuleKnown || w.taken && a.Rule == machine.RuleSequence {
		w.taken = true
		return true
	}
	return false
}

// giveUp tells those who wait for the first of waiters an error, and what becomes of the others: what no node
// took is offered to none any more, and of what one took rest is said, if not nil. What got into a block all
// the same is found.
func (c *Client) giveUp(ctx context.Context, waiters []*waiter, first, rest error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		return // nobody waits
	}
	for i, w := range waiters {
		err := first
		if i > 0 {
			if err = rest; !w.taken {
				err = ErrNotOffered
			}
		}
		if err != nil && c.waiting[w.id] == w && !w.found {
			delete(c.waiting, w.id)
			w.resolve(Receipt{}, err)
		}
	}
}

func (c *Client) noRoom(w *waiter) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return w.busy
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
		c.found = append(c.found, found{w: w, receipt: Receipt{
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
		delete(c.waiting, f.w.id)
		c.settled = append(c.settled, s)
	}
	c.found = nil
}
