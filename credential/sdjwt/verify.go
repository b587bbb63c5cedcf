package sdjwt

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
)

// VerifyParams is what a presentation is checked against.
type VerifyParams struct {
	Now       time.Time
	ClockSkew time.Duration // how far the clocks of issuer and holder may be off, in either direction

	// RequireKeyBinding wants proof that the holder's key made this presentation, for this Audience
	// and Nonce, at most MaxKBAge before Now (0: DefaultMaxKBAge). A gate always requires it. Without
	// it, as where a holder checks what an issuer sent, a key binding is refused.
	RequireKeyBinding bool
	Audience, Nonce   string
	MaxKBAge          time.Duration

	// MediaType is the one "typ" accepted; "" is dc+sd-jwt. The rules of SD-JWT VC (vct) apply to that
	// type only; another one is a plain SD-JWT.
	MediaType string

	// ResolveKey finds the issuer's key kid as it was at iat, unix seconds (0: the credential does not
	// say when it was issued). kid is "" when the credential names no key. A refusal it returns is
	// Verify's. alg is a hint; the key found decides.
	ResolveKey func(iss, kid, alg string, iat int64) (keys.PublicKey, error)

	// Authorities are the keys of an identifier at a time, see [x5c.VerifyParams]. It is asked in place of
	// ResolveKey about a credential that has certificates (x5c) and no kid: the issuer is then the
	// identifier under which its chain verifies. nil: such a credential is refused.
	Authorities func(did hufu.DID, at time.Time) ([]keys.PublicKey, error)
	// AnyAuthority accepts certificates that nobody vouches for, when Authorities is nil: a holder may keep
	// a stranger's credential. What it says of its issuer is then the stranger's word.
	AnyAuthority bool
}

// Verified is what a presentation proves: the issuer said it, and with KeyBound the holder of
// HolderKey presented it.
type Verified struct {
	Content
	KeyBound    bool
	PresentedAt time.Time // iat of the key binding

	// What of the request's transaction_data the holder signed (OpenID4VP 1.0 §B.3.3.1); the caller holds
	// it against what was asked.
	TransactionHashes  []string // transaction_data_hashes of the key binding
	TransactionHashAlg string   // transaction_data_hashes_alg, or ""
}

// Verify checks a presentation and returns what it proves. It refuses with the rules of this package
// and of package x5c, and with those of ResolveKey and Authorities. Any other error says nothing about the presentation: a mistake in
// params, or ResolveKey could not look. What is left to the caller: accreditation, status, contract.
func Verify(presentation string, params VerifyParams) (*Verified, error) {
	s, err := parse(presentation)
	if err != nil {
		return nil, err
	}
	return s.verify(params)
}

var (
	errNoResolver = errors.New("sdjwt: ResolveKey is nil")
	errNoTime     = errors.New("sdjwt: Now is not set")
	errNoBinding  = errors.New("sdjwt: key binding is required but Audience or Nonce is empty")
)

func (p *VerifyParams) check() error {
	switch {
	case p.ResolveKey == nil:
		return errNoResolver
	case p.Now.IsZero():
		return errNoTime
	case p.RequireKeyBinding && (p.Audience == "" || p.Nonce == ""):
		return errNoBinding
	}
	return nil
}

func (s *sdJWT) verify(params VerifyParams) (*Verified, error) {
	if err := params.check(); err != nil {
		return nil, err
	}
	want := params.MediaType
	if want == "" {
		want = MediaType
	}
	c, err := s.content()
	if err != nil {
		return nil, err
	}
	if c.MediaType != want {
		return nil, hufu.Refuse(RuleMediaType, "the credential is not of type %s", want)
	}
	if err := c.checkTimes(params.Now, params.ClockSkew); err != nil {
		return nil, err
	}
	v := &Verified{Content: c}
	if err := s.verifyKeyBinding(v, &params); err != nil {
		return nil, err
	}
	verify := s.verifyIssuer
	if chain := s.member(s.jwt.header, "x5c"); chain != none && s.nodes[chain].kind != null && c.KeyID == "" {
		verify = s.verifyCertified
	}
	if err := verify(&c, &params); err != nil {
		return nil, err
	}
	return v, nil
}

