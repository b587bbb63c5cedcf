package wallet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/contracts"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// Inquiry is a request that was looked into: who asks for what, and what the wallet would show. Nothing
// has been shown, and nothing is used up, until [Wallet.Agree].
type Inquiry struct {
	Verifier hufu.DID           // checked on the ledger; "" for a stranger
	ClientID string             // the client identifier or, over the Digital Credentials API, the page's origin
	ReplyTo  string             // the host that gets the answer; "" over the Digital Credentials API
	Contract *contract.Contract // the published contract that the request equals; nil: none
	Warnings []string           // for a person to read before agreeing; none for a gate with a contract
	Show     []Showing          // what would be shown
	Consent  []string           // statements that the person consents to with it

	request *oid4vp.Request
	stapled *client.Stapled // what it was judged by; nil: by the ledger itself
	origin  string
	who     string
	picks   []pick
	entry   logged
}

// Known reports whether the ledger knows who asks, and that this is what the verifier published.
func (q *Inquiry) Known() bool { return q.Verifier != "" && q.Contract != nil }

// Showing is one credential that would be shown.
type Showing struct {
	Query  string // id of the credential query it answers
	Format string
	Type   string
	Issuer string
	Claims []ShownClaim
}

// ShownClaim is one claim that would be disclosed.
type ShownClaim struct {
	Path  string
	Value any // JSON
}

// request is a request object as it came, one of both.
type request struct {
	signed   *oid4vp.SignedRequest
	unsigned *oid4vp.Request
	origin   string // of the page, over the Digital Credentials API
}

func (r *request) plain() *oid4vp.Request {
	if r.signed != nil {
		return &r.signed.Request
	}
	return r.unsigned
}

// inquire checks who asks and for what, and chooses what to show. It changes nothing but l.
func (w *Wallet) inquire(v client.View, r request, now time.Time, l *logged) (*Inquiry, error) {
	plain := r.plain()
	q := &Inquiry{request: plain, origin: r.origin, ClientID: clientOf(plain, r.origin)}
	l.Nonce, l.State = plain.Nonce, plain.State
	if !plain.Foreign() {
		l.Contract, l.Version = plain.Contract.String(), uint64(plain.Version)
	}
	l.Gate, l.Client = string(plain.Verifier), q.ClientID
	if u, err := url.Parse(plain.ResponseURI); err == nil && plain.ResponseURI != "" {
		q.ReplyTo = u.Host
	}
	if err := q.identify(v, r, now); err != nil {
		return nil, err
	}
	if l.Gate = string(q.Verifier); q.Verifier != "" {
		l.Client = ""
	}
	if slices.ContainsFunc(w.held.Log, func(e logged) bool {
		return e.Nonce == plain.Nonce && e.Gate == l.Gate && e.Client == l.Client && e.Refused == "" && e.Issuer == ""
	}) {
		return nil, hufu.Refuse(RuleAskedBefore, "a request with this nonce was answered")
	}
	asks, err := w.compare(v, q)
	if err != nil {
		return nil, err
	}
	if s, ok := v.(*client.Stapled); ok {
		if err := q.within(s, now); err != nil {
			return nil, err
		}
	}
	if q.picks, err = w.choose(v, asks, now); err != nil {
		return nil, err
	}
	if err := q.describe(w.held); err != nil {
		return nil, err
	}
	q.entry = *l
	return q, nil
}

// clientOf is the name that a verifier gives itself.
func clientOf(r *oid4vp.Request, origin string) string {
	switch {
	case r.ClientID != "":
		return r.ClientID
	case r.Verifier != "":
		return oid4vp.ClientID(r.Verifier)
	}
	return origin
}

// identify finds out who asks. A verifier that names an identifier of this ledger has to be it.
func (q *Inquiry) identify(v client.View, r request, now time.Time) error {
	if r.origin != "" && r.signed != nil {
		if err := r.signed.FromOrigin(r.origin); err != nil {
			return err
		}
	}
	if r.signed == nil {
		q.warn("Nobody signed this request: anybody can have written it.")
		q.who = q.ClientID
		return r.unsigned.VerifyUnsigned(now, ClockSkew)
	}
	key, err := q.verifierKey(v, r.signed, now)
	if err != nil {
		return err
	}
	if err := r.signed.Verify(key, now, ClockSkew); err != nil {
		return err
	}
	if q.who = string(q.Verifier); q.Verifier == "" {
		q.who = q.ClientID
		q.warn("The ledger does not know who asks. It calls itself " + strings.TrimPrefix(q.ClientID, oid4vp.PrefixDNS+":") + ".")
	}
	return nil
}

func (q *Inquiry) warn(text string) { q.Warnings = append(q.Warnings, text) }

// verifierKey is the key that the request has to be signed with.
func (q *Inquiry) verifierKey(v client.View, s *oid4vp.SignedRequest, now time.Time) (keys.PublicKey, error) {
	if !s.Certified() {
		at := s.IssuedAt
		if at.IsZero() {
			at = now
		}
		q.Verifier = s.Verifier
		return keyAt(v, s.Verifier, s.KeyID, tx.PurposeAuthentication, at.Unix(), RuleUnknownGate)
	}
	leaf := s.Chain.Leaf()
	if n, _, err := leaf.DID.Parse(); err != nil || n != v.Network() {
		return leaf.Key, s.Chain.Check(now, ClockSkew, x5c.RequestSigner)
	}
	certified, err := s.Chain.Verify(x5c.VerifyParams{
		Now: now, ClockSkew: ClockSkew, Use: x5c.RequestSigner, Authorities: did.Authorities(v, v.Network()),
	})
	q.Verifier = certified.DID
	return certified.Key, err
}

