package demo

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/roster"
	"github.com/hufu-id/hufu/wallet"
)

func (s *story) issueCredentials(ctx context.Context) error {
	s.chapterf("Each person's wallet takes up an offer over HTTP: %d keys, and a copy for each", s.Copies)
	began := time.Now()
	var copies atomic.Int64
	err := s.everybody(ctx, "wallets filled", func(ctx context.Context, i int) error {
		n, err := s.provision(ctx, &s.people[i])
		copies.Add(int64(n))
		return err
	})
	if err != nil {
		return err
	}
	took := time.Since(began)
	s.report.Copies = int(copies.Load())
	s.report.IssuePerS = float64(s.report.Copies) / took.Seconds()
	for i := range s.people {
		if s.people[i].format() == oid4vp.FormatMdoc {
			s.report.PeopleMdoc++
		}
	}
	s.factf("%d copies in %.1f s (%.0f/s): each with its own key, salts and random status index", s.report.Copies, took.Seconds(), s.report.IssuePerS)
	s.factf("OpenID4VCI: pre-authorized code and transaction code, DPoP, encrypted batches; %d people hold mdocs, the others SD-JWTs", s.report.PeopleMdoc)
	s.factf("both sides checked: the agency each proof of possession, the wallet each signature against the ledger")
	return nil
}

// atOnce is how many people come at the same time: enough that the servers' databases have several changes
// to make durable in one go.
func atOnce() int { return 16 * runtime.GOMAXPROCS(0) }

// everybody runs f for each person, several at a time. The label says what is done when f is.
func (s *story) everybody(ctx context.Context, label string, f func(ctx context.Context, i int) error) error {
	add, done := s.progress(label, len(s.people))
	defer done()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce())
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

// mdocShare is the share of people who hold mdocs: one in so many.
const mdocShare = 10

// format is the one in which a person holds credentials.
func (p *person) format() string {
	if p.mdoc {
		return oid4vp.FormatMdoc
	}
	return oid4vp.Format
}

// entitled are the credential types that a person has.
func (s *story) entitled(p *person) []string {
	if p.Guardian != "" && p.BirthDate.AgeOn(s.today) < roster.AdultAge {
		return []string{issuer.TypeResidentID, issuer.TypeGuardianship}
	}
	return []string{issuer.TypeResidentID}
}

// offer has the agency offer a person everything it is entitled to, in the person's format, under the key
// that the ledger names.
func (s *story) offer(ctx context.Context, p *person) (*issuer.Offered, error) {
	all, err := s.issuer.Configurations(ctx)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, vct := range s.entitled(p) {
		for _, c := range all {
			if c.Type == vct && c.Format == p.format() && c.Certified == (c.Format == oid4vci.FormatMDoc) {
				ids = append(ids, c.ID)
			}
		}
	}
	return s.issuer.CreateOffer(ctx, issuer.OfferRequest{
		Person: s.issuer.Ref(p.ResidentNumber), Configurations: ids, Grant: oauth.GrantPreAuthorized, TxCode: true,
	})
}

// provision gives a person a new wallet, has it take up an offer and returns how many copies it took.
func (s *story) provision(ctx context.Context, p *person) (int, error) {
	offered, err := s.offer(ctx, p)
	if err != nil {
		return 0, err
	}
	c := wallet.Config{Store: wallet.NewMemory(), HTTP: browse(s.internet)}
	if p == s.victim {
		c.HTTP = browse(s.wire)
	}
	if p.wallet, err = wallet.Open(c); err != nil {
		return 0, err
	}
	got, err := s.accept(ctx, p, offered, offered.TxCode)
	if err != nil {
		return 0, fmt.Errorf("demo: issue: %w", err)
	}
	return got, nil
}

// accept has a person's wallet take up an offer.
func (s *story) accept(ctx context.Context, p *person, o *issuer.Offered, txCode string) (int, error) {
	invited, err := p.wallet.Invited(ctx, s.ledger, o.Link)
	if err != nil {
		return 0, err
	}
	got, err := p.wallet.Receive(ctx, s.ledger, invited, wallet.Acceptance{TxCode: txCode, Copies: s.Copies})
	if err != nil {
		return 0, err
	}
	return got.Copies, nil
}