func (c *Content) checkTimes(now time.Time, skew time.Duration) error {
	early, late := now.Add(-skew).Unix(), now.Add(skew).Unix()
	switch {
	case c.hasExpires && early >= c.exp:
		return hufu.Refuse(RuleExpired, "expired at %s", c.ExpiresAt.Format(time.RFC3339))
	case c.hasNBF && late < c.nbf:
		return hufu.Refuse(RuleNotYetValid, "valid from %s", c.NotBefore.Format(time.RFC3339))
	case late < c.iat:
		return hufu.Refuse(RuleFuture, "issued at %s", c.IssuedAt.Format(time.RFC3339))
	}
	return nil
}

// verifyKeyBinding checks the key binding JWT (RFC 9901 §7.3 step 5), its signature last.
func (s *sdJWT) verifyKeyBinding(v *Verified, params *VerifyParams) error {
	if !params.RequireKeyBinding {
		if s.kb != nil {
			return hufu.Refuse(RuleKeyBindingUnexpected, "a presentation, where a credential is expected")
		}
		return nil
	}
	if s.kb == nil {
		return hufu.Refuse(RuleKeyBindingMissing, "no key binding")
	}
	if s.memberText(s.kb.header, "typ") != KeyBindingMediaType {
		return hufu.Refuse(RuleMediaType, "the key binding is not of type %s", KeyBindingMediaType)
	}
	if v.noHolder != nil {
		return v.noHolder
	}
	if v.HolderKey.IsZero() {
		return hufu.Refuse(RuleHolderKey, "the credential is bound to no key")
	}
	if text := s.kbText("aud"); text != params.Audience {
		return hufu.Refuse(RuleAudience, "the presentation was made for another audience")
	}
	if text := s.kbText("nonce"); text != params.Nonce {
		return hufu.Refuse(RuleNonce, "the presentation was made for another request")
	}
	if err := s.checkFreshness(v, params); err != nil {
		return err
	}
	if s.kbText("sd_hash") != digestOf(s.signed) {
		return hufu.Refuse(RuleSDHash, "the key binding is for another credential or other disclosures")
	}
	if err := verifyJWS(s.kb, v.HolderKey, RuleKeyBindingSignature); err != nil {
		return err
	}
	v.KeyBound = true
	return s.transactions(v)
}

// transactions reads which transactions the key binding, whose signature was checked, is for.
func (s *sdJWT) transactions(v *Verified) error {
	v.TransactionHashAlg = s.kbText("transaction_data_hashes_alg")
	at := s.member(s.kbPayload, "transaction_data_hashes")
	if at == none {
		return nil
	}
	malformed := hufu.Refuse(RuleMalformed, "key binding: transaction_data_hashes is no list of strings")
	if s.nodes[at].kind != array || s.nodes[at].first == none {
		return malformed
	}
	for c := s.nodes[at].first; c != none; c = s.nodes[c].next {
		if s.nodes[c].kind != text {
			return malformed
		}
		v.TransactionHashes = append(v.TransactionHashes, s.value(c))
	}
	return nil
}

func (s *sdJWT) kbText(name string) string { return s.memberText(s.kbPayload, name) }

// kbTime reads a time of the key binding; 0 is absent.
func (s *sdJWT) kbTime(name string) (int64, error) {
	at := s.member(s.kbPayload, name)
	if at == none {
		return 0, nil
	}
	t, ok := s.time(at)
	if !ok {
		return 0, hufu.Refuse(RuleMalformed, "key binding: %s is not a time", name)
	}
	return t, nil
}

