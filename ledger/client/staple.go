package client

import (
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// Limits of a staple.
const (
	MaxStaple        = 96 << 10 // bytes
	maxStapleHeaders = 16       // the newest, when more lead to the state
	maxStapleProofs  = 64
)

// StapleBehind is how much older than the newest header that a client has verified the state of a staple may be: more,
// and whoever cuts a client off could take it back to before something that it knows of.
const StapleBehind = 30 * time.Second

// Staple is what one party shows another so that it need ask no node: proofs of some records of one state, and
// signed headers that lead to it.
type Staple struct {
	AsOf  hufu.AsOf
	Bytes []byte // for [Client.OpenStaple]
}

// stapleWire is a staple as it travels, in deterministic CBOR.
type stapleWire struct {
	Headers [][]byte `cbor:"1,keyasint"` // light blocks, each further on than the one before; the last signs the state
	Proofs  [][]byte `cbor:"2,keyasint"` // ICS-23, each of one record or of the absence of one
}

func newStaple(path []*proof.LightBlock, proofs [][]byte) (*Staple, error) {
	path = path[max(0, len(path)-maxStapleHeaders):]
	w := stapleWire{Proofs: proofs}
	for _, b := range path {
		raw, err := b.Encode()
		if err != nil {
			return nil, err
		}
		w.Headers = append(w.Headers, raw)
	}
	raw, err := encoding.Marshal(&w)
	if err != nil {
		return nil, err
	}
	if len(proofs) > maxStapleProofs || len(raw) > MaxStaple {
		return nil, fmt.Errorf("client: a staple of %d proofs, %d bytes", len(proofs), len(raw))
	}
	return &Staple{AsOf: path[len(path)-1].Header.AsOf(), Bytes: raw}, nil
}

// parseStaple reads a staple. Nothing in it is verified yet.
func parseStaple(raw []byte) (path []*proof.LightBlock, proofs [][]byte, err error) {
	if len(raw) > MaxStaple {
		return nil, nil, hufu.Refuse(RuleBadStaple, "a staple of more than %d bytes", MaxStaple)
	}
	var w stapleWire
	if err := encoding.Unmarshal(raw, &w); err != nil || len(w.Headers) == 0 || len(w.Headers) > maxStapleHeaders || len(w.Proofs) > maxStapleProofs {
		return nil, nil, hufu.Refuse(RuleBadStaple, "it does not read as a staple")
	}
	for _, raw := range w.Headers {
		b, err := proof.ParseLightBlock(raw)
		if err != nil {
			return nil, nil, hufu.Refuse(RuleBadStaple, "a header of the staple does not read as one")
		}
		if n := len(path); n > 0 && b.Header.Height <= path[n-1].Header.Height {
			return nil, nil, hufu.Refuse(RuleBadStaple, "the headers of the staple do not lead on")
		}
		path = append(path, b)
	}
	return path, w.Proofs, nil
}

// recorder is a view that remembers what was read of it.
type recorder struct {
	View
	keys [][]byte
}

func (r *recorder) Get(key []byte) ([]byte, error) {
	if !slices.ContainsFunc(r.keys, func(k []byte) bool { return string(k) == string(key) }) {
		r.keys = append(r.keys, slices.Clone(key))
	}
	return r.View.Get(key)
}

// Staple runs read as [Client.Read] does, and returns the proofs of all that it read.
func (c *Client) Staple(ctx context.Context, read func(View) error) (*Staple, error) {
	var (
		asOf   hufu.AsOf
		proofs [][]byte
	)
	err := c.Read(ctx, func(of View) error {
		v := of.(*view) //nolint:forcetypeassert // Read makes them
		r := recorder{View: v}
		if err := read(&r); err != nil {
			return err
		}
		var err error
		proofs, err = v.proofs(r.keys)
		asOf = v.asOf
		return err
	})
	if err != nil {
		return nil, err
	}
	path, err := c.path(ctx, asOf.Height+1)
	if err != nil {
		return nil, err
	}
	return newStaple(path, proofs)
}

// proofs is what proves keys, known or not, on this attempt's state.
func (v *view) proofs(keys [][]byte) ([][]byte, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.failure != nil {
		return nil, v.failure
	}
	var out [][]byte
	for some := range slices.Chunk(keys, proof.MaxKeysPerAnswer) {
		answer, err := v.query(some)
		if err != nil {
			v.failure = err
			return nil, err
		}
		for i := range answer.Items {
			out = append(out, answer.Items[i].Proof)
		}
	}
	return out, nil
}

// Staple is [Client.Staple] of the snapshot's state.
func (s *Snapshot) Staple(read func(View) error) (*Staple, error) {
	r := recorder{View: s}
	if err := read(&r); err != nil {
		return nil, err
	}
	records := make([]proof.KV, 0, len(s.records))
	for kv := range s.Records() {
		records = append(records, kv)
	}
	return newStaple(s.path, proof.Prove(records, r.keys))
}

// Staple is [Client.Staple] for as long as a node can be reached, and else of the last snapshot.
func (s *Standby) Staple(ctx context.Context, read func(View) error) (*Staple, error) {
	staple, live := s.client.Staple(ctx, read)
	if !IsAway(live) || ctx.Err() != nil {
		return staple, live
	}
	snap, err := s.open()
	if err != nil {
		return nil, fmt.Errorf("%w; %w", live, err)
	}
	return snap.Staple(read)
}

// Stapled is the records of a staple that was verified: a [View] that knows only them.
type Stapled struct{ keptView }

// Missed reports whether something was read that is not in the staple. The reader was told so by an error.
func (s *Stapled) Missed() bool { return s.missed.Load() }

// OpenStaple verifies a staple from what the client trusts and has verified already, and asks no node. How old its state
// may be is for the caller to decide.
//
// What is wrong with a staple is a refusal: by [RuleBadStaple] for its form, [RuleStapleBehind] for its age compared with
// what the client knows, [RuleConflict] when its header and one that the client has verified cannot both be, or a rule of package
// proof. [proof.RuleDistant] says that the validators have changed too much since.
func (c *Client) OpenStaple(raw []byte) (*Stapled, error) {
	trust, own, err := c.foothold()
	if err != nil {
		return nil, err
	}
	sum := hufu.Digest(sha256.Sum256(raw))
	o := c.stapled.Load()
	if o == nil || o.sum != sum {
		path, proofs, err := parseStaple(raw)
		if err != nil {
			return nil, err
		}
		if err := c.leads(trust, own, path); err != nil {
			return nil, err
		}
		if o, err = open(path[len(path)-1].Header.AsOf(), proofs); err != nil {
			return nil, err
		}
		o.sum = sum
		c.stapled.Store(o)
	}
	if len(own) > 0 {
		if behind := own[len(own)-1].Header.Time.Sub(o.asOf.Time); behind > StapleBehind {
			return nil, hufu.Refuse(RuleStapleBehind, "it is of %s, and what was verified before is %s younger", o.asOf.Time.Format(time.RFC3339), behind.Round(time.Second))
		}
	}
	return &Stapled{keptView{pinned: o.pinned, network: c.Network()}}, nil
}

// opened is the staple that was opened last: those who come to one door after the other are shown the same.
type opened struct {
	sum hufu.Digest
	pinned
}

// open checks the proofs of a staple.
func open(asOf hufu.AsOf, proofs [][]byte) (*opened, error) {
	items := make([]proof.Proven, len(proofs))
	for i := range proofs {
		var err error
		if items[i].Key, items[i].Value, err = proof.Open(asOf.AppHash, proofs[i]); err != nil {
			return nil, err
		}
	}
	o := &opened{pinned: pinned{asOf, newCache(asOf.AppHash)}}
	o.known.put(items)
	return o, nil
}

// foothold is what the client has verified, without asking a node.
func (c *Client) foothold() (Trust, []*proof.LightBlock, error) {
	c.mu.Lock()
	trust, own, begun, failure := c.trust, c.chain, c.trusted != nil, c.failure
	c.mu.Unlock()
	switch rule := hufu.RuleOf(failure); {
	case c.ctx.Err() != nil:
		return trust, nil, ErrClosed
	case rule == RuleConflict || rule == RuleTrustExpired:
		return trust, nil, failure
	case !begun:
		own = c.load()
	}
	return trust, own, nil
}

// leads verifies that a path which somebody gave leads on from what the client has verified.
func (c *Client) leads(trust Trust, own, path []*proof.LightBlock) error {
	end := path[len(path)-1]
	at, shared := proof.TrustGenesis(trust.GenesisTime, trust.Validators), 0
	var other *proof.LightBlock // the header that the client itself has of that height
	for i, b := range own {
		if b.Header.Height < end.Header.Height {
			at, shared = b.Trust(), i+1
		} else if b.Header.Height == end.Header.Height {
			other = b
		}
	}
	now := c.now()
	if other != nil && other.Header.Hash() == end.Header.Hash() {
		at = other.Trust()
	} else if shared == 0 && trust.Checkpoint != nil {
		i := slices.IndexFunc(path, func(b *proof.LightBlock) bool { return b.Header.Height == trust.Checkpoint.Height })
		if i < 0 {
			return hufu.Refuse(proof.RuleDistant, "no header of it is the trusted checkpoint, and none after that is known")
		}
		var err error
		if at, err = trust.follow(path[i:i+1], c.rules, now); err != nil {
			return err
		}
	}
	if !at.Time.Add(c.rules.Period).After(now) {
		return hufu.Refuse(RuleTrustExpired, "trust in height %d ended at %s", at.Height, at.Time.Add(c.rules.Period).UTC().Format(time.RFC3339))
	}
	var second []*proof.LightBlock
	for at.Height < end.Header.Height {
		next, err := c.farthest(&at, path, now)
		if err != nil {
			return err
		}
		at, second = next.Trust(), append(second, next)
	}
	if other == nil || at.Hash == other.Header.Hash() {
		return nil
	}
	e, err := newEvidence(c.rules.Network, own[:shared], other, second)
	if err != nil {
		return err
	}
	return c.convict(e)
}

// farthest is the last block of a path that follows from what is trusted.
func (c *Client) farthest(t *proof.Trusted, path []*proof.LightBlock, now time.Time) (next *proof.LightBlock, err error) {
	for _, b := range slices.Backward(path) {
		if b.Header.Height <= t.Height {
			break
		}
		if err = c.rules.Verify(t, b, now); hufu.RuleOf(err) != proof.RuleDistant {
			return b, err
		}
	}
	return nil, err
}
