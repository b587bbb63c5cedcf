package gate_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

func TestSessionsRefused(t *testing.T) {
	s := newSite(t)
	must[hufu.ContractID](t)(s.Publish(s.owner, "two-types", 1, `
[asks]
dcql = '''{"credentials": [{"id": "any", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:example:resident", "urn:example:guardianship"]}}]}'''
[opens]
cedar = '''permit (principal, action, resource);'''
`))
	origins := []string{"https://shop.example"}
	tr := func(text string) []json.RawMessage { return []json.RawMessage{json.RawMessage(text)} }
	for name, c := range map[string]struct {
		in   gate.SessionInput
		want hufu.Rule
	}{
		"no contract":                  {gate.SessionInput{Contract: "cellar"}, gate.RuleNotPublished},
		"another mode":                 {gate.SessionInput{ResponseMode: "fragment"}, gate.RuleSession},
		"another format":               {gate.SessionInput{Format: "ldp_vc"}, gate.RuleSession},
		"another prefix":               {gate.SessionInput{ClientIDPrefix: "openid_federation"}, gate.RuleSession},
		"another method":               {gate.SessionInput{RequestURIMethod: "PUT"}, gate.RuleSession},
		"an mdoc of two types":         {gate.SessionInput{Contract: "two-types", Format: oid4vp.FormatMdoc}, dcql.RuleUntranslatable},
		"no name by HTTP":              {gate.SessionInput{ClientIDPrefix: gate.PrefixNone}, gate.RuleSession},
		"link with a method":           {gate.SessionInput{ClientIDPrefix: oid4vp.PrefixRedirect, RequestURIMethod: oid4vp.MethodPost}, gate.RuleSession},
		"redirect_uri in a browser":    {gate.SessionInput{ClientIDPrefix: oid4vp.PrefixRedirect, ResponseMode: oid4vp.ModeDC, Origins: origins}, gate.RuleSession},
		"origins by HTTP":              {gate.SessionInput{Origins: origins}, gate.RuleSession},
		"no origins in a browser":      {gate.SessionInput{ResponseMode: oid4vp.ModeDC}, gate.RuleSession},
		"an origin that is none":       {gate.SessionInput{ResponseMode: oid4vp.ModeDC, Origins: []string{"https://shop.example/path"}}, gate.RuleSession},
		"cross device in a browser":    {gate.SessionInput{ResponseMode: oid4vp.ModeDC, Origins: origins, CrossDevice: true}, gate.RuleSession},
		"return in the clear":          {gate.SessionInput{ReturnURI: "http://shop.example/"}, gate.RuleSession},
		"return to a script":           {gate.SessionInput{ReturnURI: "javascript:alert(1)"}, gate.RuleSession},
		"return with a fragment":       {gate.SessionInput{ReturnURI: "https://shop.example/#x"}, gate.RuleSession},
		"return with a password":       {gate.SessionInput{ReturnURI: "https://a:b@shop.example/"}, gate.RuleSession},
		"return with a code":           {gate.SessionInput{ReturnURI: "https://shop.example/?response_code=x"}, gate.RuleSession},
		"transaction of no type":       {gate.SessionInput{TransactionData: tr(`{}`)}, gate.RuleSession},
		"transaction no JSON":          {gate.SessionInput{TransactionData: tr(`{`)}, gate.RuleSession},
		"transaction by nobody":        {gate.SessionInput{TransactionData: tr(`{"type":"x","credential_ids":["nobody"]}`)}, gate.RuleSession},
		"transaction by an mdoc":       {gate.SessionInput{Format: oid4vp.FormatMdoc, TransactionData: tr(`{"type":"x","credential_ids":["person"]}`)}, gate.RuleSession},
		"more transactions than asked": {gate.SessionInput{TransactionData: append(append(tr(`{"type":"x","credential_ids":["person"]}`), tr(`{"type":"x","credential_ids":["person"]}`)...), make([]json.RawMessage, 8)...)}, gate.RuleSession},
	} {
		t.Run(name, func(t *testing.T) {
			if c.in.Contract == "" {
				c.in.Contract = "reading-room"
			}
			_, err := s.gate.OpenSession(t.Context(), c.in)
			wantRule(t, err, c.want)
		})
	}
	bare := s.newGate(s.gate.Store)
	for _, prefix := range []string{oid4vp.PrefixDNS, oid4vp.PrefixHash} {
		_, err := bare.OpenSession(t.Context(), gate.SessionInput{Contract: "reading-room", ClientIDPrefix: prefix})
		wantRule(t, err, gate.RuleSession)
	}
	for _, id := range []string{"", "x"} {
		_, err := s.gate.Result(t.Context(), id, "")
		wantRule(t, err, gate.RuleNoSession)
		_, err = s.gate.AnswerDC(t.Context(), id, gate.DCInput{})
		wantRule(t, err, gate.RuleNoSession)
	}
}