func (s *sdJWT) checkFreshness(v *Verified, params *VerifyParams) error {
	var times [3]int64
	for i, name := range [3]string{"iat", "nbf", "exp"} {
		var err error
		if times[i], err = s.kbTime(name); err != nil {
			return err
		}
	}
	iat, nbf, exp := times[0], times[1], times[2]
	if iat == 0 {
		return hufu.Refuse(RuleMalformed, "key binding: no iat")
	}
	age := params.MaxKBAge
	if age == 0 {
		age = DefaultMaxKBAge
	}
	early, late := params.Now.Add(-params.ClockSkew), params.Now.Add(params.ClockSkew)
	if late.Unix() < max(iat, nbf) {
		return hufu.Refuse(RuleFuturePresentation, "presented in the future")
	}
	if early.Add(-age).Unix() > iat || exp != 0 && early.Unix() >= exp {
		return hufu.Refuse(RuleStalePresentation, "presented too long ago")
	}
	v.PresentedAt = time.Unix(iat, 0).UTC()
	return nil
}

// verifyCertified checks the issuer's signature with the key of the certificate that the credential
// brings. Certificate and authority have to hold when it was issued, and the chain when it is shown.
func (s *sdJWT) verifyCertified(c *Content, params *VerifyParams) error {
	if params.Authorities == nil && !params.AnyAuthority {
		return hufu.Refuse(RuleIssuerKey, "certificates are not accepted here")
	}
	chain, err := x5c.ParseHeader(s.claims(s.member(s.jwt.header, "x5c")))
	if err != nil {
		return err
	}
	leaf := chain.Leaf()
	if params.Authorities == nil {
		if err := chain.Check(params.Now, params.ClockSkew, x5c.CredentialSigner); err != nil {
			return err
		}
		return verifyJWS(s.jwt, leaf.Key, RuleSignature)
	}
	switch {
	case string(leaf.DID) != c.Issuer || leaf.DID == "":
		return hufu.Refuse(RuleIssuerKey, "the certificate is another issuer's")
	case c.iat == 0 || c.IssuedAt.Before(leaf.NotBefore) || c.IssuedAt.After(leaf.NotAfter):
		return hufu.Refuse(RuleIssuerKey, "issued when the certificate did not hold")
	}
	certified, err := chain.Verify(x5c.VerifyParams{
		Now: params.Now, ClockSkew: params.ClockSkew, Use: x5c.CredentialSigner,
		Authorities: func(did hufu.DID, at time.Time) ([]keys.PublicKey, error) {
			made, err := params.Authorities(did, at)
			if err != nil {
				return nil, err
			}
			then, err := params.Authorities(did, c.IssuedAt)
			return slices.DeleteFunc(slices.Clone(made), func(k keys.PublicKey) bool { return !slices.ContainsFunc(then, k.Equal) }), err
		},
	})
	if err != nil {
		if hufu.RuleOf(err) != "" {
			return err
		}
		return fmt.Errorf("sdjwt: issuer's authority: %w", err)
	}
	return verifyJWS(s.jwt, certified.Key, RuleSignature)
}

func (s *sdJWT) verifyIssuer(c *Content, params *VerifyParams) error {
	key, err := params.ResolveKey(c.Issuer, c.KeyID, c.Alg, c.iat)
	if err != nil {
		if hufu.RuleOf(err) != "" {
			return err
		}
		return fmt.Errorf("sdjwt: issuer's key: %w", err)
	}
	if key.IsZero() {
		return hufu.Refuse(RuleIssuerKey, "no key")
	}
	return verifyJWS(s.jwt, key, RuleSignature)
}

// verifyJWS checks a signature with a key that was resolved, whose algorithm the token can only repeat.
func verifyJWS(m *jwt, key keys.PublicKey, rule hufu.Rule) error {
	err := jws.Verify(key, m.alg, m.input, m.signature)
	if err == nil {
		return nil
	}
	if hufu.RuleOf(err) == jws.RuleAlg {
		return hufu.Refuse(RuleAlg, "the key is not for the algorithm in the header")
	}
	return hufu.Refuse(rule, "the signature is not by the key")
}
