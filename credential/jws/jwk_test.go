package jws_test

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
)

func TestJWKRoundTrip(t *testing.T) {
	for _, s := range keys.Suites() {
		for range 8 {
			key := signer(t, s).Public()
			raw, err := json.Marshal(jws.NewJWK(key))
			if err != nil {
				t.Fatal(err)
			}
			for _, read := range []func() (keys.PublicKey, error){
				func() (keys.PublicKey, error) { return jws.ParseJWK(raw) },
				func() (keys.PublicKey, error) { return jws.KeyOf(jws.NewJWK(key).Claim()) },
			} {
				if got, err := read(); err != nil || !got.Equal(key) {
					t.Fatalf("%s: %v", raw, err)
				}
			}
		}
	}
	if jws.NewJWK(keys.PublicKey{}) != (jws.JWK{}) {
		t.Error("the zero key has a JWK")
	}
}

// RFC 8037 appendix A.3.
func TestThumbprint(t *testing.T) {
	key, err := jws.ParseJWK([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := jws.Thumbprint(key); got != "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" {
		t.Error(got)
	}
	// Computed with another implementation (Python hashlib) from the key of RFC 7515 appendix A.3.
	key, err = jws.ParseJWK([]byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := jws.Thumbprint(key); got != "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U" {
		t.Error(got)
	}
}

func TestKeyOfRefuses(t *testing.T) {
	p256 := jws.NewJWK(signer(t, keys.P256).Public()).Claim()
	ed := jws.NewJWK(signer(t, keys.Ed25519).Public()).Claim()
	other := jws.NewJWK(signer(t, keys.P256).Public()).Claim()
	with := func(m map[string]any, name string, v any) map[string]any {
		m = maps.Clone(m)
		m[name] = v
		return m
	}
	without := func(m map[string]any, name string) map[string]any {
		m = maps.Clone(m)
		delete(m, name)
		return m
	}
	for name, m := range map[string]map[string]any{
		"nothing":              nil,
		"private":              with(p256, "d", "AA"),
		"symmetric":            {"kty": "oct", "k": "AA"},
		"RSA":                  {"kty": "RSA", "n": "AA", "e": "AQAB"},
		"unknown curve":        with(p256, "crv", "P-384"),
		"kty of another":       with(p256, "kty", "OKP"),
		"EC for Ed25519":       with(ed, "kty", "EC"),
		"x short":              with(p256, "x", "AAAA"),
		"x padded":             with(p256, "x", p256["x"].(string)+"="),
		"x no string":          with(p256, "x", 7),
		"y missing":            without(p256, "y"),
		"y of another key":     with(p256, "y", other["y"]),
		"y for Ed25519":        with(ed, "y", ed["x"]),
		"small order":          with(ed, "x", jws.EncodeBase64(append([]byte{1}, make([]byte, 31)...))),
		"off the curve":        with(p256, "x", jws.EncodeBase64(make([]byte, 31))+"_w"),
		"for encryption":       with(p256, "use", "enc"),
		"use no string":        with(p256, "use", nil),
		"alg of another curve": with(p256, "alg", "ES384"),
		"Ed25519 for P-256":    with(p256, "alg", "Ed25519"),
		"ops without verify":   with(p256, "key_ops", []any{"encrypt"}),
		"ops no list":          with(p256, "key_ops", "verify"),
	} {
		_, err := jws.KeyOf(m)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantRule(t, err, jws.RuleKey)
	}
	for name, m := range map[string]map[string]any{
		"use": with(p256, "use", "sig"), "alg": with(p256, "alg", "ES256"), "RFC 9864 alg": with(ed, "alg", "Ed25519"),
		"key_ops": with(p256, "key_ops", []any{"verify"}), "unknown member": with(ed, "ext", true),
	} {
		if _, err := jws.KeyOf(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := jws.ParseJWK([]byte(`{"kty":"OKP","kty":"EC"}`))
	wantRule(t, err, jws.RuleKey)
}

func FuzzParseJWK(f *testing.F) {
	f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`))
	f.Add([]byte(`{"kty":"EC","crv":"SM2","x":"","y":""}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		key, err := jws.ParseJWK(raw)
		if err != nil {
			return
		}
		if again, err := jws.KeyOf(jws.NewJWK(key).Claim()); err != nil || !again.Equal(key) {
			t.Fatalf("%s does not come back: %v", raw, err)
		}
	})
}
