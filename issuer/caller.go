package issuer

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// Proofs are what a wallet shows of itself beside the request: the values of the headers of these
// names, of which there is one at most each.
type Proofs struct {
	Authorization    []string
	DPoP             []string
	Attestation      []string // oauth.AttestationHeader
	AttestationProof []string // oauth.AttestationProofHeader
}

// caller is who makes a request to the authorization server.
type caller struct {
	client   string // "": anonymous
	wallet   string // the name its provider vouches for, or ""
	attested bool
	jkt      string // thumbprint of the key it proved, or ""
	spend    []spending
}

// spending is the id of a proof that is to be used up.
type spending struct {
	kind, id string
	until    time.Time
	rule     hufu.Rule
}

// useUp uses up the ids of the caller's proofs, so that none serves twice. The change it is part of is
// to be made even when the request is refused.
func useUp(ctx context.Context, t *database.Tx, ids []spending, now time.Time) error {
	for _, s := range ids {
		first, err := t.Spend(ctx, s.kind, s.id, s.until, now)
		if err != nil {
			return err
		}
		if !first {
			return hufu.Refuse(s.rule, "the proof was used before")
		}
	}
	return nil
}

func one(values []string, name string, rule hufu.Rule) (string, error) {
	if len(values) > 1 {
		return "", hufu.Refuse(rule, "the header %s twice", name)
	}
	if len(values) == 0 {
		return "", nil
	}
	return values[0], nil
}

// identify checks what a wallet shows of itself at an endpoint of the authorization server. clientID is
// the request's, or "".
func (s *Service) identify(ctx context.Context, p *Proofs, endpoint, clientID string) (*caller, error) {
	c := &caller{client: clientID}
	key, err := s.proveKey(c, p, oauth.DPoPParams{Method: "POST", URL: s.exchange.endpoint(endpoint)})
	if err != nil {
		return nil, err
	}
	return c, s.attest(ctx, c, p, key)
}

// proveKey checks a DPoP proof, if there is one.
func (s *Service) proveKey(c *caller, p *Proofs, params oauth.DPoPParams) (key keys.PublicKey, err error) {
	proof, err := one(p.DPoP, "DPoP", oauth.RuleDPoP)
	if err != nil || len(p.DPoP) == 0 {
		return key, err
	}
	now := s.cfg.Now()
	params.Now = now
	params.Nonce = func(n string) bool { return s.exchange.dpop.given(n, now) }
	got, err := oauth.VerifyDPoP(proof, params)
	if err != nil {
		return key, err
	}
	c.jkt = got.Thumbprint
	c.spend = append(c.spend, spending{"dpop", got.Thumbprint + "." + got.ID, got.Until, oauth.RuleDPoP})
	return got.Key, nil
}

// attest checks a wallet attestation: always when there is one, and that there is one when it is
// demanded. A DPoP proof of the attested key stands in for the attestation's own proof.
func (s *Service) attest(ctx context.Context, c *caller, p *Proofs, proven keys.PublicKey) error {
	token, err := one(p.Attestation, oauth.AttestationHeader, oauth.RuleAttestation)
	if err != nil {
		return err
	}
	proof, err := one(p.AttestationProof, oauth.AttestationProofHeader, oauth.RuleAttestation)
	switch {
	case err != nil:
		return err
	case token == "" && proof != "":
		return hufu.Refuse(oauth.RuleAttestation, "a proof without an attestation")
	case token == "" && s.exchange.WalletAttestation:
		return hufu.Refuse(oauth.RuleClient, "wallets are to be attested by their provider")
	case token == "":
		return nil
	}
	now := s.cfg.Now()
	by := attester{s: s}
	a, err := oauth.VerifyAttestation(token, oauth.AttestationParams{
		ClientID: c.client, Now: now,
		Signer:   func(h jws.Header, iss string) (keys.PublicKey, error) { return by.key(ctx, h, iss) },
		Standing: func(status any) error { return by.stands(ctx, status) },
	})
	if err != nil {
		return err
	}
	c.client, c.wallet, c.attested = a.ClientID, a.Name, true
	if proof == "" {
		if proven.IsZero() || !proven.Equal(a.Key) {
			return hufu.Refuse(oauth.RuleAttestation, "no proof of the attested key")
		}
		return nil
	}
	id, until, err := oauth.VerifyAttestationProof(proof, a, oauth.AttestationProofParams{
		Audience: s.exchange.URL, Now: now,
		Challenge: func(n string) bool { return s.exchange.challenges.given(n, now) },
	})
	if err != nil {
		return err
	}
	c.spend = append(c.spend, spending{"attestation", jws.Thumbprint(a.Key) + "." + id, until, oauth.RuleAttestation})
	return nil
}

var errProvider = errors.New("not signed by a wallet provider that is trusted here")

// attester is the provider that signed an attestation, once its key is found.
type attester struct {
	s        *Service
	provider *Provider
}

// key finds the key of a provider that signed an attestation.
func (a *attester) key(ctx context.Context, h jws.Header, iss string) (keys.PublicKey, error) {
	for i := range a.s.exchange.Providers {
		p := &a.s.exchange.Providers[i]
		if p.Issuer != "" && p.Issuer != iss {
			continue
		}
		key, err := a.s.keyOf(ctx, p, h)
		if err != nil || !key.IsZero() {
			a.provider = p
			return key, err
		}
	}
	return keys.PublicKey{}, errProvider
}

