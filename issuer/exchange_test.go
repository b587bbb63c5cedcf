package issuer_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/roster"
)

const (
	residentJWT  = "resident-id_sd-jwt"
	residentX5C  = "resident-id_sd-jwt_x5c"
	residentMDoc = "resident-id_mdoc"
)

// office is an issuer behind HTTP, with people enrolled.
type office struct {
	*scene
	origin    *httptest.Server
	url       string // Credential Issuer Identifier
	authority keys.Signer
	people    []roster.Person
}

// openOffice starts an issuer that wallets reach at a path of an origin.
func openOffice(t *testing.T, adjust ...func(*issuer.Config)) *office {
	t.Helper()
	o := &office{}
	o.origin = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { o.Handler().ServeHTTP(w, r) }))
	t.Cleanup(o.origin.Close)
	o.url = o.origin.URL + "/agency"
	o.scene = start(t, append([]func(*issuer.Config){func(c *issuer.Config) {
		c.Exchange = &issuer.Exchange{URL: o.url, Bearer: true, Name: map[string]string{"en": "Agency", "zh-Hans": "机关"}}
		c.StatusBase = o.origin.URL
		o.certify(t, c)
	}}, adjust...)...)
	o.publish()
	o.people = people(40)
	o.enrol(o.people)
	return o
}

// certify makes a certificate for the issuer's key under an authority of its own.
func (o *office) certify(t *testing.T, c *issuer.Config) {
	t.Helper()
	o.authority = newKey(t, keys.P256)
	from, until := morning.Add(-time.Hour), morning.AddDate(1, 0, 0)
	ca, err := x5c.MakeCA(rand.Reader, o.authority, c.DID, x5c.Subject{CommonName: "Agency CA", Country: "CN"}, from, until)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x5c.MakeLeaf(rand.Reader, ca, o.authority, x5c.Leaf{
		Key: c.Signer.Public(), DID: c.DID, Subject: x5c.Subject{CommonName: "Agency", Country: "CN"}, Use: x5c.DocumentSigner, NotBefore: from, NotAfter: until,
	})
	if err != nil {
		t.Fatal(err)
	}
	c.Chain = [][]byte{leaf}
}

// publish puts the credential types on the ledger.
func (o *office) publish() {
	o.Helper()
	claim := func(kind, en, zh string, path ...string) tx.Claim {
		return tx.Claim{Path: path, Type: kind, Selective: tx.SelectiveAllowed, Display: []tx.ClaimDisplay{{Lang: "en", Label: en}, {Lang: "zh-Hans", Label: zh}}}
	}
	for _, t := range []tx.TrustType{
		{
			VCT: issuer.TypeResidentID, Version: 1, Assurance: tx.AssuranceHigh,
			Display: []tx.TypeDisplay{{Lang: "en", Name: "Resident identity"}, {Lang: "zh-Hans", Name: "居民身份"}},
			Claims: []tx.Claim{
				claim(tx.ClaimObject, "Age thresholds", "年龄门槛", "age_equal_or_over"), claim(tx.ClaimBool, "18 or older", "年满18周岁", "age_equal_or_over", "18"),
				claim(tx.ClaimDate, "Date of birth", "出生日期", "birthdate"), claim(tx.ClaimString, "Name", "姓名", "name"),
			},
		},
		{
			VCT: issuer.TypeGuardianship, Version: 1, Assurance: tx.AssuranceHigh, Display: []tx.TypeDisplay{{Lang: "en", Name: "Guardianship"}},
			Claims: []tx.Claim{claim(tx.ClaimString, "Relation", "关系", "relation")},
		},
	} {
		if err := state.Save(o.ledger.state, trust.TypeKey(t.VCT), &trust.TypeRecord{TrustType: t}); err != nil {
			o.Fatal(err)
		}
	}
}

