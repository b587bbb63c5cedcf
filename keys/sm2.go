package keys

import (
	"crypto/ecdsa"
	"errors"
	"io"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// sm2Scheme is GB/T 32918.2 with SM3. The user id is the standard's default for everybody,
// "1234567812345678" (GB/T 35276 §10), so that it is never a second, unsigned input.
type sm2Scheme struct{}

func (s sm2Scheme) read(raw []byte) (any, error) { return s.parse(raw) }

func (sm2Scheme) check(any) error { return nil }

func (sm2Scheme) parse(raw []byte) (any, error) {
	x, y := unmarshalCompressedSM2(raw)
	if x == nil {
		return nil, errors.New("not a compressed point of the curve")
	}
	return sm2.NewPublicKey(uncompressed(x, y))
}

// unmarshalCompressedSM2 solves y² = x³ - 3x + b (SEC 1 §2.3.4) with the suite's curve.
func unmarshalCompressedSM2(raw []byte) (x, y *big.Int) {
	c := sm2.P256().Params()
	if len(raw) != 33 || (raw[0] != 2 && raw[0] != 3) {
		return nil, nil
	}
	x = new(big.Int).SetBytes(raw[1:])
	if x.Cmp(c.P) >= 0 {
		return nil, nil
	}
	y = new(big.Int).Mul(x, x)
	y.Sub(y, big.NewInt(3)).Mul(y, x).Add(y, c.B).Mod(y, c.P)
	if y = y.ModSqrt(y, c.P); y == nil {
		return nil, nil
	}
	if byte(y.Bit(0)) != raw[0]&1 {
		y.Sub(c.P, y)
	}
	return x, y
}

func (sm2Scheme) verify(pub any, message, sig []byte) bool {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(sig[:32]))
		b.AddASN1BigInt(new(big.Int).SetBytes(sig[32:]))
	})
	der, err := b.Bytes()
	return err == nil && sm2.VerifyASN1WithSM2(pub.(*ecdsa.PublicKey), nil, message, der)
}

// verifyConsensus is the same rule: for SM2 no second s satisfies the equation for a given r.
func (s sm2Scheme) verifyConsensus(pub any, message, sig []byte) bool {
	return s.verify(pub, message, sig)
}

func (sm2Scheme) generate(rand io.Reader) (Signer, error) {
	secret := make([]byte, 32)
	for {
		if _, err := io.ReadFull(rand, secret); err != nil {
			return nil, err
		}
		if s, err := (sm2Scheme{}).load(secret); err == nil {
			return s, nil
		}
	}
}

func (sm2Scheme) load(secret []byte) (Signer, error) {
	if len(secret) != 32 {
		return nil, errSecretLen
	}
	key, err := sm2.NewPrivateKey(secret)
	if err != nil {
		return nil, errors.New("keys: secret out of range")
	}
	raw := make([]byte, 33)
	raw[0] = 2 + byte(key.Y.Bit(0))
	key.X.FillBytes(raw[1:])
	return &sm2Signer{key: key, secret: [32]byte(secret), pub: PublicKey{suite: SM2, raw: raw, key: &key.PublicKey}}, nil
}

type sm2Signer struct {
	key    *sm2.PrivateKey
	secret [32]byte
	pub    PublicKey
}

func (s *sm2Signer) Public() PublicKey { return s.pub }
func (s *sm2Signer) Secret() []byte    { return append([]byte(nil), s.secret[:]...) }

func (s *sm2Signer) Sign(rand io.Reader, message []byte) ([]byte, error) {
	der, err := s.key.SignWithSM2(rand, nil, message)
	if err != nil {
		return nil, err
	}
	var r, v big.Int
	var seq cryptobyte.String
	in := cryptobyte.String(der)
	if !in.ReadASN1(&seq, asn1.SEQUENCE) || !seq.ReadASN1Integer(&r) || !seq.ReadASN1Integer(&v) {
		return nil, errors.New("keys: SM2 signature not understood")
	}
	out := make([]byte, SignatureLen)
	r.FillBytes(out[:32])
	v.FillBytes(out[32:])
	return out, nil
}

func (sm2Scheme) parsePoint(raw []byte) (*ecdsa.PublicKey, error) { return sm2.NewPublicKey(raw) }
