package issuer_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-id/hufu/credential/jws"
	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/database/databasetest"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// fetch gets an address with an Accept header.
func (o *office) fetch(method, address string, headers ...string) *answer {
	o.Helper()
	r, err := http.NewRequestWithContext(o.Context(), method, address, nil)
	if err != nil {
		o.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return (&phone{office: o}).do(r)
}

func TestMetadataOverHTTP(t *testing.T) {
	m := newMaker(t)
	o := openOffice(t, m.trusted)
	for _, name := range []string{oid4vci.MetadataName, oauth.MetadataName} {
		where, err := oauth.WellKnown(o.url, name)
		if err != nil || where != o.origin.URL+"/.well-known/"+name+"/agency" {
			t.Fatal(where, err)
		}
	}
	where := o.origin.URL + "/.well-known/" + oid4vci.MetadataName + "/agency"
	a := o.fetch("GET", where)
	a.ok(t, http.StatusOK, nil)
	got, err := oid4vci.ParseIssuerMetadata(a.body, o.url)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Configurations) != 6 || got.BatchSize() != issuer.DefaultBatch || len(got.Display) != 2 {
		t.Errorf("%+v", got)
	}
	for id, c := range got.Configurations {
		if c.Scope == "" || c.ProofTypes[oid4vci.ProofJWT] == nil || c.ProofTypes[oid4vci.ProofAttestation] == nil || len(c.Metadata.Display) == 0 || len(c.Metadata.Claims) == 0 ||
			(c.VCT == "") == (c.DocType == "") {
			t.Errorf("%s: %+v", id, c)
		}
	}
	if c := got.Configurations[residentMDoc]; len(c.Metadata.Claims) != 3 || len(c.Metadata.Claims[0].Path) != 2 {
		t.Errorf("%+v", c.Metadata.Claims)
	}
	if a.Header.Get("Access-Control-Allow-Origin") != "*" || !strings.HasPrefix(a.Header.Get("Cache-Control"), "public, max-age=") || a.Header.Get("Vary") != "Accept" {
		t.Error(a.Header)
	}
	o.fetch("GET", where, "If-None-Match", a.Header.Get("ETag")).ok(t, http.StatusNotModified, nil)

	a = o.fetch("GET", where, "Accept", "application/json;q=0.5, application/jwt")
	if a.Header.Get("Content-Type") != "application/jwt" {
		t.Fatal(a.Header)
	}
	signed, err := oid4vci.VerifySignedMetadata(string(a.body), o.url, o.now, func(h jws.Header, by string) (keys.PublicKey, error) {
		chain, err := x5c.ParseHeader(h["x5c"])
		if err != nil {
			return keys.PublicKey{}, err
		}
		leaf, err := chain.Verify(x5c.VerifyParams{Now: o.now, Use: x5c.CredentialSigner, CA: o.authority.Public()})
		if err == nil && (h.Text("kid") != o.cfg.DID.URL("assert-1") || by != string(o.cfg.DID)) {
			err = errors.New("another kid")
		}
		return leaf.Key, err
	})
	if err != nil || len(signed.Configurations) != 6 {
		t.Error(err)
	}

	a = o.fetch("GET", o.origin.URL+"/.well-known/"+oauth.MetadataName+"/agency")
	a.ok(t, http.StatusOK, nil)
	server, err := oauth.ParseServerMetadata(a.body, o.url)
	if err != nil || !server.PushedRequired || !server.IssuerInResponse || !server.AnonymousPreAuthorized || !slices.Equal(server.ChallengeMethods, []string{"S256"}) ||
		!server.Offers(oauth.GrantRefresh) || !slices.Contains(server.ClientAuth, oauth.AuthAttestation) || server.ChallengeEndpoint == "" {
		t.Errorf("%+v %v", server, err)
	}
	var issued struct {
		Issuer string
		JWKS   struct {
			Keys []json.RawMessage
		}
	}
	o.fetch("GET", o.origin.URL+"/.well-known/jwt-vc-issuer/agency").ok(t, http.StatusOK, &issued)
	if len(issued.JWKS.Keys) != 1 || issued.Issuer != o.url {
		t.Fatal(issued)
	}
	if key, err := jws.ParseJWK(issued.JWKS.Keys[0]); err != nil || !key.Equal(o.cfg.Signer.Public()) {
		t.Error(err)
	}
	o.fetch("GET", o.origin.URL+"/.well-known/"+oid4vci.MetadataName).ok(t, http.StatusNotFound, nil)
}