// stands looks up an attestation's status on the ledger, on a list of the identifier of its provider. What is on a list
// elsewhere is refused: the issuer asks nobody but the ledger.
func (a *attester) stands(ctx context.Context, claim any) error {
	ref, err := credstatus.ReferenceOf(map[string]any{"status": claim})
	if err != nil {
		return err
	}
	var is hufu.Status
	if err := a.s.cfg.Ledger.Read(ctx, func(v client.View) (err error) {
		is, err = status.LookupURI(v, a.provider.DID, ref.URI, ref.Index)
		return err
	}); err != nil {
		return err
	}
	if is != hufu.StatusValid {
		return hufu.Refuse(oauth.RuleAttestation, "the provider has made it %s", is)
	}
	return nil
}

// keyOf is the key of one provider that a header leads to, or none.
func (s *Service) keyOf(ctx context.Context, p *Provider, h jws.Header) (keys.PublicKey, error) {
	now, kid := s.cfg.Now(), h.Text("kid")
	if header, there := h["x5c"]; there {
		if p.CA.IsZero() {
			return keys.PublicKey{}, nil
		}
		chain, err := x5c.ParseHeader(header)
		if err != nil {
			return keys.PublicKey{}, err
		}
		leaf, err := chain.Verify(x5c.VerifyParams{Now: now, ClockSkew: oauth.DefaultClockSkew, Use: x5c.CredentialSigner, CA: p.CA})
		if hufu.RuleOf(err) != "" {
			return keys.PublicKey{}, nil //nolint:nilerr // another provider may be below the authority
		}
		return leaf.Key, err
	}
	if !p.Key.IsZero() && kid == p.KeyID {
		return p.Key, nil
	}
	owner, fragment, err := hufu.SplitDIDURL(kid)
	if err != nil || p.DID == "" || owner != p.DID {
		return keys.PublicKey{}, nil //nolint:nilerr // a kid that is no DID URL is not this provider's
	}
	_, id, err := owner.Parse()
	if err != nil {
		return keys.PublicKey{}, err
	}
	var key keys.PublicKey
	err = s.cfg.Ledger.Read(ctx, func(v client.View) error {
		record, err := did.Active(v, id)
		if err == nil {
			key, err = record.KeyAt(fragment, tx.PurposeAssertion, now.Unix())
		}
		return err
	})
	return key, err
}

// leave is what an access token gives leave for.
type leave struct {
	caller
	token          []byte // its id
	grant          []byte // id
	person         PersonRef
	configurations []string
	identified     bool
	offer          []byte // or nil
	grantUntil     int64
}

// admit checks an access token at an endpoint of the issuer, with the proof of its key if it is bound
// to one, which remains to be used up. It refuses by [oauth.RuleToken], [oauth.RuleDPoP] and [oauth.RuleDPoPNonce].
func (s *Service) admit(ctx context.Context, p *Proofs, endpoint string) (*leave, error) {
	header, err := one(p.Authorization, "Authorization", oauth.RuleToken)
	if err != nil {
		return nil, err
	}
	kind, token, err := oauth.ParseAuthorization(header)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	l, err := s.findLeave(ctx, token, now)
	if err != nil {
		return nil, err
	}
	bound := l.jkt
	switch {
	case (bound != "") != (kind == oauth.TypeDPoP):
		return nil, hufu.Refuse(oauth.RuleToken, "the token is of the other type")
	case bound == "":
		return l, nil
	case len(p.DPoP) == 0:
		return nil, hufu.Refuse(oauth.RuleDPoP, "no DPoP proof")
	}
	_, err = s.proveKey(&l.caller, p, oauth.DPoPParams{Method: "POST", URL: s.exchange.endpoint(endpoint), AccessToken: token, BoundTo: bound})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// settle uses up the proofs of a request that is refused; of one that is granted they are used up with
// what is granted. A proof says nothing of the request's body, so it must not serve again either way.
func (s *Service) settle(ctx context.Context, l *leave, err error) error {
	if hufu.RuleOf(err) == "" || len(l.spend) == 0 {
		return err
	}
	used := s.store.Write(ctx, func(t *database.Tx) error { return useUp(ctx, t, l.spend, s.cfg.Now()) })
	if used != nil {
		return used
	}
	return err
}

func (s *Service) findLeave(ctx context.Context, token string, now time.Time) (*leave, error) {
	l := &leave{token: digest(token)}
	var person []byte
	var configurations string
	err := s.store.QueryRowContext(ctx, `SELECT g.id, g.person, g.client, g.attested, g.jkt, t.configurations, t.identified, g.offer, g.until
		FROM tokens t JOIN grants g ON g.id = t.grant_id
		WHERE t.id = ? AND t.refresh = 0 AND t.until > ? AND g.revoked = 0`, l.token, now.Unix()).Scan(
		&l.grant, &person, &l.client, &l.attested, &l.jkt, &configurations, &l.identified, &l.offer, &l.grantUntil)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, hufu.Refuse(oauth.RuleToken, "no such access token, or it has expired")
	}
	if err != nil {
		return nil, fmt.Errorf("issuer: store: %w", err)
	}
	copy(l.person[:], person)
	l.configurations, err = decodeIDs(configurations)
	return l, err
}
