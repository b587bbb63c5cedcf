package client

import (
	"context"
	"errors"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// nodeTimeout is how long a node may take over what is small. It is above what a node waits for a block
// (proof.PathAwait).
const nodeTimeout = 10 * time.Second

// peer is one of the nodes that a client knows. The one that leads is asked for everything; the others
// are witnesses.
type peer struct {
	Transport
	origin Transport // not bounded
	number int

	// Under the client's mutex:
	rest    time.Duration // 0: in good standing, its word on each header is waited for
	until   time.Time     // not asked again before
	agreed  hufu.Height   // the last height at which its header was the one verified
	probing bool
}

// bounded gives up on a node that keeps silent, so that another is asked, or what was proven before is used.
type bounded struct{ Transport }

func (b bounded) SignedHeader(ctx context.Context, height hufu.Height) (*proof.SignedHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	return b.Transport.SignedHeader(ctx, height)
}

func (b bounded) Validators(ctx context.Context, height hufu.Height) (proof.ValidatorSet, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	return b.Transport.Validators(ctx, height)
}

func (b bounded) Query(ctx context.Context, path string, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	return b.Transport.Query(ctx, path, data)
}

// errTurned ends a step because another node is to be asked.
var errTurned = errors.New("client: another node takes over")

// attempt is one step with the node in the lead.
func (c *Client) attempt() (*peer, error) {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	c.mu.Lock()
	lead := c.peers[c.leading]
	c.abort = cancel
	c.mu.Unlock()
	err := c.step(ctx, lead)
	if err != nil && ctx.Err() != nil {
		err = errTurned
	}
	return lead, err
}

func (c *Client) lead() *peer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peers[c.leading]
}

// pass makes the next node lead in place of p, and reports whether p did.
func (c *Client) pass(p *peer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.peers[c.leading] != p || len(c.peers) == 1 {
		return false
	}
	c.leading = (c.leading + 1) % len(c.peers)
	c.hurry = true
	c.announce()
	if c.abort != nil {
		c.abort()
	}
	return true
}

// turn makes another node than p lead and waits until that one has shown its height.
func (c *Client) turn(ctx context.Context, p *peer) error {
	if c.pass(p) {
		c.log.Warn("another node is asked", "node", p.number)
	}
	c.mu.Lock()
	polled, reports := c.polls.begun+1, c.reports
	c.mu.Unlock()
	for {
		c.mu.Lock()
		ended, failure, changed := c.polls.ended, c.failure, c.changed
		failed := c.reports != reports
		c.mu.Unlock()
		switch {
		case ended >= polled:
			return nil
		case failed && failure != nil:
			return failure
		}
		if err := c.wait(ctx, changed); err != nil {
			return err
		}
	}
}

// awaitTurn waits until another node than p leads. An error means that none will, for whoever waits.
func (c *Client) awaitTurn(ctx context.Context, p *peer) error {
	if len(c.peers) == 1 {
		return ErrUnreachable
	}
	for {
		c.mu.Lock()
		leads, changed := c.peers[c.leading] == p, c.changed
		c.mu.Unlock()
		if !leads {
			return nil
		}
		if err := c.wait(ctx, changed); err != nil {
			return err
		}
	}
}
