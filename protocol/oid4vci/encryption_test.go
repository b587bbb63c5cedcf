package oid4vci_test

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

func TestEncryption(t *testing.T) {
	issuerKey, err := jwe.GenerateKey(rand.Reader, "enc-1")
	if err != nil {
		t.Fatal(err)
	}
	walletKey, err := jwe.GenerateKey(rand.Reader, "")
	if err != nil {
		t.Fatal(err)
	}
	keyring := func(kid string) (*jwe.PrivateKey, bool) { return issuerKey, kid == "enc-1" }
	for _, enc := range jwe.Encs() {
		want := &oid4vci.CredentialRequest{
			Identifier: "i", Proofs: oid4vci.Proofs{JWT: []string{"a"}}, Encryption: &oid4vci.ResponseEncryption{Key: walletKey.Public(), Enc: enc},
		}
		token, err := oid4vci.Encrypt(rand.Reader, issuerKey.Public(), enc, want)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := oid4vci.DecryptRequest(token, keyring)
		if err != nil {
			t.Fatal(err)
		}
		got, err := oid4vci.ParseCredentialRequest(raw)
		if err != nil || got.Identifier != "i" || !got.Encryption.Key.Equal(walletKey.Public()) || got.Encryption.Enc != enc {
			t.Fatal(got, err)
		}
		token, err = oid4vci.Encrypt(rand.Reader, got.Encryption.Key, got.Encryption.Enc, oid4vci.NewCredentialResponse([]string{"c"}))
		if err != nil {
			t.Fatal(err)
		}
		if raw, err = oid4vci.DecryptResponse(token, walletKey); err != nil || string(raw) != `{"credentials":[{"credential":"c"}]}` {
			t.Error(string(raw), err)
		}
		if _, err := oid4vci.DecryptResponse(token, issuerKey); hufu.RuleOf(err) != oid4vci.RuleResponse {
			t.Errorf("the wrong key: %v", err)
		}
		if _, err := oid4vci.DecryptRequest(token, keyring); hufu.RuleOf(err) != oid4vci.RuleEncryption {
			t.Errorf("a message without a kid: %v", err)
		}
	}
	token, err := jwe.Encrypt(rand.Reader, issuerKey.Public(), jwe.Header{Enc: jwe.A128GCM}, []byte("no JSON"))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "a.b.c", token} {
		if _, err := oid4vci.DecryptRequest(bad, keyring); hufu.RuleOf(err) != oid4vci.RuleEncryption {
			t.Errorf("%.20s: %v", bad, err)
		}
	}
}

func TestResponseEncryptionRefused(t *testing.T) {
	key, err := jwe.GenerateKey(rand.Reader, "")
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := json.Marshal(key.Public().JWK())
	if err != nil {
		t.Fatal(err)
	}
	request := func(encryption string) error {
		_, err := oid4vci.ParseCredentialRequest([]byte(`{"credential_configuration_id":"x","proofs":{"jwt":["a"]},"credential_response_encryption":` + encryption + `}`))
		return err
	}
	good := `{"jwk":` + string(jwk) + `,"enc":"A128GCM"}`
	if err := request(good); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{
		`null`, `{}`, `[]`, `{"enc":"A128GCM"}`, `{"jwk":` + string(jwk) + `}`,
		strings.Replace(good, "A128GCM", "A128CBC-HS256", 1),
		strings.Replace(good, `"enc":"A128GCM"`, `"enc":"A128GCM","zip":"DEF"`, 1),
		strings.Replace(good, "ECDH-ES", "RSA-OAEP", 1),
		strings.Replace(good, `"alg":"ECDH-ES"`, `"x5t":"x"`, 1),
		strings.Replace(good, `"kty":"EC"`, `"kty":"EC","d":"AA"`, 1),
		strings.Replace(good, "P-256", "P-384", 1),
	} {
		if got := oid4vci.CodeOf(request(bad)); got != "invalid_encryption_parameters" {
			t.Errorf("%.60s: %s", bad, got)
		}
	}
	if _, err := oid4vci.ParseDeferredRequest([]byte(`{"transaction_id":"t","credential_response_encryption":{}}`)); oid4vci.CodeOf(err) != "invalid_encryption_parameters" {
		t.Error(err)
	}
}

func TestDeferredAndNotifications(t *testing.T) {
	if r, err := oid4vci.ParseDeferredRequest([]byte(`{"transaction_id":"t"}`)); err != nil || r.TransactionID != "t" || r.Encryption != nil {
		t.Error(r, err)
	}
	for _, raw := range []string{``, `{}`, `{"transaction_id":""}`, `{"transaction_id":7}`} {
		if _, err := oid4vci.ParseDeferredRequest([]byte(raw)); oid4vci.CodeOf(err) != "invalid_credential_request" {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if r, err := oid4vci.ParseCredentialResponse([]byte(`{"transaction_id":"t","interval":5}`)); err != nil || !r.Deferred() || r.Interval != 5 {
		t.Error(r, err)
	}
	if n, err := oid4vci.ParseNotification([]byte(`{"notification_id":"n","event":"credential_accepted","more":1}`)); err != nil || n.ID != "n" {
		t.Error(n, err)
	}
	for _, raw := range []string{
		``, `[]`, `{}`, `{"notification_id":"n"}`, `{"event":"credential_accepted"}`, `{"notification_id":"n","event":"credential_eaten"}`,
		`{"notification_id":"n","event":"credential_failure","event_description":"a\nb"}`,
		`{"notification_id":"n","event":"credential_failure","event_description":"é"}`,
		`{"notification_id":"n","notification_id":"m","event":"credential_deleted"}`,
	} {
		if _, err := oid4vci.ParseNotification([]byte(raw)); oid4vci.CodeOf(err) != "invalid_notification_request" {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if n, err := oid4vci.ParseNonceResponse([]byte(`{"c_nonce":"n"}`)); n != "n" || err != nil {
		t.Error(n, err)
	}
	for _, raw := range []string{`{}`, `[]`, `{"c_nonce":""}`, `{"c_nonce":7}`} {
		if _, err := oid4vci.ParseNonceResponse([]byte(raw)); hufu.RuleOf(err) != oid4vci.RuleResponse {
			t.Errorf("%s: %v", raw, err)
		}
	}
}

func TestErrorResponses(t *testing.T) {
	for raw, rule := range map[string]hufu.Rule{
		`{"error":"invalid_nonce"}`:                         oid4vci.RuleNonce,
		`{"error":"invalid_proof","error_description":"x"}`: oid4vci.RuleProof,
		`{"error":"use_dpop_nonce"}`:                        oauth.RuleDPoPNonce,
		`{"error":"invalid_token"}`:                         oauth.RuleToken,
		`{"error":"something"}`:                             oauth.RuleResponse,
		`{}`:                                                oid4vci.RuleResponse,
	} {
		if err := oid4vci.ParseErrorResponse([]byte(raw)); hufu.RuleOf(err) != rule {
			t.Errorf("%s: %v", raw, err)
		}
	}
	if r := oid4vci.NewErrorResponse(hufu.Refuse(oid4vci.RuleProof, "é")); r.Error != "invalid_proof" || r.Description != "oid4vci.invalid-proof: ?" {
		t.Error(r)
	}
	if r := oid4vci.NewErrorResponse(hufu.Refuse("issuer.erased", "secret")); r.Error != "credential_request_denied" || r.Description != "" {
		t.Error(r)
	}
}
