package wallet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// leftOf counts the copies of a type in a format that a gate never met could still be shown, whatever
// batch they came in. Restored ones do not count.
func (c *contents) leftOf(typ, format string, now time.Time) int {
	n := 0
	for i := range c.Copies {
		if c.Copies[i].Type == typ && c.Copies[i].format() == format && !c.Copies[i].Restored && c.usable(i, "", now) {
			n++
		}
	}
	return n
}

// lowSources lists the numbers of the sources that gave credentials which run low, and can give more.
func (c *contents) lowSources(now time.Time) []uint64 {
	var out []uint64
	for i := range c.Copies {
		h := &c.Copies[i]
		if h.Source == 0 || c.Sources[h.Source-1].Refresh == "" || slices.Contains(out, h.Source) {
			continue
		}
		if c.leftOf(h.Type, h.format(), now) <= LowWater {
			out = append(out, h.Source)
		}
	}
	return out
}

// Refill fetches new copies of all credentials that run low, from the issuers that allowed it with a
// refresh token. It returns what it got, together with the errors of the issuers that gave nothing.
func (w *Wallet) Refill(ctx context.Context, l Ledger) ([]Stock, error) {
	w.mu.Lock()
	low := w.held.lowSources(w.Now())
	w.mu.Unlock()
	var got []Stock
	var problems []error
	for _, number := range low {
		r, err := w.refill(ctx, l, number)
		if r != nil {
			got = append(got, r.Credentials...)
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	return got, joined(problems)
}

func (w *Wallet) refill(ctx context.Context, l Ledger, number uint64) (*Received, error) {
	s, src, err := w.resume(ctx, l, number)
	if err != nil {
		return nil, err
	}
	if err := s.renew(ctx, number, src); err != nil {
		return nil, err
	}
	r, err := w.obtain(ctx, l, s, number, src)
	entry := logged{Time: w.Now().Unix(), Issuer: src.Issuer, Got: uint64(r.Copies)}
	if err != nil {
		return r, w.logRefusal(err, entry)
	}
	return r, w.record(entry)
}

// resume begins a session with a source anew.
func (w *Wallet) resume(ctx context.Context, l Ledger, number uint64) (*session, source, error) {
	w.mu.Lock()
	src := w.held.Sources[number-1]
	w.mu.Unlock()
	issuer, _, err := w.issuerMetadata(ctx, l, src.Issuer)
	if err != nil {
		return nil, src, err
	}
	server, err := w.serverMetadata(ctx, issuer, src.Server)
	if err != nil {
		return nil, src, err
	}
	s, err := w.newSession(issuer, server, src.DPoP)
	if err == nil {
		s.refresh = src.Refresh
	}
	return s, src, err
}

// renew gets a new access token, and keeps the refresh token that came with it before anything else
// happens: the old one may be good only once.
func (s *session) renew(ctx context.Context, number uint64, src source) error {
	err := s.redeem(ctx, oauth.TokenRequest{Grant: oauth.GrantRefresh, ClientID: src.ClientID, Refresh: src.Refresh})
	if hufu.RuleOf(err) == oauth.RuleGrant {
		s.refresh = "" // it will not get better
	} else if err != nil {
		return err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return errors.Join(err, s.w.change(func(c *contents) error {
		c.Sources[number-1].Refresh = s.refresh
		return nil
	}))
}

// Collect asks for credentials that issuers promised for later, as far as the time has come. It returns
// what it got and how many are still to come.
func (w *Wallet) Collect(ctx context.Context, l Ledger) (*Received, error) {
	w.mu.Lock()
	waiting := slices.Clone(w.held.Pending)
	w.mu.Unlock()
	out := &Received{}
	var problems []error
	for _, p := range waiting {
		if p.After > w.Now().Unix() {
			out.Deferred++
			continue
		}
		if err := w.collect(ctx, l, p, out); err != nil {
			problems = append(problems, err)
		}
	}
	return out, joined(problems)
}

func (w *Wallet) collect(ctx context.Context, l Ledger, p pending, out *Received) error {
	s, src, err := w.resume(ctx, l, p.Source)
	if err != nil {
		return err
	}
	config := s.issuer.Configurations[p.Config]
	if config == nil || s.issuer.DeferredEndpoint == "" {
		return hufu.Refuse(RuleRemote, "the issuer does not have what it promised")
	}
	s.token, s.bearer = p.Token, p.Type == oauth.TypeBearer
	response, err := s.deferred(ctx, p.Transaction)
	if rule := hufu.RuleOf(err); (rule == oauth.RuleToken || rule == RuleRemote) && src.Refresh != "" {
		if err := s.renew(ctx, p.Source, src); err != nil {
			return err
		}
		p.Token, p.Type = s.token, s.tokenType()
		response, err = s.deferred(ctx, p.Transaction)
	}
	entry := logged{Time: w.Now().Unix(), Issuer: src.Issuer}
	switch rule := hufu.RuleOf(err); {
	case rule == oid4vci.RuleTransaction || rule == oid4vci.RuleDenied:
		return errors.Join(w.logRefusal(err, entry), w.settle(p, nil))
	case err != nil:
		return err
	case response.Deferred():
		out.Deferred++
		next := p
		next.After = w.Now().Unix() + max(response.Interval, 1)
		return w.settle(p, &next)
	}
	taken, err := w.take(ctx, l, response, config, p.Source, src.Foreign)
	s.notify(ctx, response.NotificationID, err)
	if err != nil {
		return errors.Join(w.logRefusal(err, entry), w.settle(p, nil))
	}
	w.account(taken, out)
	entry.Got = uint64(len(taken))
	return errors.Join(w.record(entry), w.settle(p, nil))
}

func (s *session) deferred(ctx context.Context, transaction string) (*oid4vci.CredentialResponse, error) {
	r := &oid4vci.DeferredRequest{TransactionID: transaction}
	return s.exchangeCredential(ctx, s.issuer.DeferredEndpoint, func(e *oid4vci.ResponseEncryption) any {
		r.Encryption = e
		return r
	})
}

// settle takes a promise away, or puts another in its place.
func (w *Wallet) settle(p pending, next *pending) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.change(func(c *contents) error {
		at := slices.IndexFunc(c.Pending, func(o pending) bool { return o.Source == p.Source && o.Transaction == p.Transaction })
		if at < 0 {
			return fmt.Errorf("wallet: a promise that is not there")
		}
		if next != nil {
			c.Pending[at] = *next
			return nil
		}
		c.Pending = slices.Delete(c.Pending, at, at+1)
		return nil
	})
}