// Metadata are signed once for all who ask within a minute, and not relied upon longer than that.
func TestMetadataIsComposedOnce(t *testing.T) {
	o := openOffice(t)
	where := o.origin.URL + "/.well-known/" + oid4vci.MetadataName + "/agency"
	signed := func() string {
		a := o.fetch("GET", where, "Accept", "application/jwt")
		a.ok(t, http.StatusOK, nil)
		return string(a.body)
	}
	first := signed()
	if plain := o.fetch("GET", where); string(plain.body) == first {
		t.Fatal("plain and signed are the same")
	}
	if signed() != first {
		t.Error("signed for each who asks")
	}
	for range 2 { // the second time without reading anew
		o.now = o.now.Add(time.Minute)
		again := signed()
		if again == first || again != signed() {
			t.Error("not signed once a minute")
		}
		first, o.ledger.down = again, true
	}
}

// An offer that is fetched brings the nonce for the wallet's first proof.
func TestOfferBringsNonce(t *testing.T) {
	o := openOffice(t)
	link := o.preAuthorized(adult(t, o.people), false, residentJWT).Link
	_, address, err := oid4vci.ParseOfferLink(link)
	if err != nil {
		t.Fatal(err)
	}
	p := o.phone(true)
	a := o.fetch("GET", address)
	if p.nonce = a.Header.Get("DPoP-Nonce"); p.nonce == "" {
		t.Fatal(a.Header)
	}
	offer, err := oid4vci.ParseOffer(a.body)
	if err != nil {
		t.Fatal(err)
	}
	p.token(p.take(&issuer.Offered{Offer: offer}))
}

// With the ledger out of reach, what was read last is offered, and issued: credentials need no
// transaction.
func TestLedgerOutOfReach(t *testing.T) {
	o := openOffice(t)
	who := adult(t, o.people)
	p := o.phone(true)
	token := p.token(p.take(o.preAuthorized(who, false, residentJWT))).AccessToken
	p.credentials(token, residentJWT, 1) // opens a status list
	o.ledger.down = true
	o.now = o.now.Add(2 * time.Minute)
	p.credentials(token, residentJWT, 1)
	where := o.origin.URL + "/.well-known/" + oid4vci.MetadataName + "/agency"
	o.fetch("GET", where).ok(t, http.StatusOK, nil)
	o.restart() // which forgets it
	o.fetch("GET", where).refused(t, http.StatusInternalServerError, "server_error")
	o.ledger.down = false
	o.fetch("GET", where).ok(t, http.StatusOK, nil)
}

// What browsers' scripts ask first.
func TestPreflights(t *testing.T) {
	o := openOffice(t)
	for path, method := range map[string]string{
		"/par": "POST", "/token": "POST", "/nonce": "POST", "/credential": "POST", "/deferred_credential": "POST", "/notification": "POST", "/challenge": "POST", "/offers/x": "GET",
	} {
		a := o.fetch("OPTIONS", o.url+path, "Origin", "https://wallet.example", "Access-Control-Request-Method", method)
		if a.StatusCode != http.StatusNoContent || a.Header.Get("Access-Control-Allow-Methods") != method || !strings.Contains(a.Header.Get("Access-Control-Allow-Headers"), "DPoP") {
			t.Errorf("%s: %d %v", path, a.StatusCode, a.Header)
		}
		other := map[string]string{"POST": "GET", "GET": "POST"}[method]
		if a := o.fetch(other, o.url+path); a.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s %s: %d", other, path, a.StatusCode)
		}
	}
	a := o.fetch("OPTIONS", o.url+"/authorize", "Origin", "https://wallet.example")
	if a.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Error("the pages are for scripts of other origins")
	}
	a = o.phone(false).send("/nonce", "application/json", nil, http.Header{})
	if !strings.Contains(a.Header.Get("Access-Control-Expose-Headers"), "DPoP-Nonce") || a.Header.Get("DPoP-Nonce") == "" {
		t.Error(a.Header)
	}
}

