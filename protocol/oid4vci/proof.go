package oid4vci

import (
	"encoding/json"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// ProofMediaType is the "typ" of a key proof (OpenID4VCI 1.0 Appendix F.1).
const ProofMediaType = "openid4vci-proof+jwt"

// Limits on proofs.
const (
	// MaxProofBytes bounds one key proof without an attestation in its header.
	MaxProofBytes = 4 << 10
	maxNonce      = 512
)

// DefaultMaxProofAge is how old a proof may be when [ProofParams] does not say, and
// DefaultClockSkew how far ahead of the issuer's clock.
const (
	DefaultMaxProofAge = 5 * time.Minute
	DefaultClockSkew   = 30 * time.Second
)

// MakeProof proves possession of signer's key to an issuer, with the nonce that the issuer gave.
func MakeProof(rand io.Reader, signer keys.Signer, audience, nonce string, issuedAt time.Time) (string, error) {
	return ProofOf{Audience: audience, Nonce: nonce, IssuedAt: issuedAt}.Make(rand, signer)
}

// ProofOf is what a key proof says beside the key.
type ProofOf struct {
	Audience    string // the Credential Issuer Identifier
	Nonce       string
	IssuedAt    time.Time
	ClientID    string // iss; "" for a wallet that is not known by one
	Attestation string // key attestation, optional
}

// Make signs the proof with the key to prove.
func (p ProofOf) Make(rand io.Reader, signer keys.Signer) (string, error) {
	payload, err := jws.MarshalJSON(proofClaims{Issuer: p.ClientID, Audience: p.Audience, IssuedAt: p.IssuedAt.Unix(), Nonce: p.Nonce})
	if err != nil {
		return "", err
	}
	header := jws.Header{"typ": ProofMediaType, "jwk": jws.NewJWK(signer.Public()).Claim()}
	if p.Attestation != "" {
		header["key_attestation"] = p.Attestation
	}
	return jws.Sign(rand, header, payload, signer)
}

type proofClaims struct {
	Issuer   string `json:"iss,omitempty"`
	Audience string `json:"aud"`
	IssuedAt int64  `json:"iat"`
	Nonce    string `json:"nonce,omitempty"` // an issuer without nonce endpoint gives none
}

// ProofParams is what proofs are checked against.
type ProofParams struct {
	Audience  string                  // this issuer's identifier
	Nonce     func(nonce string) bool // whether this issuer gave the nonce and it is still good
	Now       time.Time
	MaxAge    time.Duration // 0: [DefaultMaxProofAge]
	ClockSkew time.Duration // 0: [DefaultClockSkew]

	ClientID string   // of the wallet, when it is known; then an iss must be it
	Algs     []string // signature algorithms taken; empty: those of every suite

	// Attester finds the key of whoever attests keys (see [KeyAttestationSigner]). If nil, nobody is
	// trusted to.
	Attester KeyAttestationSigner
	// Standing looks up the status of an attestation that has one.
	Standing oauth.StatusCheck
	// Required, if not nil, demands that every key is attested, and how.
	Required *KeyRequirement
	MaxKeys  int // bounds the keys of all proofs; 0: [MaxProofs]
}

// Bound is what proofs came to: the keys that credentials are to be bound to, one copy each.
type Bound struct {
	Keys        []keys.PublicKey
	Nonces      []string        // this issuer's, each to be used up; one, unless an attestation has its own
	Attestation *KeyAttestation // or nil
}

// VerifyProofs checks all proofs of a request (Appendix F.4). No key comes twice. It refuses with
// [RuleProof] or [RuleNonce].
func VerifyProofs(proofs *Proofs, p ProofParams) (*Bound, error) {
	most := p.MaxKeys
	if most == 0 {
		most = MaxProofs
	}
	var b Bound
	var err error
	switch {
	case len(proofs.JWT) > 0 && len(proofs.Attestation) > 0:
		return nil, hufu.Refuse(RuleProof, "proofs of two types")
	case len(proofs.Attestation) == 1:
		err = b.attested(proofs.Attestation[0], &p)
	case len(proofs.Attestation) > 1:
		err = hufu.Refuse(RuleProof, "proofs.attestation holds one attestation")
	case len(proofs.JWT) == 0 || len(proofs.JWT) > most:
		err = hufu.Refuse(RuleProof, "%d proofs, not 1 to %d", len(proofs.JWT), most)
	default:
		err = b.proven(proofs.JWT, &p)
	}
	if err != nil {
		return nil, err
	}
	if len(b.Keys) > most {
		return nil, hufu.Refuse(RuleProof, "%d keys, not 1 to %d", len(b.Keys), most)
	}
	seen := make(map[string]struct{}, len(b.Keys))
	for _, k := range b.Keys {
		if _, twice := seen[string(k.Multikey())]; twice {
			return nil, hufu.Refuse(RuleProof, "one key twice; each copy has its own")
		}
		seen[string(k.Multikey())] = struct{}{}
	}
	return &b, nil
}

// attested is the proof type attestation: the keys are believed because of who attests them.
func (b *Bound) attested(token string, p *ProofParams) error {
	a, err := VerifyKeyAttestation(token, p.attestation(false))
	if err != nil {
		return err
	}
	b.Attestation, b.Keys, b.Nonces = a, a.Keys, []string{a.Nonce}
	return nil
}

// proven is the proof type jwt. With one proof that carries an attestation, all attested keys count.
func (b *Bound) proven(tokens []string, p *ProofParams) error {
	for i, token := range tokens {
		one, err := verifyProof(token, p)
		if err != nil {
			return err
		}
		switch {
		case i > 0 && one.nonce != b.Nonces[0]:
			return hufu.Refuse(RuleProof, "proofs under several nonces")
		case i == 0:
			b.Nonces = []string{one.nonce}
		}
		if one.attestation == nil {
			if p.Required != nil {
				return hufu.Refuse(RuleProof, "no key_attestation, which is demanded")
			}
			b.Keys = append(b.Keys, one.key)
			continue
		}
		b.Attestation = one.attestation
		if !slices.Contains(b.Nonces, one.attestation.Nonce) {
			b.Nonces = append(b.Nonces, one.attestation.Nonce)
		}
		if len(tokens) == 1 {
			b.Keys = one.attestation.Keys
			return nil
		}
		b.Keys = append(b.Keys, one.key)
	}
	return nil
}

// VerifyProof checks one key proof (Appendix F.4) and returns the key that the credential is to be
// bound to, and the nonce. It refuses with [RuleProof] or [RuleNonce].
func VerifyProof(proof string, p ProofParams) (key keys.PublicKey, nonce string, err error) {
	one, err := verifyProof(proof, &p)
	if err != nil {
		return keys.PublicKey{}, "", err
	}
	return one.key, one.nonce, nil
}

type proven struct {
	key         keys.PublicKey
	nonce       string
	attestation *KeyAttestation
}

func verifyProof(proof string, p *ProofParams) (*proven, error) {
	fail := func(format string, args ...any) (*proven, error) {
		return nil, hufu.Refuse(RuleProof, format, args...)
	}
	m, err := jws.Parse(proof, MaxProofBytes+MaxAttestationBytes)
	if err != nil {
		return fail("%v", err)
	}
	if m.Header.Text("typ") != ProofMediaType {
		return fail("typ is not %s", ProofMediaType)
	}
	for _, other := range []string{"x5c", "trust_chain"} {
		if _, there := m.Header[other]; there {
			return fail("%s in the header; only jwk is used", other)
		}
	}
	if len(p.Algs) > 0 && !slices.Contains(p.Algs, m.Header.Text("alg")) {
		return fail("alg is not supported")
	}
	var one proven
	attestation, attested := m.Header["key_attestation"]
	if attested {
		text, _ := attestation.(string)
		if one.attestation, err = VerifyKeyAttestation(text, p.attestation(true)); err != nil {
			return nil, err
		}
	} else if len(proof) > MaxProofBytes {
		return fail("more than %d bytes", MaxProofBytes)
	}
	if one.key, err = keyOf(m.Header, one.attestation); err != nil {
		return nil, err
	}
	if one.nonce, err = checkClaims(m.Payload, p); err != nil {
		return nil, err
	}
	if err := m.Verify(one.key); err != nil {
		return fail("%v", err)
	}
	return &one, nil
}

// keyOf is the key that the header names. With an attestation it is one of the attested keys, named as
// such or by its place or key id.
func keyOf(h jws.Header, a *KeyAttestation) (keys.PublicKey, error) {
	fail := func(format string, args ...any) (keys.PublicKey, error) {
		return keys.PublicKey{}, hufu.Refuse(RuleProof, format, args...)
	}
	kid, named := h["kid"]
	jwk, given := h["jwk"]
	switch {
	case named && given:
		return fail("kid beside jwk")
	case named && a == nil:
		return fail("kid in the header; only jwk is used")
	case named:
		return a.named(kid)
	}
	member, ok := jwk.(map[string]any)
	if !ok {
		return fail("no jwk in the header")
	}
	key, err := jws.KeyOf(member)
	if err != nil {
		return fail("%v", err)
	}
	if a != nil && !slices.ContainsFunc(a.Keys, key.Equal) {
		return fail("signed by a key that the key_attestation does not attest")
	}
	return key, nil
}

func (a *KeyAttestation) named(kid any) (keys.PublicKey, error) {
	text, _ := kid.(string)
	if i := slices.Index(a.keyIDs, text); text != "" && i >= 0 {
		return a.Keys[i], nil
	}
	if i, err := strconv.Atoi(text); err == nil && i >= 0 && i < len(a.Keys) && strconv.Itoa(i) == text {
		return a.Keys[i], nil
	}
	return keys.PublicKey{}, hufu.Refuse(RuleProof, "kid names none of the attested keys")
}

func checkClaims(payload []byte, p *ProofParams) (nonce string, err error) {
	var claims map[string]any
	if err := encoding.UnmarshalJSON(payload, MaxProofBytes, &claims); err != nil {
		return "", hufu.Refuse(RuleProof, "claims: %v", err)
	}
	if aud, _ := claims["aud"].(string); aud != p.Audience || aud == "" {
		return "", hufu.Refuse(RuleProof, "aud is another issuer")
	}
	if iss, there := claims["iss"]; there && p.ClientID != "" && iss != p.ClientID {
		return "", hufu.Refuse(RuleProof, "iss is another client")
	}
	if _, err := oauth.Window(claims["iat"], p.Now, orElse(p.MaxAge, DefaultMaxProofAge), orElse(p.ClockSkew, DefaultClockSkew)); err != nil {
		return "", hufu.Refuse(RuleProof, "iat: %v", err)
	}
	nonce, ok := claims["nonce"].(string)
	if !ok {
		return "", hufu.Refuse(RuleProof, "no nonce")
	}
	return nonce, checkNonce(nonce, p.Nonce)
}

func checkNonce(nonce string, good func(string) bool) error {
	if good == nil || len(nonce) > maxNonce || !good(nonce) {
		return hufu.Refuse(RuleNonce, "not a nonce of this issuer that is still good")
	}
	return nil
}

func orElse(d, other time.Duration) time.Duration {
	if d == 0 {
		return other
	}
	return d
}

// seconds reads a NumericDate in whole seconds.
func seconds(claim any) (time.Time, bool) {
	number, _ := claim.(json.Number)
	n, err := number.Int64()
	return time.Unix(n, 0).UTC(), err == nil && n >= 0 && n < 1<<38
}
