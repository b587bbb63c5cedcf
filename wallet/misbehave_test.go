package wallet_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/wallet"
)

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// An issuer that misbehaves gives the wallet nothing, and the wallet says by which rule.
func TestIssuersThatMisbehave(t *testing.T) {
	for name, c := range map[string]struct {
		set  func(*office)
		rule hufu.Rule
	}{
		"a copy more":   {func(o *office) { o.extra = true }, wallet.RuleNotOffered},
		"another's key": {func(o *office) { o.otherKey = true }, wallet.RuleForeignKey},
		"answer in the clear": {func(o *office) {
			o.encrypts = true
			o.instead["/credential"] = says(200, `{"credentials":[{"credential":"x"}]}`)
		}, oid4vci.RuleResponse},
		"no JSON":            {func(o *office) { o.instead["/credential"] = says(200, "<html>") }, oid4vci.RuleResponse},
		"junk for a copy":    {func(o *office) { o.instead["/credential"] = says(200, `{"credentials":[{"credential":"x"}]}`) }, "credential.malformed"},
		"server error":       {func(o *office) { o.instead["/credential"] = says(500, "oops") }, wallet.RuleRemote},
		"error without body": {func(o *office) { o.instead["/credential"] = says(400, "") }, wallet.RuleRemote},
		"nonce never good":   {func(o *office) { o.instead["/credential"] = says(400, `{"error":"invalid_nonce"}`) }, oid4vci.RuleNonce},
		"denied":             {func(o *office) { o.instead["/credential"] = says(400, `{"error":"credential_request_denied"}`) }, oid4vci.RuleDenied},
		"no nonce":           {func(o *office) { o.instead["/nonce"] = says(503, "") }, wallet.RuleRemote},
		"junk for a nonce":   {func(o *office) { o.instead["/nonce"] = says(200, `{}`) }, oid4vci.RuleResponse},
		"no token":           {func(o *office) { o.instead["/token"] = says(200, `{"token_type":"DPoP"}`) }, oauth.RuleResponse},
		"token of no type":   {func(o *office) { o.instead["/token"] = says(200, `{"access_token":"x","token_type":"mac"}`) }, oauth.RuleResponse},
		"DPoP unproven": {func(o *office) {
			o.bearer = true
			o.instead["/token"] = says(200, `{"access_token":"x","token_type":"DPoP"}`)
		}, oauth.RuleResponse},
		"token error in HTML": {func(o *office) { o.instead["/token"] = says(400, "<html>") }, wallet.RuleRemote},
		"an endless answer": {func(o *office) {
			o.instead["/token"] = says(200, strings.Repeat(" ", oauth.MaxResponseBytes+1))
		}, wallet.RuleRemote},
		"a redirect": {func(o *office) {
			o.instead["/token"] = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "/nonce", http.StatusTemporaryRedirect)
			}
		}, wallet.RuleRemote},
		"promises nothing": {func(o *office) { o.instead["/credential"] = says(202, `{"transaction_id":""}`) }, oid4vci.RuleResponse},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			o, w := s.office(), s.empty()
			o.instead = map[string]http.HandlerFunc{}
			c.set(o)
			offer := o.offer()
			offer.ConfigurationIDs = []string{configSD}
			_, err := w.Receive(context.Background(), s, s.invited(w, must[string](t)(offer.Link("x://"))), wallet.Acceptance{Copies: 2})
			wantRule(t, err, c.rule)
			if len(w.List()) != 0 || len(w.Log()) != 1 || w.Log()[0].Refused != c.rule {
				t.Errorf("holds %+v, log %+v", w.List(), w.Log())
			}
		})
	}
}

// What cannot be read, or is another's, is no invitation.
func TestMetadataThatMisbehave(t *testing.T) {
	const issuer, server = "/.well-known/openid-credential-issuer", "/.well-known/oauth-authorization-server"
	for name, c := range map[string]struct {
		path, body string
		rule       hufu.Rule
	}{
		"issuer's are none":    {issuer, "<html>", oid4vci.RuleMetadata},
		"issuer's are another": {issuer, `{"credential_issuer":"https://other.example","credential_endpoint":"https://other.example/c","credential_configurations_supported":{}}`, oid4vci.RuleMetadata},
		"server's are none":    {server, "[]", oauth.RuleResponse},
		"server's are another": {server, `{"issuer":"https://other.example","token_endpoint":"https://other.example/t"}`, oauth.RuleResponse},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			o, w := s.office(), s.empty()
			o.instead = map[string]http.HandlerFunc{c.path: says(200, c.body)}
			_, err := w.Invited(context.Background(), s, o.link())
			wantRule(t, err, c.rule)
		})
	}
}