func newKey(t testing.TB, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// phone is a wallet that speaks HTTP. With a key it proves it by DPoP.
type phone struct {
	*office
	key      keys.Signer // nil: Bearer
	nonce    string      // the server's last
	clientID string
	headers  http.Header // further ones
}

func (o *office) phone(dpop bool) *phone {
	o.Helper()
	p := &phone{office: o, clientID: "https://wallet.example", headers: http.Header{}}
	if dpop {
		p.key = newKey(o, keys.P256)
	}
	return p
}

// answer is what came back.
type answer struct {
	*http.Response
	body []byte
}

func (a *answer) code() string {
	var e oauth.ErrorResponse
	_ = json.Unmarshal(a.body, &e)
	return e.Error
}

// proof makes the next DPoP proof.
func (p *phone) proof(path, token string, change ...func(*oauth.DPoP)) string {
	p.Helper()
	id, err := oauth.NewID(rand.Reader)
	if err != nil {
		p.Fatal(err)
	}
	d := oauth.DPoP{Method: "POST", URL: p.url + path, ID: id, IssuedAt: p.now, Nonce: p.nonce, AccessToken: token}
	for _, f := range change {
		f(&d)
	}
	proof, err := oauth.MakeDPoP(rand.Reader, p.key, d)
	if err != nil {
		p.Fatal(err)
	}
	return proof
}

// send posts once, with what is given alone.
func (p *phone) send(path, mediaType string, body []byte, headers http.Header) *answer {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), http.MethodPost, p.url+path, bytes.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	r.Header = headers.Clone()
	r.Header.Set("Content-Type", mediaType)
	return p.do(r)
}

func (p *phone) do(r *http.Request) *answer {
	p.Helper()
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	resp.Body.Close()
	if n := resp.Header.Get("DPoP-Nonce"); n != "" {
		p.nonce = n
	}
	return &answer{resp, raw}
}

// post posts as the wallet, with a proof of its key if it has one and again with the nonce it is given.
func (p *phone) post(path, mediaType string, body []byte, token string) *answer {
	p.Helper()
	for range 2 {
		h := p.headers.Clone()
		if p.key != nil {
			h.Set("DPoP", p.proof(path, token))
		}
		if token != "" {
			h.Set("Authorization", map[bool]string{true: "DPoP ", false: "Bearer "}[p.key != nil]+token)
		}
		if a := p.send(path, mediaType, body, h); a.code() != "use_dpop_nonce" {
			return a
		}
	}
	p.Fatal("the nonce in the answer is not taken")
	return nil
}

func (p *phone) form(path string, f oauth.Form) *answer {
	p.Helper()
	return p.post(path, "application/x-www-form-urlencoded", []byte(f.Encode()), "")
}

func (p *phone) json(path string, v any, token string) *answer {
	p.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		p.Fatal(err)
	}
	return p.post(path, "application/json", raw, token)
}

// ok expects a status and a body that reads as into.
func (a *answer) ok(t testing.TB, status int, into any) {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("%s: %d %s", a.Request.URL.Path, a.StatusCode, a.body)
	}
	if into != nil {
		if err := json.Unmarshal(a.body, into); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *answer) refused(t testing.TB, status int, code string) {
	t.Helper()
	if a.StatusCode != status || a.code() != code {
		t.Errorf("%s: %d %q (%s), want %d %q", a.Request.URL.Path, a.StatusCode, a.code(), a.body, status, code)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s: an error that may be cached", a.Request.URL.Path)
	}
}

// preAuthorized makes an offer to somebody that needs no signing in.
func (o *office) preAuthorized(who roster.Person, txCode bool, configurations ...string) *issuer.Offered {
	o.Helper()
	out, err := o.CreateOffer(o.Context(), issuer.OfferRequest{
		Person: o.Ref(who.ResidentNumber), Configurations: configurations, Grant: oauth.GrantPreAuthorized, TxCode: txCode,
	})
	if err != nil {
		o.Fatal(err)
	}
	return out
}

// take redeems an offer's code.
func (p *phone) take(offer *issuer.Offered, change ...func(*oauth.TokenRequest)) *answer {
	p.Helper()
	req := &oauth.TokenRequest{Grant: oauth.GrantPreAuthorized, Code: offer.Offer.PreAuthorized.Code, TxCode: offer.TxCode}
	for _, f := range change {
		f(req)
	}
	return p.form("/token", req.Form())
}

func (p *phone) token(a *answer) *oauth.TokenResponse {
	p.Helper()
	a.ok(p, http.StatusOK, nil)
	t, err := oauth.ParseTokenResponse(a.body)
	if err != nil {
		p.Fatal(err)
	}
	return t
}

// cNonce gets a nonce for key proofs.
func (p *phone) cNonce() string {
	p.Helper()
	a := p.send("/nonce", "application/json", nil, http.Header{})
	a.ok(p, http.StatusOK, nil)
	n, err := oid4vci.ParseNonceResponse(a.body)
	if err != nil {
		p.Fatal(err)
	}
	return n
}

// keyProofs proves holder keys to the issuer.
func (p *phone) keyProofs(holders []keys.Signer, nonce string) []string {
	p.Helper()
	out := make([]string, len(holders))
	for i, k := range holders {
		var err error
		if out[i], err = oid4vci.MakeProof(rand.Reader, k, p.url, nonce, p.now); err != nil {
			p.Fatal(err)
		}
	}
	return out
}

