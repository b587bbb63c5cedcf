package jwe

import (
	"crypto/ecdh"
	"errors"
	"io"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
)

const (
	secretLen     = 32
	coordinateLen = 32
	curveName     = "P-256"
)

// MaxKeyIDLen bounds the bytes of a key id, which is copied into each message's header.
const MaxKeyIDLen = 256

// MaxKeySetBytes bounds the JSON of a key set, and MaxKeys the keys in it.
const (
	MaxKeySetBytes = 32 << 10
	MaxKeys        = 32
)

// PublicKey is a P-256 key to encrypt to. The zero value is no key.
type PublicKey struct {
	KeyID string // its "kid", or ""; goes into the header of what is encrypted to it
	key   *ecdh.PublicKey
}

// IsZero reports whether k is no key.
func (k PublicKey) IsZero() bool { return k.key == nil }

// Equal reports whether both are the same point, whatever their key ids.
func (k PublicKey) Equal(o PublicKey) bool {
	return k.key != nil && o.key != nil && k.key.Equal(o.key)
}

// JWK is the JSON form of a public key for encryption (RFC 7517 §4).
type JWK struct {
	Kty string `json:"kty"`
	Crv string `json:"crv"`
	X   string `json:"x"`
	Y   string `json:"y"`
	Use string `json:"use,omitempty"`
	Alg string `json:"alg,omitempty"`
	Kid string `json:"kid,omitempty"`
}

// KeySet is a JWK Set (RFC 7517 §5) of keys for encryption.
type KeySet struct {
	Keys []JWK `json:"keys"`
}

// JWK writes the key with its use, algorithm and key id. The zero key gives the zero JWK.
func (k PublicKey) JWK() JWK {
	if k.key == nil {
		return JWK{}
	}
	j := k.point()
	j.Use, j.Alg, j.Kid = "enc", Alg, k.KeyID
	return j
}

func (k PublicKey) point() JWK {
	raw := k.key.Bytes() // 4, x, y (SEC 1 §2.3.3)
	return JWK{Kty: "EC", Crv: curveName, X: jws.EncodeBase64(raw[1:33]), Y: jws.EncodeBase64(raw[33:65])}
}

// Thumbprint is the SHA-256 thumbprint of the key, 32 bytes (RFC 7638 §3); nothing for the zero key.
func (k PublicKey) Thumbprint() []byte {
	if k.key == nil {
		return nil
	}
	j := k.point()
	return digest([]byte(`{"crv":"` + j.Crv + `","kty":"` + j.Kty + `","x":"` + j.X + `","y":"` + j.Y + `"}`))
}

// ParseKey reads a JWK of at most [jws.MaxJWKBytes]. It refuses with [RuleKey].
func ParseKey(raw []byte) (PublicKey, error) {
	var m map[string]any
	if err := encoding.UnmarshalJSON(raw, jws.MaxJWKBytes, &m); err != nil {
		return PublicKey{}, hufu.Refuse(RuleKey, "not a JSON object")
	}
	return KeyOf(m)
}

// KeyOf reads a JWK from decoded JSON. It refuses with [RuleKey] what cannot be encrypted to: another
// curve, a point off the curve, private members, a use or alg other than this package's.
func KeyOf(m map[string]any) (PublicKey, error) {
	refuse := func(detail string) (PublicKey, error) {
		return PublicKey{}, hufu.Refuse(RuleKey, "%s", detail)
	}
	text := jws.Header(m).Text
	if _, private := m["d"]; private {
		return refuse("a private key where a public one belongs")
	}
	if use, there := m["use"]; there && use != "enc" {
		return refuse("a key for another use")
	}
	if alg, there := m["alg"]; there && alg != Alg {
		return refuse("a key for another algorithm")
	}
	kid, isText := m["kid"].(string)
	if _, there := m["kid"]; there && (!isText || len(kid) > MaxKeyIDLen) {
		return refuse("kid is no string of at most 256 bytes")
	}
	if text("kty") != "EC" || text("crv") != curveName {
		return refuse("not an EC key on P-256")
	}
	x, errX := jws.DecodeBase64(text("x"))
	y, errY := jws.DecodeBase64(text("y"))
	if errX != nil || errY != nil || len(x) != coordinateLen || len(y) != coordinateLen {
		return refuse("coordinates are not 32 bytes each in base64url")
	}
	point := append(append([]byte{4}, x...), y...)
	key, err := ecdh.P256().NewPublicKey(point)
	if err != nil {
		return refuse("not a point of the curve")
	}
	return PublicKey{KeyID: kid, key: key}, nil
}

// ParseKeySet reads a JWK Set and returns the keys in it that can be encrypted to, in their order. Keys of
// other kinds are left out, as RFC 7517 §5 says. It refuses with [RuleKey] what is no key set.
func ParseKeySet(raw []byte) ([]PublicKey, error) {
	var set struct {
		Keys []map[string]any `json:"keys"`
	}
	if err := encoding.UnmarshalJSON(raw, MaxKeySetBytes, &set); err != nil || set.Keys == nil {
		return nil, hufu.Refuse(RuleKey, "not a JWK Set")
	}
	if len(set.Keys) > MaxKeys {
		return nil, hufu.Refuse(RuleKey, "a JWK Set of more than %d keys", MaxKeys)
	}
	var out []PublicKey
	for _, m := range set.Keys {
		if k, err := KeyOf(m); err == nil {
			out = append(out, k)
		}
	}
	return out, nil
}

// PrivateKey decrypts what was encrypted to its public half.
type PrivateKey struct {
	key *ecdh.PrivateKey
	pub PublicKey
}

// GenerateKey makes a key from rand, named keyID. The bytes read from rand decide the key.
func GenerateKey(rand io.Reader, keyID string) (*PrivateKey, error) {
	secret := make([]byte, secretLen)
	for { // rejection sampling (FIPS 186-5 A.2.2): a second turn happens once in 2^32
		if _, err := io.ReadFull(rand, secret); err != nil {
			return nil, err
		}
		if k, err := LoadKey(secret, keyID); err == nil {
			return k, nil
		} else if len(keyID) > MaxKeyIDLen {
			return nil, err
		}
	}
}

// LoadKey makes the key of a 32-byte secret, as [PrivateKey.Secret] gave it.
func LoadKey(secret []byte, keyID string) (*PrivateKey, error) {
	if len(keyID) > MaxKeyIDLen {
		return nil, errors.New("jwe: key id is longer than 256 bytes")
	}
	key, err := ecdh.P256().NewPrivateKey(secret)
	if err != nil {
		return nil, errors.New("jwe: not a secret of P-256")
	}
	return &PrivateKey{key: key, pub: PublicKey{KeyID: keyID, key: key.PublicKey()}}, nil
}

// Public is the half to encrypt to.
func (k *PrivateKey) Public() PublicKey { return k.pub }

// Secret is the scalar, 32 bytes, big-endian.
func (k *PrivateKey) Secret() []byte { return k.key.Bytes() }
