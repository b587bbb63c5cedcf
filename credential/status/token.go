package status

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

const (
	// MediaType is the content type under which a token is served (§8.1).
	MediaType = "application/statuslist+jwt"
	// Type is the "typ" of a token's header (§5.1).
	Type = "statuslist+jwt"
	// MaxTokenBytes bounds a token: an incompressible list of [MaxListBytes], twice in base64url.
	MaxTokenBytes = 32 << 20
	// maxTime is the last second of the year 9999, the last that formats agree on.
	maxTime = 253402300799
)

// Token is a status list token (§5.1): a list, where it lives and for how long it holds.
type Token struct {
	URI       string        // sub: the URI that credentials name
	Issuer    string        // iss, optional
	KeyID     string        // kid of the header, optional: a DID URL
	IssuedAt  time.Time     // iat, to the second
	ExpiresAt time.Time     // exp, to the second; zero when the token does not say
	TTL       time.Duration // ttl, to the second; zero when the token does not say
	Chain     [][]byte      // x5c or x5chain, optional: the signer's certificates in DER, the leaf first
	List      *List
}

// tokenClaims are the claims as they are written, in the order of the draft's example.
type tokenClaims struct {
	Exp  int64  `json:"exp,omitempty"`
	Iat  int64  `json:"iat"`
	Iss  string `json:"iss,omitempty"`
	List *List  `json:"status_list"`
	Sub  string `json:"sub"`
	TTL  int64  `json:"ttl,omitempty"`
}

// check refuses a token that could not be read again.
func (t *Token) check() error {
	switch {
	case t.List == nil:
		return errors.New("status: a token without a list")
	case !validURI(t.URI):
		return fmt.Errorf("status: the list's address is not an absolute URI of at most %d bytes", MaxURILen)
	case t.IssuedAt.Unix() <= 0 || t.IssuedAt.Unix() > maxTime:
		return errors.New("status: a token needs the time of its issuance")
	case !t.ExpiresAt.IsZero() && t.ExpiresAt.Unix() <= t.IssuedAt.Unix():
		return errors.New("status: a token that expires before it is issued")
	case t.TTL < 0 || t.TTL > 0 && t.TTL < time.Second:
		return errors.New("status: a time to live is whole seconds, at least one")
	}
	return nil
}

// Sign writes the token as a JWT signed by the issuer. rand is read by ECDSA and SM2.
func (t *Token) Sign(rand io.Reader, signer keys.Signer) (string, error) {
	if err := t.check(); err != nil {
		return "", err
	}
	claims := tokenClaims{Iat: t.IssuedAt.Unix(), Iss: t.Issuer, List: t.List, Sub: t.URI, TTL: int64(t.TTL / time.Second)}
	if !t.ExpiresAt.IsZero() {
		claims.Exp = t.ExpiresAt.Unix()
	}
	payload, err := jws.MarshalJSON(claims)
	if err != nil {
		return "", fmt.Errorf("status: %w", err)
	}
	header := jws.Header{"typ": Type}
	if t.KeyID != "" {
		header["kid"] = t.KeyID
	}
	if len(t.Chain) > 0 {
		header["x5c"] = x5c.Header(t.Chain...)
	}
	return jws.Sign(rand, header, payload, signer)
}

// StaleAt is when a consumer that obtained the token at a time should fetch a fresh one: after its
// ttl, and not after its exp (§13.7). It is zero when the token sets no bound.
func (t *Token) StaleAt(obtained time.Time) time.Time {
	at := t.ExpiresAt
	if t.TTL > 0 {
		if fresh := obtained.Add(t.TTL); at.IsZero() || fresh.Before(at) {
			at = fresh
		}
	}
	return at
}

// Expect is what a verifier wants of a token.
type Expect struct {
	URI    string        // the URI in the credential's reference; must equal the token's sub
	Now    time.Time     // the time of verification
	Skew   time.Duration // how far the clocks may differ
	MaxAge time.Duration // oldest iat accepted; 0 accepts any
	// Key finds the issuer's key that a token's kid ("" when absent) names, as of its issuance in
	// unix seconds. A refusal it returns is passed on.
	Key func(kid string, issuedAt int64) (keys.PublicKey, error)
	// Chain does the same for a token that brings certificates; it verifies them. nil: certificates are
	// not looked at and Key is asked.
	Chain func(chain x5c.Chain, issuedAt int64) (keys.PublicKey, error)
}

// key finds the key that a token is to be signed with.
func (want *Expect) key(t *Token) (keys.PublicKey, error) {
	if len(t.Chain) == 0 || want.Chain == nil {
		return want.Key(t.KeyID, t.IssuedAt.Unix())
	}
	chain, err := x5c.Parse(t.Chain)
	if err != nil {
		return keys.PublicKey{}, err
	}
	return want.Chain(chain, t.IssuedAt.Unix())
}

// Verify checks a token against what is expected of it, in this order: size and form, type, URI,
// times, signature, and only then the list (§8.3). Refusals are by the rules of this package.
func Verify(token string, want Expect) (*Token, error) {
	m, t, list, err := parse(token)
	if err != nil {
		return nil, err
	}
	if err := want.check(t, m.Verify, jws.RuleAlg, jws.RuleSignature); err != nil {
		return nil, err
	}
	if t.List, err = listOf(list); err != nil {
		return nil, err
	}
	return t, nil
}