// Signed metadata count when somebody on the ledger signed them, by key or by certificate; else the plain ones do.
func TestSignedMetadata(t *testing.T) {
	s := newScene(t)
	leafOf := func(authority *world.Actor, use x5c.Use) (jws.Header, func(o *office) string) {
		ca := must[[]byte](t)(x5c.MakeCA(s.Rand, authority.Signer, authority.DID, x5c.Subject{CommonName: "CA"}, s.Now(), s.Now().AddDate(1, 0, 0)))
		key := s.stranger()
		leaf := must[[]byte](t)(x5c.MakeLeaf(s.Rand, ca, authority.Signer, x5c.Leaf{
			Key: key.Public(), DID: authority.DID, Subject: x5c.Subject{CommonName: "Leaf"}, Use: use, NotBefore: s.Now(), NotAfter: s.Now().AddDate(0, 1, 0),
		}))
		header := jws.Header{"x5c": x5c.Header(leaf)}
		return header, func(o *office) string {
			return must[string](t)(o.issuerMetadata().Sign(s.Rand, header, key, "", s.Now(), s.Now().Add(time.Hour)))
		}
	}
	impostor := &world.Actor{ID: s.agency.ID, DID: s.agency.DID, Signer: s.stranger()}
	_, good := leafOf(s.agency.Actor, x5c.DocumentSigner)
	_, reader := leafOf(s.agency.Actor, x5c.Reader)
	_, forged := leafOf(impostor, x5c.DocumentSigner)
	for name, c := range map[string]struct {
		sign func(*office) string
		want hufu.DID
	}{
		"certificate": {good, s.agency.DID},
		"another use": {reader, ""},
		"forged":      {forged, ""},
		"another's key": {func(o *office) string {
			return must[string](t)(o.issuerMetadata().Sign(s.Rand, jws.Header{"kid": s.agency.KeyID()}, s.stranger(), "", s.Now(), s.Now().Add(time.Hour)))
		}, ""},
		"no key": {func(o *office) string {
			return must[string](t)(o.issuerMetadata().Sign(s.Rand, jws.Header{}, s.agency.Signer, "", s.Now(), s.Now().Add(time.Hour)))
		}, ""},
		"expired": {func(o *office) string {
			return must[string](t)(o.issuerMetadata().Sign(s.Rand, jws.Header{"kid": s.agency.KeyID()}, s.agency.Signer, "", s.Now().Add(-2*time.Hour), s.Now().Add(-time.Hour)))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o, w := s.office(), s.empty()
			o.instead = map[string]http.HandlerFunc{"/.well-known/openid-credential-issuer": func(rw http.ResponseWriter, r *http.Request) {
				if !strings.Contains(r.Header.Get("Accept"), "application/jwt") {
					reply(rw, http.StatusOK, o.issuerMetadata())
					return
				}
				rw.Header().Set("Content-Type", "application/jwt")
				rw.Write([]byte(c.sign(o)))
			}}
			if inv := s.invited(w, o.link()); inv.DID != c.want || len(inv.Credentials) != 3 {
				t.Errorf("invited by %q to %+v", inv.DID, inv.Credentials)
			}
		})
	}
}

// What was promised and is not to be had is forgotten, and logged.
func TestBrokenPromise(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	o.defer1 = true
	offer := o.offer()
	offer.ConfigurationIDs = []string{configSD}
	must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, must[string](t)(offer.Link("x://"))), wallet.Acceptance{Copies: 2}))
	if w.Waiting() != 1 {
		t.Fatalf("%d promised", w.Waiting())
	}
	check(t, s.Pass(2*time.Minute))
	clear(o.waiting)
	_, err := w.Collect(context.Background(), s)
	wantRule(t, err, oid4vci.RuleTransaction)
	if log := w.Log(); w.Waiting() != 0 || log[len(log)-1].Refused != oid4vci.RuleTransaction {
		t.Errorf("%d promised, log %+v", w.Waiting(), log)
	}
}

