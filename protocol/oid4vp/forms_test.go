package oid4vp_test

import (
	"encoding/json"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

const host = "gate.example"

// certified is a gate's key with a certificate under its own authority.
func certified(t testing.TB, did hufu.DID, dns ...string) (leaf, authority keys.Signer, chain [][]byte) {
	t.Helper()
	key := func(n uint64) keys.Signer {
		k, err := keys.P256.Generate(seeded(n))
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	leaf, authority = key(21), key(22)
	ca, err := x5c.MakeCA(seeded(23), authority, did, x5c.Subject{CommonName: "Gate CA"}, now.Add(-time.Hour), now.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x5c.MakeLeaf(seeded(24), ca, authority, x5c.Leaf{
		Key: leaf.Public(), DID: did, DNS: dns, Subject: x5c.Subject{CommonName: "Gate"}, Use: x5c.RequestSigner,
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(23 * time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return leaf, authority, [][]byte{der}
}

func clientID(t testing.TB, prefix string, chain [][]byte) string {
	t.Helper()
	c, err := x5c.Parse(chain)
	if err != nil {
		t.Fatal(err)
	}
	id, err := oid4vp.ClientIDOf(prefix, c.Leaf())
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestCertifiedRequests(t *testing.T) {
	leaf, authority, chain := certified(t, verifier, host, "other.example")
	for _, prefix := range []string{oid4vp.PrefixDNS, oid4vp.PrefixHash} {
		r := request()
		r.ClientID = clientID(t, prefix, chain)
		token, err := r.SignX5C(seeded(2), leaf, chain...)
		if err != nil {
			t.Fatal(err)
		}
		s, err := oid4vp.ParseRequest(token)
		if err != nil {
			t.Fatal(err)
		}
		if text(t, s.Request) != text(t, r) || !s.Certified() || s.Verifier != verifier {
			t.Errorf("%s: read %s, wrote %s", prefix, text(t, s.Request), text(t, r))
		}
		c, err := s.Chain.Verify(x5c.VerifyParams{Now: now, Use: x5c.RequestSigner, CA: authority.Public()})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Verify(c.Key, now, 0); err != nil {
			t.Fatal(err)
		}
		wantRule(t, s.Verify(authority.Public(), now, 0), oid4vp.RuleSignature)
		if got := s.PresentationAudience("https://x.example"); got != r.ClientID {
			t.Errorf("audience %s", got)
		}
	}
}

func TestCertifiedRequestsRefused(t *testing.T) {
	leaf, _, chain := certified(t, verifier, host)
	_, _, others := certified(t, stranger, host, "elsewhere.example")
	for name, c := range map[string]struct {
		client, uri string
		chain       [][]byte
		want        hufu.Rule
	}{
		"another name than the certificate's": {"x509_san_dns:elsewhere.example", "https://elsewhere.example/", chain, oid4vp.RuleSignature},
		"another certificate's hash":          {clientID(t, oid4vp.PrefixHash, others), "https://gate.example/", chain, oid4vp.RuleSignature},
		"answer to another host":              {"x509_san_dns:gate.example", "https://elsewhere.example/", chain, oid4vp.RuleRequest},
		"no certificate":                      {"x509_san_dns:gate.example", "https://gate.example/", nil, oid4vp.RuleSignature},
		"a hash that is none":                 {"x509_hash:AAAA", "https://gate.example/", chain, oid4vp.RuleRequest},
		"a name that is none":                 {"x509_san_dns:https://gate.example", "https://gate.example/", chain, oid4vp.RuleRequest},
	} {
		t.Run(name, func(t *testing.T) {
			r := request()
			r.ClientID, r.ResponseURI = c.client, c.uri
			token, err := r.SignX5C(seeded(2), leaf, c.chain...)
			if err == nil {
				_, err = oid4vp.ParseRequest(token)
			}
			wantRule(t, err, c.want)
		})
	}
	if _, err := oid4vp.ClientIDOf(oid4vp.PrefixDNS, x5c.Certified{}); err == nil {
		t.Error("a client identifier of no name")
	}
	if _, err := oid4vp.ClientIDOf(oid4vp.PrefixRedirect, x5c.Certified{}); err == nil {
		t.Error("a client identifier of another prefix")
	}
}

func encryptedRequest(t testing.TB, mode string) (oid4vp.Request, *jwe.PrivateKey) {
	t.Helper()
	key, err := jwe.GenerateKey(seeded(31), "k-1")
	if err != nil {
		t.Fatal(err)
	}
	r := request()
	r.Mode, r.Key, r.Encs = mode, key.Public(), jwe.Encs()
	return r, key
}

func TestLinkByReference(t *testing.T) {
	want := oid4vp.Link{ClientID: oid4vp.ClientID(verifier), RequestURI: "https://gate.example/r/1?x=y", Method: oid4vp.MethodPost}
	uri, err := want.URI("")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(uri, "openid4vp://?") {
		t.Errorf("link %s", uri)
	}
	got, err := oid4vp.ParseLink(uri)
	if err != nil || *got != want {
		t.Fatalf("read %+v, wrote %+v: %v", got, want, err)
	}
	r := request()
	r.ClientID, r.Mode = oid4vp.ClientID(verifier), oid4vp.ModePost
	if err := got.Match(&r, ""); err != nil {
		t.Error(err)
	}
	wantRule(t, got.Match(&r, "mine"), oid4vp.RuleRequest)
	r.WalletNonce = "mine"
	if err := got.Match(&r, "mine"); err != nil {
		t.Error(err)
	}
	r.ClientID = oid4vp.ClientID(stranger)
	wantRule(t, got.Match(&r, "mine"), oid4vp.RuleRequest)
}

func TestLinkWithUnsignedParameters(t *testing.T) {
	r, _ := encryptedRequest(t, oid4vp.ModePostJWT)
	r.Verifier, r.ClientID = "", oid4vp.RedirectClientID(r.ResponseURI)
	statement, err := oid4vp.NewStatement("Pay 10 to Bob", "residence")
	if err != nil {
		t.Fatal(err)
	}
	r.Transactions = []oid4vp.Transaction{statement}
	uri, err := oid4vp.Link{Unsigned: &r}.URI("https://wallet.example/authorize")
	if err != nil {
		t.Fatal(err)
	}
	l, err := oid4vp.ParseLink(uri)
	if err != nil {
		t.Fatal(err)
	}
	if l.Unsigned == nil || text(t, *l.Unsigned) != text(t, r) {
		t.Fatalf("read %+v, wrote %s", l, text(t, r))
	}
	if err := l.Match(l.Unsigned, ""); err != nil {
		t.Error(err)
	}
	if err := l.Unsigned.VerifyUnsigned(now, 0); err != nil {
		t.Error(err)
	}
	wantRule(t, l.Unsigned.VerifyUnsigned(now.Add(time.Hour), 0), oid4vp.RuleExpired)
}

func TestLinkRefused(t *testing.T) {
	r := request()
	r.Verifier, r.ClientID = "", oid4vp.RedirectClientID(r.ResponseURI)
	uri, err := oid4vp.Link{Unsigned: &r}.URI("openid4vp://")
	if err != nil {
		t.Fatal(err)
	}
	base, _ := url.Parse(uri)
	with := func(name, value string) string {
		q := base.Query()
		if q.Set(name, value); value == "-" {
			q.Del(name)
		}
		return "openid4vp://?" + q.Encode()
	}
	for name, c := range map[string]struct {
		link string
		want hufu.Rule
	}{
		"unchanged":                     {uri, ""},
		"unknown parameter":             {uri + "&unheard_of=1", ""},
		"response_uri left out":         {with("response_uri", "-"), ""},
		"not a link":                    {"openid4vp://%zz", oid4vp.RuleRequest},
		"parameter twice":               {uri + "&nonce=x", oid4vp.RuleRequest},
		"no client":                     {"openid4vp://?request_uri=https%3A%2F%2Fgate.example", oid4vp.RuleRequest},
		"another method":                {"openid4vp://?client_id=x509_san_dns%3Aa&request_uri=https%3A%2F%2Fa&request_uri_method=PUT", oid4vp.RuleMethod},
		"method in another case":        {"openid4vp://?client_id=x509_san_dns%3Aa&request_uri=https%3A%2F%2Fa&request_uri_method=POST", oid4vp.RuleMethod},
		"method without reference":      {with("request_uri_method", "post"), oid4vp.RuleRequest},
		"by value and by reference":     {"openid4vp://?client_id=x509_san_dns%3Aa&request_uri=https%3A%2F%2Fa&request=x", oid4vp.RuleRequest},
		"reference in the clear":        {"openid4vp://?client_id=x509_san_dns%3Aa&request_uri=http%3A%2F%2Fa", oid4vp.RuleRequest},
		"unsigned with a DID":           {with("client_id", oid4vp.ClientID(verifier)), oid4vp.RuleRequest},
		"answer to another":             {with("response_uri", "https://elsewhere.example/"), oid4vp.RuleRequest},
		"over the browser's API":        {with("response_mode", "dc_api"), oid4vp.RuleRequest},
		"redirect_uri":                  {with("redirect_uri", r.ResponseURI), oid4vp.RuleRequest},
		"scope":                         {with("scope", "x"), oid4vp.RuleRequest},
		"metadata no JSON":              {with("client_metadata", "{"), oid4vp.RuleRequest},
		"transaction data null":         {with("transaction_data", "null"), oid4vp.RuleTransaction},
		"transaction data of no type":   {with("transaction_data", `["e30"]`), oid4vp.RuleTransaction},
		"exp no number":                 {with("exp", "soon"), oid4vp.RuleRequest},
		"contract without nonce enough": {with("nonce", "short"), oid4vp.RuleRequest},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := oid4vp.ParseLink(c.link)
			wantRule(t, err, c.want)
		})
	}
}

func TestDigitalCredentialsAPI(t *testing.T) {
	const origin = "https://shop.example"
	r, key := encryptedRequest(t, oid4vp.ModeDCJWT)
	r.ResponseURI, r.State = "", ""
	r.Origins = []string{"https://gate.example", origin}
	token, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := oid4vp.SignedDC(token)
	if err != nil {
		t.Fatal(err)
	}
	s, unsigned, err := d.Parse()
	if err != nil || unsigned != nil || text(t, s.Request) != text(t, r) {
		t.Fatalf("read %+v, wrote %s: %v", s, text(t, r), err)
	}
	if err := s.FromOrigin(origin); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"https://evil.example", "", "https://shop.example/", "https://SHOP.example"} {
		wantRule(t, s.FromOrigin(bad), oid4vp.RuleRequest)
	}
	if got := s.PresentationAudience(origin); got != "origin:https://shop.example" {
		t.Errorf("audience %s", got)
	}

	u := r
	u.Origins = nil
	if d, err = u.UnsignedDC(); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(d.Data), "client_id") || strings.Contains(string(d.Data), "expected_origins") {
		t.Errorf("an unsigned request with what it must not have: %s", d.Data)
	}
	s, unsigned, err = d.Parse()
	if err != nil || s != nil || unsigned.ClientID != "" || unsigned.Verifier != "" || !unsigned.Key.Equal(key.Public()) {
		t.Fatalf("read %+v: %v", unsigned, err)
	}

	for name, d := range map[string]oid4vp.DCRequest{
		"another protocol":          {Protocol: "openid4vp-v1-multisigned", Data: json.RawMessage(`{}`)},
		"no data":                   {Protocol: oid4vp.ProtocolSigned},
		"unsigned of another mode":  {Protocol: oid4vp.ProtocolUnsigned, Data: json.RawMessage(strings.Replace(string(d.Data), "dc_api.jwt", "direct_post", 1))},
		"a signed of another mode":  {Protocol: oid4vp.ProtocolSigned, Data: signedPost(t)},
		"signed without any origin": {Protocol: oid4vp.ProtocolSigned, Data: json.RawMessage(`{"request":""}`)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, _, err := d.Parse(); hufu.RuleOf(err) == "" {
				t.Errorf("read: %v", err)
			}
		})
	}
	for _, origins := range [][]string{nil, {"https://a.example/x"}, {"http://a.example"}, {"javascript:alert(1)"}, {"https://a.example", ""}, make([]string, 17)} {
		r.Origins = origins
		_, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
		wantRule(t, err, oid4vp.RuleRequest)
	}
	r.Origins = []string{"http://localhost:8080"}
	if _, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate")); err != nil {
		t.Error(err)
	}
}

func signedPost(t testing.TB) json.RawMessage {
	t.Helper()
	r := request()
	token, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
	if err != nil {
		t.Fatal(err)
	}
	d, err := oid4vp.SignedDC(token)
	if err != nil {
		t.Fatal(err)
	}
	return d.Data
}

func TestMetadata(t *testing.T) {
	r, key := encryptedRequest(t, oid4vp.ModePostJWT)
	token, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := jws.Parse(token, oid4vp.MaxRequest)
	var body map[string]any
	if err := json.Unmarshal(m.Payload, &body); err != nil {
		t.Fatal(err)
	}
	jwk := key.Public().JWK()
	read := func(metadata string) (*oid4vp.Request, error) {
		body["client_metadata"] = json.RawMessage(metadata)
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		return oid4vp.ParsePayload(raw)
	}
	set := func(kid, more string) string {
		return `{"jwks":{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB","kid":"r"},{"kty":"EC","crv":"P-256","x":"` + jwk.X + `","y":"` + jwk.Y + `"` + kid + `}]}` + more + `}`
	}
	got, err := read(set(`,"kid":"1","use":"enc"`, ``))
	if err != nil || len(got.Encs) != 1 || got.Encs[0] != jwe.A128GCM || got.Key.KeyID != "1" {
		t.Errorf("the default is A128GCM: %+v, %v", got, err)
	}
	if got, err = read(set(`,"kid":"1"`, `,"encrypted_response_enc_values_supported":["A128CBC-HS256","A256GCM"]`)); err != nil || len(got.Encs) != 1 || got.Encs[0] != jwe.A256GCM {
		t.Errorf("%+v, %v", got, err)
	}
	for name, c := range map[string]struct {
		metadata string
		want     hufu.Rule
	}{
		"none":                   {`null`, oid4vp.RuleRequest},
		"no keys":                {`{}`, oid4vp.RuleRequest},
		"no key of ours":         {`{"jwks":{"keys":[{"kty":"OKP","crv":"X25519","x":"AA"}]}}`, oid4vp.RuleUnsupported},
		"no key set":             {`{"jwks":[]}`, oid4vp.RuleRequest},
		"no kid":                 {set(``, ``), oid4vp.RuleRequest},
		"a key for signatures":   {set(`,"kid":"1","use":"sig"`, ``), oid4vp.RuleUnsupported},
		"no encryption of ours":  {set(`,"kid":"1"`, `,"encrypted_response_enc_values_supported":["A128CBC-HS256"]`), oid4vp.RuleUnsupported},
		"an empty list of those": {set(`,"kid":"1"`, `,"encrypted_response_enc_values_supported":[]`), oid4vp.RuleUnsupported},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := read(c.metadata)
			wantRule(t, err, c.want)
		})
	}
}

