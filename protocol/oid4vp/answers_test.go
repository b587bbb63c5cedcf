package oid4vp_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// The encrypted response of OpenID4VP 1.0 §8.3 and the key that opens it.
const (
	exampleSecret   = "Et-3ce0omz8_TuZ96Df9lp0GAaaDoUnDe6X-CRO7Aww"
	exampleResponse = "eyJhbGciOiJFQ0RILUVTIiwiZW5jIjoiQTEyOEdDTSIsImtpZCI6ImFjIiwiZXBrIjp7Imt" +
		"0eSI6IkVDIiwieCI6Im5ubVZwbTNWM2piaGNhZlFhUkJrU1ZOSGx3Wkh3dC05ck9wSnVmeVlJdWsiLCJ5I" +
		"joicjRmakRxd0p5czlxVU9QLV9iM21SNVNaRy0tQ3dPMm1pYzVWU05UWU45ZyIsImNydiI6IlAtMjU2In1" +
		"9..uAYcHRUSSn2X0WPX.yVzlGSYG4qbg0bq18JcUiDRw56yVnbKR8E7S7YlEtzT00RqE3Pw5oTpUG3hdLN" +
		"4taHZ9gC1kwak8JOnJgQ.1wR024_3-qtAlx1oFIUpQQ"
)

func TestOfficialEncryptedResponse(t *testing.T) {
	secret, err := jws.DecodeBase64(exampleSecret)
	if err != nil {
		t.Fatal(err)
	}
	key, err := jwe.LoadKey(secret, "ac")
	if err != nil {
		t.Fatal(err)
	}
	a, err := oid4vp.ParseDC([]byte(`{"response":"` + exampleResponse + `"}`))
	if err != nil || a.Encrypted == nil || a.Encrypted.KeyID != "ac" {
		t.Fatalf("%+v: %v", a, err)
	}
	got, err := a.Open(key, []string{jwe.A128GCM})
	if err != nil || !slices.Equal(got.VPToken["example_credential_id"], []string{"eyJhb...YMetA"}) {
		t.Errorf("%+v: %v", got, err)
	}
	_, err = a.Open(key, []string{jwe.A256GCM})
	wantRule(t, err, jwe.RuleEnc)
}

