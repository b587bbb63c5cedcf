package wallet

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// session is what the wallet has with one issuer: an access token and the key that it is bound to.
type session struct {
	w      *Wallet
	issuer *oid4vci.IssuerMetadata
	server *oauth.ServerMetadata
	dpop   keys.Signer // nil: the server knows Bearer tokens only
	nonces nonces

	attestation string // of the wallet, for the authorization server
	challenge   string // of the authorization server, for the proof of the attested key

	token   string
	bearer  bool
	refresh string
	details []oid4vci.Detail
}

// nonces are the last DPoP nonce of each host (RFC 9449 §8): a proof that has it is not refused for want of one.
type nonces map[string]string

// note takes the nonce that came with an answer.
func (n nonces) note(address string, a *answer) {
	if u, err := url.Parse(address); err == nil && a.header.Get("DPoP-Nonce") != "" {
		n[u.Host] = a.header.Get("DPoP-Nonce")
	}
}

// newSession begins one; secret is of the key of an earlier one, nil: a new key.
func (w *Wallet) newSession(issuer *oid4vci.IssuerMetadata, server *oauth.ServerMetadata, secret []byte) (*session, error) {
	s := &session{w: w, issuer: issuer, server: server, nonces: nonces{}}
	var err error
	switch {
	case secret != nil:
		s.dpop, err = keys.P256.Load(secret)
	case slices.Contains(server.DPoPAlgs, keys.P256.JOSEAlg()):
		s.dpop, err = keys.P256.Generate(w.Rand)
	}
	return s, err
}

// maxTries bounds how often a call is made again with the nonce that a server gave.
const maxTries = 3

// do makes a call, with the access token or not, and with a DPoP proof if there is a key. Servers that
// want a nonce in the proof say so once.
func (s *session) do(ctx context.Context, c call, withToken bool, most int) (*answer, error) {
	u, err := url.Parse(c.url)
	if err != nil {
		return nil, hufu.Refuse(RuleRemote, "an address that is none")
	}
	for try := 1; ; try++ {
		c.header = http.Header{}
		if withToken {
			kind := oauth.TypeDPoP
			if s.bearer {
				kind = oauth.TypeBearer
			}
			c.header.Set("Authorization", kind+" "+s.token)
		}
		if s.dpop != nil && !(withToken && s.bearer) {
			proof := oauth.DPoP{Method: c.method, URL: c.url, IssuedAt: s.w.Now(), Nonce: s.nonces[u.Host]}
			if withToken {
				proof.AccessToken = s.token
			}
			if proof.ID, err = oauth.NewID(s.w.Rand); err != nil {
				return nil, err
			}
			text, err := oauth.MakeDPoP(s.w.Rand, s.dpop, proof)
			if err != nil {
				return nil, err
			}
			c.header.Set("DPoP", text)
		}
		if c.attested {
			if err := s.attested(ctx, c.header); err != nil {
				return nil, err
			}
		}
		a, err := s.w.exchange(ctx, c, most)
		if err != nil {
			return nil, err
		}
		nonce := a.header.Get("DPoP-Nonce")
		fresh := nonce != "" && nonce != s.nonces[u.Host]
		if nonce != "" {
			s.nonces[u.Host] = nonce
		}
		again := fresh && saysError(a, "use_dpop_nonce")
		if challenge := a.header.Get(oauth.ChallengeHeader); c.attested && challenge != "" {
			again = again || challenge != s.challenge && saysError(a, "use_attestation_challenge")
			s.challenge = challenge
		}
		if a.ok() || !again || try == maxTries {
			return a, nil
		}
	}
}

// saysError reports whether a call failed with an error code (RFC 6749 §5.2, RFC 9449 §8, §9).
func saysError(a *answer, code string) bool {
	if strings.Contains(a.header.Get("WWW-Authenticate"), code) {
		return true
	}
	e, err := oauth.ParseErrorResponse(a.body)
	return err == nil && e.Error == code
}

// redeem gets an access token.
func (s *session) redeem(ctx context.Context, r oauth.TokenRequest) error {
	a, err := s.do(ctx, call{method: http.MethodPost, url: s.server.TokenEndpoint, kind: mediaForm, accept: mediaJSON, body: r.Form().Encode(), attested: true}, false, oauth.MaxResponseBytes)
	if err != nil {
		return err
	}
	if !a.ok() {
		return authorizationError(a)
	}
	t, err := oauth.ParseTokenResponse(a.body)
	if err != nil {
		return err
	}
	if s.bearer = t.Type == oauth.TypeBearer; !s.bearer && s.dpop == nil {
		return hufu.Refuse(oauth.RuleResponse, "a DPoP token without a proof")
	}
	s.token = t.AccessToken
	if t.RefreshToken != "" {
		s.refresh = t.RefreshToken
	}
	s.details, err = oid4vci.ParseDetails(t.Details, s.issuer.CredentialIssuer)
	return err
}

func authorizationError(a *answer) error {
	e, err := oauth.ParseErrorResponse(a.body)
	if err != nil {
		return hufu.Refuse(RuleRemote, "the authorization server answers with status %d", a.status)
	}
	return oauth.ErrorOf(e.Error, oauth.Printable(e.Description))
}