// compare holds the request against the contract that it claims to be. A verifier of this ledger has to
// name one.
func (w *Wallet) compare(v client.View, q *Inquiry) (asked, error) {
	r := q.request
	query, err := dcql.Parse(r.Query)
	if err != nil {
		return asked{}, err
	}
	out := asked{query: query, who: q.who}
	if r.Foreign() {
		if q.Verifier != "" {
			return out, hufu.Refuse(RuleOverAsking, "a verifier of this ledger that names no published contract")
		}
		q.warn("No published contract says what this verifier may ask, or what it does with the answer.")
		return out, nil
	}
	if q.Verifier != "" && q.Verifier != r.Contract.Owner {
		return out, hufu.Refuse(RuleOverAsking, "the contract is not the gate's own")
	}
	if q.Contract, err = w.published(v, r); err != nil {
		return out, err
	}
	if !sameQuery(query, q.Contract.Query) {
		return out, hufu.Refuse(RuleOverAsking, "the request asks for something else than the published contract")
	}
	if q.Verifier == "" {
		q.warn("The request says that it is the contract " + r.Contract.String() + ", and asks for the same; that its owner made it is not proven.")
	}
	out.contract = q.Contract
	return out, nil
}

// sameQuery reports whether a query is a contract's, or what that is in the other format.
func sameQuery(asked, published *dcql.Query) bool {
	if bytes.Equal(asked.Canonical(), published.Canonical()) {
		return true
	}
	inMdoc, _, err := published.InMdoc()
	return err == nil && bytes.Equal(asked.Canonical(), inMdoc.Canonical())
}

// published returns the contract on the ledger that a request names.
func (w *Wallet) published(v client.View, r *oid4vp.Request) (*contract.Contract, error) {
	network, id, err := r.Contract.Owner.Parse()
	if err != nil || network != v.Network() {
		return nil, hufu.Refuse(RuleUnknownGate, "the contract's owner is no DID of this ledger")
	}
	rec, err := contracts.Get(v, id, r.Contract.Name, 0)
	switch {
	case err != nil:
		return nil, err
	case rec == nil:
		return nil, hufu.Refuse(RuleOverAsking, "the gate has published no such contract")
	case rec.IsRetired():
		return nil, hufu.Refuse(RuleNotCurrent, "the contract is retired")
	case rec.Version != r.Version:
		return nil, hufu.Refuse(RuleNotCurrent, "the contract's current version is %d", rec.Version)
	}
	if c := w.contracts[rec.Hash]; c != nil {
		return c, nil
	}
	c, err := contract.Parse([]byte(rec.Text))
	if err != nil {
		return nil, fmt.Errorf("wallet: contract on the ledger: %w", err)
	}
	if len(w.contracts) >= maxContracts {
		clear(w.contracts)
	}
	w.contracts[rec.Hash] = c
	return c, nil
}

// describe fills in what a person is shown.
func (q *Inquiry) describe(held *contents) error {
	for _, t := range q.request.Transactions {
		text, ok := t.Statement()
		if !ok {
			return hufu.Refuse(oid4vp.RuleTransaction, "transaction_data of a type that cannot be shown to a person")
		}
		q.Consent = append(q.Consent, text)
	}
	for i := range q.picks {
		p := &q.picks[i]
		h := &held.Copies[p.copy]
		s := Showing{Query: p.query, Format: h.format(), Type: h.Type, Issuer: h.Issuer}
		for _, path := range p.disclose {
			if p.cred.md != nil && len(path) != 2 {
				return hufu.Refuse(dcql.RuleUnsupported, "a part of an mdoc's element")
			}
			values, err := dcql.Select(p.cred.claims(), path)
			if err != nil {
				return err
			}
			c := ShownClaim{Path: dcql.PathString(path), Value: any(values)}
			if len(values) == 1 {
				c.Value = values[0]
			}
			s.Claims = append(s.Claims, c)
		}
		q.Show = append(q.Show, s)
	}
	return nil
}

// look runs inquire for a request that came, and puts a refusal into the log. When there is nothing left to
// show, it looks again after a refill.
func (w *Wallet) look(ctx context.Context, l Ledger, r request) (*Inquiry, error) {
	q, entry, err := w.lookOnce(ctx, l, r)
	if hufu.RuleOf(err) == dcql.RuleUnavailable {
		if got, problem := w.Refill(ctx, l); problem == nil && len(got) > 0 {
			q, entry, err = w.lookOnce(ctx, l, r)
		}
	}
	return q, w.logRefusal(err, entry)
}

func (w *Wallet) lookOnce(ctx context.Context, l Ledger, r request) (q *Inquiry, entry logged, err error) {
	now := w.Now().UTC()
	entry = logged{Time: now.Unix()}
	err = read(ctx, l, r.plain(), now, func(v client.View) (err error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		q, err = w.inquire(v, r, now, &entry)
		return err
	})
	return q, entry, err
}

// logRefusal puts a refusal into the log and returns it; other errors say nothing about a request.
func (w *Wallet) logRefusal(err error, entry logged) error {
	var refusal *hufu.Refusal
	if !errors.As(err, &refusal) {
		return err // nil included
	}
	entry.Refused = string(refusal.Rule)
	return errors.Join(err, w.record(entry))
}

// record adds to the log.
func (w *Wallet) record(entry logged) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.change(func(c *contents) error { c.Log = append(c.Log, entry); return nil })
}