func TestCertificateOfAnother(t *testing.T) {
	s := newScene(t)
	other := must[*world.Actor](t)(s.Actor(keys.P256))
	theirs := must[*gate.Certificate](t)(gate.Certify(s.Rand, other.DID, other.Signer, "Other", nil, s.Now()))
	mine := must[*gate.Certificate](t)(gate.Certify(s.Rand, s.owner.DID, s.owner.Signer, "Mine", nil, s.Now()))
	for _, der := range mine.Chain { // the authority, which wallets trust or not, stays out of x5c (HAIP 1.0)
		if cert := must[*x509.Certificate](t)(x509.ParseCertificate(der)); cert.IsCA || cert.CheckSignatureFrom(cert) == nil {
			t.Errorf("the chain has %s", cert.Subject)
		}
	}
	config := s.gate.Config
	for name, c := range map[string]*gate.Certificate{
		"another gate's": theirs, "another signer's": {Signer: theirs.Signer, Chain: mine.Chain}, "no signer": {Chain: mine.Chain}, "no chain": {Signer: mine.Signer},
	} {
		config.Certificate = c
		if _, err := gate.New(config); err == nil {
			t.Errorf("%s: a gate with it", name)
		}
	}
	config.Certificate = mine
	g := must[*gate.Gate](t)(gate.New(config))
	_, err := g.OpenSession(t.Context(), gate.SessionInput{Contract: "reading-room", ClientIDPrefix: oid4vp.PrefixDNS})
	wantRule(t, err, gate.RuleSession)
}

// The request that is fetched is the contract's, whatever the caller adds, and goes with it.
func TestRequestURI(t *testing.T) {
	s := newSite(t)
	o := s.open(gate.SessionInput{ResponseMode: oid4vp.ModePost})
	get := s.do(http.MethodGet, o.Request+"?dcql_query=%7B%7D&nonce=mine", "", "")
	r := s.checked(get.body)
	asked := must[*dcql.Query](t)(dcql.Parse(r.Query))
	if want := must[*dcql.Query](t)(dcql.Parse([]byte(`{"credentials":[{"id":"person","format":"dc+sd-jwt","meta":{"vct_values":["urn:example:resident"]},"claims":[{"path":["age","18"]}]}]}`))); !bytes.Equal(asked.Canonical(), want.Canonical()) {
		t.Errorf("asked %s", r.Query)
	}
	post := s.do(http.MethodPost, o.Request, formMedia, "dcql_query=%7B%7D&wallet_nonce=n-1")
	if again := s.checked(post.body); again.WalletNonce != "n-1" || again.Nonce != r.Nonce || string(again.Query) != string(r.Query) {
		t.Errorf("asked %+v", again.Request)
	}

	key := must[*jwe.PrivateKey](t)(jwe.GenerateKey(s.Rand, "wallet"))
	set := must[[]byte](t)(json.Marshal(jwe.KeySet{Keys: []jwe.JWK{key.Public().JWK()}}))
	sealed := s.post(o.Request, map[string][]string{"wallet_metadata": {`{"vp_formats_supported":{"dc+sd-jwt":{}},"jwks":` + string(set) + `}`}})
	if again := s.checked(must[string](t)(oid4vp.Decrypt(sealed.body, key))); again.Nonce != r.Nonce {
		t.Errorf("asked %+v", again.Request)
	}

	for _, h := range []struct{ name, want string }{
		{"Access-Control-Allow-Origin", "*"},
		{"Cache-Control", "no-store"},
		{"X-Content-Type-Options", "nosniff"},
		{"Referrer-Policy", "no-referrer"},
		{"Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"},
	} {
		if got := get.header.Get(h.name); got != h.want {
			t.Errorf("%s: %q", h.name, got)
		}
	}
	for path, want := range map[string]string{"/gate/response": "*", "/gate/vp/request/x": "*", "/gate/vp/page/x": "", "/gate/vp/page/x/return": ""} {
		got := s.do(http.MethodOptions, s.server.URL+path, "", "").header
		if got.Get("Access-Control-Allow-Origin") != want || got.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %v", path, got)
		}
	}

	must[hufu.ContractID](t)(s.Publish(s.owner, "reading-room", 2, world.Clinic))
	wantAnswer(t, s.do(http.MethodGet, o.Request, "", ""), http.StatusGone, "invalid_request", gate.RuleSuperseded)
	o = s.open(gate.SessionInput{})
	check(t, s.Do(s.owner, &tx.ContractRetire{Name: "reading-room"}))
	wantAnswer(t, s.do(http.MethodGet, o.Request, "", ""), http.StatusGone, "invalid_request", gate.RuleRetired)
}

// A page is served to itself alone.
func TestReturnIsForThePage(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	o := s.open(gate.SessionInput{CrossDevice: true})
	r := s.reads(o.URI)
	wantAnswer(t, s.sends(r, alice.shows(r, "")), 200, "", "")
	for site, want := range map[string]int{"cross-site": 403, "same-site": 403, "same-origin": 200, "": 200} {
		q := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), http.MethodPost, o.Page+"/return", nil))
		if site != "" {
			q.Header.Set("Sec-Fetch-Site", site)
		}
		res := must[*http.Response](t)(http.DefaultClient.Do(q))
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", site, res.StatusCode, want)
		}
	}
}
