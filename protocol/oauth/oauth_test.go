package oauth_test

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
)

var now = time.Unix(1_800_000_000, 0)

func wantRule(t testing.TB, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Errorf("refused by %q (%v), not by %q", hufu.RuleOf(err), err, rule)
	}
}

func signer(t testing.TB, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestNormalizeURL(t *testing.T) {
	for in, want := range map[string]string{
		"https://as.example/token":                        "https://as.example/token",
		"HTTPS://AS.Example:443/token?x=1#y":              "https://as.example/token",
		"http://127.0.0.1:80":                             "http://127.0.0.1/",
		"http://127.0.0.1:8080/":                          "http://127.0.0.1:8080/",
		"http://as.example:443/a":                         "http://as.example:443/a",
		"https://as.example/%7Euser/%c3%a9":               "https://as.example/~user/%C3%A9",
		"https://as.example/a/./b/../c":                   "https://as.example/a/c",
		"https://as.example/a/%2E%2e/b":                   "https://as.example/b",
		"https://as.example/../../x":                      "https://as.example/x",
		"https://as.example/a/..":                         "https://as.example/",
		"https://as.example/a//b/":                        "https://as.example/a//b/",
		"https://as.example/a%2Fb":                        "https://as.example/a%2Fb",
		"https://[2001:DB8::1]:8443/x":                    "https://[2001:db8::1]:8443/x",
		"ftp://as.example/":                               "",
		"/token":                                          "",
		"https://":                                        "",
		"https://user@as.example/":                        "",
		"https:as.example":                                "",
		"https://as.example/%zz":                          "",
		"https://as.example/" + strings.Repeat("a", 5000): "",
	} {
		got, err := oauth.NormalizeURL(in)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.60s: %q, %v", in, got, err)
		}
	}
}

func TestNormalizedStays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`(/[a-zA-Z0-9._~%:@!$&'()*+,;=-]{0,6}){0,5}`).Draw(t, "path")
		once, err := oauth.NormalizeURL("https://h.example" + path)
		if err != nil {
			return
		}
		if twice, err := oauth.NormalizeURL(once); err != nil || twice != once {
			t.Fatalf("%q becomes %q becomes %q (%v)", path, once, twice, err)
		}
	})
}

func TestIssuersAndEndpoints(t *testing.T) {
	for text, good := range map[string]bool{
		"https://as.example": true, "https://as.example:8443/tenant": true, "http://127.0.0.1:8080": true, "http://localhost/x": true,
		"http://as.example": false, "http://127.0.0.1.evil.example": false, "https://as.example?x": false, "https://as.example?": false,
		"https://as.example#": false, "https://u@as.example": false, "as.example": false, "": false, "https://as.example/ x": false,
	} {
		if err := oauth.CheckIssuer(text); (err == nil) != good {
			t.Errorf("issuer %q: %v", text, err)
		}
	}
	for text, good := range map[string]bool{
		"https://as.example/token?tenant=1": true, "http://[::1]:1/": true, "http://as.example/": false, "https://as.example/#x": false,
		"https://u:p@as.example/": false, "urn:x": false, "": false,
	} {
		if err := oauth.CheckEndpoint(text); (err == nil) != good {
			t.Errorf("endpoint %q: %v", text, err)
		}
	}
	for issuer, want := range map[string]string{
		"https://as.example":            "https://as.example/.well-known/oauth-authorization-server",
		"https://as.example/":           "https://as.example/.well-known/oauth-authorization-server",
		"https://as.example/tenant":     "https://as.example/.well-known/oauth-authorization-server/tenant",
		"https://as.example:1/a/b%20c/": "https://as.example:1/.well-known/oauth-authorization-server/a/b%20c",
		"http://as.example":             "",
	} {
		if got, err := oauth.WellKnown(issuer, oauth.MetadataName); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %s %v", issuer, got, err)
		}
	}
}

func TestRedirects(t *testing.T) {
	for uri, good := range map[string]bool{
		"https://wallet.example/cb?x=1": true, "http://127.0.0.1:9/cb": true, "openid4vci://cb": true, "com.example.app:/cb": true,
		"http://wallet.example/cb": false, "https:///cb": false, "/cb": false, "": false, "https://wallet.example/cb#x": false,
		"https://wallet.example/cb#": false, "https://u@wallet.example/": false, "javascript:alert(1)": false, "JavaScript:alert(1)": false,
		"data:text/html,x": false, "file:///etc": false, "intent://x": false, "app:/c b": false, "app:/\r\nLocation": false, "app:/<x>": false,
		"https://例.example/": false,
	} {
		if err := oauth.CheckRedirect(uri); (err == nil) != good {
			t.Errorf("%q: %v", uri, err)
		}
	}
	for uri, want := range map[string]string{
		"app://cb": "app://cb?code=a+b", "app://cb?x=1": "app://cb?x=1&code=a+b", "app://cb?": "app://cb?code=a+b",
	} {
		if got := oauth.Redirect(uri, oauth.Form{"code": {"a b"}}); got != want {
			t.Errorf("%s: %s", uri, got)
		}
	}
}

