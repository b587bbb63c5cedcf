package oid4vci_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

const (
	issuer = "did:hufu:demo:zIssuer"
	nonce  = "fresh"
)

var now = time.Unix(1_800_000_000, 0)

func params() oid4vci.ProofParams {
	return oid4vci.ProofParams{Audience: issuer, Now: now, Nonce: func(n string) bool { return n == nonce }}
}

func holder(t *testing.T, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestProofRoundTrip(t *testing.T) {
	for _, s := range keys.Suites() {
		k := holder(t, s)
		proof, err := oid4vci.MakeProof(rand.Reader, k, issuer, nonce, now)
		if err != nil {
			t.Fatal(err)
		}
		got, n, err := oid4vci.VerifyProof(proof, params())
		if err != nil || !got.Equal(k.Public()) || n != nonce {
			t.Errorf("%s: %v %q %v", s, got, n, err)
		}
	}
}

// The example of OpenID4VCI 1.0 Appendix F.1.
func TestProofOfTheStandard(t *testing.T) {
	proof := "eyJ0eXAiOiJvcGVuaWQ0dmNpLXByb29mK2p3dCIsImFsZyI6IkVTMjU2Iiwiandr" +
		"Ijp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoiblVXQW9BdjNYWml0aDhF" +
		"N2kxOU9kYXhPTFlGT3dNLVoyRXVNMDJUaXJUNCIsInkiOiJIc2tIVThCalVpMVU5" +
		"WHFpN1N3bWo4Z3dBS18weGtjRGpFV183MVNvc0VZIn19.eyJhdWQiOiJodHRwczov" +
		"L2NyZWRlbnRpYWwtaXNzdWVyLmV4YW1wbGUuY29tIiwiaWF0IjoxNzAxOTYwNDQ0" +
		"LCJub25jZSI6IkxhclJHU2JtVVBZdFJZTzZCUTR5bjgifQ.-a3EDsxClUB4O3LeDD" +
		"5DVGEnNMT01FCQW4P6-2-BNBqc_Zxf0Qw4CWayLEpqkAomlkLb9zioZoipdP-jvh1WlA"
	_, n, err := oid4vci.VerifyProof(proof, oid4vci.ProofParams{
		Audience: "https://credential-issuer.example.com", Now: time.Unix(1701960444, 0), Nonce: func(string) bool { return true },
	})
	if err != nil || n != "LarRGSbmUPYtRYO6BQ4yn8" {
		t.Fatal(n, err)
	}
}

func TestProofsRefused(t *testing.T) {
	k, other := holder(t, keys.P256), holder(t, keys.P256)
	jwk := jws.NewJWK(k.Public()).Claim()
	claims := func() map[string]any {
		return map[string]any{"aud": issuer, "iat": now.Unix(), "nonce": nonce}
	}
	header := func() jws.Header { return jws.Header{"typ": oid4vci.ProofMediaType, "jwk": jwk} }
	sign := func(h jws.Header, c any, by keys.Signer) string {
		payload, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jws.Sign(rand.Reader, h, payload, by)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := sign(header(), claims(), k)
	if _, _, err := oid4vci.VerifyProof(good, params()); err != nil {
		t.Fatal(err)
	}
	inHeader := func(name string, v any) string {
		h := header()
		if v == nil {
			delete(h, name)
		} else {
			h[name] = v
		}
		return sign(h, claims(), k)
	}
	inClaims := func(name string, v any) string {
		c := claims()
		if v == nil {
			delete(c, name)
		} else {
			c[name] = v
		}
		return sign(header(), c, k)
	}
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		proof string
		rule  hufu.Rule
	}{
		"nothing":             {"", oid4vci.RuleProof},
		"no JWS":              {"a.b", oid4vci.RuleProof},
		"too large":           {good + strings.Repeat("A", oid4vci.MaxProofBytes), oid4vci.RuleProof},
		"alg none":            {jws.EncodeBase64([]byte(`{"alg":"none","typ":"openid4vci-proof+jwt"}`)) + "." + parts[1] + "." + parts[2], oid4vci.RuleProof},
		"no typ":              {inHeader("typ", nil), oid4vci.RuleProof},
		"another typ":         {inHeader("typ", "kb+jwt"), oid4vci.RuleProof},
		"no jwk":              {inHeader("jwk", nil), oid4vci.RuleProof},
		"jwk no object":       {inHeader("jwk", "x"), oid4vci.RuleProof},
		"kid beside jwk":      {inHeader("kid", "did:x#1"), oid4vci.RuleProof},
		"x5c beside jwk":      {inHeader("x5c", []string{"x"}), oid4vci.RuleProof},
		"trust chain":         {inHeader("trust_chain", []string{"x"}), oid4vci.RuleProof},
		"private jwk":         {inHeader("jwk", map[string]any{"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"], "d": "AA"}), oid4vci.RuleProof},
		"another's signature": {sign(header(), claims(), other), oid4vci.RuleProof},
		"altered claims":      {parts[0] + "." + strings.Split(inClaims("iat", now.Unix()-1), ".")[1] + "." + parts[2], oid4vci.RuleProof},
		"no aud":              {inClaims("aud", nil), oid4vci.RuleProof},
		"another issuer":      {inClaims("aud", issuer+"x"), oid4vci.RuleProof},
		"aud a list":          {inClaims("aud", []string{issuer}), oid4vci.RuleProof},
		"no iat":              {inClaims("iat", nil), oid4vci.RuleProof},
		"iat a string":        {inClaims("iat", fmt.Sprint(now.Unix())), oid4vci.RuleProof},
		"iat a fraction":      {inClaims("iat", 1.5), oid4vci.RuleProof},
		"future":              {inClaims("iat", now.Unix()+31), oid4vci.RuleProof},
		"stale":               {inClaims("iat", now.Unix()-301), oid4vci.RuleProof},
		"no nonce":            {inClaims("nonce", nil), oid4vci.RuleProof},
		"nonce a number":      {inClaims("nonce", 7), oid4vci.RuleProof},
		"another nonce":       {inClaims("nonce", "stale"), oid4vci.RuleNonce},
		"claims no object":    {sign(header(), []int{1}, k), oid4vci.RuleProof},
	} {
		key, _, err := oid4vci.VerifyProof(c.proof, params())
		if hufu.RuleOf(err) != c.rule || !key.IsZero() {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, at := range []int64{-300, 30} {
		if _, _, err := oid4vci.VerifyProof(inClaims("iat", now.Unix()+at), params()); err != nil {
			t.Errorf("%d s: %v", at, err)
		}
	}
	p := params()
	if p.Nonce = nil; hufu.RuleOf(second(oid4vci.VerifyProof(good, p))) != oid4vci.RuleNonce {
		t.Error("without a check of the nonce, any is good")
	}
	p = params()
	if p.Audience = ""; second(oid4vci.VerifyProof(inClaims("aud", ""), p)) == nil {
		t.Error("no audience is somebody's")
	}
}

func second(_ keys.PublicKey, _ string, err error) error { return err }

func TestRequests(t *testing.T) {
	raw, err := json.Marshal(oid4vci.CredentialRequest{ConfigurationID: "resident-id", Proofs: oid4vci.Proofs{JWT: []string{"a", "b"}}})
	if err != nil || string(raw) != `{"credential_configuration_id":"resident-id","proofs":{"jwt":["a","b"]}}` {
		t.Fatal(string(raw), err)
	}
	r, err := oid4vci.ParseCredentialRequest(raw)
	if err != nil || r.ConfigurationID != "resident-id" || len(r.Proofs.JWT) != 2 {
		t.Fatal(r, err)
	}
	many := `["` + strings.Repeat(`a","`, oid4vci.MaxProofs) + `a"]`
	for text, code := range map[string]string{
		``:   "invalid_credential_request",
		`[]`: "invalid_credential_request",
		`{}`: "invalid_credential_request",
		`{"credential_configuration_id":"x","credential_configuration_id":"y","proofs":{"jwt":["a"]}}`:   "invalid_credential_request",
		`{"credential_configuration_id":7,"proofs":{"jwt":["a"]}}`:                                       "invalid_credential_request",
		`{"credential_configuration_id":"","proofs":{"jwt":["a"]}}`:                                      "invalid_credential_request",
		`{"Credential_Configuration_ID":"x","proofs":{"jwt":["a"]}}`:                                     "invalid_credential_request",
		`{"credential_identifier":"x","credential_configuration_id":"y","proofs":{"jwt":["a"]}}`:         "invalid_credential_request",
		`{"credential_identifier":null,"proofs":{"jwt":["a"]}}`:                                          "invalid_credential_request",
		`{"credential_identifier":"` + strings.Repeat("x", 257) + `","proofs":{"jwt":["a"]}}`:            "invalid_credential_request",
		`{"credential_configuration_id":"x","proofs":{"jwt":["a"]},"credential_response_encryption":{}}`: "invalid_encryption_parameters",
		`{"credential_configuration_id":"x"}`:                                                            "invalid_proof",
		`{"credential_configuration_id":"x","proofs":[]}`:                                                "invalid_proof",
		`{"credential_configuration_id":"x","proofs":{}}`:                                                "invalid_proof",
		`{"credential_configuration_id":"x","proofs":{"jwt":"a"}}`:                                       "invalid_proof",
		`{"credential_configuration_id":"x","proofs":{"jwt":[]}}`:                                        "invalid_proof",
		`{"credential_configuration_id":"x","proofs":{"jwt":[1]}}`:                                       "invalid_proof",
		`{"credential_configuration_id":"x","proofs":{"di_vp":["a"]}}`:                                   "invalid_proof",
		`{"credential_configuration_id":"x","proofs":{"jwt":["a"],"attestation":["a"]}}`:                 "invalid_proof",
		`{"credential_configuration_id":"x","proofs":{"jwt":` + many + `}}`:                              "invalid_proof",
		`{"credential_configuration_id":"` + strings.Repeat("x", oid4vci.MaxRequestBytes) + `"}`:         "invalid_credential_request",
	} {
		_, err := oid4vci.ParseCredentialRequest([]byte(text))
		if err == nil || oid4vci.CodeOf(err) != code {
			t.Errorf("%.90s: %v", text, err)
		}
	}
}

func TestResponses(t *testing.T) {
	raw, err := json.Marshal(oid4vci.NewCredentialResponse([]string{"x~", "y~"}))
	if err != nil || string(raw) != `{"credentials":[{"credential":"x~"},{"credential":"y~"}]}` {
		t.Fatal(string(raw), err)
	}
	if r, err := oid4vci.ParseCredentialResponse(raw); err != nil || len(r.Credentials) != 2 || r.Credentials[1].Credential != "y~" {
		t.Fatal(r, err)
	}
	for _, bad := range []string{
		``, `{}`, `{"credentials":[]}`, `{"transaction_id":"x","interval":0}`, `{"credentials":[{}]}`, `{"credentials":[{"credential":{}}]}`,
		`{"credentials":[{"credential":"x"}],"credentials":[]}`,
	} {
		if _, err := oid4vci.ParseCredentialResponse([]byte(bad)); hufu.RuleOf(err) != oid4vci.RuleResponse {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestCodes(t *testing.T) {
	for rule, code := range map[hufu.Rule]string{
		oid4vci.RuleRequest: "invalid_credential_request", oid4vci.RuleConfiguration: "unknown_credential_configuration",
		oid4vci.RuleIdentifier: "unknown_credential_identifier", oid4vci.RuleEncryption: "invalid_encryption_parameters",
		oid4vci.RuleProof: "invalid_proof", oid4vci.RuleNonce: "invalid_nonce", oid4vci.RuleDenied: "credential_request_denied",
	} {
		if got := oid4vci.CodeOf(fmt.Errorf("wrapped: %w", hufu.Refuse(rule, "x"))); got != code {
			t.Errorf("%s is %s", rule, got)
		}
	}
	if oid4vci.CodeOf(errors.New("x")) != "credential_request_denied" {
		t.Error("an unknown error has another code")
	}
}

func vector(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../../../shared/vectors/oid4vci", name))
	if err != nil {
		t.Skipf("SKIPPED: the OpenID4VCI example %s is not present", name)
	}
	return string(raw)
}

func TestExamples(t *testing.T) {
	_, body, ok := strings.Cut(vector(t, "credential_response_sd_jwt_vc.txt"), "\n\n")
	if !ok {
		t.Fatal("no body")
	}
	// The standard breaks lines inside the token for display.
	lines := strings.Split(body, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "      ") {
			lines[i] = strings.TrimSpace(l)
		}
	}
	r, err := oid4vci.ParseCredentialResponse([]byte(strings.Join(lines, "")))
	if err != nil || len(r.Credentials) != 1 {
		t.Fatal(err)
	}
	if _, err := sdjwt.Parse(r.Credentials[0].Credential); hufu.RuleOf(err) != "" && hufu.RuleOf(err) != sdjwt.RuleMediaType {
		t.Errorf("the credential in it: %v", err)
	}
	// This example asks by doctype, which the final text no longer has.
	if _, err := oid4vci.ParseCredentialRequest([]byte(vector(t, "credential_request_iso_mdl.json"))); oid4vci.CodeOf(err) != "invalid_credential_request" {
		t.Error(err)
	}
}

func FuzzVerifyProof(f *testing.F) {
	f.Add("a.b.c")
	f.Add(jws.EncodeBase64([]byte(`{"alg":"ES256","typ":"openid4vci-proof+jwt","jwk":{}}`)) + ".e30.AA")
	f.Fuzz(func(t *testing.T, s string) {
		if key, _, err := oid4vci.VerifyProof(s, params()); err == nil || !key.IsZero() {
			t.Fatal("nobody signed this")
		}
	})
}

func FuzzParseCredentialRequest(f *testing.F) {
	f.Add([]byte(`{"credential_configuration_id":"x","proofs":{"jwt":["a"]}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := oid4vci.ParseCredentialRequest(raw)
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oid4vci.ParseCredentialRequest(again); err != nil {
			t.Fatalf("%s is read and %s not: %v", raw, again, err)
		}
	})
}