// checkTxCode refuses a transaction code of another form than the offer says, before the issuer counts it
// as a try (§4.1.1).
func checkTxCode(want *oid4vci.TxCode, code string) error {
	switch {
	case want == nil && code != "":
		return hufu.Refuse(RuleTxCode, "the offer has no transaction code")
	case want == nil:
		return nil
	case code == "":
		return hufu.Refuse(RuleTxCode, "the issuer sent a transaction code by another way; it is needed")
	case want.Length != 0 && utf8.RuneCountInString(code) != want.Length:
		return hufu.Refuse(RuleTxCode, "the transaction code has %d characters", want.Length)
	case want.InputMode != oid4vci.InputText && strings.Trim(code, "0123456789") != "":
		return hufu.Refuse(RuleTxCode, "the transaction code has digits only")
	}
	return nil
}

// authorize gets an access token for an invitation.
func (s *session) authorize(ctx context.Context, inv *Invitation, a Acceptance) error {
	if !inv.SignIn {
		if err := checkTxCode(inv.TxCode, a.TxCode); err != nil {
			return err
		}
		r := oauth.TokenRequest{Grant: oauth.GrantPreAuthorized, Code: inv.offer.PreAuthorized.Code, TxCode: a.TxCode, HasTxCode: a.TxCode != ""}
		if !s.server.AnonymousPreAuthorized {
			r.ClientID = s.w.ClientID
		}
		return s.redeem(ctx, r)
	}
	if a.SignIn == nil || a.RedirectURI == "" {
		return hufu.Refuse(RuleSignIn, "the person has to sign in at the issuer")
	}
	verifier, err := oauth.NewVerifier(s.w.Rand)
	if err != nil {
		return err
	}
	state, err := oauth.NewID(s.w.Rand)
	if err != nil {
		return err
	}
	r, err := s.authorizationRequest(inv, a.RedirectURI, state, oauth.Challenge(verifier))
	if err != nil {
		return err
	}
	address, err := s.push(ctx, r)
	if err != nil {
		return err
	}
	back, err := a.SignIn(ctx, address)
	if err != nil {
		return err
	}
	u, err := url.Parse(back)
	if err != nil {
		return hufu.Refuse(oauth.RuleResponse, "the browser came back with no address")
	}
	code, err := oauth.ParseAuthorizationResponse(u.RawQuery, state, s.server.Issuer, s.server.IssuerInResponse)
	if err != nil {
		return err
	}
	return s.redeem(ctx, oauth.TokenRequest{
		Grant: oauth.GrantCode, ClientID: s.w.ClientID, Code: code, RedirectURI: a.RedirectURI, Verifier: verifier,
	})
}

// authorizationRequest asks for what is offered, by authorization details or, where the server knows
// those not, by scope (§5.1).
func (s *session) authorizationRequest(inv *Invitation, redirect, state, challenge string) (*oauth.AuthorizationRequest, error) {
	r := &oauth.AuthorizationRequest{ClientID: s.w.ClientID, RedirectURI: redirect, State: state, Challenge: challenge}
	if inv.offer.Code != nil {
		r.IssuerState = inv.offer.Code.IssuerState
	}
	if s.dpop != nil {
		r.DPoPKey = jws.Thumbprint(s.dpop.Public())
	}
	var ids []string
	for _, o := range inv.Credentials {
		ids = append(ids, o.Configuration)
		if scope := s.issuer.Configurations[o.Configuration].Scope; scope != "" && !slices.Contains(r.Scope, scope) {
			r.Scope = append(r.Scope, scope)
		}
	}
	if len(r.Scope) > 0 && !slices.Contains(s.server.DetailsTypes, oid4vci.DetailsType) {
		return r, nil
	}
	r.Scope = nil
	details := oid4vci.NewDetails(ids...)
	if len(s.issuer.AuthorizationServers) > 0 {
		for i := range details {
			details[i].Locations = []string{s.issuer.CredentialIssuer}
		}
	}
	var err error
	r.Details, err = json.Marshal(details)
	return r, err
}

// push makes a pushed authorization request (RFC 9126), where the server takes them, and returns the
// address that the person's browser is to go to.
func (s *session) push(ctx context.Context, r *oauth.AuthorizationRequest) (string, error) {
	if s.server.AuthorizationEndpoint == "" {
		return "", hufu.Refuse(oauth.RuleResponse, "the server has no authorization_endpoint")
	}
	if s.server.PushedEndpoint == "" {
		return oauth.AuthorizationURL(s.server.AuthorizationEndpoint, r.Form())
	}
	a, err := s.do(ctx, call{method: http.MethodPost, url: s.server.PushedEndpoint, kind: mediaForm, accept: mediaJSON, body: r.Form().Encode(), attested: true}, false, oauth.MaxResponseBytes)
	if err != nil {
		return "", err
	}
	if !a.ok() {
		return "", authorizationError(a)
	}
	p, err := oauth.ParsePushedResponse(a.body)
	if err != nil {
		return "", err
	}
	return oauth.AuthorizationURL(s.server.AuthorizationEndpoint, oauth.Reference(r.ClientID, p.RequestURI))
}
