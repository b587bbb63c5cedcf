package oid4vp_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

const (
	verifier = hufu.DID("did:hufu:demo:z11111111111111111111111111111111")
	stranger = hufu.DID("did:hufu:demo:z11111111111111111111111111111112")
	query    = `{"credentials":[{"id":"residence","format":"dc+sd-jwt","meta":{"vct_values":["https://example.org/residence"]},"claims":[{"path":["adult"]}]}]}`
)

var now = time.Unix(1_790_000_000, 0).UTC()

func seeded(n uint64) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)}) }

func gateKey(t testing.TB, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(seeded(1))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func request() oid4vp.Request {
	return oid4vp.Request{
		Verifier: verifier, ResponseURI: "https://gate.example/gate/response", Nonce: "n-0S6_WzA2Mj-0123456789", State: "af0ifjsldkj",
		Query: json.RawMessage(query), Contract: hufu.ContractID{Owner: verifier, Name: "reading-room"}, Version: 3,
		IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute),
	}
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}

func TestRequestRoundTrip(t *testing.T) {
	for _, suite := range keys.Suites() {
		key := gateKey(t, suite)
		want := request()
		token, err := want.Sign(seeded(2), key, verifier.URL("gate"))
		if err != nil {
			t.Fatal(err)
		}
		got, err := oid4vp.ParseRequest(token)
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Verify(key.Public(), now, 0); err != nil {
			t.Fatal(err)
		}
		a, _ := json.Marshal(want)
		b, _ := json.Marshal(got.Request)
		if !bytes.Equal(a, b) || got.KeyID != verifier.URL("gate") {
			t.Errorf("%s: read %s, wrote %s", suite, b, a)
		}
	}
}

