package jws

import (
	"crypto/sha256"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// JWK is a public JSON Web Key of one of the suites (RFC 7517; RFC 7518 §6.2, RFC 8037 §2). SM2
// takes the form of the other short Weierstrass curves with crv "SM2".
type JWK struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y,omitempty"`
}

// MaxJWKBytes bounds the JSON of a key that [ParseJWK] reads.
const MaxJWKBytes = 4096

// NewJWK writes a public key as JWK. The zero key gives the zero JWK.
func NewJWK(key keys.PublicKey) JWK {
	if key.IsZero() {
		return JWK{}
	}
	x, y := key.Coordinates()
	j := JWK{Kty: "EC", Crv: key.Suite().Name(), X: EncodeBase64(x), Y: EncodeBase64(y)}
	if key.Suite() == keys.Ed25519 {
		j.Kty = "OKP"
	}
	return j
}

// Claim is the key as decoded JSON, for a place among claims such as cnf.jwk.
func (j JWK) Claim() map[string]any {
	m := map[string]any{"kty": j.Kty, "crv": j.Crv, "x": j.X}
	if j.Y != "" {
		m["y"] = j.Y
	}
	return m
}

// Thumbprint is the base64url SHA-256 thumbprint of a key (RFC 7638 §3).
func Thumbprint(key keys.PublicKey) string {
	j := NewJWK(key)
	members := `{"crv":"` + j.Crv + `","kty":"` + j.Kty + `","x":"` + j.X + `"`
	if j.Y != "" {
		members += `,"y":"` + j.Y + `"`
	}
	sum := sha256.Sum256([]byte(members + "}"))
	return EncodeBase64(sum[:])
}

// ParseJWK reads a public key's JSON of at most [MaxJWKBytes]. It refuses with [RuleKey].
func ParseJWK(raw []byte) (keys.PublicKey, error) {
	var m map[string]any
	if err := encoding.UnmarshalJSON(raw, MaxJWKBytes, &m); err != nil {
		return keys.PublicKey{}, hufu.Refuse(RuleKey, "%v", err)
	}
	return KeyOf(m)
}

// KeyOf reads a JWK from decoded JSON. It refuses with [RuleKey] what is no public key of one of
// the suites: another curve, coordinates of another length or off the curve, private members, a
// use, key_ops or alg that is not for verifying signatures of this suite.
func KeyOf(m map[string]any) (keys.PublicKey, error) {
	refuse := func(detail string) (keys.PublicKey, error) {
		return keys.PublicKey{}, hufu.Refuse(RuleKey, "%s", detail)
	}
	for _, private := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"} {
		if _, there := m[private]; there {
			return refuse("a private or symmetric key where a public one belongs")
		}
	}
	text := Header(m).Text
	suite, err := keys.SuiteByName(text("crv"))
	if err != nil {
		return refuse("crv is none of Ed25519, P-256 and SM2")
	}
	kty := "EC"
	if suite == keys.Ed25519 {
		kty = "OKP"
	}
	if text("kty") != kty {
		return refuse("kty does not fit crv")
	}
	if !fit(m, suite) {
		return refuse("a key for another use")
	}
	x, err := DecodeBase64(text("x"))
	if err != nil || len(x) != 32 {
		return refuse("x is not 32 bytes in base64url")
	}
	if suite == keys.Ed25519 {
		if _, there := m["y"]; there {
			return refuse("a y that Ed25519 has not")
		}
		return newKey(suite, x)
	}
	y, err := DecodeBase64(text("y"))
	if err != nil || len(y) != 32 {
		return refuse("y is not 32 bytes in base64url")
	}
	key, err := keys.NewPublicKeyFromPoint(suite, x, y)
	if err != nil {
		return refuse("not a point of the curve")
	}
	return key, nil
}

func newKey(suite *keys.Suite, raw []byte) (keys.PublicKey, error) {
	key, err := keys.NewPublicKey(suite, raw)
	if err != nil {
		return keys.PublicKey{}, hufu.Refuse(RuleKey, "%v", err)
	}
	return key, nil
}

// fit reports whether the optional members let the key verify signatures (RFC 7517 §4.2–4.4).
func fit(m map[string]any, suite *keys.Suite) bool {
	if use, there := m["use"]; there && use != "sig" {
		return false
	}
	if alg, there := m["alg"]; there && alg != suite.JOSEAlg() && (suite != keys.Ed25519 || alg != ed25519Alg) {
		return false
	}
	if ops, there := m["key_ops"]; there {
		list, _ := ops.([]any)
		return slices.Contains(list, any("verify"))
	}
	return true
}
