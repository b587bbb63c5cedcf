package demo

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/wallet"
)

func (s *story) issueCredentials(ctx context.Context) error {
	s.chapterf("Each person's wallet makes %d keys, proves them, and gets a copy for each", s.Copies)
	began := time.Now()
	var copies atomic.Int64
	err := s.everybody(ctx, "wallets filled", func(ctx context.Context, i int) error {
		p := &s.people[i]
		taken, err := s.provision(ctx, p)
		copies.Add(int64(len(taken)))
		if p == s.victim {
			s.stolen = taken
		}
		return err
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	s.report.Copies = int(copies.Load())
	s.report.IssuePerS = float64(s.report.Copies) / took.Seconds()
	s.factf("%d copies in %.1f s (%.0f/s): each with its own key, salts and random status index", s.report.Copies, took.Seconds(), s.report.IssuePerS)
	s.factf("both sides checked: the agency each proof of possession, the wallet each signature against the ledger")
	return nil
}

// everybody runs f for each person, on every processor. The label says what is done when f is.
func (s *story) everybody(ctx context.Context, label string, f func(ctx context.Context, i int) error) error {
	add, done := s.progress(label, len(s.people))
	defer done()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range s.people {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			defer add(1)
			return f(ctx, i)
		})
	}
	return g.Wait()
}

// provision gives a person a new wallet, fills it and returns the credentials it took.
func (s *story) provision(ctx context.Context, p *person) ([]string, error) {
	var err error
	if p.wallet, err = wallet.Open(wallet.Config{Store: wallet.NewMemory()}); err != nil {
		return nil, err
	}
	return s.fill(ctx, p)
}

// fill puts another batch of copies into a person's wallet and returns it.
func (s *story) fill(ctx context.Context, p *person) ([]string, error) {
	public, err := p.wallet.Keygen(s.Copies)
	if err != nil {
		return nil, err
	}
	nonce, err := s.issuer.Nonce()
	if err != nil {
		return nil, err
	}
	proofs, err := p.wallet.Prove(public, string(s.issuer.DID()), nonce)
	if err != nil {
		return nil, err
	}
	issued, err := s.issuer.Issue(ctx, s.issuer.Ref(p.ResidentNumber), issuer.IssueRequest{Proofs: proofs})
	if err != nil {
		return nil, fmt.Errorf("demo: issue: %w", err)
	}
	var all []string
	for _, i := range issued {
		all = append(all, i.Copies...)
	}
	return all, s.ledger.Read(ctx, func(v client.View) error { return p.wallet.Accept(v, all) })
}
