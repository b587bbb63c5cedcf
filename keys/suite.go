package keys

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/hufu-id/hufu"
)

// Suite is one signature suite.
type Suite struct {
	name   string
	code   uint64 // multicodec of the public key
	cose   int64  // COSE algorithm (IANA; SM2 has none and takes a private number, RFC 9053 §8)
	jose   string // JWS "alg"
	keyLen int    // bytes of the public key's wire form
	impl   scheme
}

// scheme is what a suite's mathematics provides.
type scheme interface {
	parse(raw []byte) (any, error)
	read(raw []byte) (any, error) // parse, but for what check says
	check(pub any) error
	verify(pub any, message, sig []byte) bool
	verifyConsensus(pub any, message, sig []byte) bool
	generate(rand io.Reader) (Signer, error)
	load(secret []byte) (Signer, error)
}

// SignatureLen is the length in bytes of every suite's signature.
const SignatureLen = 64

// MaxMultikeyLen is the length in bytes of the longest Multikey of any suite.
const MaxMultikeyLen = 2 + 33

// The suites. Their COSE numbers are EdDSA and ES256 of the IANA registry; SM2 is in the
// private-use range.
var (
	Ed25519 = &Suite{name: "Ed25519", code: 0xed, cose: -8, jose: "EdDSA", keyLen: 32, impl: edScheme{}}
	P256    = &Suite{name: "P-256", code: 0x1200, cose: -7, jose: "ES256", keyLen: 33, impl: p256Scheme{}}
	SM2     = &Suite{name: "SM2", code: 0x1206, cose: -65538, jose: "SM2SM3", keyLen: 33, impl: sm2Scheme{}}
)

// Suites lists all suites in a fixed order.
func Suites() []*Suite { return []*Suite{Ed25519, P256, SM2} }

// Name is the name used in files and flags: Ed25519, P-256 or SM2.
func (s *Suite) Name() string { return s.name }

// COSEAlg is the algorithm number in COSE headers.
func (s *Suite) COSEAlg() int64 { return s.cose }

// JOSEAlg is the "alg" in JWS headers.
func (s *Suite) JOSEAlg() string { return s.jose }

// String is the suite's name.
func (s *Suite) String() string { return s.name }

// SuiteByName finds a suite by [Suite.Name].
func SuiteByName(name string) (*Suite, error) {
	for _, s := range Suites() {
		if s.name == name {
			return s, nil
		}
	}
	return nil, fmt.Errorf("keys: no signature suite %q; there are Ed25519, P-256 and SM2", clip(name))
}

// Generate makes a new key from rand.
func (s *Suite) Generate(rand io.Reader) (Signer, error) { return s.impl.generate(rand) }

// Load makes the signer of a 32-byte secret, as [Signer.Secret] gave it.
func (s *Suite) Load(secret []byte) (Signer, error) { return s.impl.load(secret) }

// Signer holds one private key. Implementations are safe for concurrent use.
type Signer interface {
	// Public is the key's public half.
	Public() PublicKey
	// Sign signs message itself, not a digest of it. The result is [SignatureLen] bytes and
	// satisfies both rules of verification. rand is read by ECDSA and SM2; it must be
	// cryptographically strong.
	Sign(rand io.Reader, message []byte) ([]byte, error)
}

// Secret is implemented by signers whose key can leave them, to be kept by a keystore. A signer in
// hardware does not implement it.
type Secret interface {
	// Secret returns the 32-byte secret: the Ed25519 seed or the scalar, big-endian.
	Secret() []byte
}

// PublicKey is the public half of a key of one suite. The zero value verifies nothing.
type PublicKey struct {
	suite *Suite
	raw   []byte // wire form without the multicodec prefix
	key   any    // parsed form
}

// ErrNoKey is returned for the zero PublicKey.
var ErrNoKey = errors.New("keys: no public key")

// NewPublicKey reads a public key's wire form: 32 bytes for Ed25519, a 33-byte compressed point
// (SEC 1 §2.3.3) for P-256 and SM2.
func NewPublicKey(s *Suite, raw []byte) (PublicKey, error) {
	return newKey(s, raw, s.impl.parse)
}

