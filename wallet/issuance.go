package wallet

import (
	"context"
	"net/http"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// credentialCall is a request for copies of one credential.
type credentialCall struct {
	id         string // of the configuration
	config     *oid4vci.CredentialConfig
	identifier string // credential identifier that came with the token, or ""
	holders    []keys.PublicKey
}

// identifiers are those that came with the token for a configuration; one empty one when none did.
func (s *session) identifiers(id string) []string {
	for _, d := range s.details {
		if d.ConfigurationID == id && len(d.Identifiers) > 0 {
			return d.Identifiers
		}
	}
	return []string{""}
}

func (s *session) tokenType() string {
	if s.bearer {
		return oauth.TypeBearer
	}
	return oauth.TypeDPoP
}

// credential requests copies, once more with a new nonce if the first was too old (§8.3.1.2).
func (s *session) credential(ctx context.Context, ask credentialCall) (*oid4vci.CredentialResponse, error) {
	for try := 1; ; try++ {
		nonce, err := s.nonce(ctx)
		if err != nil {
			return nil, err
		}
		r := &oid4vci.CredentialRequest{Identifier: ask.identifier}
		if r.Proofs, err = s.proofs(ctx, ask, nonce); err != nil {
			return nil, err
		}
		if ask.identifier == "" {
			r.ConfigurationID = ask.id
		}
		response, err := s.exchangeCredential(ctx, s.issuer.CredentialEndpoint, func(e *oid4vci.ResponseEncryption) any {
			r.Encryption = e
			return r
		})
		if hufu.RuleOf(err) == oid4vci.RuleNonce && try < maxTries {
			continue
		}
		if err == nil && !response.Deferred() && len(response.Credentials) > len(ask.holders) {
			err = hufu.Refuse(RuleNotOffered, "more copies than keys")
		}
		return response, err
	}
}

// nonce gets one for key proofs (§7); "" from an issuer that wants none.
func (s *session) nonce(ctx context.Context) (string, error) {
	if s.issuer.NonceEndpoint == "" {
		return "", nil
	}
	a, err := s.w.exchange(ctx, call{method: http.MethodPost, url: s.issuer.NonceEndpoint, accept: mediaJSON}, oauth.MaxResponseBytes)
	if err != nil {
		return "", err
	}
	s.nonces.note(s.issuer.NonceEndpoint, a)
	if !a.ok() {
		return "", hufu.Refuse(RuleRemote, "the issuer gives no nonce: status %d", a.status)
	}
	return oid4vci.ParseNonceResponse(a.body)
}

// exchangeCredential sends a request for credentials, deferred or not, and reads the answer, both
// encrypted where the issuer does that (§10).
func (s *session) exchangeCredential(ctx context.Context, endpoint string, request func(*oid4vci.ResponseEncryption) any) (*oid4vci.CredentialResponse, error) {
	c := call{method: http.MethodPost, url: endpoint, kind: mediaJSON, accept: mediaJSON + ", " + mediaJWT}
	to, enc, err := s.requestKey()
	if err != nil {
		return nil, err
	}
	private, e, err := s.responseKey(!to.IsZero())
	if err != nil {
		return nil, err
	}
	message := request(e)
	if to.IsZero() {
		raw, err := jws.MarshalJSON(message)
		if err != nil {
			return nil, err
		}
		c.body = string(raw)
	} else {
		c.kind = oid4vci.EncryptedMediaType
		if c.body, err = oid4vci.Encrypt(s.w.Rand, to, enc, message); err != nil {
			return nil, err
		}
	}
	a, err := s.do(ctx, c, true, oid4vci.MaxResponseBytes)
	switch {
	case err != nil:
		return nil, err
	case !a.ok():
		return nil, credentialError(a)
	}
	body := a.body
	if a.is(oid4vci.EncryptedMediaType) && private != nil {
		if body, err = oid4vci.DecryptResponse(string(a.body), private); err != nil {
			return nil, err
		}
	} else if private != nil {
		return nil, hufu.Refuse(oid4vci.RuleResponse, "the issuer did not encrypt its answer")
	}
	return oid4vci.ParseCredentialResponse(body)
}

func credentialError(a *answer) error {
	if a.status >= http.StatusInternalServerError || len(a.body) == 0 {
		return hufu.Refuse(RuleRemote, "the issuer answers with status %d", a.status)
	}
	return oid4vci.ParseErrorResponse(a.body)
}

// requestKey is the key that requests are to be encrypted to; the zero key where they need not be.
func (s *session) requestKey() (to jwe.PublicKey, enc string, err error) {
	m := s.issuer.RequestEncryption
	if m == nil {
		return to, "", nil
	}
	set, err := jwe.ParseKeySet(m.JWKS)
	if err != nil {
		return to, "", err
	}
	if enc = firstCommon(m.Encs); len(set) > 0 && enc != "" {
		return set[0], enc, nil
	}
	if m.Required {
		return to, "", hufu.Refuse(RuleNoFormat, "the issuer wants requests encrypted in a way that the wallet has not")
	}
	return to, "", nil
}

// responseKey makes a key for the answer, where the issuer encrypts answers. The request has to be
// encrypted too, or anybody on the way could put in another key (§8.2).
func (s *session) responseKey(encrypted bool) (*jwe.PrivateKey, *oid4vci.ResponseEncryption, error) {
	m := s.issuer.ResponseEncryption
	if m == nil || !encrypted && !m.Required {
		return nil, nil, nil
	}
	enc := firstCommon(m.Encs)
	if enc == "" || !slices.Contains(m.Algs, jwe.Alg) {
		if m.Required {
			return nil, nil, hufu.Refuse(RuleNoFormat, "the issuer encrypts answers in a way that the wallet has not")
		}
		return nil, nil, nil
	}
	private, err := jwe.GenerateKey(s.w.Rand, "answer")
	if err != nil {
		return nil, nil, err
	}
	return private, &oid4vci.ResponseEncryption{Key: private.Public(), Enc: enc}, nil
}

func firstCommon(encs []string) string {
	for _, enc := range jwe.Encs() {
		if slices.Contains(encs, enc) {
			return enc
		}
	}
	return ""
}

// notify tells the issuer what became of its credentials (§11). That it cannot be told changes nothing.
func (s *session) notify(ctx context.Context, id string, problem error) {
	if id == "" || s.issuer.NotificationEndpoint == "" {
		return
	}
	n := oid4vci.Notification{ID: id, Event: oid4vci.EventAccepted}
	if problem != nil {
		n.Event, n.Description = oid4vci.EventFailure, string(hufu.RuleOf(problem))
	}
	raw, err := jws.MarshalJSON(n)
	if err != nil {
		return
	}
	_, _ = s.do(ctx, call{method: http.MethodPost, url: s.issuer.NotificationEndpoint, kind: mediaJSON, body: string(raw)}, true, oauth.MaxErrorBytes)
}
