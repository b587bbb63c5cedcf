package client

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// A header is believed when no witness contradicts it (CometBFT light client specification, "Attack
// detection"). A witness in good standing is waited for, a moment; one that was away or talked nonsense is
// asked again later, beside the work, until it agrees.

const (
	witnessPatience = time.Second
	restFirst       = time.Second
	restMost        = time.Minute
)

// word is what a witness says about a height.
type word struct {
	from   *peer
	header *proof.SignedHeader
	err    error
}

// words are those that were asked about one height.
type words struct {
	height hufu.Height
	heard  chan word
	asked  int
}

// consult asks the witnesses in good standing for their header of a height.
func (c *Client) consult(ctx context.Context, lead *peer, height hufu.Height) *words {
	w := &words{height: height, heard: make(chan word, len(c.peers))}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		if p == lead || p.rest > 0 {
			continue
		}
		w.asked++
		c.work.Go(func() {
			header, err := headerOf(ctx, p, height)
			w.heard <- word{p, header, err}
		})
	}
	return w
}

// headerOf is a witness's header of a height, for which a witness that is a little behind is waited for.
func headerOf(ctx context.Context, p *peer, height hufu.Height) (*proof.SignedHeader, error) {
	ctx, cancel := context.WithTimeout(ctx, witnessPatience)
	defer cancel()
	sh, err := p.SignedHeader(ctx, height)
	if err == nil {
		return sh, nil
	}
	data, err := encoding.Marshal(height - 1)
	if err != nil {
		return nil, err
	}
	if _, err := p.Query(ctx, proof.PathAwait, data); err != nil {
		return nil, err
	}
	return p.SignedHeader(ctx, height)
}

// compare holds a verified path, whose end is to be believed, against what the witnesses say of it. The
// only refusal is by [RuleConflict], and it is final.
func (c *Client) compare(ctx context.Context, w *words, path []*proof.LightBlock) error {
	b := path[len(path)-1]
	hash := b.Header.Hash()
	for range w.asked {
		var said word
		select {
		case said = <-w.heard:
		case <-ctx.Done():
			return ctx.Err()
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case said.err != nil:
			c.disregard(said.from, said.err)
		case said.header.Header.Hash() == hash:
			c.mu.Lock()
			said.from.agreed = w.height
			c.mu.Unlock()
		default:
			e, err := c.examine(ctx, said.from, path)
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				c.disregard(said.from, err)
				continue
			}
			return c.convict(e)
		}
	}
	c.probe(w.height, hash)
	return nil
}

// disregard lets a witness rest, for longer each time.
func (c *Client) disregard(p *peer, why error) {
	c.mu.Lock()
	first := p.rest == 0
	p.rest = min(max(2*p.rest, restFirst), restMost)
	p.until = c.now().Add(p.rest)
	c.mu.Unlock()
	if first && c.ctx.Err() == nil {
		c.log.Warn("a witness does not confirm the ledger's headers", "node", p.number, "err", why)
	}
}