func TestWalletMetadata(t *testing.T) {
	r, _ := encryptedRequest(t, oid4vp.ModePostJWT)
	for name, c := range map[string]struct {
		text string
		want hufu.Rule
	}{
		"says nothing":          {`{}`, ""},
		"fits":                  {`{"vp_formats_supported":{"dc+sd-jwt":{}},"client_id_prefixes_supported":["decentralized_identifier"],"request_object_signing_alg_values_supported":["ES256"],"authorization_encryption_enc_values_supported":["A128GCM"],"unheard_of":1}`, ""},
		"another format":        {`{"vp_formats_supported":{"mso_mdoc":{}}}`, oid4vp.RuleFormats},
		"another prefix":        {`{"client_id_prefixes_supported":["x509_hash"]}`, oid4vp.RuleUnsupported},
		"another algorithm":     {`{"request_object_signing_alg_values_supported":["EdDSA"]}`, oid4vp.RuleUnsupported},
		"another encryption":    {`{"authorization_encryption_enc_values_supported":["A128CBC-HS256"]}`, oid4vp.RuleUnsupported},
		"not JSON":              {`{`, oid4vp.RuleRequest},
		"duplicate member":      {`{"jwks":{},"jwks":{}}`, oid4vp.RuleRequest},
		"too large":             {`{"x":"` + strings.Repeat("a", oid4vp.MaxWalletMetadata) + `"}`, oid4vp.RuleRequest},
		"of another type":       {`{"client_id_prefixes_supported":"x"}`, oid4vp.RuleRequest},
		"formats of other type": {`{"vp_formats_supported":[]}`, oid4vp.RuleRequest},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := oid4vp.ParseWalletMetadata(c.text)
			if err == nil {
				err = m.Accepts(&r, "ES256")
			}
			wantRule(t, err, c.want)
		})
	}
}