func TestRequestVerify(t *testing.T) {
	key, r := gateKey(t, keys.P256), request()
	token, err := r.Sign(seeded(2), key, verifier.URL("gate"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := oid4vp.ParseRequest(token)
	if err != nil {
		t.Fatal(err)
	}
	other, _ := keys.P256.Generate(seeded(9))
	wantRule(t, s.Verify(other.Public(), now, 0), oid4vp.RuleSignature)
	wantRule(t, s.Verify(key.Public(), now.Add(5*time.Minute), 0), oid4vp.RuleExpired)
	wantRule(t, s.Verify(key.Public(), now.Add(-time.Second), 0), oid4vp.RuleExpired)
	if err := s.Verify(key.Public(), now.Add(-time.Second), time.Second); err != nil {
		t.Errorf("within the skew: %v", err)
	}
	if err := s.Verify(key.Public(), now.Add(5*time.Minute), time.Second); err != nil {
		t.Errorf("within the skew: %v", err)
	}
}

// signPayload signs any payload as a request object.
func signPayload(t *testing.T, header jws.Header, payload []byte) string {
	t.Helper()
	token, err := jws.Sign(seeded(3), header, payload, gateKey(t, keys.P256))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestRequestRefusals(t *testing.T) {
	r := request()
	token, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := jws.Parse(token, oid4vp.MaxRequest)
	var good map[string]any
	if err := json.Unmarshal(m.Payload, &good); err != nil {
		t.Fatal(err)
	}
	header := jws.Header{"typ": oid4vp.RequestType, "kid": verifier.URL("gate")}
	for name, c := range map[string]struct {
		set    map[string]any
		header jws.Header
		want   hufu.Rule
	}{
		"unknown parameter is ignored":   {set: map[string]any{"unheard_of": 1, "iss": "x"}},
		"transaction data":               {set: map[string]any{"transaction_data": []string{"e30"}}, want: oid4vp.RuleUnsupported},
		"transaction data null":          {set: map[string]any{"transaction_data": nil}, want: oid4vp.RuleUnsupported},
		"response type":                  {set: map[string]any{"response_type": "code"}, want: oid4vp.RuleUnsupported},
		"response mode":                  {set: map[string]any{"response_mode": "fragment"}, want: oid4vp.RuleUnsupported},
		"scope beside the query":         {set: map[string]any{"scope": "x"}, want: oid4vp.RuleRequest},
		"redirect uri":                   {set: map[string]any{"redirect_uri": "https://gate.example/"}, want: oid4vp.RuleRequest},
		"request in request":             {set: map[string]any{"request": "e30"}, want: oid4vp.RuleRequest},
		"request uri in request":         {set: map[string]any{"request_uri": "https://gate.example/"}, want: oid4vp.RuleRequest},
		"audience":                       {set: map[string]any{"aud": "https://wallet.example"}, want: oid4vp.RuleRequest},
		"nonce missing":                  {set: map[string]any{"nonce": ""}, want: oid4vp.RuleRequest},
		"nonce short":                    {set: map[string]any{"nonce": "abc"}, want: oid4vp.RuleRequest},
		"nonce with other characters":    {set: map[string]any{"nonce": "0123456789abcdef+/"}, want: oid4vp.RuleRequest},
		"nonce too long":                 {set: map[string]any{"nonce": strings.Repeat("a", 129)}, want: oid4vp.RuleRequest},
		"state missing":                  {set: map[string]any{"state": ""}, want: oid4vp.RuleRequest},
		"state with other characters":    {set: map[string]any{"state": "a b"}, want: oid4vp.RuleRequest},
		"state too long":                 {set: map[string]any{"state": strings.Repeat("a", 129)}, want: oid4vp.RuleRequest},
		"query missing":                  {set: map[string]any{"dcql_query": nil}, want: oid4vp.RuleRequest},
		"query a string":                 {set: map[string]any{"dcql_query": query}, want: oid4vp.RuleRequest},
		"contract missing":               {set: map[string]any{"hufu_contract": nil}, want: oid4vp.RuleRequest},
		"contract version 0":             {set: map[string]any{"hufu_contract": map[string]any{"id": r.Contract, "version": 0}}, want: oid4vp.RuleRequest},
		"contract unreadable":            {set: map[string]any{"hufu_contract": map[string]any{"id": "x", "version": 1}}, want: oid4vp.RuleRequest},
		"iat missing":                    {set: map[string]any{"iat": 0}, want: oid4vp.RuleRequest},
		"exp before iat":                 {set: map[string]any{"exp": now.Unix()}, want: oid4vp.RuleRequest},
		"valid too long":                 {set: map[string]any{"exp": now.Add(2 * time.Hour).Unix()}, want: oid4vp.RuleRequest},
		"other client id prefix":         {set: map[string]any{"client_id": "redirect_uri:https://gate.example/"}, want: oid4vp.RuleUnsupported},
		"no client id prefix":            {set: map[string]any{"client_id": string(verifier)}, want: oid4vp.RuleUnsupported},
		"client id of another method":    {set: map[string]any{"client_id": "decentralized_identifier:did:example:123"}, want: oid4vp.RuleRequest},
		"client id of someone else":      {set: map[string]any{"client_id": oid4vp.ClientID(stranger)}, want: oid4vp.RuleSignature},
		"response uri missing":           {set: map[string]any{"response_uri": ""}, want: oid4vp.RuleRequest},
		"response uri in the clear":      {set: map[string]any{"response_uri": "http://gate.example/"}, want: oid4vp.RuleRequest},
		"response uri on loopback":       {set: map[string]any{"response_uri": "http://127.0.0.1:8080/gate/response"}},
		"response uri with a password":   {set: map[string]any{"response_uri": "https://a:b@gate.example/"}, want: oid4vp.RuleRequest},
		"response uri with a fragment":   {set: map[string]any{"response_uri": "https://gate.example/#x"}, want: oid4vp.RuleRequest},
		"typ missing":                    {header: jws.Header{"kid": verifier.URL("gate")}, want: oid4vp.RuleRequest},
		"typ of something else":          {header: jws.Header{"typ": "JWT", "kid": verifier.URL("gate")}, want: oid4vp.RuleRequest},
		"kid missing":                    {header: jws.Header{"typ": oid4vp.RequestType}, want: oid4vp.RuleSignature},
		"kid of someone else":            {header: jws.Header{"typ": oid4vp.RequestType, "kid": stranger.URL("gate")}, want: oid4vp.RuleSignature},
		"member of another type than it": {set: map[string]any{"nonce": 5}, want: oid4vp.RuleRequest},
	} {
		t.Run(name, func(t *testing.T) {
			body := maps.Clone(good)
			maps.Copy(body, c.set)
			raw, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			h := header
			if c.header != nil {
				h = c.header
			}
			_, err = oid4vp.ParseRequest(signPayload(t, h, raw))
			wantRule(t, err, c.want)
		})
	}
	for name, token := range map[string]string{
		"not a token":       "hello",
		"too large":         strings.Repeat("a", oid4vp.MaxRequest+1),
		"duplicate member":  signPayload(t, header, append([]byte(`{"nonce":"x",`), m.Payload[1:]...)),
		"payload no object": signPayload(t, header, []byte(`[]`)),
		"unsigned":          "eyJhbGciOiJub25lIiwidHlwIjoib2F1dGgtYXV0aHotcmVxK2p3dCJ9.e30.",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := oid4vp.ParseRequest(token)
			wantRule(t, err, oid4vp.RuleRequest)
		})
	}
}

func TestSignRefusesWhatItCouldNotRead(t *testing.T) {
	r := request()
	r.Nonce = "short"
	_, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
	wantRule(t, err, oid4vp.RuleRequest)
}

func TestVPToken(t *testing.T) {
	many, _ := json.Marshal(map[string][]string{"a": make([]string, oid4vp.MaxPresentations+1)})
	for name, c := range map[string]struct {
		text string
		want hufu.Rule
	}{
		"one":                     {text: `{"residence":["eyJhbGci...QMA"]}`}, // §8.1.1
		"several":                 {text: `{"my_credential":["eyJhbGci...QMA","eyJhbGci...QMB"],"b":["x"]}`},
		"empty object":            {text: `{}`, want: oid4vp.RuleResponse},
		"null":                    {text: `null`, want: oid4vp.RuleResponse},
		"empty list":              {text: `{"a":[]}`, want: oid4vp.RuleResponse},
		"null list":               {text: `{"a":null}`, want: oid4vp.RuleResponse},
		"empty id":                {text: `{"":["x"]}`, want: oid4vp.RuleResponse},
		"empty presentation":      {text: `{"a":[""]}`, want: oid4vp.RuleResponse},
		"null presentation":       {text: `{"a":[null]}`, want: oid4vp.RuleResponse},
		"object presentation":     {text: `{"a":[{}]}`, want: oid4vp.RuleResponse},
		"string, not list":        {text: `{"a":"x"}`, want: oid4vp.RuleResponse},
		"array":                   {text: `["x"]`, want: oid4vp.RuleResponse},
		"duplicate id":            {text: `{"a":["x"],"a":["y"]}`, want: oid4vp.RuleResponse},
		"trailing":                {text: `{"a":["x"]}{}`, want: oid4vp.RuleResponse},
		"too many":                {text: string(many), want: oid4vp.RuleResponse},
		"presentation too long":   {text: `{"a":["` + strings.Repeat("x", oid4vp.MaxPresentation+1) + `"]}`, want: oid4vp.RuleResponse},
		"ten thousand deep":       {text: strings.Repeat(`{"a":`, 10000) + `1` + strings.Repeat("}", 10000), want: oid4vp.RuleResponse},
		"ten megabytes of string": {text: `{"a":["` + strings.Repeat("x", 10<<20) + `"]}`, want: oid4vp.RuleResponse},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := oid4vp.ParseVPToken([]byte(c.text))
			wantRule(t, err, c.want)
		})
	}
}