// The example of RFC 7636 Appendix B.
func TestChallenge(t *testing.T) {
	const verifier, challenge = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
	if oauth.Challenge(verifier) != challenge {
		t.Error("another challenge than the standard's")
	}
	if err := errors.Join(oauth.CheckChallenge(challenge, "S256"), oauth.VerifyChallenge(challenge, verifier)); err != nil {
		t.Error(err)
	}
	wantRule(t, oauth.CheckChallenge(challenge, "plain"), oauth.RuleRequest)
	wantRule(t, oauth.CheckChallenge(challenge, ""), oauth.RuleRequest)
	wantRule(t, oauth.CheckChallenge("", "S256"), oauth.RuleRequest)
	wantRule(t, oauth.CheckChallenge(challenge+"A", "S256"), oauth.RuleRequest)
	wantRule(t, oauth.VerifyChallenge(challenge, "e"+verifier[1:]), oauth.RuleGrant)
	wantRule(t, oauth.VerifyChallenge(challenge, verifier[:42]), oauth.RuleRequest)
	wantRule(t, oauth.VerifyChallenge(challenge, strings.Repeat("a", 129)), oauth.RuleRequest)
	wantRule(t, oauth.VerifyChallenge(challenge, verifier[:42]+"+"), oauth.RuleRequest)
	made, err := oauth.NewVerifier(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if err := oauth.VerifyChallenge(oauth.Challenge(made), made); err != nil {
		t.Error(err)
	}
}

func TestForms(t *testing.T) {
	for raw, good := range map[string]bool{
		"a=1&b=2": true, "": true, "resource=a&resource=b": true, "a=1&a=1": false, "a=%zz": false, "a=1;b=2": false,
		strings.Repeat("a=&", 64): false, "a=" + strings.Repeat("x", oauth.MaxFormBytes): false,
	} {
		if _, err := oauth.ParseForm(raw); (err == nil) != good {
			t.Errorf("%.40q: %v", raw, err)
		}
	}
}

func authorization(t *testing.T) *oauth.AuthorizationRequest {
	t.Helper()
	return &oauth.AuthorizationRequest{
		ClientID: "wallet", RedirectURI: "https://wallet.example/cb", State: "s", Scope: []string{"a", "b"}, Resource: []string{"https://i.example"},
		Challenge: oauth.Challenge(strings.Repeat("v", 43)), Details: []byte(`[]`), IssuerState: "i", DPoPKey: oauth.Challenge("k"), Prompt: "login",
	}
}

func TestAuthorizationRequests(t *testing.T) {
	want := authorization(t)
	got, err := oauth.ParseAuthorizationRequest(want.Form())
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatal(got, err)
	}
	for name, c := range map[string]struct {
		param, value string
		rule         hufu.Rule
	}{
		"no client":          {"client_id", "", oauth.RuleRequest},
		"long client":        {"client_id", strings.Repeat("x", 1025), oauth.RuleRequest},
		"client turned over": {"client_id", "\u202etellaw", oauth.RuleRequest},
		"client in lines":    {"client_id", "wallet\nof the agency", oauth.RuleRequest},
		"state in lines":     {"state", "a\r\nb", oauth.RuleRequest},
		"no redirect":        {"redirect_uri", "", oauth.RuleRequest},
		"bad redirect":       {"redirect_uri", "javascript:x", oauth.RuleRequest},
		"no response type":   {"response_type", "", oauth.RuleRequest},
		"implicit":           {"response_type", "token", oauth.RuleResponseType},
		"fragment":           {"response_mode", "fragment", oauth.RuleRequest},
		"no challenge":       {"code_challenge", "", oauth.RuleRequest},
		"plain":              {"code_challenge_method", "plain", oauth.RuleRequest},
		"bad jkt":            {"dpop_jkt", "x", oauth.RuleRequest},
		"request object":     {"request", "eyJ", oauth.RuleRequest},
		"nested reference":   {"request_uri", "urn:x", oauth.RuleRequest},
		"scope of odd texts": {"scope", "a\"b", oauth.RuleScope},
		"long state":         {"state", strings.Repeat("x", 1025), oauth.RuleRequest},
	} {
		f := authorization(t).Form()
		f[c.param] = []string{c.value}
		_, err := oauth.ParseAuthorizationRequest(f)
		if hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAuthorizationResponses(t *testing.T) {
	const issuer = "https://as.example"
	good := &oauth.AuthorizationResponse{Code: "c", State: "s", Issuer: issuer}
	if got := good.URL("app://cb?x=1"); got != "app://cb?x=1&code=c&iss=https%3A%2F%2Fas.example&state=s" {
		t.Error(got)
	}
	for query, c := range map[string]struct {
		code string
		rule hufu.Rule
	}{
		"code=c&state=s&iss=https%3A%2F%2Fas.example": {"c", ""},
		"code=c&state=s": {"", oauth.RuleResponse},
		"code=c&state=t&iss=https%3A%2F%2Fas.example":                             {"", oauth.RuleResponse},
		"code=c&iss=https%3A%2F%2Fas.example":                                     {"", oauth.RuleResponse},
		"code=c&state=s&iss=https%3A%2F%2Fasx.example":                            {"", oauth.RuleResponse},
		"code=c&code=d&state=s&iss=https%3A%2F%2Fas.example":                      {"", oauth.RuleResponse},
		"state=s&iss=https%3A%2F%2Fas.example":                                    {"", oauth.RuleResponse},
		"error=access_denied&state=s&iss=https%3A%2F%2Fas.example":                {"", oauth.RuleDenied},
		"error=nonsense&error_description=x&state=s&iss=https%3A%2F%2Fas.example": {"", oauth.RuleResponse},
	} {
		code, err := oauth.ParseAuthorizationResponse(query, "s", issuer, true)
		if code != c.code || hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: %q %v", query, code, err)
		}
	}
	if code, err := oauth.ParseAuthorizationResponse("code=c&state=s", "s", issuer, false); code != "c" || err != nil {
		t.Error(code, err)
	}
	if _, err := oauth.ParseAuthorizationResponse("code=c&state=s&iss=x", "s", issuer, false); err == nil {
		t.Error("another issuer's answer is taken where iss is not promised")
	}
}

func TestTokenRequests(t *testing.T) {
	for _, want := range []*oauth.TokenRequest{
		{Grant: oauth.GrantCode, ClientID: "w", Code: "c", RedirectURI: "app://cb", Verifier: "v", Resource: []string{"r"}, Details: []byte("[]")},
		{Grant: oauth.GrantPreAuthorized, Code: "c", TxCode: "1234", HasTxCode: true},
		{Grant: oauth.GrantRefresh, Refresh: "r", Scope: []string{"a"}},
	} {
		got, err := oauth.ParseTokenRequest(want.Form())
		if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%+v became %+v, %v", want, got, err)
		}
	}
	for raw, rule := range map[string]hufu.Rule{
		"":                                     oauth.RuleRequest,
		"grant_type=password":                  oauth.RuleGrantType,
		"grant_type=authorization_code":        oauth.RuleRequest,
		"grant_type=authorization_code&code=c": oauth.RuleRequest,
		"grant_type=refresh_token":             oauth.RuleRequest,
		"grant_type=urn:ietf:params:oauth:grant-type:pre-authorized_code":                                                          oauth.RuleRequest,
		"grant_type=urn:ietf:params:oauth:grant-type:pre-authorized_code&pre-authorized_code=c&tx_code=" + strings.Repeat("1", 65): oauth.RuleRequest,
		"grant_type=refresh_token&refresh_token=r&scope=%22":                                                                       oauth.RuleScope,
	} {
		f, err := oauth.ParseForm(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, err = oauth.ParseTokenRequest(f)
		if hufu.RuleOf(err) != rule {
			t.Errorf("%.60s: %v", raw, err)
		}
	}
}

func TestTokenResponses(t *testing.T) {
	r, err := oauth.ParseTokenResponse([]byte(`{"access_token":"t","token_type":"dpop","expires_in":60,"authorization_details":[{"x":1}],"new":1}`))
	if err != nil || r.Type != oauth.TypeDPoP || string(r.Details) != `[{"x":1}]` {
		t.Fatal(r, err)
	}
	for _, raw := range []string{
		`[]`, `{}`, `{"access_token":"t"}`, `{"access_token":"t","token_type":"mac"}`, `{"access_token":"a b","token_type":"Bearer"}`,
		`{"access_token":"t","token_type":"Bearer","expires_in":-1}`, `{"access_token":"t","access_token":"u","token_type":"Bearer"}`,
		`{"access_token":"t","token_type":"Bearer","refresh_token":"\u0000"}`,
	} {
		_, err := oauth.ParseTokenResponse([]byte(raw))
		if hufu.RuleOf(err) != oauth.RuleResponse {
			t.Errorf("%s: %v", raw, err)
		}
	}
	for header, want := range map[string]string{
		"Bearer abc": "Bearer abc", "dpop abc": "DPoP abc", "BEARER  abc": "Bearer abc", "Basic abc": "", "Bearer": "", "Bearer ": "", "": "", "Bearer a b": "",
	} {
		typ, token, err := oauth.ParseAuthorization(header)
		if strings.TrimSpace(typ+" "+token) != want || (err == nil) != (want != "") {
			t.Errorf("%q: %s %s %v", header, typ, token, err)
		}
	}
}

func TestPushedResponses(t *testing.T) {
	if r, err := oauth.ParsePushedResponse([]byte(`{"request_uri":"urn:x","expires_in":60}`)); err != nil || r.ExpiresIn != 60 {
		t.Error(r, err)
	}
	for _, raw := range []string{`{}`, `[]`, `{"request_uri":"urn:x"}`, `{"request_uri":"urn:x","expires_in":-1}`} {
		_, err := oauth.ParsePushedResponse([]byte(raw))
		wantRule(t, err, oauth.RuleResponse)
	}
}

func TestServerMetadata(t *testing.T) {
	m := oauth.ServerMetadata{Issuer: "https://as.example", TokenEndpoint: "https://as.example/token", Grants: []string{oauth.GrantPreAuthorized}}
	parse := func(change func(*oauth.ServerMetadata)) error {
		c := m
		change(&c)
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		_, err = oauth.ParseServerMetadata(raw, "https://as.example")
		return err
	}
	if err := parse(func(*oauth.ServerMetadata) {}); err != nil {
		t.Error(err)
	}
	wantRule(t, parse(func(m *oauth.ServerMetadata) { m.Issuer += "/" }), oauth.RuleResponse)
	wantRule(t, parse(func(m *oauth.ServerMetadata) { m.TokenEndpoint = "" }), oauth.RuleResponse)
	wantRule(t, parse(func(m *oauth.ServerMetadata) { m.PushedEndpoint = "http://as.example/par" }), oauth.RuleResponse)
	if !m.Offers(oauth.GrantPreAuthorized) || m.Offers(oauth.GrantCode) || !(&oauth.ServerMetadata{}).Offers(oauth.GrantCode) {
		t.Error("grants")
	}
}

func TestErrors(t *testing.T) {
	for rule, code := range map[hufu.Rule]string{
		oauth.RuleRequest: "invalid_request", oauth.RuleClient: "invalid_client", oauth.RuleGrant: "invalid_grant",
		oauth.RuleDPoP: "invalid_dpop_proof", oauth.RuleDPoPNonce: "use_dpop_nonce", oauth.RuleToken: "invalid_token",
		oauth.RuleDetails: "invalid_authorization_details", oauth.RuleChallenge: "use_attestation_challenge",
	} {
		err := fmt.Errorf("wrapped: %w", hufu.Refuse(rule, "x"))
		if got := oauth.CodeOf(err); got != code {
			t.Errorf("%s is %s", rule, got)
		}
		if hufu.RuleOf(oauth.ErrorOf(code, "")) != rule {
			t.Errorf("%s is not %s", code, rule)
		}
	}
	if r := oauth.NewErrorResponse(errors.New("the password is x")); r.Error != "server_error" || r.Description != "" {
		t.Error("an error that is no refusal is told", r)
	}
	if got := oauth.Printable("a\"\\é\n" + strings.Repeat("b", 300)); got != "a''??"+strings.Repeat("b", 251) {
		t.Error(got)
	}
	r, err := oauth.ParseErrorResponse([]byte(`{"error":"use_dpop_nonce","error_description":"é"}`))
	if err != nil || r.Error != "use_dpop_nonce" || r.Description != "?" {
		t.Error(r, err)
	}
	for _, raw := range []string{``, `{}`, `{"error":"a\nb"}`, `{"error":7}`} {
		_, err := oauth.ParseErrorResponse([]byte(raw))
		wantRule(t, err, oauth.RuleResponse)
	}
}

func FuzzForms(f *testing.F) {
	f.Add("response_type=code&client_id=w&redirect_uri=https%3A%2F%2Fw.example&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256")
	f.Add("grant_type=authorization_code&code=c&code_verifier=v")
	f.Fuzz(func(t *testing.T, raw string) {
		form, err := oauth.ParseForm(raw)
		if err != nil {
			return
		}
		if r, err := oauth.ParseAuthorizationRequest(form); err == nil {
			if _, err := oauth.ParseAuthorizationRequest(r.Form()); err != nil {
				t.Fatal(err)
			}
		}
		if r, err := oauth.ParseTokenRequest(form); err == nil {
			if _, err := oauth.ParseTokenRequest(r.Form()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzNormalizeURL(f *testing.F) {
	f.Add("https://as.example/%7e/../a?b#c")
	f.Fuzz(func(t *testing.T, in string) {
		once, err := oauth.NormalizeURL(in)
		if err != nil {
			return
		}
		if twice, err := oauth.NormalizeURL(once); err != nil || twice != once {
			t.Fatalf("%q becomes %q becomes %q (%v)", in, once, twice, err)
		}
	})
}
