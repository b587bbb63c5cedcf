package cose_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"

	gocose "github.com/veraison/go-cose"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/cose"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

const most = 4096

func newKey(t testing.TB, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func wantRule(t testing.TB, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule || rule == "" && err != nil {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}

func ecdsaKey(t testing.TB, k keys.PublicKey) *ecdsa.PublicKey {
	t.Helper()
	x, y := k.Coordinates()
	pub, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
	if err != nil {
		t.Fatal(err)
	}
	return pub
}

// What is written here, go-cose reads and verifies, and the other way round.
func TestAgainstGoCOSE(t *testing.T) {
	signer := newKey(t, keys.P256)
	h := cose.Header{Type: "application/statuslist+cwt", KeyID: []byte("12"), X5Chain: [][]byte{{1, 2}, {3}}}
	payload := []byte("payload")
	raw, err := cose.Sign(rand.Reader, h, payload, signer)
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := gocose.NewVerifier(gocose.AlgorithmES256, ecdsaKey(t, signer.Public()))
	if err != nil {
		t.Fatal(err)
	}
	var theirs gocose.UntaggedSign1Message
	if err := theirs.UnmarshalCBOR(raw); err != nil {
		t.Fatal(err)
	}
	if err := theirs.Verify(nil, verifier); err != nil {
		t.Error(err)
	}
	var tagged gocose.Sign1Message
	if err := tagged.UnmarshalCBOR(cose.Tag(raw)); err != nil {
		t.Fatal(err)
	}
	if err := tagged.Verify(nil, verifier); err != nil {
		t.Error(err)
	}

	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	point, err := private.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	key, err := keys.NewPublicKeyFromPoint(keys.P256, point[1:33], point[33:])
	if err != nil {
		t.Fatal(err)
	}
	gosigner, err := gocose.NewSigner(gocose.AlgorithmES256, private)
	if err != nil {
		t.Fatal(err)
	}
	other := gocose.NewSign1Message()
	other.Headers.Protected.SetAlgorithm(gocose.AlgorithmES256)
	other.Headers.Unprotected[gocose.HeaderLabelX5Chain] = []any{[]byte{9}, []byte{8}}
	other.Headers.Unprotected[gocose.HeaderLabelKeyID] = []byte("kid")
	other.Payload = payload
	if err := other.Sign(rand.Reader, nil, gosigner); err != nil {
		t.Fatal(err)
	}
	raw, err = other.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	m, err := cose.Parse(raw, most)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(key); err != nil {
		t.Error(err)
	}
	if !m.Tagged || string(m.KeyID) != "kid" || len(m.X5Chain) != 2 || !bytes.Equal(m.X5Chain[0], []byte{9}) || !bytes.Equal(m.Payload, payload) {
		t.Errorf("read %+v", m)
	}
}

func TestRoundTrip(t *testing.T) {
	for _, s := range keys.Suites() {
		signer := newKey(t, s)
		h := cose.Header{Type: "type", KeyID: []byte{1}, X5Chain: [][]byte{{7}}}
		raw, err := cose.Sign(rand.Reader, h, nil, signer)
		if err != nil {
			t.Fatal(err)
		}
		m, err := cose.Parse(raw, most)
		if err != nil {
			t.Fatal(err)
		}
		wantRule(t, m.Verify(signer.Public()), "")
		if m.Tagged || m.Type != "type" || m.Alg != s.COSEAlg() || m.Payload == nil || len(m.X5Chain) != 1 || m.X5Chain[0][0] != 7 {
			t.Errorf("read %+v", m)
		}
		wantRule(t, m.VerifyDetached(signer.Public(), nil), cose.RuleMalformed)
		wantRule(t, m.Verify(newKey(t, s).Public()), cose.RuleSignature)
		for _, other := range keys.Suites() {
			if other != s {
				wantRule(t, m.Verify(newKey(t, other).Public()), cose.RuleAlg)
			}
		}
		if err := m.Verify(keys.PublicKey{}); err == nil || hufu.RuleOf(err) != "" {
			t.Errorf("verified with no key: %v", err)
		}

		raw, err = cose.SignDetached(rand.Reader, cose.Header{}, []byte("elsewhere"), signer)
		if err != nil {
			t.Fatal(err)
		}
		if m, err = cose.Parse(raw, most); err != nil {
			t.Fatal(err)
		}
		wantRule(t, m.VerifyDetached(signer.Public(), []byte("elsewhere")), "")
		wantRule(t, m.VerifyDetached(signer.Public(), []byte("Elsewhere")), cose.RuleSignature)
		wantRule(t, m.Verify(signer.Public()), cose.RuleMalformed)
	}
}

func TestParseRefused(t *testing.T) {
	for _, c := range []struct {
		name, hex string
		rule      hufu.Rule
	}{
		{"nothing", "", cose.RuleMalformed},
		{"another tag", "d1 84 43a10126 a0 40 40", cose.RuleMalformed},
		{"tag twice", "d2 d2 84 43a10126 a0 40 40", cose.RuleMalformed},
		{"three items", "83 43a10126 a0 40", cose.RuleMalformed},
		{"five items", "85 43a10126 a0 40 40 40", cose.RuleMalformed},
		{"a map", "a0", cose.RuleMalformed},
		{"trailing", "84 43a10126 a0 40 40 00", cose.RuleMalformed},
		{"payload is text", "84 43a10126 a0 60 40", cose.RuleMalformed},
		{"payload is a list", "84 43a10126 a0 8101 40", cose.RuleMalformed},
		{"protected is no map", "84 4101 a0 40 40", cose.RuleMalformed},
		{"protected is null", "84 41f6 a0 40 40", cose.RuleMalformed},
		{"protected is empty", "84 40 a0 40 40", cose.RuleMalformed},
		{"unprotected is null", "84 43a10126 f6 40 40", cose.RuleMalformed},
		{"alg twice", "84 45a201260126 a0 40 40", cose.RuleMalformed},
		{"no alg", "84 41a0 a0 40 40", cose.RuleAlg},
		{"alg unprotected", "84 41a0 a10126 40 40", cose.RuleAlg},
		{"alg is text", "84 44a1016131 a0 40 40", cose.RuleAlg},
		{"alg in both", "84 43a10126 a10126 40 40", cose.RuleUnsupported},
		{"crit", "84 46a20126028101 a0 40 40", cose.RuleUnsupported},
		{"crit unprotected", "84 43a10126 a1028101 40 40", cose.RuleUnsupported},
		{"kid is text", "84 43a10126 a1046161 40 40", cose.RuleMalformed},
		{"x5chain is text", "84 43a10126 a118216161 40 40", cose.RuleMalformed},
		{"x5chain is empty", "84 43a10126 a1182180 40 40", cose.RuleMalformed},
		{"x5chain of text", "84 43a10126 a11821816161 40 40", cose.RuleMalformed},
		{"too many parameters", "84 43a10126 b821" + func() string {
			var b strings.Builder
			for i := range 33 {
				b.WriteString("19" + hex.EncodeToString([]byte{byte(1), byte(i)}) + "00")
			}
			return b.String()
		}() + "40 40", cose.RuleTooLarge},
		{"good", "84 43a10126 a0 40 40", ""},
		{"good, longer forms", "9f 43a10126 bf ff 5800 40 ff", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			_, err = cose.Parse(raw, most)
			wantRule(t, err, c.rule)
		})
	}
	_, err := cose.Parse(make([]byte, most+1), most)
	wantRule(t, err, cose.RuleTooLarge)
}

// Everything signed is under the signature.
func TestAlteredIsRefused(t *testing.T) {
	signer := newKey(t, keys.P256)
	raw, err := cose.Sign(rand.Reader, cose.Header{Type: "t"}, []byte("payload"), signer)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		m, err := cose.Parse(bad, most)
		if err == nil && m.Verify(signer.Public()) == nil && bytes.Equal(m.Payload, []byte("payload")) && m.Type == "t" && i > 12 {
			// The first bytes hold heads whose other forms may mean the same.
			t.Errorf("byte %d altered and still verified", i)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, s := range []*keys.Suite{keys.P256, keys.Ed25519} {
		key := newKey(t, s).Public()
		raw, err := cose.MarshalKey(key)
		if err != nil {
			t.Fatal(err)
		}
		back, err := cose.ParseKey(raw)
		if err != nil || !back.Equal(key) {
			t.Errorf("%s came back as %v, %v", s, back, err)
		}
		var theirs gocose.Key
		if err := theirs.UnmarshalCBOR(raw); err != nil {
			t.Errorf("go-cose: %v", err)
		}
	}
	for _, k := range []keys.PublicKey{{}, newKey(t, keys.SM2).Public()} {
		_, err := cose.MarshalKey(k)
		wantRule(t, err, cose.RuleKey)
	}
}

func TestKeysRefused(t *testing.T) {
	x, y := newKey(t, keys.P256).Public().Coordinates()
	good := func() map[int64]any { return map[int64]any{1: 2, -1: 1, -2: x, -3: y} }
	for name, change := range map[string]func(map[int64]any){
		"private":         func(m map[int64]any) { m[-4] = x },
		"another type":    func(m map[int64]any) { m[1] = 1 },
		"symmetric":       func(m map[int64]any) { m[1] = 4 },
		"another curve":   func(m map[int64]any) { m[-1] = 2 },
		"compressed":      func(m map[int64]any) { m[-3] = true },
		"no y":            func(m map[int64]any) { delete(m, -3) },
		"no x":            func(m map[int64]any) { delete(m, -2) },
		"short":           func(m map[int64]any) { m[-2] = x[1:] },
		"off the curve":   func(m map[int64]any) { m[-3] = x },
		"another alg":     func(m map[int64]any) { m[3] = -8 },
		"alg is text":     func(m map[int64]any) { m[3] = "ES256" },
		"x is text":       func(m map[int64]any) { m[-2] = string(bytes.Repeat([]byte("x"), 32)) },
		"larger than due": func(m map[int64]any) { m[99] = make([]byte, cose.MaxKeyBytes) },
	} {
		t.Run(name, func(t *testing.T) {
			m := good()
			change(m)
			raw, err := encoding.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			_, err = cose.ParseKey(raw)
			wantRule(t, err, cose.RuleKey)
		})
	}
	m := good()
	m[3], m[4], m[2] = -9, []any{2}, []byte("kid")
	raw, err := encoding.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cose.ParseKey(raw); err != nil {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	signer := newKey(f, keys.P256)
	raw, err := cose.Sign(rand.Reader, cose.Header{Type: "t", KeyID: []byte{1}, X5Chain: [][]byte{{1}, {2}}}, []byte("payload"), signer)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add(cose.Tag(raw))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := cose.Parse(data, most)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("no refusal: %v", err)
			}
			return
		}
		if m.Verify(signer.Public()) == nil && string(m.Payload) != "payload" {
			t.Fatal("verified something else")
		}
	})
}
