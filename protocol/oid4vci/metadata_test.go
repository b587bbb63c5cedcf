package oid4vci_test

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

func metadata(t *testing.T) *oid4vci.IssuerMetadata {
	t.Helper()
	key, err := jwe.GenerateKey(rand.Reader, "enc-1")
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(jwe.KeySet{Keys: []jwe.JWK{key.Public().JWK()}})
	if err != nil {
		t.Fatal(err)
	}
	return &oid4vci.IssuerMetadata{
		CredentialIssuer: issuerURL, CredentialEndpoint: issuerURL + "/credential", NonceEndpoint: issuerURL + "/nonce",
		RequestEncryption:  &oid4vci.RequestEncryptionMetadata{JWKS: jwks, Encs: jwe.Encs()},
		ResponseEncryption: &oid4vci.ResponseEncryptionMetadata{Algs: []string{jwe.Alg}, Encs: jwe.Encs(), Required: true},
		Batch:              &oid4vci.BatchMetadata{Size: 8},
		Display:            []oid4vci.Display{{Name: "机关", Locale: "zh"}},
		Configurations: map[string]*oid4vci.CredentialConfig{
			"pid": {
				Format: oid4vci.FormatSDJWT, VCT: "urn:x", SigningAlgs: []any{"ES256"}, BindingMethods: []string{oid4vci.BindingJWK},
				ProofTypes: map[string]*oid4vci.ProofType{oid4vci.ProofJWT: {Algs: []string{"ES256"}, Required: &oid4vci.KeyRequirement{}}},
				Metadata:   &oid4vci.CredentialMetadata{Claims: []oid4vci.ClaimDetail{{Path: []any{"name"}, Mandatory: true}}},
			},
		},
	}
}

