package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"pgregory.net/rapid"
)

// smallOrder are the 14 encodings of points of order 1, 2, 4 and 8: 8 canonical and 6 that are not
// (ZIP-215, "Test vectors").
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// The ledger's rule is ZIP-215: all 196 pairs of small-order A and R verify with s = 0. As keys of
// this network those A are refused, since anybody could sign for them.
func TestZIP215SmallOrder(t *testing.T) {
	n := 0
	for _, a := range smallOrder {
		pub, err := hex.DecodeString(a)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := NewPublicKey(Ed25519, pub); err == nil {
			t.Errorf("%s accepted as a key", a)
		}
		for _, r := range smallOrder {
			enc, _ := hex.DecodeString(r)
			sig := append(enc, make([]byte, 32)...)
			if !(edScheme{}).verifyConsensus(&edKey{raw: pub}, []byte("Zcash"), sig) {
				t.Errorf("A %s R %s refused", a, r)
			}
			n++
		}
	}
	if n != 196 {
		t.Fatalf("%d cases", n)
	}
}

// sign makes an Ed25519 signature by the secret scalar a with nonce r, for a public key and an R
// whose encodings are given, as nobody does who means well.
func sign(t *testing.T, a, r *edwards25519.Scalar, pub, encR, msg []byte) []byte {
	t.Helper()
	h := sha512.Sum512(append(append(bytes.Clone(encR), pub...), msg...))
	k, err := edwards25519.NewScalar().SetUniformBytes(h[:])
	if err != nil {
		t.Fatal(err)
	}
	s := edwards25519.NewScalar().MultiplyAdd(k, a, r)
	return append(bytes.Clone(encR), s.Bytes()...)
}

// A key with a torsion component and an R of a second spelling: both must be judged alike by every
// node, so the cofactored equation of ZIP-215 accepts them. The credential rule does not.
func TestZIP215Cofactor(t *testing.T) {
	wide := sha512.Sum512([]byte("a"))
	a, _ := edwards25519.NewScalar().SetUniformBytes(wide[:])
	torsion, err := new(edwards25519.Point).SetBytes(mustHex(t, smallOrder[1]))
	if err != nil {
		t.Fatal(err)
	}
	plain := new(edwards25519.Point).ScalarBaseMult(a)
	mixed := new(edwards25519.Point).Add(plain, torsion)
	zero := edwards25519.NewScalar()
	identity := mustHex(t, smallOrder[0])
	identityTwice := mustHex(t, smallOrder[10]) // y = p+1, not canonical
	msg := []byte("m")
	for _, c := range []struct {
		name              string
		pub, r            []byte
		verify, consensus bool
	}{
		{"plain", plain.Bytes(), identity, true, true},
		{"R not canonical", plain.Bytes(), identityTwice, false, true},
		{"key of mixed order", mixed.Bytes(), identity, false, true},
	} {
		pub, err := NewPublicKey(Ed25519, c.pub)
		if err != nil {
			t.Fatal(c.name, err)
		}
		sig := sign(t, a, zero, c.pub, c.r, msg)
		if got := pub.VerifyConsensus(msg, sig); got != c.consensus {
			t.Errorf("%s: VerifyConsensus = %v", c.name, got)
		}
		if got := pub.Verify(msg, sig); got != c.verify {
			t.Errorf("%s: Verify = %v", c.name, got)
		}
		// s + L is the same number to the curve and another signature to the ledger.
		if big := addOrder(sig); pub.Verify(msg, big) || pub.VerifyConsensus(msg, big) {
			t.Errorf("%s: s ≥ L accepted", c.name)
		}
	}
}

func mustHex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// addOrder adds the group order L to the little-endian s of sig.
func addOrder(sig []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	s := bytes.Clone(sig[32:])
	for i := range 16 {
		s[i], s[31-i] = s[31-i], s[i]
	}
	n := new(big.Int).SetBytes(s)
	n.Add(n, order).FillBytes(s)
	for i := range 16 {
		s[i], s[31-i] = s[31-i], s[i]
	}
	return append(bytes.Clone(sig[:32]), s...)
}

// For ECDSA (r, n-s) is the other signature of the same message: good for a credential, refused by
// the ledger. For SM2 it is no signature.
func TestOtherS(t *testing.T) {
	for _, c := range []struct {
		suite  *Suite
		order  *big.Int
		verify bool
	}{
		{P256, elliptic.P256().Params().N, true},
		{SM2, sm2Order(t), false},
	} {
		k, err := c.suite.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		msg := []byte("low s")
		for range 20 {
			sig, err := k.Sign(rand.Reader, msg)
			if err != nil || !k.Public().VerifyConsensus(msg, sig) {
				t.Fatal("own signature refused", err)
			}
			s := new(big.Int).SetBytes(sig[32:])
			s.Sub(c.order, s).FillBytes(sig[32:])
			if got := k.Public().Verify(msg, sig); got != c.verify {
				t.Fatalf("%s: Verify = %v", c.suite, got)
			}
			if k.Public().VerifyConsensus(msg, sig) {
				t.Fatalf("%s: a second signature was accepted", c.suite)
			}
		}
	}
}

