package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"errors"
	"io"

	"filippo.io/edwards25519"
	"github.com/hdevalence/ed25519consensus"
)

type edScheme struct{}

func (edScheme) parse(raw []byte) (any, error) {
	// ZIP-215 also accepts non-canonical encodings; for a key they would only give one key two names.
	p, err := new(edwards25519.Point).SetBytes(raw)
	if err != nil {
		return nil, errors.New("not a point of the curve")
	}
	if !canonicalY(raw) {
		return nil, errors.New("not in canonical form")
	}
	if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1 {
		return nil, errors.New("a point of small order, for which anybody can sign")
	}
	return &edKey{raw: raw, minusA: new(edwards25519.Point).Negate(p)}, nil
}

// edKey is a public key whose point was decoded once: decoding is a tenth of verifying.
type edKey struct {
	raw    ed25519.PublicKey
	minusA *edwards25519.Point
}

// canonicalY reports whether the y coordinate in raw is below the field's 2^255-19. The other form
// that is not canonical, x = 0 with its sign set, only points of small order have. Comparing with the
// point's own encoding would say both, for the price of an inversion, a third of parsing a key.
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
	r := new(edwards25519.Point).VarTimeDoubleScalarBaseMult(k, key.minusA, s)
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
