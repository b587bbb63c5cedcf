package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"io"
	"slices"

	"filippo.io/edwards25519"
	"github.com/hdevalence/ed25519consensus"
)

type edScheme struct{}

func (edScheme) parse(raw []byte) (any, error) {
	key, err := edScheme{}.read(raw)
	if err != nil {
		return nil, err
	}
	k := key.(*edKey)
	k.minusA, err = k.point()
	return k, err
}

// read looks at the encoding alone. ZIP-215 also accepts non-canonical ones; for a key they would only give
// one key two names.
func (edScheme) read(raw []byte) (any, error) {
	if !canonicalY(raw) {
		return nil, errors.New("not in canonical form")
	}
	if smallOrderY(raw) {
		return nil, errors.New("a point of small order, for which anybody can sign")
	}
	return &edKey{raw: raw}, nil
}

func (edScheme) check(pub any) error {
	_, err := pub.(*edKey).point()
	return err
}

// edKey is a public key. The point of one that was parsed is decoded once: decoding is a tenth of verifying.
type edKey struct {
	raw    ed25519.PublicKey
	minusA *edwards25519.Point // nil when the key was only read
}

// point is the negated point, for verifying.
func (k *edKey) point() (*edwards25519.Point, error) {
	if k.minusA != nil {
		return k.minusA, nil
	}
	p, err := new(edwards25519.Point).SetBytes(k.raw)
	if err != nil {
		return nil, errors.New("not a point of the curve")
	}
	return p.Negate(p), nil
}

// smallYs are the y coordinates of the eight points whose order divides the cofactor: 0, 1, -1 and two more.
var smallYs = [...][32]byte{
	{},
	{0x01},
	{0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f},
	{0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05},
	{0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a},
}

// smallOrderY reports whether the y coordinate in raw, in canonical form, is one of a point of small order.
func smallOrderY(raw []byte) bool {
	y := [32]byte(raw)
	y[31] &= 0x7f
	return slices.Contains(smallYs[:], y)
}

// canonicalY reports whether the y coordinate in raw is below the field's 2^255-19. The other form
// that is not canonical, x = 0 with its sign set, only points of small order have. Comparing with the
// point's own encoding would say both, for the price of an inversion and of decoding.
func canonicalY(raw []byte) bool {
	if raw[31]&0x7f != 0x7f || raw[0] < 0xed {
		return true
	}
	for _, b := range raw[1:31] {
		if b != 0xff {
			return true
		}
	}
	return false
}

// verify is the check of RFC 8032 §5.1.7 without cofactors: the encoding of [S]B - [k]A must be R's, as
// crypto/ed25519 has it.
func (edScheme) verify(pub any, message, sig []byte) bool {
	key := pub.(*edKey)
	minusA, err := key.point()
	if err != nil {
		return false
	}
	h := sha512.New()
	h.Write(sig[:32])
	h.Write(key.raw)
	h.Write(message)
	var sum [sha512.Size]byte
	k, err := new(edwards25519.Scalar).SetUniformBytes(h.Sum(sum[:0]))
	if err != nil {
		return false
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return false
	}
	r := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(k, minusA, s)
	return bytes.Equal(sig[:32], r.Bytes())
}

func (edScheme) verifyConsensus(pub any, message, sig []byte) bool {
	return ed25519consensus.Verify(pub.(*edKey).raw, message, sig)
}

func (edScheme) generate(rand io.Reader) (Signer, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(rand, seed); err != nil {
		return nil, err
	}
	return edScheme{}.load(seed)
}

func (edScheme) load(secret []byte) (Signer, error) {
	if len(secret) != ed25519.SeedSize {
		return nil, errSecretLen
	}
	key := ed25519.NewKeyFromSeed(secret)
	pub, err := NewPublicKey(Ed25519, key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return &edSigner{key: key, pub: pub}, nil
}

type edSigner struct {
	key ed25519.PrivateKey
	pub PublicKey
}

func (s *edSigner) Public() PublicKey { return s.pub }
func (s *edSigner) Secret() []byte    { return s.key.Seed() }
func (s *edSigner) Sign(_ io.Reader, message []byte) ([]byte, error) {
	return ed25519.Sign(s.key, message), nil
}