func sm2Order(t *testing.T) *big.Int {
	t.Helper()
	n, ok := new(big.Int).SetString("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123", 16)
	if !ok {
		t.Fatal("order")
	}
	return n
}

func TestPublicKeysRefused(t *testing.T) {
	fill := func(first byte, n int, b byte) []byte {
		return append([]byte{first}, bytes.Repeat([]byte{b}, n-1)...)
	}
	for _, c := range []struct {
		name  string
		suite *Suite
		raw   []byte
	}{
		{"short", Ed25519, make([]byte, 31)},
		{"long", Ed25519, make([]byte, 33)},
		{"no point", Ed25519, fill(2, 32, 0)},
		{"not canonical", Ed25519, mustHex(t, "f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f")},
		{"uncompressed", P256, fill(4, 65, 1)},
		{"wrong first byte", P256, fill(4, 33, 1)},
		{"x above p", P256, fill(2, 33, 0xff)},
		{"x on no point", P256, append(fill(2, 32, 0), 1)},
		{"identity", P256, make([]byte, 33)},
		{"wrong first byte", SM2, fill(5, 33, 1)},
		{"x above p", SM2, fill(3, 33, 0xff)},
		{"x on no point", SM2, noSM2Point(t)},
		{"identity", SM2, make([]byte, 33)},
		{"short", SM2, make([]byte, 32)},
	} {
		if k, err := NewPublicKey(c.suite, c.raw); err == nil {
			t.Errorf("%s %s accepted", c.suite, c.name)
		} else if !k.IsZero() {
			t.Errorf("%s %s: a key beside the error", c.suite, c.name)
		}
	}
}

// noSM2Point finds an x for which x³-3x+b is no square.
func noSM2Point(t *testing.T) []byte {
	t.Helper()
	raw := append([]byte{2}, make([]byte, 32)...)
	for range 64 {
		raw[32]++
		if x, _ := unmarshalCompressedSM2(raw); x == nil {
			return raw
		}
	}
	t.Fatal("every x was on the curve")
	return nil
}

