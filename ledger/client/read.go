package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// View is the state of the ledger at one height. It satisfies state.Reader, so every query of the
// ledger's modules runs on it. Those of a [Client] are also state.Keepers: what a record was decoded to is
// kept as long as what was proven is.
type View interface {
	// Get is the value of key, nil when there is none. The slice must not be changed.
	Get(key []byte) ([]byte, error)
	// AsOf says for which state the view's answers hold.
	AsOf() hufu.AsOf
	// Network is the network the state belongs to.
	Network() hufu.Network
}

// maxAttempts bounds how often a read is run again because the state moved under it. Every attempt
// begins with all that the one before touched, so more than a few are only needed by a read whose
// keys depend on records that keep changing.
const maxAttempts = 64

// maxCached bounds the records kept for one app hash.
const maxCached = 1 << 17

// cache is what has been proven under one app hash.
type cache struct {
	root   hufu.Digest
	mu     sync.RWMutex
	proven map[string]proven
}

// proven is one key's value under an app hash, nil when it is absent, and what it was decoded to, nil when
// nobody asked yet.
type proven struct {
	value   []byte
	decoded any
}

func newCache(root hufu.Digest) *cache {
	return &cache{root: root, proven: map[string]proven{}}
}

func (k *cache) get(key []byte) (p proven, ok bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	p, ok = k.proven[string(key)]
	return p, ok
}

// keep notes what the value proven at key was decoded to. Under one app hash a key has one value.
func (k *cache) keep(key []byte, decoded any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if p, ok := k.proven[string(key)]; ok {
		k.proven[string(key)] = proven{p.value, decoded}
	}
}

func (k *cache) put(items []proof.Proven) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i := range items {
		if _, known := k.proven[string(items[i].Key)]; !known && len(k.proven) < maxCached {
			k.proven[string(items[i].Key)] = proven{value: items[i].Value}
		}
	}
}

// errMoved ends an attempt of a read: the state is no longer the one it began on.
var errMoved = errors.New("client: the state moved during the read")

// Read runs f on the newest state. Everything f reads holds at one height, the view's AsOf, and was
// proven. When the state moves before f has all it needs, f is run again on a newer one: it must have
// no effects before it returns nil. Errors of f are returned as they are; those of the node wrap
// [ErrUnreachable] or are refusals by client.* rules, and are returned even if f swallowed them.
func (c *Client) Read(ctx context.Context, f func(View) error) error {
	for tried := 1; ; tried++ {
		blamed, err := c.read(ctx, f)
		if blamed == nil || tried >= len(c.peers) || c.turn(ctx, blamed) != nil {
			return err
		}
	}
}

// read is Read with one node in the lead. An error that is this node's comes with it.
func (c *Client) read(ctx context.Context, f func(View) error) (*peer, error) {
	var (
		touched [][]byte
		on      *pinned
	)
	for range maxAttempts {
		if on == nil {
			var err error
			if on, err = c.newest(ctx); err != nil {
				return nil, err
			}
		}
		v := &view{client: c, ctx: ctx, pinned: *on, touched: touched}
		err := f(v)
		touched, on = v.touched, v.moved
		switch {
		case errors.Is(v.failure, errMoved):
			continue
		case v.failure != nil:
			return v.blamed, v.failure
		}
		return nil, err
	}
	return nil, errors.Join(ErrUnreachable, errMoved)
}

// pinned is a verified state and what is proven of it.
type pinned struct {
	asOf  hufu.AsOf
	known *cache
}

// Keep is state.Keeper's, of the views on this state.
func (p *pinned) Keep(key, _ []byte, decoded any) { p.known.keep(key, decoded) }

// newest is the head.
func (c *Client) newest(ctx context.Context) (*pinned, error) {
	if _, err := c.Head(ctx); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return &pinned{*c.head, c.cache}, nil
}