// check holds a token against what is expected of it, but for the list. alg and signature are the rules by
// which verify refuses.
func (want *Expect) check(t *Token, verify func(keys.PublicKey) error, alg, signature hufu.Rule) error {
	if t.URI != want.URI {
		return hufu.Refuse(RuleURI, "a list for another URI than the credential's")
	}
	if err := checkTimes(t, *want); err != nil {
		return err
	}
	key, err := want.key(t)
	if err != nil {
		return err
	}
	err = verify(key)
	switch hufu.RuleOf(err) {
	case alg:
		return hufu.Refuse(RuleAlg, "%v", err)
	case signature:
		return hufu.Refuse(RuleSignature, "%v", err)
	}
	return err
}

func checkTimes(t *Token, want Expect) error {
	if t.IssuedAt.After(want.Now.Add(want.Skew)) {
		return hufu.Refuse(RuleFuture, "issued at %d, it is %d", t.IssuedAt.Unix(), want.Now.Unix())
	}
	if !t.ExpiresAt.IsZero() && !want.Now.Add(-want.Skew).Before(t.ExpiresAt) {
		return hufu.Refuse(RuleExpired, "expired at %d, it is %d", t.ExpiresAt.Unix(), want.Now.Unix())
	}
	if want.MaxAge > 0 && t.IssuedAt.Add(want.MaxAge).Before(want.Now.Add(-want.Skew)) {
		return hufu.Refuse(RuleStale, "issued at %d, more than %s before %d", t.IssuedAt.Unix(), want.MaxAge, want.Now.Unix())
	}
	return nil
}

// parse reads a token's form and claims; the list stays as it is until the signature is checked.
func parse(token string) (*jws.Message, *Token, any, error) {
	m, err := jws.Parse(token, MaxTokenBytes)
	switch rule := hufu.RuleOf(err); {
	case rule == jws.RuleTooLarge:
		return nil, nil, nil, hufu.Refuse(RuleTooLarge, "%v", err)
	case rule == jws.RuleAlg:
		return nil, nil, nil, hufu.Refuse(RuleAlg, "%v", err)
	case err != nil:
		return nil, nil, nil, hufu.Refuse(RuleMalformed, "%v", err)
	}
	if typ := m.Header.Text("typ"); typ != Type && typ != MediaType {
		return nil, nil, nil, hufu.Refuse(RuleType, "typ is not %s", Type)
	}
	var claims map[string]any
	if err := encoding.UnmarshalJSON(m.Payload, MaxTokenBytes, &claims); err != nil {
		return nil, nil, nil, hufu.Refuse(RuleMalformed, "claims: %v", err)
	}
	t := &Token{KeyID: m.Header.Text("kid")}
	if header, there := m.Header["x5c"]; there {
		chain, err := x5c.ParseHeader(header)
		if err != nil {
			return nil, nil, nil, err
		}
		t.Chain = chain.DER()
	}
	if err := t.read(claims); err != nil {
		return nil, nil, nil, err
	}
	return m, t, claims["status_list"], nil
}

// read takes the claims beside the list. A claim that is present must be well formed, nbf included,
// which a list has no use for but RFC 7519 §4.1.5 does.
func (t *Token) read(claims map[string]any) error {
	uri, _ := claims["sub"].(string)
	if !validURI(uri) {
		return hufu.Refuse(RuleMalformed, "sub is not an absolute URI of at most %d bytes", MaxURILen)
	}
	t.URI = uri
	if iss, there := claims["iss"]; there {
		var ok bool
		if t.Issuer, ok = iss.(string); !ok {
			return hufu.Refuse(RuleMalformed, "iss is no string")
		}
	}
	iat, err := wholeNumber(claims["iat"], maxTime)
	if err != nil {
		return hufu.Refuse(RuleMalformed, "iat: %v", err)
	}
	t.IssuedAt = time.Unix(int64(iat), 0).UTC()
	if v, there := claims["nbf"]; there {
		nbf, err := wholeNumber(v, maxTime)
		if err != nil || nbf > iat {
			return hufu.Refuse(RuleMalformed, "nbf is no time up to iat")
		}
	}
	if v, there := claims["exp"]; there {
		exp, err := wholeNumber(v, maxTime)
		if err != nil {
			return hufu.Refuse(RuleMalformed, "exp: %v", err)
		}
		t.ExpiresAt = time.Unix(int64(exp), 0).UTC()
	}
	if v, there := claims["ttl"]; there {
		ttl, err := wholeNumber(v, maxTTL)
		if err != nil || ttl == 0 {
			return hufu.Refuse(RuleMalformed, "ttl is not a whole number from 1 to %d", uint64(maxTTL))
		}
		t.TTL = time.Duration(ttl) * time.Second
	}
	return nil
}

// maxTTL is a hundred years in seconds, well inside a time.Duration.
const maxTTL = 100 * 366 * 24 * 3600
