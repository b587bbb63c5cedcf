package cose

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// MaxKeyBytes bounds a COSE_Key that [ParseKey] reads.
const MaxKeyBytes = 1024

// coseKey is a public key (RFC 9053 §7.1). A private member would be an unknown one and is looked for.
type coseKey struct {
	Kty int64            `cbor:"1,keyasint"`
	Alg encoding.RawCBOR `cbor:"3,keyasint,omitempty"`
	Crv int64            `cbor:"-1,keyasint"`
	X   []byte           `cbor:"-2,keyasint"`
	Y   encoding.RawCBOR `cbor:"-3,keyasint,omitempty"`
	D   encoding.RawCBOR `cbor:"-4,keyasint,omitempty"`
}

// Key types and curves (IANA "COSE Key Types", "COSE Elliptic Curves").
const (
	ktyOKP     = 1
	ktyEC2     = 2
	crvP256    = 1
	crvEd25519 = 6
)

// MarshalKey writes a P-256 or Ed25519 key as COSE_Key. It refuses SM2, which has no curve number.
func MarshalKey(key keys.PublicKey) ([]byte, error) {
	x, y := key.Coordinates()
	k := coseKey{X: x}
	switch key.Suite() {
	case keys.P256:
		k.Kty, k.Crv = ktyEC2, crvP256
		var err error
		if k.Y, err = encoding.Marshal(y); err != nil {
			return nil, err
		}
	case keys.Ed25519:
		k.Kty, k.Crv = ktyOKP, crvEd25519
	default:
		return nil, hufu.Refuse(RuleKey, "a COSE_Key is of P-256 or Ed25519")
	}
	return encoding.Marshal(&k)
}

// ParseKey reads a COSE_Key. It refuses with [RuleKey] what is no public key of P-256 or Ed25519.
func ParseKey(data []byte) (keys.PublicKey, error) {
	refuse := func(detail string) (keys.PublicKey, error) {
		return keys.PublicKey{}, hufu.Refuse(RuleKey, "%s", detail)
	}
	var k coseKey
	if err := encoding.UnmarshalForeign(data, MaxKeyBytes, &k); err != nil {
		return refuse("not a COSE_Key")
	}
	if k.D != nil {
		return refuse("a private key where a public one belongs")
	}
	suite := keys.P256
	if k.Kty == ktyOKP && k.Crv == crvEd25519 {
		suite = keys.Ed25519
	} else if k.Kty != ktyEC2 || k.Crv != crvP256 {
		return refuse("a key of another type or curve than P-256 and Ed25519")
	}
	if k.Alg != nil {
		var alg int64
		if encoding.UnmarshalForeign(k.Alg, len(k.Alg), &alg) != nil || !fits(alg, suite) {
			return refuse("a key for another algorithm")
		}
	}
	var key keys.PublicKey
	var err error
	if suite == keys.Ed25519 {
		key, err = keys.NewPublicKey(suite, k.X)
	} else {
		var y []byte
		if len(k.Y) == 0 || k.Y[0]>>5 != 2 || encoding.UnmarshalForeign(k.Y, len(k.Y), &y) != nil {
			return refuse("y is no byte string")
		}
		key, err = keys.NewPublicKeyFromPoint(suite, k.X, y)
	}
	if err != nil {
		return refuse("not a point of the curve")
	}
	return key, nil
}