// view is one attempt of a read.
type view struct {
	client *Client
	ctx    context.Context
	pinned
	mu      sync.Mutex
	own     map[string][]byte // values of this attempt, past the cache's bound too
	touched [][]byte
	moved   *pinned // where to go on, when failure is errMoved
	failure error
	blamed  *peer // whose failure it is, or nil
}

func (v *view) AsOf() hufu.AsOf       { return v.asOf }
func (v *view) Network() hufu.Network { return v.client.Network() }

func (v *view) Get(key []byte) ([]byte, error) {
	value, _, err := v.Kept(key)
	return value, err
}

// Kept is state.Keeper's.
func (v *view) Kept(key []byte) (value []byte, decoded any, err error) {
	if p, ok := v.known.get(key); ok {
		v.touch(key)
		return p.value, p.decoded, nil
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failure != nil {
		return nil, nil, v.failure
	}
	if value, ok := v.own[string(key)]; ok {
		return value, nil, nil
	}
	if err := v.fetch(key); err != nil {
		v.failure = err
		return nil, nil, err
	}
	return v.own[string(key)], nil, nil
}

func (v *view) touch(key []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note(key)
}

func (v *view) note(key []byte) {
	if len(v.touched) >= proof.MaxKeysPerAnswer {
		return
	}
	if !slices.ContainsFunc(v.touched, func(k []byte) bool { return string(k) == string(key) }) {
		v.touched = append(v.touched, slices.Clone(key))
	}
}

// Prefetch implements [state.Prefetcher]: what is not proven yet is, with as few questions as may be.
func (v *view) Prefetch(keys [][]byte) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failure != nil {
		return v.failure
	}
	keys = slices.DeleteFunc(slices.Clone(keys), func(key []byte) bool {
		_, own := v.own[string(key)]
		_, known := v.known.get(key)
		return own || known
	})
	for some := range slices.Chunk(keys, proof.MaxKeysPerAnswer) {
		if err := v.fetch(some...); err != nil {
			v.failure = err
			return err
		}
	}
	return nil
}

// fetch proves keys, and with them in one answer all that this read has touched and is not proven yet:
// if the state moved meanwhile, that answer is the next attempt's start.
func (v *view) fetch(keys ...[]byte) error {
	ask := make([][]byte, len(keys))
	asked := make(map[string]bool, len(keys))
	for i, key := range keys {
		v.note(key)
		ask[i], asked[string(key)] = slices.Clone(key), true
	}
	for _, k := range v.touched {
		if asked[string(k)] {
			continue
		}
		_, proven := v.own[string(k)]
		_, cached := v.known.get(k)
		if (!proven && !cached || v.moving()) && len(ask) < proof.MaxKeysPerAnswer {
			ask = append(ask, k)
		}
	}
	answer, err := v.query(ask)
	if err != nil {
		return err
	}
	if v.own == nil {
		v.own = map[string][]byte{}
	}
	for i := range answer.Items {
		v.own[string(answer.Items[i].Key)] = answer.Items[i].Value
	}
	v.known.put(answer.Items)
	return nil
}

// query proves keys on this attempt's state. When the state has moved, the answer is the next attempt's start.
func (v *view) query(keys [][]byte) (*proof.Answer, error) {
	lead := v.client.lead()
	answer, err := v.client.prove(v.ctx, lead, keys)
	if err == nil && answer.Root != v.asOf.AppHash {
		if v.moved, err = v.client.adopt(v.ctx, v.asOf.Height, answer); err == nil {
			return nil, errMoved
		}
	}
	if err != nil && v.ctx.Err() == nil {
		v.blamed = lead
	}
	return answer, err
}

// moving reports whether the head has left this attempt's state, so that what is proven for it will
// have to be proven again.
func (v *view) moving() bool {
	v.client.mu.Lock()
	defer v.client.mu.Unlock()
	return v.client.head.AppHash != v.asOf.AppHash
}

