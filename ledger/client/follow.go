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
	retryMost  = time.Second
	// recentStates is how many verified states are remembered, for answers that were overtaken.
	recentStates = 64
)

func (c *Client) follow() { c.start.Do(func() { go c.run() }) }

func (c *Client) run() {
	defer close(c.done)
	delay, tried := retryFirst, 0
	var worst error // of the nodes tried since one answered
	for c.ctx.Err() == nil {
		lead, err := c.attempt()
		switch {
		case c.ctx.Err() != nil:
			return
		case err == nil:
			c.report(nil)
			delay, tried, worst = retryFirst, 0, nil
			continue
		case errors.Is(err, errTurned):
			continue
		case hufu.RuleOf(err) == RuleConflict:
			c.report(err) // for good
			return
		}
		if worst == nil || hufu.RuleOf(worst) == "" {
			worst = err
		}
		c.pass(lead)
		if tried++; tried < len(c.peers) {
			continue // before anybody is told
		}
		c.report(worst)
		tried, worst = 0, nil
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
	if err != nil {
		c.reports++
	}
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

// step asks for the leading node's height, waiting there until it is above the one known, and verifies
// all headers up to it.
func (c *Client) step(ctx context.Context, lead *peer) error {
	if c.trusted == nil {
		if err := c.begin(ctx, lead); err != nil {
			return err
		}
	}
	above := c.trusted.Height
	c.mu.Lock()
	if above > 0 && (c.failure != nil || c.hurry || c.head == nil) {
		above-- // a node that is back, or new to this, says so at once, not with its next block
	}
	c.hurry = false
	c.mu.Unlock()
	data, err := encoding.Marshal(above)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.polls.begun++
	poll := c.polls.begun
	c.mu.Unlock()
	raw, err := lead.Query(ctx, proof.PathAwait, data)
	if err != nil {
		return unreachable(err)
	}
	var height hufu.Height
	if err := encoding.Unmarshal(raw, &height); err != nil {
		return hufu.Refuse(RuleBadHeader, "the node's height is not a number")
	}
	for c.trusted.Height < height {
		if err := c.advance(ctx, lead, c.next(height)); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if height < c.trusted.Height && (c.head == nil || len(c.peers) > 1) {
		return fmt.Errorf("%w: %w, at height %d when height %d was verified before", ErrUnreachable, ErrBehind, height, c.trusted.Height)
	}
	if c.head == nil && len(c.chain) > 0 { // nothing new since the store was written
		if ends := c.trusted.Time.Add(c.rules.Period); !ends.After(c.now()) {
			return hufu.Refuse(RuleTrustExpired, "trust in height %d ended at %s", c.trusted.Height, ends.UTC().Format(time.RFC3339))
		}
		head := c.chain[len(c.chain)-1].Header.AsOf()
		c.head, c.cache, c.recent = &head, newCache(head.AppHash), []hufu.AsOf{head}
	}
	c.polls.idle++
	if height > c.polls.height {
		c.polls.idle = 0
	}
	c.polls.ended, c.polls.height = poll, height
	c.announce()
	return nil
}

// polls counts the questions for the node's height, and holds the last answer that was followed to
// its end. An answer about a state is a lie if the node, asked for its height afterwards, is below.
type polls struct {
	begun, ended uint64
	height       hufu.Height
	idle         int // answers since the height last grew
}

// halted is from how many polls without a block on, of some seconds each, no block is waited for any more: a
// network that is well makes one at least every few seconds.
const halted = 3

// begin is the first trust: what the store says, the genesis, or the header of the checkpoint.
func (c *Client) begin(ctx context.Context, lead *peer) error {
	chain := c.load()
	if chain == nil && c.trust.Checkpoint != nil {
		b, err := c.checkpoint(ctx, lead)
		if err != nil {
			return err
		}
		chain = []*proof.LightBlock{b}
	}
	t := proof.TrustGenesis(c.trust.GenesisTime, c.trust.Validators)
	if len(chain) > 0 {
		t = chain[len(chain)-1].Trust()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trusted, c.chain = &t, chain
	return nil
}

// checkpoint is the block of the trusted checkpoint.
func (c *Client) checkpoint(ctx context.Context, node Transport) (*proof.LightBlock, error) {
	b, err := c.lightBlock(ctx, node, c.trust.Checkpoint.Height, nil)
	if err != nil {
		return nil, err
	}
	if b.Header.Hash() != c.trust.Checkpoint.Hash {
		return nil, hufu.Refuse(RuleBadHeader, "height %d is not the trusted checkpoint", b.Header.Height)
	}
	if hash := b.Validators.Hash(); string(hash[:]) != string(b.Header.ValidatorsHash) {
		return nil, hufu.Refuse(RuleBadValidators, "not the validators of height %d", b.Header.Height)
	}
	if err := proof.VerifyCommit(c.rules.Network, b.Validators, &b.SignedHeader); err != nil {
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
func (c *Client) advance(ctx context.Context, lead *peer, height hufu.Height) error {
	c.mu.Lock()
	searching := len(c.waiting) > 0 && height == c.trusted.Height+1
	c.mu.Unlock()

	var (
		block   *proof.LightBlock
		txs     [][]byte
		results []Result
	)
	heard := c.consult(ctx, lead, height)
	group, gctx := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		block, err = c.lightBlock(gctx, lead, height, c.trusted)
		return err
	})
	if searching {
		group.Go(func() (err error) {
			txs, err = lead.Block(gctx, height)
			return unreachable(err)
		})
	}
	if len(c.found) > 0 {
		group.Go(func() (err error) {
			results, err = lead.Results(gctx, height-1)
			return unreachable(err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	path, err := c.verify(ctx, lead, *c.trusted, block)
	if err != nil {
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
	if err := c.compare(ctx, heard, path); err != nil {
		return err
	}
	// Nothing can be refused any more.
	c.settle(results)
	if searching {
		c.search(block, txs)
	}
	c.accept(path)
	c.save(false)
	return nil
}

// accept makes the end of a verified path the trusted header and the state it commits to the head.
func (c *Client) accept(path []*proof.LightBlock) {
	b := path[len(path)-1]
	t, head := b.Trust(), b.Header.AsOf()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.trusted, c.head, c.failure = &t, &head, nil
	c.chain = c.shorten(append(c.chain[:len(c.chain):len(c.chain)], path...), maxChain)
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
func (c *Client) lightBlock(ctx context.Context, node Transport, height hufu.Height, trusted *proof.Trusted) (*proof.LightBlock, error) {
	sh, err := node.SignedHeader(ctx, height)
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
	if b.Validators, err = node.Validators(ctx, height); err != nil {
		return nil, unreachable(err)
	}
	return b, nil
}

// verify checks b from what is trusted, through heights between where the validators changed. The
// result is the blocks it went through, b last.
func (c *Client) verify(ctx context.Context, node Transport, trusted proof.Trusted, b *proof.LightBlock) ([]*proof.LightBlock, error) {
	var failed error
	path, err := c.rules.Path(trusted, b, c.now, func(height hufu.Height, trusted *proof.Trusted) (between *proof.LightBlock, err error) {
		between, failed = c.lightBlock(ctx, node, height, trusted)
		return between, failed
	})
	if failed != nil {
		return nil, failed
	}
	return path, lie(err)
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
	if err == nil || hufu.RuleOf(err) != "" || errors.Is(err, ErrNotKept) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnreachable, err)
}
