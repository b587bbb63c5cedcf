package status_test

import (
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/cose"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

func TestCWTRoundTrip(t *testing.T) {
	for _, s := range keys.Suites() {
		key := newKey(t, s)
		in := &status.Token{
			URI: uri, Issuer: "did:x", KeyID: "did:x#k", IssuedAt: issued,
			ExpiresAt: issued.Add(time.Hour), TTL: 5 * time.Minute, List: exampleList(t),
		}
		raw, err := in.SignCWT(rand.Reader, key)
		if err != nil {
			t.Fatal(err)
		}
		want := expect(key.Public())
		want.Key = func(kid string, at int64) (keys.PublicKey, error) {
			if kid != "did:x#k" || at != issued.Unix() {
				t.Errorf("asked for key %q at %d", kid, at)
			}
			return key.Public(), nil
		}
		out, err := status.VerifyCWT(raw, want)
		if err != nil {
			t.Fatal(err)
		}
		if out.URI != in.URI || out.Issuer != in.Issuer || out.KeyID != in.KeyID || !out.IssuedAt.Equal(in.IssuedAt) ||
			!out.ExpiresAt.Equal(in.ExpiresAt) || out.TTL != in.TTL {
			t.Errorf("read %+v, wrote %+v", out, in)
		}
		if v, err := out.List.Get(0); err != nil || v != hufu.StatusRevoked {
			t.Errorf("index 0: %v %v", v, err)
		}
	}
	if _, err := (&status.Token{URI: uri, IssuedAt: issued}).SignCWT(rand.Reader, newKey(t, keys.P256)); err == nil {
		t.Error("signed a token without a list")
	}
}

// §5.2 of the draft: the published token under the key of the draft's examples.
func TestDraftCWT(t *testing.T) {
	raw, err := hex.DecodeString("d2845820a2012610781a6170706c69636174696f6e2f7374617475736c6973742b63" +
		"7774a1044231325850a502782168747470733a2f2f6578616d706c652e636f6d2f73" +
		"74617475736c697374732f31061a648c5bea041a8898dfea19fffe19a8c019fffda2" +
		"646269747301636c73744a78dadbb918000217015d584093fa4d01032b18c35e2fe1" +
		"101b77fd6cc9440022caa4694450c4e4e9feab4e99d1fa6d9772ce2bf3a12e0323de" +
		"d7c982c5e101a5e67f0cbc1e2b6f57ce99c279")
	if err != nil {
		t.Fatal(err)
	}
	key, err := jws.ParseJWK([]byte(`{"kty":"EC","crv":"P-256","x":"I3HWm_0Ds1dPMI-IWmf4mBmH-YaeAVbPVu7vB27CxXo","y":"6N_d5Elj9bs1htgV3okJKIdbHEpkgTmAluYKJemzn1M"}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := status.VerifyCWT(raw, expect(key))
	if err != nil {
		t.Fatal(err)
	}
	if got.KeyID != "12" || got.Issuer != "" || got.ExpiresAt.Unix() != 2291720170 || got.TTL != 12*time.Hour {
		t.Errorf("%+v", got)
	}
	for i, want := range []hufu.Status{1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1} {
		if v, err := got.List.Get(uint64(i)); err != nil || v != want {
			t.Errorf("index %d: %v %v", i, v, err)
		}
	}
	_, err = status.VerifyCWT(raw, expect(newKey(t, keys.P256).Public()))
	wantRule(t, err, status.RuleSignature)
}

// A token that brings certificates is judged by them, in both forms.
func TestChains(t *testing.T) {
	ca, key := newKey(t, keys.P256), newKey(t, keys.P256)
	did := hufu.ID{1}.DID("test")
	root, err := x5c.MakeCA(rand.Reader, ca, did, x5c.Subject{CommonName: "CA"}, issued, issued.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x5c.MakeLeaf(rand.Reader, root, ca, x5c.Leaf{Key: key.Public(), DID: did, Subject: x5c.Subject{CommonName: "DS"}, Use: x5c.DocumentSigner, NotBefore: issued, NotAfter: issued.Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	token := &status.Token{URI: uri, IssuedAt: issued, List: exampleList(t), Chain: [][]byte{leaf}}
	text, err := token.Sign(rand.Reader, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := token.SignCWT(rand.Reader, key)
	if err != nil {
		t.Fatal(err)
	}
	for name, verify := range map[string]func(status.Expect) error{
		"JWT": func(w status.Expect) error { _, err := status.Verify(text, w); return err },
		"CWT": func(w status.Expect) error { _, err := status.VerifyCWT(raw, w); return err },
	} {
		want := expect(newKey(t, keys.P256).Public())
		if hufu.RuleOf(verify(want)) != status.RuleSignature {
			t.Errorf("%s: certificates were looked at unasked", name)
		}
		want.Chain = func(chain x5c.Chain, at int64) (keys.PublicKey, error) {
			got, err := chain.Verify(x5c.VerifyParams{Now: want.Now, Use: x5c.CredentialSigner, CA: ca.Public()})
			if at != issued.Unix() {
				t.Errorf("%s: asked as of %d", name, at)
			}
			return got.Key, err
		}
		if err := verify(want); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		refusal := hufu.Refuse("x5c.anchor", "no")
		want.Chain = func(x5c.Chain, int64) (keys.PublicKey, error) { return keys.PublicKey{}, refusal }
		if hufu.RuleOf(verify(want)) != "x5c.anchor" {
			t.Errorf("%s: the chain's refusal did not count", name)
		}
	}
	token.Chain = [][]byte{{1, 2, 3}}
	if raw, err = token.SignCWT(rand.Reader, key); err != nil {
		t.Fatal(err)
	}
	want := expect(key.Public())
	want.Chain = func(x5c.Chain, int64) (keys.PublicKey, error) { return key.Public(), nil }
	_, err = status.VerifyCWT(raw, want)
	wantRule(t, err, x5c.RuleMalformed)
}

func TestVerifyCWTRefuses(t *testing.T) {
	key := newKey(t, keys.P256)
	lst, err := exampleList(t).Compress()
	if err != nil {
		t.Fatal(err)
	}
	good := func() map[int]any {
		return map[int]any{2: uri, 6: issued.Unix(), 65533: map[string]any{"bits": 1, "lst": lst}}
	}
	sign := func(t *testing.T, typ string, claims any) []byte {
		t.Helper()
		payload, err := encoding.Marshal(claims)
		if err != nil {
			t.Fatal(err)
		}
		m, err := cose.Sign(rand.Reader, cose.Header{Type: typ}, payload, key)
		if err != nil {
			t.Fatal(err)
		}
		return cose.Tag(m)
	}
	for _, c := range []struct {
		name   string
		change func(map[int]any)
		rule   hufu.Rule
	}{
		{"good", func(map[int]any) {}, ""},
		{"further claims", func(m map[int]any) { m[7] = []byte("id"); m[70000] = 1 }, ""},
		{"nbf", func(m map[int]any) { m[5] = issued.Unix() }, ""},
		{"nbf after iat", func(m map[int]any) { m[5] = issued.Unix() + 1 }, status.RuleMalformed},
		{"nbf is text", func(m map[int]any) { m[5] = "x" }, status.RuleMalformed},
		{"no sub", func(m map[int]any) { delete(m, 2) }, status.RuleMalformed},
		{"sub is bytes", func(m map[int]any) { m[2] = []byte(uri) }, status.RuleMalformed},
		{"sub is relative", func(m map[int]any) { m[2] = "/lists/1" }, status.RuleMalformed},
		{"another sub", func(m map[int]any) { m[2] = uri + "1" }, status.RuleURI},
		{"no iat", func(m map[int]any) { delete(m, 6) }, status.RuleMalformed},
		{"iat is negative", func(m map[int]any) { m[6] = -1 }, status.RuleMalformed},
		{"iat is text", func(m map[int]any) { m[6] = "1" }, status.RuleMalformed},
		{"iat is too far", func(m map[int]any) { m[6] = uint64(1) << 60 }, status.RuleMalformed},
		{"iat in the future", func(m map[int]any) { m[6] = issued.Unix() + 3600 }, status.RuleFuture},
		{"exp is negative", func(m map[int]any) { m[4] = -1 }, status.RuleMalformed},
		{"expired", func(m map[int]any) { m[4] = issued.Unix() + 60 }, status.RuleExpired},
		{"ttl is zero", func(m map[int]any) { m[65534] = 0 }, status.RuleMalformed},
		{"ttl is text", func(m map[int]any) { m[65534] = "1" }, status.RuleMalformed},
		{"no list", func(m map[int]any) { delete(m, 65533) }, status.RuleMalformed},
		{"list is bytes", func(m map[int]any) { m[65533] = lst }, status.RuleMalformed},
		{"three bits", func(m map[int]any) { m[65533] = map[string]any{"bits": 3, "lst": lst} }, status.RuleMalformed},
		{"no bits", func(m map[int]any) { m[65533] = map[string]any{"lst": lst} }, status.RuleMalformed},
		{"lst is text", func(m map[int]any) { m[65533] = map[string]any{"bits": 1, "lst": "x"} }, status.RuleMalformed},
		{"lst is no ZLIB", func(m map[int]any) { m[65533] = map[string]any{"bits": 1, "lst": []byte("x")} }, status.RuleMalformed},
		{"iss is bytes", func(m map[int]any) { m[1] = []byte("x") }, status.RuleMalformed},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := good()
			c.change(m)
			_, err := status.VerifyCWT(sign(t, status.MediaTypeCWT, m), expect(key.Public()))
			wantRule(t, err, c.rule)
		})
	}
	token := sign(t, status.MediaTypeCWT, good())
	for name, c := range map[string]struct {
		token []byte
		rule  hufu.Rule
	}{
		"nothing":           {nil, status.RuleMalformed},
		"no tag":            {token[1:], status.RuleMalformed},
		"CWT tag":           {append([]byte{0xd8, 61}, token...), status.RuleMalformed},
		"trailing":          {append([]byte(nil), append(token, 0)...), status.RuleMalformed},
		"another type":      {sign(t, "application/cwt", good()), status.RuleType},
		"no type":           {sign(t, "", good()), status.RuleType},
		"claims are text":   {sign(t, status.MediaTypeCWT, "x"), status.RuleMalformed},
		"claims are a list": {sign(t, status.MediaTypeCWT, []any{1}), status.RuleMalformed},
		"a JWT":             {[]byte(strings.Repeat("a", 100)), status.RuleMalformed},
		"too large":         {make([]byte, status.MaxTokenBytes+1), status.RuleTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := status.VerifyCWT(c.token, expect(key.Public()))
			wantRule(t, err, c.rule)
		})
	}
	_, err = status.VerifyCWT(token, expect(newKey(t, keys.Ed25519).Public()))
	wantRule(t, err, status.RuleAlg)
	bad := append([]byte(nil), token...)
	bad[len(bad)-1] ^= 1
	_, err = status.VerifyCWT(bad, expect(key.Public()))
	wantRule(t, err, status.RuleSignature)
}

func FuzzVerifyCWT(f *testing.F) {
	key := newKey(f, keys.P256)
	raw, err := (&status.Token{URI: uri, Issuer: "did:x", KeyID: "k", IssuedAt: issued, TTL: time.Hour, List: exampleList(f)}).SignCWT(rand.Reader, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		got, err := status.VerifyCWT(raw, expect(key.Public()))
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("no refusal: %v", err)
			}
			return
		}
		if got.URI != uri {
			t.Fatal("verified another list")
		}
	})
}