func TestStatusListsInBothForms(t *testing.T) {
	o := openOffice(t)
	p := o.phone(false)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	uri := o.verify(p.credentials(token, residentJWT, 1).Credentials[0].Credential).Status.URI
	want := credstatus.Expect{
		URI: uri, Now: o.now,
		Key: func(kid string, _ int64) (keys.PublicKey, error) {
			if kid != o.cfg.DID.URL("assert-1") {
				t.Error(kid)
			}
			return o.cfg.Signer.Public(), nil
		},
	}
	for accept, mediaType := range map[string]string{
		"": credstatus.MediaType, "*/*": credstatus.MediaType, credstatus.MediaType: credstatus.MediaType, credstatus.MediaTypeCWT: credstatus.MediaTypeCWT,
		credstatus.MediaTypeCWT + ", " + credstatus.MediaType + ";q=0.1": credstatus.MediaTypeCWT, "text/html, */*;q=0.1": credstatus.MediaType,
		credstatus.MediaTypeCWT + ";q=0": credstatus.MediaType,
	} {
		a := o.fetch("GET", uri, "Accept", accept)
		if a.StatusCode != http.StatusOK || a.Header.Get("Content-Type") != mediaType || a.Header.Get("Vary") != "Accept" ||
			!strings.HasPrefix(a.Header.Get("Cache-Control"), "public, max-age=") || a.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%q: %d %v", accept, a.StatusCode, a.Header)
			continue
		}
		var err error
		if mediaType == credstatus.MediaTypeCWT {
			_, err = credstatus.VerifyCWT(a.body, want)
		} else {
			_, err = credstatus.Verify(string(a.body), want)
		}
		if err != nil {
			t.Error(err)
		}
		o.fetch("GET", uri, "Accept", accept, "If-None-Match", a.Header.Get("ETag")).ok(t, http.StatusNotModified, nil)
	}
}

// Paths are where the handler answers: nothing of it is lost behind them.
func TestPaths(t *testing.T) {
	o := openOffice(t)
	mux := http.NewServeMux()
	for _, p := range o.Paths() {
		mux.Handle(p, o.Handler())
	}
	front := httptest.NewServer(mux)
	defer front.Close()
	for _, path := range []string{"/agency/par", "/agency/token", "/agency/nonce", "/agency/credential", "/agency/deferred_credential", "/agency/notification", "/agency/challenge", "/agency/authorize", "/agency/authorize/style.css", "/agency/offers/x", "/statuslists/x/0", "/.well-known/openid-credential-issuer/agency", "/.well-known/oauth-authorization-server/agency", "/.well-known/jwt-vc-issuer/agency"} {
		a := o.fetch("DELETE", front.URL+path)
		if a.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", path, a.StatusCode)
		}
	}
}

// Two processes of one issuer on one database, and what may be used once.
func TestTwoProcessesOneDatabase(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		o := openOffice(t, func(c *issuer.Config) { c.Store = dsn })
		second, err := issuer.Open(t.Context(), o.cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		first := o.Service
		var turn sync.Mutex
		n := 0
		h := [2]http.Handler{first.Handler(), second.Handler()}
		o.origin.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // by turns
			turn.Lock()
			n++
			next := h[n%2]
			turn.Unlock()
			next.ServeHTTP(w, r)
		})
		p := o.phone(true)
		who := adult(t, o.people)
		passcode := o.passcode(who)
		p.token(p.redeem(p.browser().agree(p.authorizationURL(p.pushed()), who, passcode)))
		token := p.token(p.take(o.preAuthorized(who, false, residentJWT)))
		p.credentials(token.AccessToken, residentJWT, 2)

		// What else there is to keep.
		offer, late, promised := p.held(residentMDoc, 2)
		if err := second.Release(t.Context(), offer.ID); err != nil {
			t.Fatal(err)
		}
		late = p.token(p.form("/token", (&oauth.TokenRequest{Grant: oauth.GrantRefresh, Refresh: late.RefreshToken}).Form()))
		a := p.json("/deferred_credential", oid4vci.DeferredRequest{TransactionID: promised.TransactionID}, late.AccessToken)
		a.ok(t, http.StatusOK, nil)
		r, err := oid4vci.ParseCredentialResponse(a.body)
		if err != nil {
			t.Fatal(err)
		}
		p.json("/notification", oid4vci.Notification{ID: r.NotificationID, Event: oid4vci.EventDeleted}, late.AccessToken).ok(t, http.StatusNoContent, nil)
		if err := first.Erase(t.Context(), o.Ref(o.people[0].ResidentNumber), tx.ReasonRequested); err != nil {
			t.Fatal(err)
		}
		p.json("/credential", p.request(residentMDoc, 1), late.AccessToken).refused(t, http.StatusUnauthorized, "invalid_token")
		o.enrol(o.people) // and begins anew
		wrong := p.browser()
		page := wrong.get(p.authorizationURL(p.pushed()))
		if a := wrong.submit(page, map[string]string{"number": who.ResidentNumber, "passcode": "wrong"}); a.StatusCode != http.StatusForbidden {
			t.Error(a.StatusCode)
		}

		// One of many at once.
		offer = o.preAuthorized(who, true, residentJWT)
		token = p.token(p.take(o.preAuthorized(who, false, residentJWT)))
		for what, send := range map[string]func(*phone) *answer{
			"a code": func(p *phone) *answer { return p.take(offer) },
			"a refresh token": func(p *phone) *answer {
				return p.form("/token", (&oauth.TokenRequest{Grant: oauth.GrantRefresh, Refresh: token.RefreshToken}).Form())
			},
		} {
			if got := granted(p, 8, send); got != 1 {
				t.Errorf("%s serves %d times", what, got)
			}
		}
		raw, err := json.Marshal(p.request(residentJWT, 1))
		if err != nil {
			t.Fatal(err)
		}
		token = p.token(p.take(o.preAuthorized(who, false, residentJWT)))
		proof := p.proof("/credential", token.AccessToken)
		got := granted(p, 8, func(p *phone) *answer {
			return p.send("/credential", "application/json", raw, http.Header{"Authorization": {"DPoP " + token.AccessToken}, "Dpop": {proof}})
		})
		if got != 1 {
			t.Errorf("a proof serves %d times", got)
		}
		raw, err = json.Marshal(p.request(residentJWT, 1))
		if err != nil {
			t.Fatal(err)
		}
		if got := granted(p, 8, func(p *phone) *answer { return p.post("/credential", "application/json", raw, token.AccessToken) }); got != 1 {
			t.Errorf("a nonce and a key serve %d times", got)
		}
	})
}

