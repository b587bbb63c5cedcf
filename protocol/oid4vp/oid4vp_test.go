package oid4vp_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"math/rand/v2"
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

// text is a request as JSON without what is always the same.
func text(t testing.TB, r oid4vp.Request) string {
	t.Helper()
	if r.ClientID == "" && r.Verifier != "" {
		r.ClientID = oid4vp.ClientID(r.Verifier)
	}
	if r.Mode == "" {
		r.Mode = oid4vp.ModePost
	}
	r.Formats = nil
	raw, err := json.Marshal(struct {
		oid4vp.Request
		Key string
	}{r, string(r.Key.Thumbprint()) + r.Key.KeyID})
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

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
		want.Staple = bytes.Repeat([]byte{0xff, 0x00}, oid4vp.MaxStaple/2)
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
		if b := text(t, got.Request); b != text(t, want) || got.KeyID != verifier.URL("gate") || got.Certified() {
			t.Errorf("%s: read %s, wrote %s", suite, b, text(t, want))
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

// staple is an entry of verifier_info.
func staple(data any) any { return map[string]any{"format": oid4vp.FormatStaple, "data": data} }

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
		"unknown parameter is ignored":    {set: map[string]any{"unheard_of": 1, "iss": "x"}},
		"transaction data":                {set: map[string]any{"transaction_data": []string{"e30"}}, want: oid4vp.RuleTransaction},
		"verifier info of other formats":  {set: map[string]any{"verifier_info": []any{map[string]any{"format": "jwt", "data": "x"}, map[string]any{"format": "x", "data": map[string]any{}}}}},
		"verifier info no list":           {set: map[string]any{"verifier_info": "x"}, want: oid4vp.RuleRequest},
		"a staple":                        {set: map[string]any{"verifier_info": []any{staple("AQID")}}},
		"two staples":                     {set: map[string]any{"verifier_info": []any{staple("AQID"), staple("AQID")}}, want: oid4vp.RuleRequest},
		"a staple that is empty":          {set: map[string]any{"verifier_info": []any{staple("")}}, want: oid4vp.RuleRequest},
		"a staple not in base64url":       {set: map[string]any{"verifier_info": []any{staple("AQI=")}}, want: oid4vp.RuleRequest},
		"a staple an object":              {set: map[string]any{"verifier_info": []any{staple(map[string]any{})}}, want: oid4vp.RuleRequest},
		"a staple missing":                {set: map[string]any{"verifier_info": []any{map[string]any{"format": oid4vp.FormatStaple}}}, want: oid4vp.RuleRequest},
		"a staple too large":              {set: map[string]any{"verifier_info": []any{staple(strings.Repeat("AAAA", oid4vp.MaxStaple/3+1))}}, want: oid4vp.RuleRequest},
		"transaction data empty":          {set: map[string]any{"transaction_data": []string{}}, want: oid4vp.RuleTransaction},
		"transaction data an object":      {set: map[string]any{"transaction_data": map[string]any{}}, want: oid4vp.RuleRequest},
		"response type":                   {set: map[string]any{"response_type": "code"}, want: oid4vp.RuleUnsupported},
		"response mode":                   {set: map[string]any{"response_mode": "fragment"}, want: oid4vp.RuleUnsupported},
		"scope beside the query":          {set: map[string]any{"scope": "x"}, want: oid4vp.RuleRequest},
		"redirect uri":                    {set: map[string]any{"redirect_uri": "https://gate.example/"}, want: oid4vp.RuleRequest},
		"request in request":              {set: map[string]any{"request": "e30"}, want: oid4vp.RuleRequest},
		"request uri in request":          {set: map[string]any{"request_uri": "https://gate.example/"}, want: oid4vp.RuleRequest},
		"audience":                        {set: map[string]any{"aud": "https://wallet.example"}, want: oid4vp.RuleRequest},
		"nonce missing":                   {set: map[string]any{"nonce": ""}, want: oid4vp.RuleRequest},
		"nonce short":                     {set: map[string]any{"nonce": "abc"}, want: oid4vp.RuleRequest},
		"nonce with other characters":     {set: map[string]any{"nonce": "0123456789abcdef+/"}, want: oid4vp.RuleRequest},
		"nonce too long":                  {set: map[string]any{"nonce": strings.Repeat("a", 513)}, want: oid4vp.RuleRequest},
		"state missing":                   {set: map[string]any{"state": ""}, want: oid4vp.RuleRequest},
		"state with other characters":     {set: map[string]any{"state": "a b"}, want: oid4vp.RuleRequest},
		"state too long":                  {set: map[string]any{"state": strings.Repeat("a", 513)}, want: oid4vp.RuleRequest},
		"query missing":                   {set: map[string]any{"dcql_query": nil}, want: oid4vp.RuleRequest},
		"query a string":                  {set: map[string]any{"dcql_query": query}, want: oid4vp.RuleRequest},
		"audience missing":                {set: map[string]any{"aud": ""}, want: oid4vp.RuleRequest},
		"query of another format":         {set: map[string]any{"dcql_query": json.RawMessage(`{"credentials":[{"id":"a","format":"ldp_vc","meta":{}}]}`)}, want: oid4vp.RuleFormats},
		"query empty":                     {set: map[string]any{"dcql_query": map[string]any{}}, want: oid4vp.RuleRequest},
		"wallet nonce too long":           {set: map[string]any{"wallet_nonce": strings.Repeat("a", 513)}, want: oid4vp.RuleRequest},
		"encrypted without a key":         {set: map[string]any{"response_mode": "direct_post.jwt"}, want: oid4vp.RuleRequest},
		"contract version 0":              {set: map[string]any{"hufu_contract": map[string]any{"id": r.Contract, "version": 0}}, want: oid4vp.RuleRequest},
		"contract unreadable":             {set: map[string]any{"hufu_contract": map[string]any{"id": "x", "version": 1}}, want: oid4vp.RuleRequest},
		"iat missing":                     {set: map[string]any{"iat": 0}, want: oid4vp.RuleRequest},
		"exp before iat":                  {set: map[string]any{"exp": now.Unix()}, want: oid4vp.RuleRequest},
		"valid too long":                  {set: map[string]any{"exp": now.Add(2 * time.Hour).Unix()}, want: oid4vp.RuleRequest},
		"signed without a right to":       {set: map[string]any{"client_id": "redirect_uri:https://gate.example/"}, want: oid4vp.RuleRequest},
		"reserved client id prefix":       {set: map[string]any{"client_id": "origin:https://gate.example"}, want: oid4vp.RuleRequest},
		"other client id prefix":          {set: map[string]any{"client_id": "openid_federation:https://gate.example/"}, want: oid4vp.RuleUnsupported},
		"client registered before":        {set: map[string]any{"client_id": "gate"}, want: oid4vp.RuleUnsupported},
		"a certificate that is not there": {set: map[string]any{"client_id": "x509_san_dns:gate.example"}, want: oid4vp.RuleSignature},
		"no client id prefix":             {set: map[string]any{"client_id": string(verifier)}, want: oid4vp.RuleUnsupported},
		"client id of another method":     {set: map[string]any{"client_id": "decentralized_identifier:did:example:123"}, want: oid4vp.RuleUnsupported},
		"client id of someone else":       {set: map[string]any{"client_id": oid4vp.ClientID(stranger)}, want: oid4vp.RuleSignature},
		"response uri missing":            {set: map[string]any{"response_uri": ""}, want: oid4vp.RuleRequest},
		"response uri in the clear":       {set: map[string]any{"response_uri": "http://gate.example/"}, want: oid4vp.RuleRequest},
		"response uri on loopback":        {set: map[string]any{"response_uri": "http://127.0.0.1:8080/gate/response"}},
		"response uri with a password":    {set: map[string]any{"response_uri": "https://a:b@gate.example/"}, want: oid4vp.RuleRequest},
		"response uri with a fragment":    {set: map[string]any{"response_uri": "https://gate.example/#x"}, want: oid4vp.RuleRequest},
		"typ missing":                     {header: jws.Header{"kid": verifier.URL("gate")}, want: oid4vp.RuleRequest},
		"typ of something else":           {header: jws.Header{"typ": "JWT", "kid": verifier.URL("gate")}, want: oid4vp.RuleRequest},
		"kid missing":                     {header: jws.Header{"typ": oid4vp.RequestType}, want: oid4vp.RuleSignature},
		"kid of someone else":             {header: jws.Header{"typ": oid4vp.RequestType, "kid": stranger.URL("gate")}, want: oid4vp.RuleSignature},
		"member of another type than it":  {set: map[string]any{"nonce": 5}, want: oid4vp.RuleRequest},
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

func FuzzParseRequest(f *testing.F) {
	r := request()
	token, err := r.Sign(seeded(2), gateKey(f, keys.P256), verifier.URL("gate"))
	if err != nil {
		f.Fatal(err)
	}
	m, _ := jws.Parse(token, oid4vp.MaxRequest)
	f.Add(m.Payload)
	f.Add(bytes.Replace(m.Payload, []byte(`{`), []byte(`{"verifier_info":[{"format":"`+oid4vp.FormatStaple+`","data":"AQID"}],`), 1))
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