func TestMetadata(t *testing.T) {
	want := metadata(t)
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	got, err := oid4vci.ParseIssuerMetadata(raw, issuerURL)
	if err != nil || !reflect.DeepEqual(got, want) || got.BatchSize() != 8 || new(oid4vci.IssuerMetadata).BatchSize() != 1 {
		t.Fatalf("%s became %+v, %v", raw, got, err)
	}
	if !strings.Contains(string(raw), `"key_attestations_required":{}`) {
		t.Error("an attestation that is demanded without more is not written")
	}
	for name, change := range map[string]func(*oid4vci.IssuerMetadata){
		"another issuer":      func(m *oid4vci.IssuerMetadata) { m.CredentialIssuer += "/" },
		"no endpoint":         func(m *oid4vci.IssuerMetadata) { m.CredentialEndpoint = "" },
		"plain HTTP":          func(m *oid4vci.IssuerMetadata) { m.NonceEndpoint = "http://x.example/nonce" },
		"odd server":          func(m *oid4vci.IssuerMetadata) { m.AuthorizationServers = []string{"x"} },
		"no configuration":    func(m *oid4vci.IssuerMetadata) { m.Configurations = nil },
		"empty configuration": func(m *oid4vci.IssuerMetadata) { m.Configurations["x"] = &oid4vci.CredentialConfig{} },
		"null configuration":  func(m *oid4vci.IssuerMetadata) { m.Configurations["x"] = nil },
		"batch of one":        func(m *oid4vci.IssuerMetadata) { m.Batch.Size = 1 },
		"no keys":             func(m *oid4vci.IssuerMetadata) { m.RequestEncryption.JWKS = []byte("{}") },
	} {
		m := metadata(t)
		change(m)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oid4vci.ParseIssuerMetadata(raw, issuerURL); hufu.RuleOf(err) != oid4vci.RuleMetadata {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSignedMetadata(t *testing.T) {
	m, signer := metadata(t), holder(t, keys.P256)
	trust := func(h jws.Header, by string) (keys.PublicKey, error) {
		if h.Text("kid") != "k" || by != "did:x" {
			return keys.PublicKey{}, errors.New("nobody known")
		}
		return signer.Public(), nil
	}
	sign := func(m *oid4vci.IssuerMetadata, kid string, by keys.Signer, iat, exp time.Time) string {
		token, err := m.Sign(rand.Reader, jws.Header{"kid": kid}, by, "did:x", iat, exp)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := sign(m, "k", signer, now, now.Add(time.Hour))
	if got, err := oid4vci.VerifySignedMetadata(good, issuerURL, now, trust); err != nil || !reflect.DeepEqual(got, m) {
		t.Fatal(got, err)
	}
	other := metadata(t)
	other.CredentialIssuer += "/x"
	for name, token := range map[string]string{
		"nothing":           "",
		"another signer":    sign(m, "j", signer, now, now.Add(time.Hour)),
		"another signature": sign(m, "k", holder(t, keys.P256), now, now.Add(time.Hour)),
		"another issuer":    sign(other, "k", signer, now, now.Add(time.Hour)),
		"from the future":   sign(m, "k", signer, now.Add(time.Minute), now.Add(time.Hour)),
		"expired":           sign(m, "k", signer, now.Add(-time.Hour), now.Add(-time.Minute)),
	} {
		if _, err := oid4vci.VerifySignedMetadata(token, issuerURL, now, trust); hufu.RuleOf(err) != oid4vci.RuleMetadata {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMetadataOfTheStandard(t *testing.T) {
	m, err := oid4vci.ParseIssuerMetadata([]byte(vector(t, "credential_issuer_metadata_sd_jwt_long.json")), issuerURL)
	if err != nil || m.BatchSize() != 10 || !m.ResponseEncryption.Required || len(m.Configurations) != 1 {
		t.Fatal(m, err)
	}
	if ks, err := jwe.ParseKeySet(m.RequestEncryption.JWKS); err != nil || len(ks) != 1 || ks[0].KeyID != "ac" {
		t.Error(ks, err)
	}
	for _, name := range []string{"jwt_vc_json", "ldp_vc", "mso_mdoc", "sd_jwt_vc"} {
		raw := vector(t, "credential_metadata_"+name+".json")
		raw = strings.Replace(raw, "{", `{"credential_issuer":"`+issuerURL+`","credential_endpoint":"`+issuerURL+`/c",`, 1)
		if _, err := oid4vci.ParseIssuerMetadata([]byte(raw), issuerURL); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	token := strings.ReplaceAll(strings.TrimSpace(vector(t, "credential_issuer_metadata_sd_jwt_jwt.txt")), "\n", "")
	m, err = oid4vci.VerifySignedMetadata(token, issuerURL, now, certified)
	if err != nil || m.Configurations["SD_JWT_VC_example_in_OpenID4VCI"].ProofTypes[oid4vci.ProofJWT].Required.KeyStorage[0] != oid4vci.ResistsModerate {
		t.Error(m, err)
	}
}

// certified takes the key of the first certificate, whoever made it.
func certified(h jws.Header, _ string) (keys.PublicKey, error) {
	list, _ := h["x5c"].([]any)
	text, _ := list[0].(string)
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return keys.PublicKey{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return keys.PublicKey{}, err
	}
	point, err := cert.PublicKey.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return keys.PublicKey{}, err
	}
	return keys.NewPublicKeyFromPoint(keys.P256, point[1:33], point[33:])
}

func FuzzParseIssuerMetadata(f *testing.F) {
	f.Add([]byte(`{"credential_issuer":"` + issuerURL + `","credential_endpoint":"https://x.example","credential_configurations_supported":{"a":{"format":"x"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := oid4vci.ParseIssuerMetadata(raw, issuerURL)
		if err != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oid4vci.ParseIssuerMetadata(again, issuerURL); err != nil && len(again) <= oid4vci.MaxMetadataBytes {
			t.Fatalf("%s is read and %s not: %v", raw, again, err)
		}
	})
}