// probe asks the witnesses that have rested, without anybody waiting. One that disagrees is in good
// standing, too: what it says about the next header is examined.
func (c *Client) probe(height hufu.Height, hash hufu.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	for i, p := range c.peers {
		if i == c.leading || p.rest == 0 || p.probing || now.Before(p.until) || c.ctx.Err() != nil {
			continue
		}
		p.probing = true
		c.work.Go(func() {
			sh, err := headerOf(c.ctx, p, height)
			if err != nil {
				c.disregard(p, err)
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			p.probing = false
			if err != nil {
				return
			}
			p.rest = 0
			if sh.Header.Hash() == hash {
				p.agreed = height
			}
		})
	}
}

// examine finds out whether a witness's other header has to be taken seriously: whether it, too, follows
// by the light client's rules from a header that both sides share. The error says why not.
func (c *Client) examine(ctx context.Context, p *peer, path []*proof.LightBlock) (*Evidence, error) {
	c.mu.Lock()
	trust, ours := c.trust, slices.Concat(c.chain, path)
	c.mu.Unlock()
	// The last header that both sides have; before the first one is the genesis.
	shared := len(ours) - 2
	for ; shared >= 0; shared-- {
		sh, err := p.SignedHeader(ctx, ours[shared].Header.Height)
		if err != nil {
			return nil, err
		}
		if sh.Header.Hash() == ours[shared].Header.Hash() {
			break
		}
	}
	from := proof.TrustGenesis(trust.GenesisTime, trust.Validators)
	switch {
	case shared >= 0:
		from = ours[shared].Trust()
	case trust.Checkpoint != nil:
		return nil, hufu.Refuse(RuleBadHeader, "the witness does not have the trusted checkpoint")
	}
	first := ours[shared+1]
	theirs, err := c.lightBlock(ctx, p, first.Header.Height, nil)
	if err != nil {
		return nil, err
	}
	second, err := c.verify(ctx, p, from, theirs)
	if err != nil {
		return nil, err
	}
	return newEvidence(c.rules.Network, ours[:shared+1], first, second)
}

// convict ends all belief, and tells who has to know: the caller's function, which keeps the evidence,
// and the nodes, of which the honest ones put it on the ledger.
func (c *Client) convict(e *Evidence) error {
	c.log.Error("two headers of one height are signed", "height", e.Height())
	if c.told != nil {
		c.told(e)
	}
	for _, p := range c.peers {
		r, ok := p.origin.(reporter)
		if !ok {
			continue
		}
		c.work.Go(func() {
			ctx, cancel := context.WithTimeout(c.ctx, nodeTimeout)
			defer cancel()
			if _, err := r.HandIn(ctx, e); err != nil {
				c.log.Warn("a node does not take the evidence", "node", p.number, "error", err.Error())
				return
			}
			c.log.Warn("a node has taken the evidence", "node", p.number)
		})
	}
	return hufu.Refuse(RuleConflict, "two headers of height %d are signed: %s and %s", e.Height(), e.First.Header.Hash(), e.second().Header.Hash())
}

// reporter is a transport that can hand in evidence.
type reporter interface {
	HandIn(ctx context.Context, e *Evidence) (Accusation, error)
}

// Standing says how one of the client's nodes does.
type Standing struct {
	Leads  bool
	Agreed hufu.Height // the last height at which it confirmed the verified header, as a witness
}

// Standings lists the client's nodes in the order given to it.
func (c *Client) Standings() []Standing {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := make([]Standing, len(c.peers))
	for i, p := range c.peers {
		out[i] = Standing{Leads: i == c.leading, Agreed: p.agreed}
	}
	return out
}

// maxChain is how many headers lead from the trust to the newest before those are left out that need not
// be there.
const maxChain = 16

// shorten leaves out of a verified path what the light client's rules can skip, once it is longer than
// most: with the same validators all but its end. The caller holds the mutex.
func (c *Client) shorten(path []*proof.LightBlock, most int) []*proof.LightBlock {
	if len(path) <= most {
		return path
	}
	rules, now := c.rules, c.now()
	rules.Period = forever // it was verified when its time was
	end := path[len(path)-1]
	keep := 0
	from := proof.TrustGenesis(c.trust.GenesisTime, c.trust.Validators)
	if c.trust.Checkpoint != nil {
		keep, from = 1, path[0].Trust()
	}
	for ; keep < len(path)-1; keep++ {
		if rules.Verify(&from, end, now) == nil {
			break
		}
		from = path[keep].Trust()
	}
	return append(path[:keep:keep], end)
}

// forever is a trusting period for what was verified within a shorter one.
const forever = 200 * 365 * 24 * time.Hour

// follow verifies a path from a trust, with a checkpoint beginning at that, and returns its end.
func (t *Trust) follow(path []*proof.LightBlock, rules proof.Rules, now time.Time) (proof.Trusted, error) {
	at := proof.TrustGenesis(t.GenesisTime, t.Validators)
	if t.Checkpoint != nil {
		if len(path) == 0 || path[0].Header.Height != t.Checkpoint.Height || path[0].Header.Hash() != t.Checkpoint.Hash {
			return at, hufu.Refuse(proof.RuleHeader, "it does not begin at the trusted checkpoint")
		}
		first := path[0]
		if hash := first.Validators.Hash(); !bytes.Equal(hash[:], first.Header.ValidatorsHash) {
			return at, hufu.Refuse(proof.RuleValidators, "not the validators of the trusted checkpoint")
		}
		if err := proof.VerifyCommit(t.Network, first.Validators, &first.SignedHeader); err != nil {
			return at, err
		}
		at, path = first.Trust(), path[1:]
	}
	for _, b := range path {
		if err := rules.Verify(&at, b, now); err != nil {
			return at, err
		}
		at = b.Trust()
	}
	return at, nil
}

// decodePath reads what encodePath wrote.
func decodePath(raw []byte) ([]*proof.LightBlock, error) {
	var encoded [][]byte
	if err := encoding.Unmarshal(raw, &encoded); err != nil || len(encoded) == 0 {
		return nil, fmt.Errorf("client: no signed headers")
	}
	path := make([]*proof.LightBlock, len(encoded))
	for i := range encoded {
		var err error
		if path[i], err = proof.ParseLightBlock(encoded[i]); err != nil {
			return nil, err
		}
	}
	return path, nil
}