func (p *phone) request(configuration string, copies int) *oid4vci.CredentialRequest {
	p.Helper()
	return &oid4vci.CredentialRequest{ConfigurationID: configuration, Proofs: oid4vci.Proofs{JWT: p.keyProofs(p.wallet(copies), p.cNonce())}}
}

// credentials gets copies.
func (p *phone) credentials(token, configuration string, copies int) *oid4vci.CredentialResponse {
	p.Helper()
	a := p.json("/credential", p.request(configuration, copies), token)
	a.ok(p, http.StatusOK, nil)
	r, err := oid4vci.ParseCredentialResponse(a.body)
	if err != nil {
		p.Fatal(err)
	}
	return r
}

// browser is a person at the authorization endpoint.
type browser struct {
	*phone
	cookies []*http.Cookie
	lang    string
}

func (p *phone) browser() *browser { return &browser{phone: p, lang: "en"} }

func (b *browser) get(address string) *answer {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, address, nil)
	if err != nil {
		b.Fatal(err)
	}
	return b.browse(r)
}

func (b *browser) browse(r *http.Request) *answer {
	b.Helper()
	r.Header.Set("Accept-Language", b.lang)
	for _, c := range b.cookies {
		r.AddCookie(c)
	}
	a := b.do(r)
	b.cookies = append(b.cookies, a.Cookies()...)
	return a
}

// submit sends the form of a page, with fields filled in.
func (b *browser) submit(page *answer, fields map[string]string) *answer {
	b.Helper()
	values := url.Values{}
	for _, line := range strings.Split(string(page.body), "\n") {
		if !strings.HasPrefix(line, `<input type="hidden"`) {
			continue
		}
		part := strings.Split(line, `"`)
		values.Set(part[3], unescape(part[5]))
	}
	for name, v := range fields {
		values.Set(name, v)
	}
	to := *page.Request.URL
	to.RawQuery = ""
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.browse(r)
}

func unescape(s string) string {
	return strings.NewReplacer("&amp;", "&", "&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&#43;", "+").Replace(s)
}

const redirectURI = "https://wallet.example/cb"

// pushed pushes an authorization request.
func (p *phone) pushed(change ...func(*oauth.AuthorizationRequest)) *answer {
	p.Helper()
	r := &oauth.AuthorizationRequest{
		ClientID: p.clientID, RedirectURI: redirectURI, State: "state", Scope: []string{residentJWT}, Challenge: oauth.Challenge(verifier),
	}
	for _, f := range change {
		f(r)
	}
	return p.form("/par", r.Form())
}

var verifier = strings.Repeat("v", 43)

// authorizationURL is where the browser is sent for a pushed request.
func (p *phone) authorizationURL(a *answer) string {
	p.Helper()
	a.ok(p, http.StatusCreated, nil)
	r, err := oauth.ParsePushedResponse(a.body)
	if err != nil {
		p.Fatal(err)
	}
	return p.url + "/authorize?" + oauth.Reference(p.clientID, r.RequestURI).Encode()
}

// agree signs a person in and agrees, and returns the code.
func (b *browser) agree(address string, who roster.Person, passcode string) string {
	b.Helper()
	page := b.get(address)
	page.ok(b, http.StatusOK, nil)
	a := b.submit(page, map[string]string{"number": who.ResidentNumber, "passcode": passcode})
	a.ok(b, http.StatusSeeOther, nil)
	consent := b.get(b.origin.URL + a.Header.Get("Location"))
	consent.ok(b, http.StatusOK, nil)
	a = b.submit(consent, map[string]string{"decision": "allow"})
	a.ok(b, http.StatusSeeOther, nil)
	to, err := url.Parse(a.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(to.String(), redirectURI) {
		b.Fatal(to, err)
	}
	code, err := oauth.ParseAuthorizationResponse(to.RawQuery, "state", b.url, true)
	if err != nil {
		b.Fatal(err)
	}
	return code
}

func (o *office) passcode(who roster.Person) string {
	o.Helper()
	p, err := o.SetPasscode(o.Context(), o.Ref(who.ResidentNumber), "")
	if err != nil {
		o.Fatal(err)
	}
	return p
}

func (p *phone) redeem(code string, change ...func(*oauth.TokenRequest)) *answer {
	p.Helper()
	r := &oauth.TokenRequest{Grant: oauth.GrantCode, ClientID: p.clientID, Code: code, RedirectURI: redirectURI, Verifier: verifier}
	for _, f := range change {
		f(r)
	}
	return p.form("/token", r.Form())
}