func TestEncryptedRequestObject(t *testing.T) {
	key, err := jwe.GenerateKey(seeded(41), "wallet")
	if err != nil {
		t.Fatal(err)
	}
	set, _ := json.Marshal(jwe.KeySet{Keys: []jwe.JWK{key.Public().JWK()}})
	m, err := oid4vp.ParseWalletMetadata(`{"vp_formats_supported":{},"jwks":` + string(set) + `,"request_object_encryption_enc_values_supported":["A192GCM","A256GCM"]}`)
	if err != nil {
		t.Fatal(err)
	}
	to, enc, err := m.RequestKey()
	if err != nil || enc != jwe.A256GCM || !to.Equal(key.Public()) {
		t.Fatalf("%v %s: %v", to, enc, err)
	}
	r := request()
	token, err := r.Sign(seeded(2), gateKey(t, keys.P256), verifier.URL("gate"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := oid4vp.Encrypt(seeded(3), to, enc, token)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := oid4vp.Decrypt(sealed, key); err != nil || got != token {
		t.Errorf("%s: %v", got, err)
	}
	other, _ := jwe.GenerateKey(seeded(42), "wallet")
	_, err = oid4vp.Decrypt(sealed, other)
	wantRule(t, err, oid4vp.RuleRequest)
	_, err = oid4vp.Decrypt(token, key)
	wantRule(t, err, oid4vp.RuleRequest)

	m.RequestEncs = nil
	if _, enc, err = m.RequestKey(); err != nil || enc != jwe.A128GCM {
		t.Errorf("the default is A128GCM, not %s: %v", enc, err)
	}
	m.RequestEncs = []string{"A128CBC-HS256"}
	_, _, err = m.RequestKey()
	wantRule(t, err, oid4vp.RuleUnsupported)
	m.JWKS = json.RawMessage(`{"keys":[]}`)
	_, _, err = m.RequestKey()
	wantRule(t, err, oid4vp.RuleUnsupported)
	m.JWKS = nil
	if to, _, err = m.RequestKey(); err != nil || !to.IsZero() {
		t.Errorf("a wallet without keys wants %v: %v", to, err)
	}
}

// The standard's examples, with what they leave out filled in.
func TestOfficialExamples(t *testing.T) {
	dir := filepath.Join("..", "..", "..", "shared", "vectors", "oid4vp")
	read := func(name string) string {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Skip("official OpenID4VP examples not present")
		}
		return strings.NewReplacer("{ ... }", query, "{...}", query).Replace(string(raw))
	}
	example := read("request/request_object_client_id_did.json")
	_, err := oid4vp.ParsePayload([]byte(example)) // no response_mode, as it is sent in the fragment
	wantRule(t, err, oid4vp.RuleUnsupported)
	var body map[string]any
	if err := json.Unmarshal([]byte(example), &body); err != nil {
		t.Fatal(err)
	}
	delete(body, "redirect_uri")
	body["response_mode"], body["response_uri"] = "direct_post", "https://client.example.org/post"
	whole, _ := json.Marshal(body)
	_, err = oid4vp.ParsePayload(whole) // did:example, which nothing here resolves
	wantRule(t, err, oid4vp.RuleUnsupported)
	body["client_id"] = oid4vp.ClientID(verifier)
	whole, _ = json.Marshal(body)
	if r, err := oid4vp.ParsePayload(whole); err != nil || !r.Foreign() {
		t.Errorf("the example in a mode and with a DID of ours: %+v, %v", r, err)
	}

	r, err := oid4vp.ParsePayload([]byte(read("digital_credentials_api/signed_request_payload_compact.json")))
	if err != nil || r.Mode != oid4vp.ModeDC || r.ClientID != "x509_san_dns:rp.example.com" || len(r.Origins) != 2 {
		t.Errorf("%+v: %v", r, err)
	}
	u, _, err := oid4vp.DCRequest{Protocol: oid4vp.ProtocolUnsigned, Data: json.RawMessage(read("digital_credentials_api/signed_request_payload.json"))}.Parse()
	if err != nil || u != nil {
		t.Errorf("the payload as an unsigned request, whose expected_origins are ignored: %v", err)
	}
	a, err := oid4vp.ParseDC([]byte(read("digital_credentials_api/error_invalid_request.json")))
	if err != nil || a.Error == nil || a.Error.Code != "invalid_request" {
		t.Errorf("%+v: %v", a, err)
	}
	for _, name := range []string{"dcql_jwt_vc.json", "dcql_ldp_vc.json"} {
		body["dcql_query"] = json.RawMessage(read("request/" + name))
		whole, _ = json.Marshal(body)
		_, err := oid4vp.ParsePayload(whole)
		wantRule(t, err, oid4vp.RuleFormats)
	}
}
