package client

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
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
	// Witnesses are other nodes. Each header is compared with theirs before it is believed; one of them
	// takes over when the node asked first is away or lies.
	Witnesses []Transport
	// Conflict, if not nil, is told once of two headers that cannot both be: see [Evidence].
	Conflict func(*Evidence)
	// Store, if not empty, is the file in which the last verified header is kept, so that the next client
	// goes on from there. Several clients may share it: the one that is further on has the last word.
	Store string
	// Log, if not nil, is told of what a client copes with: witnesses that are away, a store that cannot be used.
	Log *slog.Logger
}

// Client is a verifying client of one network. Any number of goroutines may use it at once. It
// follows the chain from the first call on until Close.
type Client struct {
	peers []*peer // at least one
	rules proof.Rules
	now   func() time.Time
	told  func(*Evidence)
	store string
	log   *slog.Logger

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	start  sync.Once
	done   chan struct{} // the follower has ended

	work    sync.WaitGroup // transactions being offered, witnesses being asked again
	stapled atomic.Pointer[opened]

	mu      sync.Mutex
	trust   Trust
	chain   []*proof.LightBlock // from the trust to the trusted header, each verified by the one before
	leading int                 // which of peers is asked
	hurry   bool                // the next poll is not to wait for a block
	abort   context.CancelFunc  // ends the follower's step
	reports uint64              // of failures, so far
	trusted *proof.Trusted      // last verified header
	head    *hufu.AsOf          // nil before the first
	failure error               // what keeps the follower from going on, nil when nothing does
	changed chan struct{}       // closed and replaced when head or failure change
	waiting map[hufu.Digest]*waiter
	cache   *cache              // proven records of the head's app hash
	recent  []hufu.AsOf         // the last verified states, oldest first
	wanted  map[hufu.Height]int // heights whose headers must not be skipped, by how many want them
	polls   polls

	// The follower's own:
	found   []found   // in the trusted block, results not verified
	settled []settled // outcomes proven by the header being accepted
	saved   time.Time // when the store was last written
}

// New returns a client that will believe trust and nothing else. It talks to the node from the
// first call on, not yet here.
func New(trust Trust, t Transport, o Options) (*Client, error) {
	if err := trust.check(); err != nil {
		return nil, err
	}
	c := &Client{
		trust: trust, now: o.Now, told: o.Conflict, store: o.Store, log: o.Log,
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
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	for _, t := range append([]Transport{t}, o.Witnesses...) {
		c.peers = append(c.peers, &peer{Transport: bounded{t}, origin: t, number: len(c.peers)})
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Network is the network the client belongs to.
func (c *Client) Network() hufu.Network { return c.rules.Network }

// Close ends the client and everything that waits on it. It does not close the transports.
func (c *Client) Close() error {
	c.mu.Lock() // no offer begins after this
	c.cancel()
	c.mu.Unlock()
	c.start.Do(func() { close(c.done) })
	<-c.done
	c.work.Wait()
	c.save(true)
	return nil
}

// Head is the newest state that a node could show to be signed.
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

// Rebase makes the last verified header what the client's snapshots and its store begin at from now on,
// and returns it: the trust to give to later clients.
func (c *Client) Rebase(ctx context.Context) (Checkpoint, error) {
	if _, err := c.Head(ctx); err != nil {
		return Checkpoint{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.chain) == 0 {
		return Checkpoint{}, ErrClosed
	}
	c.chain = c.chain[len(c.chain)-1:]
	point := Checkpoint{Height: c.trusted.Height, Hash: c.trusted.Hash}
	c.trust.Checkpoint = &point
	return point, nil
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
