package oid4vci

import (
	"encoding/json"
	"io"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// ProofMediaType is the "typ" of a key proof (OpenID4VCI 1.0 Appendix F.1).
const ProofMediaType = "openid4vci-proof+jwt"

// MaxProofBytes bounds one key proof.
const MaxProofBytes = 4 << 10

// DefaultMaxProofAge is how old a proof may be when [ProofParams] does not say, and
// DefaultClockSkew how far ahead of the issuer's clock.
const (
	DefaultMaxProofAge = 5 * time.Minute
	DefaultClockSkew   = 30 * time.Second
)

// MakeProof proves possession of signer's key to an issuer, with the nonce that the issuer gave.
func MakeProof(rand io.Reader, signer keys.Signer, audience, nonce string, issuedAt time.Time) (string, error) {
	payload, err := jws.MarshalJSON(proofClaims{Audience: audience, IssuedAt: issuedAt.Unix(), Nonce: nonce})
	if err != nil {
		return "", err
	}
	header := jws.Header{"typ": ProofMediaType, "jwk": jws.NewJWK(signer.Public()).Claim()}
	return jws.Sign(rand, header, payload, signer)
}

type proofClaims struct {
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Nonce    string `json:"nonce"`
}

// ProofParams is what a proof is checked against.
type ProofParams struct {
	Audience  string                  // this issuer's identifier
	Nonce     func(nonce string) bool // whether this issuer gave the nonce and it is still good
	Now       time.Time
	MaxAge    time.Duration // 0: [DefaultMaxProofAge]
	ClockSkew time.Duration // 0: [DefaultClockSkew]
}

// VerifyProof checks a key proof (Appendix F.4) and returns the key that the credential is to be
// bound to, and the nonce. It refuses with [RuleProof] or [RuleNonce].
func VerifyProof(proof string, p ProofParams) (key keys.PublicKey, nonce string, err error) {
	fail := func(format string, args ...any) (keys.PublicKey, string, error) {
		return keys.PublicKey{}, "", hufu.Refuse(RuleProof, format, args...)
	}
	m, err := jws.Parse(proof, MaxProofBytes)
	if err != nil {
		return fail("%v", err)
	}
	if m.Header.Text("typ") != ProofMediaType {
		return fail("typ is not %s", ProofMediaType)
	}
	for _, other := range []string{"kid", "x5c", "trust_chain"} {
		if _, there := m.Header[other]; there {
			return fail("%s in the header; only jwk is used", other)
		}
	}
	jwk, ok := m.Header["jwk"].(map[string]any)
	if !ok {
		return fail("no jwk in the header")
	}
	if key, err = jws.KeyOf(jwk); err != nil {
		return fail("%v", err)
	}
	if nonce, err = checkClaims(m.Payload, p); err != nil {
		return keys.PublicKey{}, "", err
	}
	if err := m.Verify(key); err != nil {
		return fail("%v", err)
	}
	return key, nonce, nil
}

func checkClaims(payload []byte, p ProofParams) (nonce string, err error) {
	var claims map[string]any
	if err := encoding.UnmarshalJSON(payload, MaxProofBytes, &claims); err != nil {
		return "", hufu.Refuse(RuleProof, "claims: %v", err)
	}
	if aud, _ := claims["aud"].(string); aud != p.Audience || aud == "" {
		return "", hufu.Refuse(RuleProof, "aud is another issuer")
	}
	number, _ := claims["iat"].(json.Number)
	iat, err := number.Int64()
	if err != nil {
		return "", hufu.Refuse(RuleProof, "iat is no time in seconds")
	}
	maxAge, skew := p.MaxAge, p.ClockSkew
	if maxAge == 0 {
		maxAge = DefaultMaxProofAge
	}
	if skew == 0 {
		skew = DefaultClockSkew
	}
	switch now := p.Now.Unix(); {
	case iat > now+int64(skew/time.Second):
		return "", hufu.Refuse(RuleProof, "made in the future")
	case iat < now-int64(maxAge/time.Second):
		return "", hufu.Refuse(RuleProof, "made too long ago")
	}
	nonce, ok := claims["nonce"].(string)
	if !ok {
		return "", hufu.Refuse(RuleProof, "no nonce")
	}
	if p.Nonce == nil || !p.Nonce(nonce) {
		return "", hufu.Refuse(RuleNonce, "not a nonce of this issuer that is still good")
	}
	return nonce, nil
}