func TestVPTokenOrder(t *testing.T) {
	token := oid4vp.VPToken{"b": {"2"}, "a": {"1"}, "c": {"3"}}
	if got := strings.Join(token.InOrder([]string{"c", "x", "a", "b"}), ""); got != "312" {
		t.Errorf("in order of the query: %s", got)
	}
	if got := strings.Join(token.IDs(), ""); got != "abc" {
		t.Errorf("ids: %s", got)
	}
}

func TestVPTokenRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := oid4vp.VPToken(rapid.MapOfN(
			rapid.StringMatching(`[a-z0-9_-]{1,12}`),
			rapid.SliceOfN(rapid.StringMatching(`[A-Za-z0-9~._-]{1,40}`), 1, 2), 1, 8).Draw(t, "token"))
		raw, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := oid4vp.ParseVPToken(raw)
		if err != nil {
			t.Fatal(err)
		}
		again, _ := got.Encode()
		if !bytes.Equal(raw, again) {
			t.Fatalf("%s became %s", raw, again)
		}
	})
}

// The standard's examples are of verifiers this profile does not serve; each must be refused for that
// reason and for no other.
func TestOfficialExamples(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "vectors", "oid4vp")
	raw, err := os.ReadFile(filepath.Join(dir, "request", "request_object_client_id_did.json"))
	if err != nil {
		t.Skip("official OpenID4VP examples not present")
	}
	raw = bytes.Replace(raw, []byte("{ ... }"), []byte(query), 1)
	_, err = oid4vp.ParsePayload(raw) // no response_mode, as it is sent in the fragment
	wantRule(t, err, oid4vp.RuleUnsupported)

	var example map[string]any
	if err := json.Unmarshal(raw, &example); err != nil {
		t.Fatal(err)
	}
	delete(example, "redirect_uri")
	for name, v := range map[string]any{
		"response_mode": "direct_post", "response_uri": "https://client.example.org/post", "client_id": oid4vp.ClientID(verifier),
		"aud": oid4vp.Audience, "state": "s", "nonce": "n-0S6_WzA2Mj-n-0S6_WzA2Mj", "iat": now.Unix(), "exp": now.Unix() + 60,
		"hufu_contract": map[string]any{"id": hufu.ContractID{Owner: verifier, Name: "door"}, "version": 1},
	} {
		example[name] = v
	}
	whole, _ := json.Marshal(example)
	if _, err := oid4vp.ParsePayload(whole); err != nil {
		t.Errorf("the example with this profile's members: %v", err)
	}

	raw, err = os.ReadFile(filepath.Join(dir, "digital_credentials_api", "signed_request_payload.json"))
	if err != nil {
		t.Skip("official OpenID4VP examples not present")
	}
	_, err = oid4vp.ParsePayload(bytes.Replace(raw, []byte("{...}"), []byte(query), 1))
	wantRule(t, err, oid4vp.RuleUnsupported) // response_mode dc_api
}

func FuzzParseRequest(f *testing.F) {
	r := request()
	token, err := r.Sign(seeded(2), gateKey(f, keys.P256), verifier.URL("gate"))
	if err != nil {
		f.Fatal(err)
	}
	m, _ := jws.Parse(token, oid4vp.MaxRequest)
	f.Add(m.Payload)
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"client_id":"decentralized_identifier:did:example:123"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := oid4vp.ParsePayload(data)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if _, err := r.Sign(seeded(2), gateKey(t, keys.P256), r.Verifier.URL("gate")); err != nil {
			t.Fatalf("read but not written: %v", err)
		}
	})
}

func FuzzParseVPToken(f *testing.F) {
	f.Add([]byte(`{"a":["x"],"b":["y","z"]}`))
	f.Add([]byte(`{"a":"x"}`))
	f.Add([]byte(`{"a":[`))
	f.Fuzz(func(t *testing.T, data []byte) {
		token, err := oid4vp.ParseVPToken(data)
		if err != nil {
			return
		}
		raw, err := token.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oid4vp.ParseVPToken(raw); err != nil && len(raw) <= oid4vp.MaxVPToken {
			t.Fatalf("written but not read: %v", err)
		}
	})
}