// A token that has run out while waiting is renewed.
func TestCollectRenews(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	o.defer1 = true
	offer := o.offer()
	offer.ConfigurationIDs = []string{configSD}
	must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, must[string](t)(offer.Link("x://"))), wallet.Acceptance{Copies: 2}))
	check(t, s.Pass(2*time.Minute))
	over := true
	deferred := o.Config.Handler
	o.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/deferred" && over {
			over = false
			w.Header().Set("WWW-Authenticate", `DPoP error="invalid_token"`)
			reply(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
			return
		}
		deferred.ServeHTTP(w, r)
	})
	if got := must[*wallet.Received](t)(w.Collect(context.Background(), s)); got.Copies != 2 || o.refreshes != 1 {
		t.Errorf("got %+v after %d refreshes", got, o.refreshes)
	}
}

// The holder sees what a credential says, as long as there is a copy.
func TestDetails(t *testing.T) {
	s := newScene(t)
	o, w := s.office(), s.empty()
	o.noRefresh = true
	must[*wallet.Received](t)(w.Receive(context.Background(), s, s.invited(w, o.link()), wallet.Acceptance{Copies: 1}))
	formats := map[string]bool{}
	for i, st := range w.List() {
		d := must[*wallet.Details](t)(w.Details(i))
		formats[d.Format] = true
		if d.Stock != st || d.Claims == nil {
			t.Errorf("%+v", d)
		}
	}
	if len(formats) != 2 {
		t.Errorf("formats %v", formats)
	}
	for _, n := range []int{-1, 3} {
		if _, err := w.Details(n); err == nil {
			t.Errorf("credential %d is there", n)
		}
	}
	must[*wallet.Answer](t)(w.Present(t.Context(), s, s.owner.asks("room")))
	gone := 0
	for i := range w.List() {
		if must[*wallet.Details](t)(w.Details(i)).Claims == nil {
			gone++
		}
	}
	if gone != 1 {
		t.Errorf("%d credentials have no copy left", gone)
	}
}

// A contract with an optional credential, asked in mdoc: the wallet asks the contract, as the gate will.
func TestContractInMdoc(t *testing.T) {
	s := newScene(t)
	clinic := must[*dcql.Query](t)(dcql.Parse(s.owner.request("clinic").Query))
	_, raw, err := clinic.InMdoc()
	check(t, err)
	d := s.desk(func(d *desk) { d.s.t, d.format = t, dcql.FormatMdoc })
	d.change = func(r *oid4vp.Request) { r.Query, r.Contract.Name = raw, "clinic" }
	w := s.holder()
	token := d.sign(d.asks())
	q := must[*wallet.Inquiry](t)(w.ConsiderObject(context.Background(), s, token))
	if len(q.Show) != 1 || len(q.Show[0].Claims) != 2 || q.Show[0].Format != dcql.FormatMdoc || !q.Known() {
		t.Errorf("would show %+v", q.Show)
	}
	must[*wallet.Outcome](t)(w.Agree(context.Background(), s, q))
	want := map[string]any{"region": "north", "age": map[string]any{"18": true}}
	if got := d.shown(); !reflect.DeepEqual(got, want) {
		t.Errorf("showed %v", got)
	}
	_, err = w.ConsiderObject(context.Background(), s, "junk")
	wantRule(t, err, oid4vp.RuleRequest)
	d.mode, d.change = oid4vp.ModeDC, nil
	_, err = w.ConsiderObject(context.Background(), s, d.sign(d.asks()))
	wantRule(t, err, oid4vp.RuleRequest)
}

