package oauth

import (
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// The "typ" and the HTTP headers of wallet attestations and their proofs (Attestation-Based Client
// Authentication §4, §5.1; OpenID4VCI 1.0 Appendix E).
const (
	AttestationMediaType      = "oauth-client-attestation+jwt"
	AttestationProofMediaType = "oauth-client-attestation-pop+jwt"
	AttestationHeader         = "OAuth-Client-Attestation"
	AttestationProofHeader    = "OAuth-Client-Attestation-PoP"
	ChallengeHeader           = "OAuth-Client-Attestation-Challenge"
)

// MaxAttestationBytes bounds an attestation: a chain of certificates and a few claims.
const MaxAttestationBytes = 16 << 10

// AttestationSigner finds the key that an attestation is signed with, from its header and its iss ("" when
// absent), and says by an error that nobody trusted signs so. Everything an attestation says hangs on it.
type AttestationSigner func(header jws.Header, issuer string) (keys.PublicKey, error)

// StatusCheck says by a refusal that an attestation does not stand any more, or that its status cannot be looked up, from its
// claim "status", decoded from JSON. It is asked right after an AttestationSigner whose signature it was. Where there
// is none, an attestation with a status is refused: it must not pass for one that has none.
type StatusCheck func(status any) error

// Stands asks about an attestation's claims. It refuses with the rule.
func (c StatusCheck) Stands(claims map[string]any, rule hufu.Rule) error {
	status, there := claims["status"]
	if !there {
		return nil
	}
	if c == nil {
		return hufu.Refuse(rule, "it has a status, which cannot be looked up")
	}
	err := c(status)
	if hufu.RuleOf(err) != "" {
		return hufu.Refuse(rule, "its status: %v", err)
	}
	return err
}

// Attestation is what a wallet's provider vouches for: that this key is held by a genuine wallet.
type Attestation struct {
	Issuer    string // optional
	ClientID  string // sub
	Name      string // wallet_name, optional
	Link      string // wallet_link, optional
	Key       keys.PublicKey
	IssuedAt  time.Time // zero when the attestation does not say
	ExpiresAt time.Time
	Status    any // decoded JSON, or nil
}

type attestationClaims struct {
	Issuer   string         `json:"iss,omitempty"`
	ClientID string         `json:"sub"`
	Name     string         `json:"wallet_name,omitempty"`
	Link     string         `json:"wallet_link,omitempty"`
	IssuedAt int64          `json:"iat,omitempty"`
	Expires  int64          `json:"exp"`
	Confirm  map[string]any `json:"cnf"`
	Status   any            `json:"status,omitempty"`
}

// MakeAttestation signs an attestation, as a wallet's provider does. header holds what leads to the
// signer's key: x5c or kid.
func MakeAttestation(rand io.Reader, header jws.Header, signer keys.Signer, a *Attestation) (string, error) {
	claims := attestationClaims{
		Issuer: a.Issuer, ClientID: a.ClientID, Name: a.Name, Link: a.Link, Expires: a.ExpiresAt.Unix(),
		Confirm: map[string]any{"jwk": jws.NewJWK(a.Key).Claim()}, Status: a.Status,
	}
	if !a.IssuedAt.IsZero() {
		claims.IssuedAt = a.IssuedAt.Unix()
	}
	return signTyped(rand, AttestationMediaType, header, claims, signer)
}

func signTyped(rand io.Reader, typ string, header jws.Header, claims any, signer keys.Signer) (string, error) {
	payload, err := jws.MarshalJSON(claims)
	if err != nil {
		return "", err
	}
	full := jws.Header{"typ": typ}
	for name, v := range header {
		full[name] = v
	}
	return jws.Sign(rand, full, payload, signer)
}

// AttestationParams is what an attestation is checked against.
type AttestationParams struct {
	Signer    AttestationSigner
	Standing  StatusCheck
	ClientID  string // of the request, if it has one
	Now       time.Time
	ClockSkew time.Duration // 0: [DefaultClockSkew]
}

// VerifyAttestation checks a wallet's attestation. It refuses with [RuleAttestation], or with
// [RuleStale] one past its time. That the wallet holds the key is for [VerifyAttestationProof], or for
// a DPoP proof of the same key.
func VerifyAttestation(token string, p AttestationParams) (*Attestation, error) {
	fail := func(format string, args ...any) (*Attestation, error) {
		return nil, hufu.Refuse(RuleAttestation, format, args...)
	}
	m, claims, err := parseTyped(token, MaxAttestationBytes, AttestationMediaType)
	if err != nil {
		return nil, err
	}
	text := jws.Header(claims).Text
	a := &Attestation{
		Issuer: text("iss"), ClientID: text("sub"), Name: text("wallet_name"), Link: text("wallet_link"), Status: claims["status"],
	}
	switch {
	case a.ClientID == "" || len(a.ClientID) > maxText:
		return fail("sub is no client_id")
	case p.ClientID != "" && p.ClientID != a.ClientID:
		return fail("attests another client_id")
	case len(a.Issuer) > MaxURL || len(a.Name) > maxText || len(a.Link) > MaxURL:
		return fail("a claim is too long")
	}
	confirm, _ := claims["cnf"].(map[string]any)
	jwk, ok := confirm["jwk"].(map[string]any)
	if !ok {
		return fail("no cnf.jwk")
	}
	if a.Key, err = signingKey(jwk); err != nil {
		return fail("cnf: %v", err)
	}
	if err := a.checkTimes(claims, p.Now, orElse(p.ClockSkew, DefaultClockSkew)); err != nil {
		return nil, err
	}
	if p.Signer == nil {
		return fail("no wallet provider is trusted")
	}
	key, err := p.Signer(m.Header, a.Issuer)
	if err != nil {
		return fail("%v", err)
	}
	if err := m.Verify(key); err != nil {
		return fail("%v", err)
	}
	if err := p.Standing.Stands(claims, RuleAttestation); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Attestation) checkTimes(claims map[string]any, now time.Time, skew time.Duration) (err error) {
	if a.ExpiresAt, err = seconds(claims["exp"]); err != nil {
		return hufu.Refuse(RuleAttestation, "exp: %v", err)
	}
	for _, name := range []string{"iat", "nbf"} {
		v, there := claims[name]
		if !there {
			continue
		}
		at, err := seconds(v)
		if err != nil {
			return hufu.Refuse(RuleAttestation, "%s: %v", name, err)
		}
		if at.After(now.Add(skew)) {
			return hufu.Refuse(RuleAttestation, "not yet valid")
		}
		if name == "iat" {
			a.IssuedAt = at
		}
	}
	if !now.Before(a.ExpiresAt.Add(skew)) {
		return hufu.Refuse(RuleStale, "the attestation has expired")
	}
	return nil
}

// AttestationProof is what a proof of possession of an attested key says.
type AttestationProof struct {
	Audience  string // the authorization server's issuer identifier
	ID        string // jti
	IssuedAt  time.Time
	Challenge string // the server's, if it gave one
	ClientID  string // iss, which earlier drafts of the standard ask for
}

type attestationProofClaims struct {
	Issuer    string `json:"iss,omitempty"`
	Audience  string `json:"aud"`
	ID        string `json:"jti"`
	IssuedAt  int64  `json:"iat"`
	Challenge string `json:"challenge,omitempty"`
}

// MakeAttestationProof proves possession of an attested key.
func MakeAttestationProof(rand io.Reader, signer keys.Signer, p AttestationProof) (string, error) {
	return signTyped(rand, AttestationProofMediaType, nil, attestationProofClaims{
		Issuer: p.ClientID, Audience: p.Audience, ID: p.ID, IssuedAt: p.IssuedAt.Unix(), Challenge: p.Challenge,
	}, signer)
}

// AttestationProofParams is what a proof is checked against.
type AttestationProofParams struct {
	Audience string // this server's issuer identifier
	// Challenge reports whether this server gave a challenge and it is still good. If nil, none is
	// asked for.
	Challenge func(challenge string) bool
	Now       time.Time
	MaxAge    time.Duration // 0: [DefaultMaxAge]
	ClockSkew time.Duration // 0: [DefaultClockSkew]
}

// VerifyAttestationProof checks a proof of possession of an attested key, but for its being used
// once: id must not have been seen before, and be remembered until the time given. It refuses with
// [RuleAttestation] or [RuleChallenge].
func VerifyAttestationProof(token string, a *Attestation, p AttestationProofParams) (id string, until time.Time, err error) {
	fail := func(format string, args ...any) (string, time.Time, error) {
		return "", time.Time{}, hufu.Refuse(RuleAttestation, format, args...)
	}
	m, claims, err := parseTyped(token, MaxProofBytes, AttestationProofMediaType)
	if err != nil {
		return "", time.Time{}, err
	}
	text := jws.Header(claims).Text
	id = text("jti")
	switch {
	case p.Audience == "" || !audience(claims["aud"], p.Audience):
		return fail("aud is another server")
	case id == "" || len(id) > maxID:
		return fail("jti is not 1 to %d bytes", maxID)
	case claims["iss"] != nil && text("iss") != a.ClientID:
		return fail("iss is another client")
	}
	maxAge := orElse(p.MaxAge, DefaultMaxAge)
	iat, err := Window(claims["iat"], p.Now, maxAge, orElse(p.ClockSkew, DefaultClockSkew))
	if err != nil {
		return fail("%v", err)
	}
	if err := m.Verify(a.Key); err != nil {
		return fail("%v", err)
	}
	challenge := text("challenge")
	if challenge == "" {
		challenge = text("nonce") // its name in earlier drafts
	}
	if p.Challenge != nil && (challenge == "" || len(challenge) > maxNonce || !p.Challenge(challenge)) {
		return "", time.Time{}, hufu.Refuse(RuleChallenge, "use the challenge that comes with this answer")
	}
	return id, iat.Add(maxAge), nil
}

// audience reports whether an aud claim is the one audience, as a text or a list of one (RFC 7519 §4.1.3).
func audience(claim any, want string) bool {
	if list, ok := claim.([]any); ok && len(list) == 1 {
		claim = list[0]
	}
	return claim == want
}

// parseTyped takes a JWT of a type apart. Nothing in it is to be believed yet.
func parseTyped(token string, most int, typ string) (*jws.Message, map[string]any, error) {
	m, err := jws.Parse(token, most)
	if err != nil {
		return nil, nil, hufu.Refuse(RuleAttestation, "%v", err)
	}
	if m.Header.Text("typ") != typ {
		return nil, nil, hufu.Refuse(RuleAttestation, "typ is not %s", typ)
	}
	var claims map[string]any
	if err := encoding.UnmarshalJSON(m.Payload, most, &claims); err != nil || claims == nil {
		return nil, nil, hufu.Refuse(RuleAttestation, "claims are no JSON object")
	}
	return m, claims, nil
}