// granted sends the same many times at once and counts how often it is granted.
func granted(p *phone, times int, send func(*phone) *answer) int {
	p.Helper()
	var wg sync.WaitGroup
	var mu sync.Mutex
	n := 0
	for range times {
		own := *p
		wg.Go(func() {
			a := send(&own)
			mu.Lock()
			defer mu.Unlock()
			if a.StatusCode == http.StatusOK {
				n++
			} else if a.StatusCode >= 500 {
				own.Errorf("%d %s", a.StatusCode, a.body)
			}
		})
	}
	wg.Wait()
	return n
}

func TestExchangesThatCannotBe(t *testing.T) {
	for name, change := range map[string]func(*issuer.Config){
		"no URL":                func(c *issuer.Config) { c.Exchange.URL = "" },
		"plain HTTP":            func(c *issuer.Config) { c.Exchange.URL = "http://agency.example" },
		"a query":               func(c *issuer.Config) { c.Exchange.URL += "?x" },
		"a slash at the end":    func(c *issuer.Config) { c.Exchange.URL += "/" },
		"a pattern":             func(c *issuer.Config) { c.Exchange.URL += "/{x}" },
		"an endless batch":      func(c *issuer.Config) { c.Exchange.Batch = oid4vci.MaxProofs + 1 },
		"an endless refresh":    func(c *issuer.Config) { c.Exchange.RefreshLife = 31 * 24 * time.Hour },
		"nobody to attest":      func(c *issuer.Config) { c.Exchange.WalletAttestation = true },
		"nobody to attest keys": func(c *issuer.Config) { c.Exchange.KeyAttestation = &oid4vci.KeyRequirement{} },
		"another's chain":       func(c *issuer.Config) { c.Signer = newKey(t, keys.P256) },
		"another DID's chain":   func(c *issuer.Config) { c.DID = anyDID() },
		"an expired chain":      func(c *issuer.Config) { c.Now = func() time.Time { return morning.AddDate(2, 0, 0) } },
	} {
		o := &office{}
		o.scene = start(t, func(c *issuer.Config) {
			c.Exchange = &issuer.Exchange{URL: "https://agency.example"}
			o.certify(t, c)
		})
		cfg := o.cfg
		x := *cfg.Exchange
		cfg.Exchange = &x
		cfg.Store = databasetest.SQLite(t)
		change(&cfg)
		if s, err := issuer.Open(t.Context(), cfg); err == nil {
			s.Close()
			t.Errorf("%s: opened", name)
		}
	}
	s := start(t) // without an exchange
	_, err := s.CreateOffer(t.Context(), issuer.OfferRequest{})
	wantRule(t, err, issuer.RuleNoExchange)
	_, err = s.SetPasscode(t.Context(), issuer.PersonRef{}, "")
	wantRule(t, err, issuer.RuleNoExchange)
	if paths := s.Paths(); len(paths) != 1 {
		t.Error(paths)
	}
}

// With a key that no certificate is for, credentials name it by DID URL alone.
func TestWithoutACertificate(t *testing.T) {
	o := openOffice(t, func(c *issuer.Config) { c.Chain = nil; c.Signer = newKey(t, keys.Ed25519) })
	list, err := o.Configurations(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != residentJWT {
		t.Fatal(list, err)
	}
	p := o.phone(true)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	p.credentials(token, residentJWT, 1)
	_, err = o.CreateOffer(t.Context(), issuer.OfferRequest{Person: o.Ref(o.people[0].ResidentNumber), Configurations: []string{residentMDoc}, Grant: oauth.GrantPreAuthorized})
	wantRule(t, err, oid4vci.RuleConfiguration)
}
