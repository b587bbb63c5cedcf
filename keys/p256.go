package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"errors"
	"io"
	"math/big"
)

var errSecretLen = errors.New("keys: a secret has 32 bytes")

type p256Scheme struct{}

func (s p256Scheme) read(raw []byte) (any, error) { return s.parse(raw) }

func (p256Scheme) check(any) error { return nil }

func (p256Scheme) parse(raw []byte) (any, error) {
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), raw)
	if x == nil {
		return nil, errors.New("not a compressed point of the curve")
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), uncompressed(x, y))
}

func uncompressed(x, y *big.Int) []byte {
	out := make([]byte, 65)
	out[0] = 4
	x.FillBytes(out[1:33])
	y.FillBytes(out[33:])
	return out
}

func (p256Scheme) verify(pub any, message, sig []byte) bool {
	digest := sha256.Sum256(message)
	var r, s big.Int
	return ecdsa.Verify(pub.(*ecdsa.PublicKey), digest[:], r.SetBytes(sig[:32]), s.SetBytes(sig[32:]))
}

func (s p256Scheme) verifyConsensus(pub any, message, sig []byte) bool {
	return lowS(sig[32:]) && s.verify(pub, message, sig)
}

// p256HalfOrder is (n-1)/2 for the order n of P-256 (SEC 2 §2.4.2).
var p256HalfOrder = new(big.Int).Rsh(elliptic.P256().Params().N, 1)

func lowS(s []byte) bool { return new(big.Int).SetBytes(s).Cmp(p256HalfOrder) <= 0 }

// LowS gives a P-256 signature r||s the form that the ledger accepts of the two that are valid: that with the lower
// s (SEC 1 §4.1.4 has both). Hardware makes either. Anything else than [SignatureLen] bytes, and an s above the
// curve's order, comes back as it is and verifies nowhere.
func LowS(sig []byte) []byte {
	if len(sig) != SignatureLen || lowS(sig[32:]) {
		return sig
	}
	n := elliptic.P256().Params().N
	s := new(big.Int).SetBytes(sig[32:])
	if s.Cmp(n) >= 0 {
		return sig
	}
	out := bytes.Clone(sig)
	s.Sub(n, s).FillBytes(out[32:])
	return out
}

func (p256Scheme) generate(rand io.Reader) (Signer, error) {
	// FIPS 186-5 A.2.2, rejection sampling, written here so that the bytes read from rand decide the
	// key: the standard library does not promise that.
	secret := make([]byte, 32)
	for {
		if _, err := io.ReadFull(rand, secret); err != nil {
			return nil, err
		}
		if s, err := (p256Scheme{}).load(secret); err == nil {
			return s, nil
		}
	}
}

func (p256Scheme) load(secret []byte) (Signer, error) {
	if len(secret) != 32 {
		return nil, errSecretLen
	}
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
	if err != nil {
		return nil, errors.New("keys: secret out of range")
	}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		return nil, err
	}
	raw := append([]byte{2 + point[64]&1}, point[1:33]...)
	return &p256Signer{key: key, pub: PublicKey{suite: P256, raw: raw, key: &key.PublicKey}}, nil
}

type p256Signer struct {
	key *ecdsa.PrivateKey
	pub PublicKey
}

func (s *p256Signer) Public() PublicKey { return s.pub }

func (s *p256Signer) Secret() []byte {
	b, err := s.key.Bytes()
	if err != nil {
		panic(err) // the curve was checked when the key was made
	}
	return b
}

func (s *p256Signer) Sign(rand io.Reader, message []byte) ([]byte, error) {
	digest := sha256.Sum256(message)
	r, v, err := ecdsa.Sign(rand, s.key, digest[:])
	if err != nil {
		return nil, err
	}
	out := make([]byte, SignatureLen)
	r.FillBytes(out[:32])
	v.FillBytes(out[32:])
	return LowS(out), nil
}

func (p256Scheme) parsePoint(raw []byte) (*ecdsa.PublicKey, error) {
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), raw)
}