func TestEncryptedResponse(t *testing.T) {
	for _, mode := range []string{oid4vp.ModePostJWT, oid4vp.ModeDCJWT} {
		r, key := encryptedRequest(t, mode)
		want := oid4vp.Response{VPToken: oid4vp.VPToken{"residence": {"x~"}}, State: r.State}
		token, err := want.Encrypt(seeded(5), &r)
		if err != nil {
			t.Fatal(err)
		}
		a, err := oid4vp.ParseForm(url.Values{"response": {token}})
		if err != nil || a.VPToken != nil || a.State != "" {
			t.Fatalf("%+v: %v", a, err)
		}
		got, err := a.Open(key, r.Encs)
		if err != nil || got.VPToken["residence"][0] != "x~" || (got.State == r.State) != (mode == oid4vp.ModePostJWT) {
			t.Errorf("%s: %+v, %v", mode, got, err)
		}
		other, _ := jwe.GenerateKey(seeded(77), "k-1")
		_, err = a.Open(other, r.Encs)
		wantRule(t, err, jwe.RuleDecrypt)
	}
	r, key := encryptedRequest(t, oid4vp.ModePostJWT)
	for name, content := range map[string]string{
		"nothing": `{}`, "not JSON": `vp_token`, "no object": `[]`, "a response in a response": `{"response":"` + exampleResponse + `"}`,
		"two things": `{"vp_token":{"a":["x"]},"error":"x"}`, "vp_token a string": `{"vp_token":"{}"}`, "vp_token twice": `{"vp_token":{"a":["x"]},"vp_token":{"a":["y"]}}`,
		"state a number": `{"vp_token":{"a":["x"]},"state":5}`,
	} {
		t.Run(name, func(t *testing.T) {
			token, err := jwe.Encrypt(seeded(6), r.Key, jwe.Header{Enc: jwe.A128GCM}, []byte(content))
			if err != nil {
				t.Fatal(err)
			}
			a, err := oid4vp.ParseForm(url.Values{"response": {token}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = a.Open(key, r.Encs)
			wantRule(t, err, oid4vp.RuleResponse)
		})
	}
	r.Encs = []string{"A128CBC-HS256"}
	_, err := oid4vp.Response{VPToken: oid4vp.VPToken{"a": {"x"}}}.Encrypt(seeded(5), &r)
	wantRule(t, err, oid4vp.RuleUnsupported)
}

func TestForms(t *testing.T) {
	form, err := oid4vp.Response{VPToken: oid4vp.VPToken{"a": {"x"}}, State: "s"}.Form()
	if err != nil {
		t.Fatal(err)
	}
	a, err := oid4vp.ParseForm(form)
	if err != nil || a.State != "s" || a.VPToken["a"][0] != "x" {
		t.Errorf("%+v: %v", a, err)
	}
	a, err = oid4vp.ParseForm(oid4vp.WalletError{Code: "access_denied", Description: "no"}.Form("s"))
	if err != nil || a.State != "s" || *a.Error != (oid4vp.WalletError{Code: "access_denied", Description: "no"}) {
		t.Errorf("%+v: %v", a, err)
	}
	for name, c := range map[string]struct {
		form string
		rule hufu.Rule
	}{
		"unknown parameter is ignored": {`vp_token={"a":["x"]}&state=s&iss=x`, ""},
		"nothing":                      {`state=s`, oid4vp.RuleResponse},
		"two things":                   {`vp_token={"a":["x"]}&error=access_denied&state=s`, oid4vp.RuleResponse},
		"vp_token twice":               {`vp_token={"a":["x"]}&vp_token={"a":["y"]}&state=s`, oid4vp.RuleResponse},
		"state twice":                  {`vp_token={"a":["x"]}&state=s&state=t`, oid4vp.RuleResponse},
		"vp_token unreadable":          {`vp_token=x&state=s`, oid4vp.RuleResponse},
		"error too long":               {`state=s&error=` + strings.Repeat("a", 1025), oid4vp.RuleResponse},
		"response no JWE":              {`response=x`, jwe.RuleMalformed},
		"response of another alg":      {`response=eyJhbGciOiJkaXIiLCJlbmMiOiJBMTI4R0NNIn0..AAAA.AAAA.AAAA`, jwe.RuleAlg},
	} {
		t.Run(name, func(t *testing.T) {
			form, err := url.ParseQuery(c.form)
			if err != nil {
				t.Fatal(err)
			}
			a, err := oid4vp.ParseForm(form)
			wantRule(t, err, c.rule)
			if a == nil || len(form["state"]) == 1 && a.State != "s" {
				t.Errorf("the session is not named: %+v", a)
			}
		})
	}
	data, err := oid4vp.Response{VPToken: oid4vp.VPToken{"a": {"x"}}, State: "s"}.DC()
	if err != nil || string(data) != `{"vp_token":{"a":["x"]}}` {
		t.Errorf("%s: %v", data, err)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"vp_token":[]}`} {
		_, err := oid4vp.ParseDC([]byte(bad))
		wantRule(t, err, oid4vp.RuleResponse)
	}
}

func TestTransactions(t *testing.T) {
	statement, err := oid4vp.NewStatement("Pay 10 to Bob", "residence")
	if err != nil {
		t.Fatal(err)
	}
	if text, ok := statement.Statement(); !ok || text != "Pay 10 to Bob" {
		t.Errorf("statement %q", text)
	}
	object := func(s string) json.RawMessage { return json.RawMessage(s) }
	foreign, err := oid4vp.NewTransaction(object(`{"type":"x","credential_ids":["residence","other"],"amount":5}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := foreign.Statement(); ok || foreign.HashAlg() != "" || statement.HashAlg() != "sha-256" {
		t.Error("a transaction of another type is a statement")
	}
	for name, bad := range map[string]string{
		"not JSON": `{`, "no type": `{"credential_ids":["a"]}`, "no credentials": `{"type":"x"}`, "empty credentials": `{"type":"x","credential_ids":[]}`,
		"credentials no strings": `{"type":"x","credential_ids":[1]}`, "an empty credential": `{"type":"x","credential_ids":[""]}`,
		"another hash":            `{"type":"x","credential_ids":["a"],"transaction_data_hashes_alg":["sha-512"]}`,
		"no hash":                 `{"type":"x","credential_ids":["a"],"transaction_data_hashes_alg":[]}`,
		"a statement without one": `{"type":"` + oid4vp.TypeStatement + `","credential_ids":["a"]}`,
		"a statement too long":    `{"type":"` + oid4vp.TypeStatement + `","credential_ids":["a"],"statement":"` + strings.Repeat("x", oid4vp.MaxStatement+1) + `"}`,
		"too long":                `{"type":"x","credential_ids":["a"],"x":"` + strings.Repeat("x", oid4vp.MaxTransaction) + `"}`,
		"twice the same member":   `{"type":"x","type":"y","credential_ids":["a"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := oid4vp.NewTransaction(object(bad))
			wantRule(t, err, oid4vp.RuleTransaction)
		})
	}
	_, err = oid4vp.ParseTransaction("a+b")
	wantRule(t, err, oid4vp.RuleTransaction)

	r := request()
	r.Transactions = []oid4vp.Transaction{statement}
	token, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := oid4vp.ParseRequest(token)
	if err != nil || len(s.Transactions) != 1 || s.Transactions[0].Hash() != statement.Hash() {
		t.Errorf("%+v: %v", s, err)
	}
	for name, change := range map[string]func(*oid4vp.Request){
		"a credential not asked for": func(r *oid4vp.Request) { r.Transactions = []oid4vp.Transaction{foreign} },
		"too many":                   func(r *oid4vp.Request) { r.Transactions = slices.Repeat(r.Transactions, oid4vp.MaxTransactions+1) },
		"an mdoc": func(r *oid4vp.Request) {
			r.Query = json.RawMessage(`{"credentials":[{"id":"residence","format":"mso_mdoc","meta":{"doctype_value":"x"}}]}`)
		},
		"no holder binding": func(r *oid4vp.Request) {
			r.Query = json.RawMessage(strings.Replace(query, `"id"`, `"require_cryptographic_holder_binding":false,"id"`, 1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := r
			change(&r)
			_, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
			wantRule(t, err, oid4vp.RuleTransaction)
		})
	}
}

func TestConsent(t *testing.T) {
	a, _ := oid4vp.NewTransaction(json.RawMessage(`{"type":"x","credential_ids":["one","two"]}`))
	b, _ := oid4vp.NewTransaction(json.RawMessage(`{"type":"x","credential_ids":["two"],"transaction_data_hashes_alg":["sha-256"]}`))
	asked := []oid4vp.Transaction{a, b}
	consent := func(alg string, t ...oid4vp.Transaction) oid4vp.Consent {
		c := oid4vp.Consent{Alg: alg}
		for i := range t {
			c.Hashes = append(c.Hashes, t[i].Hash())
		}
		return c
	}
	for name, c := range map[string]struct {
		asked []oid4vp.Transaction
		given map[string]oid4vp.Consent
		want  hufu.Rule
	}{
		"nothing asked":             {nil, map[string]oid4vp.Consent{"one": {}}, ""},
		"both by one":               {asked, map[string]oid4vp.Consent{"two": consent("sha-256", a, b)}, ""},
		"each by one":               {asked, map[string]oid4vp.Consent{"one": consent("", a), "two": consent("sha-256", b)}, ""},
		"one not":                   {asked, map[string]oid4vp.Consent{"two": consent("sha-256", b)}, oid4vp.RuleTransaction},
		"by a credential not named": {asked, map[string]oid4vp.Consent{"one": consent("sha-256", a, b)}, oid4vp.RuleTransaction},
		"algorithm not repeated":    {asked, map[string]oid4vp.Consent{"two": consent("", a, b)}, oid4vp.RuleTransaction},
		"another algorithm":         {asked, map[string]oid4vp.Consent{"two": consent("sha-512", a, b)}, oid4vp.RuleTransaction},
		"more than asked":           {asked[:1], map[string]oid4vp.Consent{"two": consent("sha-256", a, b)}, oid4vp.RuleTransaction},
		"nobody":                    {asked, nil, oid4vp.RuleTransaction},
	} {
		t.Run(name, func(t *testing.T) {
			var refs []oid4vp.TransactionRef
			for _, t := range c.asked {
				refs = append(refs, t.Ref())
			}
			wantRule(t, oid4vp.CheckConsent(refs, c.given), c.want)
		})
	}
}

func TestErrorCodes(t *testing.T) {
	for rule, want := range map[hufu.Rule]string{
		oid4vp.RuleRequest: "invalid_request", oid4vp.RuleUnsupported: "invalid_request", oid4vp.RuleSignature: "invalid_request",
		oid4vp.RuleFormats: "vp_formats_not_supported", oid4vp.RuleMethod: "invalid_request_uri_method",
		oid4vp.RuleTransaction: "invalid_transaction_data", oid4vp.RuleDenied: "access_denied", dcql.RuleUnavailable: "access_denied",
	} {
		if got := oid4vp.ErrorCode(hufu.Refuse(rule, "x")); got != want {
			t.Errorf("%s is %s, want %s", rule, got, want)
		}
	}
	if got := oid4vp.ErrorCode(errors.New("x")); got != "invalid_request" {
		t.Error(got)
	}
}

func FuzzParseLink(f *testing.F) {
	r := request()
	r.Verifier, r.ClientID = "", oid4vp.RedirectClientID(r.ResponseURI)
	uri, err := oid4vp.Link{Unsigned: &r}.URI("")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uri)
	f.Add("openid4vp://?client_id=x509_san_dns%3Aa&request_uri=https%3A%2F%2Fa&request_uri_method=post")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := oid4vp.ParseLink(text)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		again, err := l.URI("x:")
		if err != nil {
			t.Fatalf("read but not written: %v", err)
		}
		if _, err := oid4vp.ParseLink(again); err != nil && len(again) <= oid4vp.MaxLink {
			t.Fatalf("written but not read: %v", err)
		}
	})
}

func FuzzParseForm(f *testing.F) {
	f.Add(`vp_token={"a":["x"]}&state=s`)
	f.Add(`response=` + exampleResponse)
	f.Add(`error=access_denied&state=s`)
	f.Fuzz(func(t *testing.T, text string) {
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		a, err := oid4vp.ParseForm(form)
		if err != nil && hufu.RuleOf(err) == "" || a == nil {
			t.Fatalf("%+v: %v", a, err)
		}
	})
}