// Nobody elsewhere has the wallet call what listens on this machine.
func TestNobodyElsewhereNamesThisMachine(t *testing.T) {
	s := newScene(t)
	called := false
	here := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called = true }))
	defer here.Close()
	mux := http.NewServeMux()
	elsewhere := httptest.NewTLSServer(mux)
	defer elsewhere.Close()
	w := must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: wallet.NewMemory(), Now: s.Now, Rand: s.Rand, HTTP: elsewhere.Client()}))
	document := func(path string, v any) {
		mux.HandleFunc(path, func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, v) })
	}
	issuer := func(path, credential, token string) {
		url := elsewhere.URL + path
		document("/.well-known/openid-credential-issuer"+path, map[string]any{
			"credential_issuer": url, "credential_endpoint": credential, "credential_configurations_supported": map[string]any{"a": map[string]any{
				"format": "dc+sd-jwt", "vct": "a", "cryptographic_binding_methods_supported": []string{"jwk"},
				"proof_types_supported": map[string]any{"jwt": map[string]any{"proof_signing_alg_values_supported": []string{"ES256"}}},
			}},
		})
		document("/.well-known/oauth-authorization-server"+path, map[string]any{
			"issuer": url, "token_endpoint": token, "response_types_supported": []string{"code"}, "grant_types_supported": []string{oauth.GrantPreAuthorized},
		})
	}
	offer := func(issuer string) map[string]any {
		return map[string]any{"credential_issuer": issuer, "credential_configuration_ids": []string{"a"}, "grants": map[string]any{oauth.GrantPreAuthorized: map[string]any{"pre-authorized_code": "x"}}}
	}
	issuer("/good", elsewhere.URL+"/c", elsewhere.URL+"/t")
	issuer("/credential", here.URL+"/c", elsewhere.URL+"/t")
	issuer("/token", elsewhere.URL+"/c", here.URL+"/t")
	for _, name := range []string{"good", "credential", "token"} {
		document("/offer/"+name, offer(elsewhere.URL+"/"+name))
	}
	document("/offer/issuer", offer(here.URL))
	for name, rule := range map[string]hufu.Rule{"good": "", "credential": wallet.RuleRemote, "token": wallet.RuleRemote, "issuer": wallet.RuleRemote} {
		if _, err := w.Invited(context.Background(), s, oid4vci.ReferenceLink("x://", elsewhere.URL+"/offer/"+name)); hufu.RuleOf(err) != rule || rule == "" && err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	d := s.desk(func(d *desk) { d.s.t = t })
	mux.HandleFunc("/request", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
		io.WriteString(w, d.sign(d.asks()))
	})
	link := must[string](t)(oid4vp.Link{ClientID: oid4vp.ClientID(s.owner.DID), RequestURI: elsewhere.URL + "/request"}.URI(""))
	_, err := w.Consider(context.Background(), s, link)
	wantRule(t, err, wallet.RuleRemote)
	if called {
		t.Error("this machine was called")
	}
}

// Nothing of an error tells what was secret in an address.
func TestErrorsHoldNoSecrets(t *testing.T) {
	s := newScene(t)
	w := s.empty()
	for _, link := range []string{
		oid4vci.ReferenceLink("x://", "http://127.0.0.1:1/offer/secret-of-the-offer"),
		oid4vci.ReferenceLink("x://", "https://127.0.0.1:1/offer?code=secret-of-the-offer"),
	} {
		_, err := w.Invited(context.Background(), s, link)
		if err == nil || strings.Contains(err.Error(), "secret-of-the-offer") || !strings.Contains(err.Error(), "127.0.0.1:1") {
			t.Errorf("%v", err)
		}
	}
	_, err := w.Consider(context.Background(), s, "openid4vp://?client_id=redirect_uri%3Ahttps%3A%2F%2Fx.example&request_uri=http%3A%2F%2F127.0.0.1%3A1%2Fsecret-of-the-request")
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("%v", err)
	}
}

// What an earlier version of the wallet wrote is still read.
func TestReadsContentsOfVersion1(t *testing.T) {
	s := newScene(t)
	st := wallet.NewMemory()
	w := must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: st, Now: s.Now, Rand: s.Rand}))
	s.fill(w, 2, true, false)
	raw := must[[]byte](t)(st.Load())
	if !bytes.HasPrefix(raw, []byte{0xa4, 0x01, 0x02}) {
		t.Fatalf("contents begin with %x", raw[:3])
	}
	raw[2] = 1 // without sources and promises they are the same but for the version
	check(t, st.Save(raw))
	old := must[*wallet.Wallet](t)(wallet.Open(wallet.Config{Store: st, Now: s.Now, Rand: s.Rand}))
	if !reflect.DeepEqual(old.List(), w.List()) {
		t.Errorf("read %+v", old.List())
	}
	for _, version := range []byte{0, 3} {
		raw[2] = version
		check(t, st.Save(raw))
		if _, err := wallet.Open(wallet.Config{Store: st}); err == nil {
			t.Errorf("read version %d", version)
		}
	}
}
