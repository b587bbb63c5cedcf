package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// The follower is one goroutine that verifies headers and is the only writer of trusted, head and
// cache. It skips heights by the light client's rules, except where somebody waits for a
// transaction or for the state of one height.

const (
	retryFirst = 20 * time.Millisecond
	retryMost  = 250 * time.Millisecond
	// recentStates is how many verified states are remembered, for answers that were overtaken.
	recentStates = 64
)

func (c *Client) follow() { c.start.Do(func() { go c.run() }) }

func (c *Client) run() {
	defer close(c.done)
	delay := retryFirst
	for c.ctx.Err() == nil {
		err := c.step(c.ctx)
		if c.ctx.Err() != nil {
			return
		}
		c.report(err)
		if err == nil {
			delay = retryFirst
			continue
		}
		timer := time.NewTimer(delay)
		select {
		case <-timer.C:
		case <-c.ctx.Done():
			timer.Stop()
		}
		delay = min(2*delay, retryMost)
	}
}

// report makes err, or its absence, what callers are told.
func (c *Client) report(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.failure == nil {
		return
	}
	c.failure = err
	c.announce()
	if hufu.RuleOf(err) == "" {
		return // the node may come back; those who wait for a transaction go on waiting
	}
	c.found = nil
	for id, w := range c.waiting {
		delete(c.waiting, id)
		w.resolve(Receipt{}, errors.Join(ErrUnknownOutcome, err))
	}
}

func (c *Client) announce() {
	close(c.changed)
	c.changed = make(chan struct{})
}

// step asks for the node's height, waiting there until it is above the one known, and verifies all
// headers up to it.
func (c *Client) step(ctx context.Context) error {
	if c.trusted == nil {
		t, err := c.begin(ctx)
		if err != nil {
			return err
		}
		c.mu.Lock()
		c.trusted = t
		c.mu.Unlock()
	}
	above := c.trusted.Height
	c.mu.Lock()
	if c.failure != nil && above > 0 {
		above-- // a node that is back says so at once, not with its next block
	}
	c.mu.Unlock()
	data, err := encoding.Marshal(above)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.polls.begun++
	poll := c.polls.begun
	c.mu.Unlock()
	raw, err := c.transport.Query(ctx, proof.PathAwait, data)
	if err != nil {
		return unreachable(err)
	}
	var height hufu.Height
	if err := encoding.Unmarshal(raw, &height); err != nil {
		return hufu.Refuse(RuleBadHeader, "the node's height is not a number")
	}
	for c.trusted.Height < height {
		if err := c.advance(ctx, c.next(height)); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.polls.ended, c.polls.height = poll, height
	c.announce()
	return nil
}

// polls counts the questions for the node's height, and holds the last answer that was followed to
// its end. An answer about a state is a lie if the node, asked for its height afterwards, is below.
type polls struct {
	begun, ended uint64
	height       hufu.Height
}

// begin is the first trust: the genesis, or the header of the checkpoint.
func (c *Client) begin(ctx context.Context) (*proof.Trusted, error) {
	if c.trust.Checkpoint == nil {
		t := proof.TrustGenesis(c.trust.GenesisTime, c.trust.Validators)
		return &t, nil
	}
	b, err := c.checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	t := b.Trust()
	return &t, nil
}

// checkpoint is the block of the trusted checkpoint.
func (c *Client) checkpoint(ctx context.Context) (*proof.LightBlock, error) {
	b, err := c.lightBlock(ctx, c.trust.Checkpoint.Height, nil)
	if err != nil {
		return nil, err
	}
	if b.Header.Hash() != c.trust.Checkpoint.Hash {
		return nil, hufu.Refuse(RuleBadHeader, "height %d is not the trusted checkpoint", b.Header.Height)
	}
	if hash := b.Validators.Hash(); string(hash[:]) != string(b.Header.ValidatorsHash) {
		return nil, hufu.Refuse(RuleBadValidators, "not the validators of height %d", b.Header.Height)
	}
	if err := proof.VerifyCommit(c.trust.Network, b.Validators, &b.SignedHeader); err != nil {
		return nil, lie(err)
	}
	return b, nil
}

// next is the height to verify now on the way to latest.
func (c *Client) next(latest hufu.Height) hufu.Height {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.waiting) > 0 {
		return c.trusted.Height + 1
	}
	to := latest
	for h := range c.wanted {
		if h > c.trusted.Height && h < to {
			to = h
		}
	}
	return to
}

