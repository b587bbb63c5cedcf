package keys

import (
	"bytes"
	"encoding/hex"
	"testing"

	"filippo.io/edwards25519"
	"pgregory.net/rapid"
)

// ReadMultikey and then Check accept just what ParseMultikey accepts, and what only Check refuses verifies
// nothing.
func TestReadMultikey(t *testing.T) {
	deferred := 0
	check := func(t rapid.TB, b []byte) {
		t.Helper()
		parsed, refused := ParseMultikey(b)
		read, err := ReadMultikey(b)
		if err != nil {
			if refused == nil || refused.Error() != err.Error() {
				t.Fatalf("%x: %v, in halves %v", b, refused, err)
			}
			return
		}
		if err := read.Check(); (err == nil) != (refused == nil) || (err != nil && err.Error() != refused.Error()) {
			t.Fatalf("%x: %v, in halves %v", b, refused, err)
		}
		if refused == nil {
			if !read.Equal(parsed) {
				t.Fatalf("%x: another key", b)
			}
			return
		}
		deferred++
		for _, sig := range [][]byte{make([]byte, SignatureLen), append(bytes.Clone(read.Raw()), make([]byte, 32)...)} {
			if read.Verify([]byte("m"), sig) || read.VerifyConsensus([]byte("m"), sig) {
				t.Fatalf("%x: a signature holds for what is no point", b)
			}
		}
	}
	for _, text := range smallOrder {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		check(t, append([]byte{0xed, 0x01}, raw...))
	}
	rapid.Check(t, func(t *rapid.T) {
		suite := rapid.SampledFrom(Suites()).Draw(t, "suite")
		k, err := suite.Load(rapid.SliceOfN(rapid.ByteRange(1, 0x7f), 32, 32).Draw(t, "secret"))
		if err != nil {
			t.Fatal(err)
		}
		b := k.Public().Multikey()
		check(t, b)
		b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= rapid.Byte().Draw(t, "flip")
		check(t, b)
		check(t, b[:rapid.IntRange(0, len(b)).Draw(t, "cut")])
	})
	if deferred == 0 {
		t.Error("no key that only Check refuses was seen")
	}
	if (PublicKey{}).Check() == nil {
		t.Error("no key at all passes")
	}
}

// The list of y coordinates says what multiplying by the cofactor says.
func TestSmallOrder(t *testing.T) {
	found := 0
	check := func(t rapid.TB, raw []byte) {
		p, err := new(edwards25519.Point).SetBytes(raw)
		if err != nil || !canonicalY(raw) {
			return
		}
		small := p.MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) == 1
		if small {
			found++
		}
		if smallOrder := smallOrderY(raw); smallOrder != small {
			t.Fatalf("%x: %v, and multiplied %v", raw, smallOrder, small)
		}
	}
	for _, text := range smallOrder {
		check(t, mustHex(t, text))
	}
	if found < 8 {
		t.Errorf("%d of the eight points", found)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "raw"))
	})
}