func TestMultikeysRefused(t *testing.T) {
	k, err := Ed25519.Load(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	good := k.Public().Multikey()
	for name, b := range map[string][]byte{
		"nothing":           nil,
		"prefix only":       {0xed, 0x01},
		"long form of code": append([]byte{0xed, 0x81, 0x00}, good[2:]...),
		"code 0":            append([]byte{0}, good[2:]...),
		"overlong 2 bytes":  append([]byte{0xed, 0x00}, good[2:]...),
		"secp256k1":         append([]byte{0xe7, 0x01}, good[2:]...),
		"unending varint":   bytes.Repeat([]byte{0xff}, 34),
		"P-256 code":        append([]byte{0x80, 0x24}, good[2:]...),
		"trailing":          append(bytes.Clone(good), 0),
	} {
		if _, err := ParseMultikey(b); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
	if _, err := ParseMultibase("z" + strings.Repeat("2", 1<<16)); err == nil {
		t.Error("a very long key accepted")
	}
	// Controlled Identifiers 1.0: an Ed25519 Multikey starts z6Mk, a P-256 one zDn.
	if !strings.HasPrefix(k.Public().Multibase(), "z6Mk") {
		t.Error(k.Public().Multibase())
	}
	p, err := P256.Load(append(make([]byte, 31), 1))
	if err != nil || !strings.HasPrefix(p.Public().Multibase(), "zDn") {
		t.Error(p.Public().Multibase(), err)
	}
}

func TestSecretsRefused(t *testing.T) {
	for _, s := range Suites() {
		for _, n := range []int{0, 31, 33, 64} {
			if _, err := s.Load(make([]byte, n)); err == nil {
				t.Errorf("%s: a secret of %d bytes", s, n)
			}
		}
		if s != Ed25519 {
			for _, b := range []byte{0, 0xff} {
				if _, err := s.Load(bytes.Repeat([]byte{b}, 32)); err == nil {
					t.Errorf("%s: secret %#x… accepted", s, b)
				}
			}
		}
		if _, err := s.Generate(bytes.NewReader(make([]byte, 16))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: too little randomness gives %v", s, err)
		}
	}
}

// A key comes from the bytes of rand alone, so that a seed gives the same demo twice.
func TestGenerateIsDeterministic(t *testing.T) {
	seed := bytes.Repeat([]byte{0x42}, 64)
	for _, s := range Suites() {
		a, err := s.Generate(bytes.NewReader(seed))
		if err != nil {
			t.Fatal(err)
		}
		b, err := s.Generate(bytes.NewReader(seed))
		if err != nil || !a.Public().Equal(b.Public()) {
			t.Errorf("%s: two keys from one seed %v", s, err)
		}
		if !bytes.Equal(a.(Secret).Secret(), seed[:32]) {
			t.Errorf("%s: secret is not the seed", s)
		}
	}
	// P-256 and SM2 draw again when the scalar is out of range.
	for _, s := range []*Suite{P256, SM2} {
		k, err := s.Generate(io.MultiReader(bytes.NewReader(bytes.Repeat([]byte{0xff}, 32)), bytes.NewReader(seed)))
		if err != nil || !bytes.Equal(k.(Secret).Secret(), seed[:32]) {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestSuiteNames(t *testing.T) {
	for _, s := range Suites() {
		got, err := SuiteByName(s.Name())
		if err != nil || got != s {
			t.Errorf("%s: %v", s, err)
		}
		if s.COSEAlg() == 0 || s.JOSEAlg() == "" {
			t.Errorf("%s has no algorithm number or name", s)
		}
	}
	for _, bad := range []string{"", "ed25519", "RSA", strings.Repeat("x", 1<<16)} {
		if _, err := SuiteByName(bad); err == nil || len(err.Error()) > 200 {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func TestKeysOfOtherSuitesDiffer(t *testing.T) {
	secret := append(make([]byte, 31), 9)
	var all []PublicKey
	for _, s := range Suites() {
		k, err := s.Load(secret)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := k.Sign(rand.Reader, []byte("m"))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			if o.Equal(k.Public()) || o.Verify([]byte("m"), sig) || o.Digest() == k.Public().Digest() {
				t.Errorf("%s and %s are confused", o.Suite(), s)
			}
		}
		all = append(all, k.Public())
	}
	var zero PublicKey
	if !zero.IsZero() || zero.Suite() != nil || zero.Multikey() != nil || zero.VerifyConsensus(nil, make([]byte, 64)) || zero.Equal(all[0]) {
		t.Error("the zero key is something")
	}
}

// The credential rule for Ed25519 is the standard library's, for whatever is signed and however it is
// spoilt.
func TestEd25519IsTheStandardLibrarys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "seed")
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		key, err := Ed25519.Load(seed)
		if err != nil {
			t.Fatal(err)
		}
		sig, err := key.Sign(nil, message)
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "spoil") {
			sig[rapid.IntRange(0, 63).Draw(t, "byte")] ^= rapid.Byte().Draw(t, "with")
		}
		want := ed25519.Verify(key.Public().Raw(), message, sig)
		if got := key.Public().Verify(message, sig); got != want {
			t.Fatalf("%v, where the standard library says %v", got, want)
		}
	})
}

func TestLowS(t *testing.T) {
	n := elliptic.P256().Params().N
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "secret")
		key, err := P256.Load(secret)
		if err != nil {
			t.Skip(err)
		}
		message := rapid.SliceOf(rapid.Byte()).Draw(t, "message")
		low, err := key.Sign(rand.Reader, message)
		if err != nil || !bytes.Equal(LowS(low), low) {
			t.Fatal("a low s changed", err)
		}
		high := bytes.Clone(low)
		new(big.Int).Sub(n, new(big.Int).SetBytes(low[32:])).FillBytes(high[32:])
		if !key.Public().Verify(message, high) || key.Public().VerifyConsensus(message, high) {
			t.Fatal("not the other signature")
		}
		kept := bytes.Clone(high)
		if got := LowS(high); !bytes.Equal(got, low) || !bytes.Equal(high, kept) {
			t.Fatal("not the low form, or written into what it was given")
		}
	})
	for _, odd := range [][]byte{nil, make([]byte, 63), append(make([]byte, 32), bytes.Repeat([]byte{0xff}, 32)...)} {
		if !bytes.Equal(LowS(odd), odd) {
			t.Errorf("%x changed", odd)
		}
	}
}

func BenchmarkEd25519(b *testing.B) {
	key, err := Ed25519.Load(make([]byte, 32))
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 1000)
	sig, err := key.Sign(nil, message)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("decoded", func(b *testing.B) {
		for b.Loop() {
			if !key.Public().Verify(message, sig) {
				b.Fatal("does not hold")
			}
		}
	})
	b.Run("standard library", func(b *testing.B) {
		for b.Loop() {
			if !ed25519.Verify(key.Public().Raw(), message, sig) {
				b.Fatal("does not hold")
			}
		}
	})
}