// advance verifies the header at height and what follows from it for those who wait, and then makes
// it the trusted one.
func (c *Client) advance(ctx context.Context, height hufu.Height) error {
	c.mu.Lock()
	searching := len(c.waiting) > 0 && height == c.trusted.Height+1
	c.mu.Unlock()

	var (
		block   *proof.LightBlock
		txs     [][]byte
		results []Result
	)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		block, err = c.lightBlock(gctx, height, c.trusted)
		return err
	})
	if searching {
		group.Go(func() (err error) {
			txs, err = c.transport.Block(gctx, height)
			return unreachable(err)
		})
	}
	if len(c.found) > 0 {
		group.Go(func() (err error) {
			results, err = c.transport.Results(gctx, height-1)
			return unreachable(err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	if _, err := c.verify(ctx, *c.trusted, block); err != nil {
		return err
	}
	if len(c.found) > 0 {
		if err := checkResults(block, results); err != nil {
			return err
		}
	}
	if searching {
		if err := checkBlock(block, txs); err != nil {
			return err
		}
	}
	// Nothing can be refused any more.
	c.settle(results)
	if searching {
		c.search(block, txs)
	}
	c.accept(block)
	return nil
}

// accept makes b the trusted header and the state it commits to the head.
func (c *Client) accept(b *proof.LightBlock) {
	t, head := b.Trust(), b.Header.AsOf()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trusted, c.head, c.failure = &t, &head, nil
	if c.cache == nil || c.cache.root != head.AppHash {
		c.cache = newCache(head.AppHash)
	}
	c.recent = append(c.recent, head)
	if len(c.recent) > recentStates {
		c.recent = c.recent[1:]
	}
	for id, w := range c.waiting {
		if !w.found && w.expires <= t.Height {
			delete(c.waiting, id)
			w.resolve(Receipt{}, fmt.Errorf("%w at height %d", ErrNotCommitted, w.expires))
		}
	}
	for _, done := range c.settled {
		done.w.resolve(done.receipt, done.err)
	}
	c.settled = nil
	c.announce()
}

// lightBlock fetches the header at height. Validators are asked for only when they are not those
// of trusted.
func (c *Client) lightBlock(ctx context.Context, height hufu.Height, trusted *proof.Trusted) (*proof.LightBlock, error) {
	sh, err := c.transport.SignedHeader(ctx, height)
	if err != nil {
		return nil, unreachable(err)
	}
	if sh.Header.Height != height {
		return nil, hufu.Refuse(RuleBadHeader, "asked for height %d, given %d", height, sh.Header.Height)
	}
	b := &proof.LightBlock{SignedHeader: *sh}
	if trusted != nil {
		if hash := trusted.Validators.Hash(); string(hash[:]) == string(sh.Header.ValidatorsHash) {
			b.Validators = trusted.Validators
			return b, nil
		}
	}
	if b.Validators, err = c.transport.Validators(ctx, height); err != nil {
		return nil, unreachable(err)
	}
	return b, nil
}

// verify checks b from what is trusted, through heights between where the validators changed. The
// result is the blocks it went through, b last.
func (c *Client) verify(ctx context.Context, trusted proof.Trusted, b *proof.LightBlock) ([]*proof.LightBlock, error) {
	var path []*proof.LightBlock
	todo := []*proof.LightBlock{b}
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		err := c.rules.Verify(&trusted, next, c.now())
		switch {
		case err == nil:
			trusted = next.Trust()
			path = append(path, next)
			todo = todo[:len(todo)-1]
		case hufu.RuleOf(err) == proof.RuleDistant:
			middle, err := c.lightBlock(ctx, (trusted.Height+next.Header.Height)/2, &trusted)
			if err != nil {
				return nil, err
			}
			todo = append(todo, middle)
		default:
			return nil, lie(err)
		}
	}
	return path, nil
}

// lie names a refusal of package proof as one of a node's answer.
func lie(err error) error {
	var r *hufu.Refusal
	if !errors.As(err, &r) {
		return err
	}
	rule := RuleBadHeader
	switch r.Rule {
	case proof.RuleCommit, proof.RulePower:
		rule = RuleBadCommit
	case proof.RuleValidators:
		rule = RuleBadValidators
	case proof.RuleExpired:
		rule = RuleTrustExpired
	}
	return &hufu.Refusal{Rule: rule, Detail: r.Detail}
}

// unreachable wraps a transport's error, unless it already says what kind of lie it is.
func unreachable(err error) error {
	if err == nil || hufu.RuleOf(err) != "" {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