// prove asks a node for keys and checks the proofs against the answer's root, which is not yet
// known to be signed.
func (c *Client) prove(ctx context.Context, node Transport, keys [][]byte) (*proof.Answer, error) {
	data, err := encoding.Marshal(keys)
	if err != nil {
		return nil, err
	}
	raw, err := node.Query(ctx, proof.PathProve, data)
	if err != nil {
		return nil, unreachable(err)
	}
	answer := new(proof.Answer)
	if err := encoding.Unmarshal(raw, answer); err != nil {
		return nil, hufu.Refuse(RuleBadProof, "not an answer: %v", err)
	}
	if err := answer.Verify(keys); err != nil {
		return nil, hufu.Refuse(RuleBadProof, "%v", err)
	}
	return answer, nil
}

// adopt waits until the header that commits to answer's root is verified, and makes the answer the
// start of the next attempt. The result is nil when the chain went on too fast to see that header.
//
// The answer is to a read of the state after height from, which the node has shown to be signed: an
// honest node has moved on since, never back.
func (c *Client) adopt(ctx context.Context, from hufu.Height, answer *proof.Answer) (*pinned, error) {
	if answer.Height <= from {
		return nil, hufu.Refuse(RuleBadRoot, "an answer for height %d, when height %d is known to have another app hash", answer.Height, from)
	}
	c.want(answer.Height+1, 1)
	defer c.want(answer.Height+1, -1)
	polled := uint64(0)
	for {
		c.mu.Lock()
		if polled == 0 {
			polled = c.polls.begun + 1
		}
		p := c.remembered(from, answer.Root)
		reached, changed, failure, polls := c.head.Height, c.changed, c.failure, c.polls
		c.mu.Unlock()
		switch {
		case p != nil:
			p.known.put(answer.Items)
			return p, nil
		case failure != nil:
			return nil, failure
		case reached == answer.Height:
			return nil, hufu.Refuse(RuleBadRoot, "the answer for height %d is not under that height's app hash", answer.Height)
		case reached > answer.Height:
			return nil, nil
		case polls.ended >= polled && polls.height < answer.Height:
			return nil, hufu.Refuse(RuleBadRoot, "an answer for height %d of a node at height %d", answer.Height, polls.height)
		case polls.idle >= halted:
			return nil, fmt.Errorf("%w: %w since height %d", ErrUnreachable, ErrHalted, polls.height)
		}
		if err := c.wait(ctx, changed); err != nil {
			return nil, err
		}
	}
}

// reach is Await for a height that an answer of the node claims.
func (c *Client) reach(ctx context.Context, height hufu.Height) (hufu.AsOf, error) {
	c.mu.Lock()
	polled := c.polls.begun + 1
	c.mu.Unlock()
	for {
		c.mu.Lock()
		head, changed, failure, polls := *c.head, c.changed, c.failure, c.polls
		c.mu.Unlock()
		switch {
		case failure != nil:
			return hufu.AsOf{}, failure
		case head.Height >= height:
			return head, nil
		case polls.ended >= polled && polls.height < height:
			return hufu.AsOf{}, hufu.Refuse(RuleBadRoot, "an answer for height %d of a node at height %d", height, polls.height)
		}
		if err := c.wait(ctx, changed); err != nil {
			return hufu.AsOf{}, err
		}
	}
}

// remembered is the verified state after height from that has this root, or nil.
func (c *Client) remembered(from hufu.Height, root hufu.Digest) *pinned {
	for i := len(c.recent) - 1; i >= 0 && c.recent[i].Height > from; i-- {
		if c.recent[i].AppHash != root {
			continue
		}
		p := &pinned{c.recent[i], c.cache}
		if c.cache.root != root {
			p.known = newCache(root)
		}
		return p
	}
	return nil
}

// want makes the follower not skip a height as long as somebody wants it.
func (c *Client) want(height hufu.Height, by int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wanted[height] += by; c.wanted[height] == 0 {
		delete(c.wanted, height)
	}
}
