package issuer_test

import (
	"bytes"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

func TestSignInAndConsent(t *testing.T) {
	o := openOffice(t)
	who := adult(t, o.people)
	passcode := o.passcode(who)
	for _, lang := range []string{"en", "zh-CN,zh;q=0.9"} {
		p := o.phone(true)
		b := p.browser()
		b.lang = lang
		address := p.authorizationURL(p.pushed(func(r *oauth.AuthorizationRequest) { r.Scope = []string{residentJWT, residentMDoc} }))
		page := b.get(address)
		page.ok(t, http.StatusOK, nil)
		wants(t, page, map[bool]string{true: "登录", false: "Sign in"}[lang != "en"], `<label for="number">`, `autocomplete="current-password"`, `type="hidden" name="token"`)
		csp := page.Header.Get("Content-Security-Policy")
		if csp != "default-src 'none'; style-src 'self'; form-action 'self' https://wallet.example; frame-ancestors 'none'; base-uri 'none'" {
			t.Error(csp)
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
			"Access-Control-Allow-Origin": "",
		} {
			if got := page.Header.Get(name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if c := page.Cookies(); len(c) != 1 || !c[0].HttpOnly || c[0].SameSite != http.SameSiteLaxMode || c[0].Path != "/agency/authorize" {
			t.Error(c)
		}
		a := b.submit(page, map[string]string{"number": who.ResidentNumber, "passcode": passcode + "x"})
		if a.StatusCode != http.StatusForbidden {
			t.Error(a.StatusCode)
		}
		wants(t, a, `role="alert"`)
		if strings.Contains(string(a.body), who.ResidentNumber) || strings.Contains(string(a.body), passcode) {
			t.Error("the page repeats what was typed")
		}
		a = b.submit(a, map[string]string{"number": " " + strings.ToLower(who.ResidentNumber) + " ", "passcode": passcode})
		a.ok(t, http.StatusSeeOther, nil)
		consent := b.get(b.origin.URL + a.Header.Get("Location"))
		wants(t, consent, map[bool]string{true: "居民身份", false: "Resident identity"}[lang != "en"], map[bool]string{true: "出生日期", false: "Date of birth"}[lang != "en"],
			"https://wallet.example", "<code>wallet.example</code>", oid4vci.FormatMDoc)
		for _, secret := range []string{who.Name, who.NameZH, who.ResidentNumber} {
			if strings.Contains(string(consent.body), secret) {
				t.Error("the page says who signed in to whoever looks on")
			}
		}
		a = b.submit(consent, map[string]string{"decision": "deny"})
		to, err := url.Parse(a.Header.Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := oauth.ParseAuthorizationResponse(to.RawQuery, "state", o.url, true); err == nil || !strings.Contains(err.Error(), "access_denied") {
			t.Error(err)
		}
		if a := b.get(address); a.StatusCode != http.StatusBadRequest {
			t.Error("a request goes on after it was denied: ", a.StatusCode)
		}
	}
}

func wants(t *testing.T, page *answer, texts ...string) {
	t.Helper()
	for _, s := range texts {
		if !strings.Contains(string(page.body), s) {
			t.Errorf("no %q in %s", s, page.body)
		}
	}
}

// The wallet knows its person's language; the person can still change it.
func TestLanguageOfTheWallet(t *testing.T) {
	o := openOffice(t)
	p := o.phone(true)
	b := p.browser()
	b.lang = "en"
	address := p.authorizationURL(p.pushed(func(r *oauth.AuthorizationRequest) { r.Locales = "fr zh-Hant en" }))
	wants(t, b.get(address), `lang="zh-Hans"`, "登录")
	wants(t, b.get(address+"&lang=en"), `<html lang="en">`, "Sign in")
	other := p.browser()
	other.lang = "zh"
	wants(t, other.get(p.authorizationURL(p.pushed(func(r *oauth.AuthorizationRequest) { r.Locales = "fr" }))), "登录")
}

func TestVisitsRefused(t *testing.T) {
	o := openOffice(t)
	who := adult(t, o.people)
	passcode := o.passcode(who)
	p := o.phone(true)
	bad := func(what string, a *answer) {
		t.Helper()
		if a.StatusCode != http.StatusBadRequest || a.Header.Get("Location") != "" || !strings.Contains(string(a.body), "cannot go on") {
			t.Errorf("%s: %d %s", what, a.StatusCode, a.body)
		}
	}
	address := p.authorizationURL(p.pushed())
	bad("unknown request", p.browser().get(address+"x"))
	bad("no request", p.browser().get(p.url+"/authorize"))
	bad("a request that was not pushed", p.browser().get(p.url+"/authorize?"+(&oauth.AuthorizationRequest{ClientID: p.clientID, RedirectURI: redirectURI, Challenge: oauth.Challenge(verifier)}).Form().Encode()))
	bad("parameters twice", p.browser().get(address+"&client_id=x"))
	bad("another client", p.browser().get(strings.Replace(address, "client_id=", "client_id=x", 1))) // and below it is there still

	// Looking ahead does not open it.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Purpose", "prefetch")
	if a := p.do(r); a.StatusCode != http.StatusServiceUnavailable || len(a.Cookies()) != 0 {
		t.Error(a.StatusCode)
	}

	b := p.browser()
	page := b.get(address)
	page.ok(t, http.StatusOK, nil)
	bad("another browser", p.browser().get(address))
	bad("a form without the cookie", p.browser().submit(page, map[string]string{"number": who.ResidentNumber, "passcode": passcode}))
	bad("a form without its token", b.submit(page, map[string]string{"token": "x", "number": who.ResidentNumber, "passcode": passcode}))
	bad("consent before signing in", b.submit(page, map[string]string{"step": "consent", "decision": "allow"}))
	again := b.get(address)
	again.ok(t, http.StatusOK, nil)
	wants(t, again, "Sign in")

	// A form that another site sends.
	f := url.Values{"step": {"consent"}, "decision": {"allow"}}
	r, err = http.NewRequestWithContext(t.Context(), http.MethodPost, p.url+"/authorize", strings.NewReader(f.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	if a := b.browse(r); a.StatusCode != http.StatusForbidden {
		t.Error("another site's form is taken: ", a.StatusCode)
	}

	o.now = o.now.Add(15 * time.Minute)
	bad("after its time", b.get(address))
	late := p.authorizationURL(p.pushed())
	o.now = o.now.Add(90 * time.Second)
	bad("nobody came in time", p.browser().get(late))
}

func TestPasscodesAreFew(t *testing.T) {
	o := openOffice(t)
	who := adult(t, o.people)
	passcode := o.passcode(who)
	p := o.phone(true)
	try := func(number, passcode string) *answer {
		t.Helper()
		b := p.browser()
		return b.submit(b.get(p.authorizationURL(p.pushed())), map[string]string{"number": number, "passcode": passcode})
	}
	for range 5 {
		if a := try(who.ResidentNumber, "wrong"); a.StatusCode != http.StatusForbidden {
			t.Error(a.StatusCode)
		}
	}
	o.restart()
	a := try(who.ResidentNumber, passcode)
	if a.StatusCode != http.StatusForbidden {
		t.Error("the right passcode, after five wrong ones: ", a.StatusCode)
	}
	// Who has to wait is told what everybody is, or it could be learnt who is enrolled.
	forms := regexp.MustCompile(`request_uri=[^"]*|value="[^"]*"`)
	if waits, nobody := forms.ReplaceAll(a.body, nil), forms.ReplaceAll(try("nobody", passcode).body, nil); !bytes.Equal(waits, nobody) {
		t.Errorf("%s\n\n%s", waits, nobody)
	}
	o.now = o.now.Add(5 * time.Minute)
	for range 5 {
		try(who.ResidentNumber, "wrong")
	}
	o.now = o.now.Add(9 * time.Minute)
	if a := try(who.ResidentNumber, passcode); a.StatusCode != http.StatusForbidden {
		t.Error("the second lock is no longer than the first: ", a.StatusCode)
	}
	if a := try(o.people[1].ResidentNumber, passcode); a.StatusCode != http.StatusForbidden {
		t.Error("somebody without a passcode: ", a.StatusCode)
	}
	if a := try("nobody", passcode); a.StatusCode != http.StatusForbidden {
		t.Error("nobody: ", a.StatusCode)
	}
	fresh := o.passcode(who) // a new one, at the counter
	if a := try(who.ResidentNumber, fresh); a.StatusCode != http.StatusSeeOther {
		t.Error(a.StatusCode)
	}

	// One request is not for guessing at many people.
	b := p.browser()
	page := b.get(p.authorizationURL(p.pushed()))
	for i := range 11 {
		a := b.submit(page, map[string]string{"number": o.people[i].ResidentNumber, "passcode": "wrong-" + passcode})
		if want := map[bool]int{true: http.StatusForbidden, false: http.StatusBadRequest}[i < 10]; a.StatusCode != want {
			t.Errorf("try %d: %d", i, a.StatusCode)
		}
	}

	_, err := o.SetPasscode(t.Context(), o.Ref(who.ResidentNumber), "1234567")
	wantRule(t, err, issuer.RulePasscode)
	_, err = o.SetPasscode(t.Context(), issuer.PersonRef{1}, "")
	wantRule(t, err, issuer.RuleUnknownPerson)
	if _, err = o.SetPasscode(t.Context(), o.Ref(who.ResidentNumber), "correct horse"); err != nil {
		t.Error(err)
	}
	if a := try(who.ResidentNumber, "correct horse"); a.StatusCode != http.StatusSeeOther {
		t.Error(a.StatusCode)
	}
}

func TestOfferToSignInFor(t *testing.T) {
	o := openOffice(t)
	who, other := adult(t, o.people), minor(t, o.people)
	passcode, others := o.passcode(who), o.passcode(other)
	p := o.phone(true)
	offer := func(person issuer.PersonRef) *issuer.Offered {
		t.Helper()
		out, err := o.CreateOffer(t.Context(), issuer.OfferRequest{Person: person, Configurations: []string{residentJWT}, Grant: oauth.GrantCode})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	mine := offer(o.Ref(who.ResidentNumber))
	with := func(out *issuer.Offered) func(*oauth.AuthorizationRequest) {
		return func(r *oauth.AuthorizationRequest) { r.IssuerState = out.Offer.Code.IssuerState }
	}
	b := p.browser()
	a := b.submit(b.get(p.authorizationURL(p.pushed(with(mine)))), map[string]string{"number": other.ResidentNumber, "passcode": others})
	if a.StatusCode != http.StatusForbidden {
		t.Error("somebody else's offer: ", a.StatusCode)
	}
	wants(t, a, "somebody else")
	for name, raw := range o.files() {
		if strings.Contains(raw, mine.Offer.Code.IssuerState) {
			t.Errorf("%s holds an issuer_state", name)
		}
	}
	p.pushed(with(mine), func(r *oauth.AuthorizationRequest) { r.Scope = []string{residentMDoc} }).refused(t, http.StatusBadRequest, "invalid_scope")
	// Two requests for one offer: the second to agree comes too late.
	late := p.browser()
	page := late.get(p.authorizationURL(p.pushed(with(mine))))
	p.redeem(p.browser().agree(p.authorizationURL(p.pushed(with(mine))), who, passcode)).ok(t, http.StatusOK, nil)
	a = late.submit(page, map[string]string{"number": who.ResidentNumber, "passcode": passcode})
	a = late.submit(late.get(o.origin.URL+a.Header.Get("Location")), map[string]string{"decision": "allow"})
	if to := a.Header.Get("Location"); !strings.Contains(to, "error=access_denied") {
		t.Error(to)
	}
	p.pushed(with(mine)).refused(t, http.StatusBadRequest, "invalid_request")
	// An offer to whoever signs in.
	p.redeem(p.browser().agree(p.authorizationURL(p.pushed(with(offer(issuer.PersonRef{})))), other, others)).ok(t, http.StatusOK, nil)
}

func TestAppsAsDestination(t *testing.T) {
	o := openOffice(t)
	p := o.phone(true)
	b := p.browser()
	page := b.get(p.authorizationURL(p.pushed(func(r *oauth.AuthorizationRequest) { r.RedirectURI = "com.example.wallet:/cb;a" })))
	page.ok(t, http.StatusOK, nil)
	if csp := page.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' com.example.wallet:;") {
		t.Error(csp)
	}
	page = b.get(p.authorizationURL(p.pushed(func(r *oauth.AuthorizationRequest) { r.RedirectURI = "https://a;b.example/cb" })))
	if csp := page.Header.Get("Content-Security-Policy"); strings.Contains(csp, "b.example") {
		t.Error(csp)
	}
	style := b.get(p.url + "/authorize/style.css")
	if style.StatusCode != http.StatusOK || !strings.HasPrefix(style.Header.Get("Content-Type"), "text/css") {
		t.Error(style.StatusCode)
	}
}
