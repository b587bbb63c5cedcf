package client

import (
	"context"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// DefaultDrift is how far a header's time may be ahead of the client's clock.
const DefaultDrift = 10 * time.Second

// Options are a client's settings; the zero value is usable.
type Options struct {
	// Now is the clock; nil is the machine's. Only the trusting period and the drift depend on it.
	Now func() time.Time
	// Drift is how far a header's time may be ahead of Now; 0 is [DefaultDrift].
	Drift time.Duration
}

// Client is a verifying client of one network. Any number of goroutines may use it at once. It
// follows the chain from the first call on until Close.
type Client struct {
	trust     Trust
	transport Transport
	rules     proof.Rules
	now       func() time.Time

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	start  sync.Once
	done   chan struct{} // the follower has ended

	offers sync.WaitGroup // transactions being offered

	mu      sync.Mutex
	trusted *proof.Trusted // last verified header
	head    *hufu.AsOf     // nil before the first
	failure error          // what keeps the follower from going on, nil when nothing does
	changed chan struct{}  // closed and replaced when head or failure change
	waiting map[hufu.Digest]*waiter
	cache   *cache              // proven records of the head's app hash
	recent  []hufu.AsOf         // the last verified states, oldest first
	wanted  map[hufu.Height]int // heights whose headers must not be skipped, by how many want them
	polls   polls

	// The follower's own:
	found   []found   // in the trusted block, results not verified
	settled []settled // outcomes proven by the header being accepted
}

// New returns a client that will believe trust and nothing else. It talks to the node from the
// first call on, not yet here.
func New(trust Trust, t Transport, o Options) (*Client, error) {
	if err := trust.check(); err != nil {
		return nil, err
	}
	c := &Client{
		trust: trust, transport: t, now: o.Now,
		rules:   proof.Rules{Network: trust.Network, Period: trust.period(), Drift: o.Drift},
		done:    make(chan struct{}),
		changed: make(chan struct{}),
		waiting: map[hufu.Digest]*waiter{},
		wanted:  map[hufu.Height]int{},
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.rules.Drift == 0 {
		c.rules.Drift = DefaultDrift
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Network is the network the client belongs to.
func (c *Client) Network() hufu.Network { return c.trust.Network }

// Close ends the client and everything that waits on it. It does not close the transport.
func (c *Client) Close() error {
	c.mu.Lock() // no offer begins after this
	c.cancel()
	c.mu.Unlock()
	c.start.Do(func() { close(c.done) })
	<-c.done
	c.offers.Wait()
	return nil
}

// Head is the newest state that the node could show to be signed.
func (c *Client) Head(ctx context.Context) (hufu.AsOf, error) { return c.Await(ctx, 0) }

// Await waits until the head is at least at height and returns it. Time alone moves the head too: a
// network without transactions makes an empty block every few seconds.
func (c *Client) Await(ctx context.Context, height hufu.Height) (hufu.AsOf, error) {
	c.follow()
	for {
		c.mu.Lock()
		head, failure, changed := c.head, c.failure, c.changed
		c.mu.Unlock()
		switch {
		case failure != nil:
			return hufu.AsOf{}, failure
		case head != nil && head.Height >= height:
			return *head, nil
		}
		if err := c.wait(ctx, changed); err != nil {
			return hufu.AsOf{}, err
		}
	}
}

// Checkpoint is the last verified header, to be kept and given to a later client as its trust.
func (c *Client) Checkpoint(ctx context.Context) (Checkpoint, error) {
	if _, err := c.Head(ctx); err != nil {
		return Checkpoint{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return Checkpoint{Height: c.trusted.Height, Hash: c.trusted.Hash}, nil
}

func (c *Client) wait(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-c.ctx.Done():
		return ErrClosed
	}
}