func newKey(s *Suite, raw []byte, parse func([]byte) (any, error)) (PublicKey, error) {
	if len(raw) != s.keyLen {
		return PublicKey{}, fmt.Errorf("keys: %s public key of %d bytes, not %d", s.name, len(raw), s.keyLen)
	}
	raw = bytes.Clone(raw)
	key, err := parse(raw)
	if err != nil {
		return PublicKey{}, s.badKey(err)
	}
	return PublicKey{suite: s, raw: raw, key: key}, nil
}

func (s *Suite) badKey(err error) error { return fmt.Errorf("keys: %s public key: %w", s.name, err) }

// ParseMultikey reads the binary Multikey form: multicodec prefix and wire form.
func ParseMultikey(b []byte) (PublicKey, error) {
	s, raw, err := splitMultikey(b)
	if err != nil {
		return PublicKey{}, err
	}
	return newKey(s, raw, s.impl.parse)
}

// ReadMultikey is [ParseMultikey] without the dear half of it, decoding an Ed25519 key's point: 32 bytes may
// be those of no point. No signature holds for such a key; whoever keeps one without having seen it sign
// asks [PublicKey.Check].
func ReadMultikey(b []byte) (PublicKey, error) {
	s, raw, err := splitMultikey(b)
	if err != nil {
		return PublicKey{}, err
	}
	return newKey(s, raw, s.impl.read)
}

func splitMultikey(b []byte) (*Suite, []byte, error) {
	code, n := binary.Uvarint(b)
	if n <= 0 || n > 2 || (n > 1 && b[n-1] == 0) {
		return nil, nil, errors.New("keys: no multicodec prefix")
	}
	for _, s := range [...]*Suite{Ed25519, P256, SM2} {
		if s.code == code {
			return s, b[n:], nil
		}
	}
	return nil, nil, fmt.Errorf("keys: multicodec %#x is no signature suite of this network", code)
}

// Check says of a key from [ReadMultikey] what [ParseMultikey] would have.
func (k PublicKey) Check() error {
	if k.suite == nil {
		return ErrNoKey
	}
	if err := k.suite.impl.check(k.key); err != nil {
		return k.suite.badKey(err)
	}
	return nil
}

// ParseMultibase reads publicKeyMultibase: a Multikey in base58btc.
func ParseMultibase(text string) (PublicKey, error) {
	b, err := hufu.DecodeMultibase(text, MaxMultikeyLen)
	if err != nil {
		return PublicKey{}, fmt.Errorf("keys: %w", err)
	}
	return ParseMultikey(b)
}

// Suite is the key's suite, or nil for the zero key.
func (k PublicKey) Suite() *Suite { return k.suite }

// IsZero reports whether k holds no key.
func (k PublicKey) IsZero() bool { return k.suite == nil }

// Raw is the wire form without prefix. The caller must not change it.
func (k PublicKey) Raw() []byte { return k.raw }

// Multikey is the binary Multikey form.
func (k PublicKey) Multikey() []byte {
	if k.suite == nil {
		return nil
	}
	return append(binary.AppendUvarint(make([]byte, 0, MaxMultikeyLen), k.suite.code), k.raw...)
}

// Multibase is the form of publicKeyMultibase.
func (k PublicKey) Multibase() string { return hufu.EncodeMultibase(k.Multikey()) }

// String is the multibase form.
func (k PublicKey) String() string { return k.Multibase() }

// Digest is what an identifier commits to before a key is first used (pre-rotation): SHA-256 of the
// Multikey.
func (k PublicKey) Digest() hufu.Digest { return sha256.Sum256(k.Multikey()) }

// Equal reports whether both are the same key of the same suite.
func (k PublicKey) Equal(o PublicKey) bool {
	return k.suite == o.suite && bytes.Equal(k.raw, o.raw)
}

// Verify reports whether sig is k's signature of message under the rule of the credential formats.
func (k PublicKey) Verify(message, sig []byte) bool {
	return k.suite != nil && len(sig) == SignatureLen && k.suite.impl.verify(k.key, message, sig)
}

// VerifyConsensus reports whether sig is k's signature of message under the ledger's rule.
func (k PublicKey) VerifyConsensus(message, sig []byte) bool {
	return k.suite != nil && len(sig) == SignatureLen && k.suite.impl.verifyConsensus(k.key, message, sig)
}

func clip(s string) string { return s[:min(len(s), 32)] }
