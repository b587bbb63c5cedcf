package sdjwt_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// The vectors are made with the reference implementation's specification files: an issuance, a
// presentation and the processed payload for each case.

const vectorRoot = "../../../shared/vectors"

// The key pairs' public halves in settings.yml, the same for both folders.
const (
	vectorIssuerJWK = `{"kty":"EC","crv":"P-256","x":"b28d4MwZMjw8-00CG4xfnn9SLMVMM19SlqZpVb_uNtQ","y":"Xv5zWwuoaTgdS6hV43yI6gBwTnjukmFQQnJ_kCxzqk8"}`
	vectorHolderJWK = `{"kty":"EC","crv":"P-256","x":"TCAER19Zvu3OHF4j4W4vfSVoHIP1ILilDls7vCeGemc","y":"ZxjiWWbZMQGHVWKVQ4hbSIirsVfuecCE6t4jT9F2HZQ"}`
	vectorNonce     = "1234567890"
)

func vectorKey(t testing.TB, jwk string) keys.PublicKey {
	t.Helper()
	k, err := jws.ParseJWK([]byte(jwk))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// vectorText reads a token, which may be broken into lines or be a JSON string.
func vectorText(t *testing.T, dir, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name+".txt"))
	if err == nil {
		return strings.Join(strings.Fields(string(raw)), "")
	}
	raw, err = os.ReadFile(filepath.Join(dir, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	flattened := brokenLines.ReplaceAllString(string(raw), "")
	var quoted string
	if json.Unmarshal(raw, &quoted) == nil {
		flattened = quoted
	}
	compact, err := sdjwt.Compact(flattened)
	if err != nil {
		t.Fatal(err)
	}
	return compact
}

func vectorJSON(t *testing.T, dir, name string) map[string]any {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := encoding.UnmarshalJSON(raw, 1<<20, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// brokenLines are line breaks and indentation, which the examples have within strings too.
var brokenLines = regexp.MustCompile(`\n\s*`)

var mediaTypeOf = regexp.MustCompile(`"typ": ?"([^"]*)"`)

func TestOfficialVectors(t *testing.T) {
	issuer := vectorKey(t, vectorIssuerJWK)
	for folder, verifier := range map[string]string{"sd-jwt": "https://example.com/verifier", "sd-jwt-examples": "https://verifier.example.org"} {
		dirs, err := filepath.Glob(filepath.Join(vectorRoot, folder, "*", "verified_contents.json"))
		if err != nil || len(dirs) == 0 {
			t.Skipf("vectors %s not present", folder)
		}
		for _, file := range dirs {
			dir := filepath.Dir(file)
			t.Run(folder+"/"+filepath.Base(dir), func(t *testing.T) {
				checkVector(t, dir, verifier, issuer)
			})
		}
	}
}

func checkVector(t *testing.T, dir, verifier string, issuer keys.PublicKey) {
	issued, presented := vectorText(t, dir, "sd_jwt_issuance"), vectorText(t, dir, "sd_jwt_presentation")
	m, err := jws.Parse(issued[:strings.IndexByte(issued, '~')], sdjwt.MaxSize)
	if err != nil {
		t.Fatal(err)
	}
	// Fixed: the signed payload, as far as JSON goes.
	var payload map[string]any
	if err := encoding.UnmarshalJSON(m.Payload, sdjwt.MaxSize, &payload); err != nil {
		t.Fatal(err)
	}
	if want := vectorJSON(t, dir, "sd_jwt_payload.json"); !reflect.DeepEqual(payload, want) {
		t.Fatalf("payload %v, want %v", payload, want)
	}
	params := sdjwt.VerifyParams{
		Now:       time.Unix(1_795_401_300, 0),
		MediaType: mediaTypeOf.FindStringSubmatch(string(m.HeaderRaw))[1],
		ResolveKey: func(string, string, string, int64) (keys.PublicKey, error) {
			return issuer, nil
		},
	}

	// The holder gets every claim of the issuer's input back.
	c, err := sdjwt.Parse(issued)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Verify(params); err != nil {
		t.Fatal(err)
	}
	for name, want := range vectorJSON(t, dir, "user_claims.json") {
		if !reflect.DeepEqual(c.Claims[name], want) {
			t.Errorf("issued %s: %v, want %v", name, c.Claims[name], want)
		}
	}
	if jwk := m.Header.Text("alg"); jwk != "ES256" {
		t.Errorf("alg %s", jwk)
	}

	// The verifier gets the processed payload.
	if _, err := os.Stat(filepath.Join(dir, "kb_jwt_payload.json")); err == nil {
		params.RequireKeyBinding, params.Nonce, params.Audience = true, vectorNonce, verifier
		params.MaxKBAge = time.Hour
	} else if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	v, err := sdjwt.Verify(presented, params)
	if err != nil {
		t.Fatal(err)
	}
	if want := vectorJSON(t, dir, "verified_contents.json"); !reflect.DeepEqual(v.Claims, want) {
		t.Errorf("verified\n%v, want\n%v", v.Claims, want)
	}
	if v.KeyBound != params.RequireKeyBinding || v.KeyBound && !v.HolderKey.Equal(vectorKey(t, vectorHolderJWK)) {
		t.Error("key binding misreported")
	}

	// And nothing else verifies: a lost disclosure, another nonce, another issuer's key.
	if params.RequireKeyBinding {
		params.Nonce += "1"
		_, err := sdjwt.Verify(presented, params)
		wantRule(t, err, sdjwt.RuleNonce)
		params.Nonce = vectorNonce
	}
	issuer = vectorKey(t, vectorHolderJWK)
	params.ResolveKey = func(string, string, string, int64) (keys.PublicKey, error) { return issuer, nil }
	_, err = sdjwt.Verify(presented, params)
	wantRule(t, err, sdjwt.RuleSignature)
}
