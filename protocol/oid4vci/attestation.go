package oid4vci

import (
	"io"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// AttestationMediaType is the "typ" of a key attestation (Appendix D.1).
const AttestationMediaType = "key-attestation+jwt"

// MaxAttestationBytes bounds a key attestation: [MaxProofs] keys and a chain of certificates.
const MaxAttestationBytes = 32 << 10

// Attack potential that a key's storage, or the way its use is unlocked, withstands (Appendix D.2).
const (
	ResistsHigh          = "iso_18045_high"
	ResistsModerate      = "iso_18045_moderate"
	ResistsEnhancedBasic = "iso_18045_enhanced-basic"
	ResistsBasic         = "iso_18045_basic"
)

// KeyAttestationSigner finds the key that a key attestation is signed with, from its header and its
// iss ("" when absent), and says by an error that nobody trusted signs so. Everything an attestation
// says hangs on it.
type KeyAttestationSigner func(header jws.Header, issuer string) (keys.PublicKey, error)

// KeyAttestation is what somebody trusted says of where keys are kept.
type KeyAttestation struct {
	Issuer             string // optional
	Keys               []keys.PublicKey
	IssuedAt           time.Time
	ExpiresAt          time.Time // zero when the attestation does not say
	KeyStorage         []string  // attack potential withstood, optional
	UserAuthentication []string  // the same of unlocking the keys, optional
	Certification      string    // URL, optional
	Nonce              string    // the issuer's
	Status             any       // decoded JSON, or nil

	keyIDs []string // of Keys, "" for those without
}

// KeyRequirement is what an issuer demands of keys (key_attestations_required, §12.2.4). An empty list
// demands nothing of that kind.
type KeyRequirement struct {
	KeyStorage         []string `json:"key_storage,omitempty"`
	UserAuthentication []string `json:"user_authentication,omitempty"`
}

// met refuses with [RuleProof] an attestation of weaker keys.
func (r *KeyRequirement) met(a *KeyAttestation) error {
	in := func(want, has []string) bool {
		return len(want) == 0 || slices.ContainsFunc(has, func(s string) bool { return slices.Contains(want, s) })
	}
	if !in(r.KeyStorage, a.KeyStorage) || !in(r.UserAuthentication, a.UserAuthentication) {
		return hufu.Refuse(RuleProof, "the keys are not kept as is demanded")
	}
	return nil
}

type keyAttestationClaims struct {
	Issuer             string    `json:"iss,omitempty"`
	IssuedAt           int64     `json:"iat"`
	Expires            int64     `json:"exp,omitempty"`
	Keys               []jws.JWK `json:"attested_keys"`
	KeyStorage         []string  `json:"key_storage,omitempty"`
	UserAuthentication []string  `json:"user_authentication,omitempty"`
	Certification      string    `json:"certification,omitempty"`
	Nonce              string    `json:"nonce,omitempty"`
	Status             any       `json:"status,omitempty"`
}

// MakeKeyAttestation signs an attestation, as a wallet's provider does. header holds what leads to the
// signer's key: x5c or kid.
func MakeKeyAttestation(rand io.Reader, header jws.Header, signer keys.Signer, a *KeyAttestation) (string, error) {
	claims := keyAttestationClaims{
		Issuer: a.Issuer, IssuedAt: a.IssuedAt.Unix(), KeyStorage: a.KeyStorage, UserAuthentication: a.UserAuthentication,
		Certification: a.Certification, Nonce: a.Nonce, Status: a.Status,
	}
	if !a.ExpiresAt.IsZero() {
		claims.Expires = a.ExpiresAt.Unix()
	}
	for _, k := range a.Keys {
		claims.Keys = append(claims.Keys, jws.NewJWK(k))
	}
	payload, err := jws.MarshalJSON(claims)
	if err != nil {
		return "", err
	}
	full := jws.Header{"typ": AttestationMediaType}
	for name, v := range header {
		full[name] = v
	}
	return jws.Sign(rand, full, payload, signer)
}

// KeyAttestationParams is what a key attestation is checked against.
type KeyAttestationParams struct {
	Signer    KeyAttestationSigner
	Standing  oauth.StatusCheck
	Nonce     func(nonce string) bool // whether this issuer gave the nonce and it is still good
	Now       time.Time
	ClockSkew time.Duration   // 0: [DefaultClockSkew]
	Required  *KeyRequirement // or nil
	Algs      []string        // of the signature; empty: those of every suite
	NeedsExp  bool            // exp must be there, as in the header of a proof
}

func (p *ProofParams) attestation(inProof bool) KeyAttestationParams {
	return KeyAttestationParams{
		Signer: p.Attester, Standing: p.Standing, Nonce: p.Nonce, Now: p.Now, ClockSkew: p.ClockSkew, Required: p.Required, Algs: p.Algs, NeedsExp: inProof,
	}
}

// VerifyKeyAttestation checks a key attestation (Appendix D). It refuses with [RuleProof] or
// [RuleNonce].
func VerifyKeyAttestation(token string, p KeyAttestationParams) (*KeyAttestation, error) {
	fail := func(format string, args ...any) (*KeyAttestation, error) {
		return nil, hufu.Refuse(RuleProof, "key attestation: "+format, args...)
	}
	m, err := jws.Parse(token, MaxAttestationBytes)
	if err != nil {
		return fail("%v", err)
	}
	if m.Header.Text("typ") != AttestationMediaType {
		return fail("typ is not %s", AttestationMediaType)
	}
	if len(p.Algs) > 0 && !slices.Contains(p.Algs, m.Header.Text("alg")) {
		return fail("alg is not supported")
	}
	var claims map[string]any
	if err := encoding.UnmarshalJSON(m.Payload, MaxAttestationBytes, &claims); err != nil {
		return fail("claims: %v", err)
	}
	a := new(KeyAttestation)
	if err := a.read(claims, &p); err != nil {
		return nil, err
	}
	if p.Required != nil {
		if err := p.Required.met(a); err != nil {
			return nil, err
		}
	}
	if p.Signer == nil {
		return fail("nobody is trusted to attest keys")
	}
	key, err := p.Signer(m.Header, a.Issuer)
	if err != nil {
		return fail("%v", err)
	}
	if err := m.Verify(key); err != nil {
		return fail("%v", err)
	}
	if err := p.Standing.Stands(claims, RuleProof); err != nil {
		return nil, err
	}
	return a, checkNonce(a.Nonce, p.Nonce)
}

func (a *KeyAttestation) read(claims map[string]any, p *KeyAttestationParams) error {
	fail := func(format string, args ...any) error {
		return hufu.Refuse(RuleProof, "key attestation: "+format, args...)
	}
	text := jws.Header(claims).Text
	a.Issuer, a.Certification, a.Nonce, a.Status = text("iss"), text("certification"), text("nonce"), claims["status"]
	if claims["nonce"] == nil {
		return fail("no nonce")
	}
	skew := orElse(p.ClockSkew, DefaultClockSkew)
	var ok bool
	if a.IssuedAt, ok = seconds(claims["iat"]); !ok || a.IssuedAt.After(p.Now.Add(skew)) {
		return fail("iat is no time up to now")
	}
	if exp, there := claims["exp"]; there {
		if a.ExpiresAt, ok = seconds(exp); !ok || !p.Now.Before(a.ExpiresAt.Add(skew)) {
			return fail("expired")
		}
	} else if p.NeedsExp {
		return fail("no exp")
	}
	for name, list := range map[string]*[]string{"key_storage": &a.KeyStorage, "user_authentication": &a.UserAuthentication} {
		if v, there := claims[name]; there {
			if *list, ok = texts(v); !ok {
				return fail("%s is no list of texts", name)
			}
		}
	}
	list, _ := claims["attested_keys"].([]any)
	if len(list) == 0 || len(list) > MaxProofs {
		return fail("%d attested_keys, not 1 to %d", len(list), MaxProofs)
	}
	for _, v := range list {
		jwk, _ := v.(map[string]any)
		key, err := jws.KeyOf(jwk)
		if err != nil {
			return fail("attested_keys: %v", err)
		}
		a.Keys = append(a.Keys, key)
		a.keyIDs = append(a.keyIDs, jws.Header(jwk).Text("kid"))
	}
	return nil
}

// texts reads a non-empty list of texts.
func texts(v any) ([]string, bool) {
	list, _ := v.([]any)
	out := make([]string, len(list))
	for i, e := range list {
		var ok bool
		if out[i], ok = e.(string); !ok {
			return nil, false
		}
	}
	return out, len(out) > 0
}
