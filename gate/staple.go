package gate

import (
	"context"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/contracts"
	"github.com/hufu-id/hufu/ledger/state/did"
)

// Stapler makes proofs of what read reads, for others. [client.Client] is one, and [client.Standby], which also has some when
// no node can be reached.
type Stapler interface {
	Staple(ctx context.Context, read func(client.View) error) (*client.Staple, error)
}

const (
	stapleTime  = 2 * time.Second // how long requests wait for a staple
	stapleRetry = time.Second     // after there was none
)

// staples are the last ones, by the name of their contract. One is made for each state that is asked in, not for each
// request.
type staples struct {
	mu   sync.Mutex
	last map[string]*stapled
}

type stapled struct {
	mu     sync.Mutex
	height hufu.Height    // of the state for which it was made
	failed time.Time      // when there was none
	staple *client.Staple // nil before the first
}

func (s *staples) of(name string) *stapled {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.last = map[string]*stapled{}
	}
	if s.last[name] == nil {
		s.last[name] = &stapled{}
	}
	return s.last[name]
}

// staple is proofs of what a wallet looks up to judge a request and the receipt that follows: the newest that can be had in
// time, or nil. A wallet that gets none, or not what it needs, asks a node.
func (g *Gate) staple(ctx context.Context, q *asking) []byte {
	if g.Stapler == nil {
		return nil
	}
	last := g.staples.of(q.contract.Name)
	last.mu.Lock()
	defer last.mu.Unlock()
	if now := g.Now(); q.height > last.height && now.Sub(last.failed) >= stapleRetry {
		// Others wait for it, too, whether or not this caller goes away.
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), stapleTime)
		defer cancel()
		switch s, err := g.Stapler.Staple(wait, func(v client.View) error { return walletReads(v, q) }); {
		case err != nil:
			last.failed = now
		case last.staple == nil || s.AsOf.Height >= last.staple.AsOf.Height:
			last.height, last.staple = q.height, s
		default: // of a snapshot that is older
			last.height = q.height
		}
	}
	if last.staple == nil {
		return nil
	}
	return last.staple.Bytes
}

// walletReads reads what package wallet does: the keys of the gate's identifier, which sign requests, receipts and certificates; the
// contract; and the types of what the contract leaves to choose from.
func walletReads(v client.View, q *asking) error {
	_, owner, err := q.contract.Owner.Parse()
	if err != nil {
		return err
	}
	if _, err := did.Get(v, owner); err != nil {
		return err
	}
	if _, err := contracts.Get(v, owner, q.contract.Name, 0); err != nil {
		return err
	}
	query, optional := q.contract.Query, false
	for i := range query.Credentials {
		optional = optional || query.Optional(i)
	}
	for i := range query.Credentials {
		for _, vct := range query.Credentials[i].Types {
			if !optional {
				break
			}
			if _, err := contracts.Type(v, vct); err != nil {
				return err
			}
		}
	}
	return nil
}
