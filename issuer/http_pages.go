package issuer

import (
	"bytes"
	"embed"
	"encoding/hex"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/protocol/oauth"
)

//go:embed pages
var pageFiles embed.FS

// pages serves the authorization endpoint: what a person signs in at and agrees to. It works without
// scripts. A request is bound to the first browser that opens it, by a cookie; what is sent carries a
// token that only this browser was shown, and requests that other sites cause are refused.
func (s *Service) pages(mux *http.ServeMux, path string) {
	templates := template.Must(template.ParseFS(pageFiles, "pages/*.html"))
	p := &pages{s: s, path: path + "/authorize", templates: templates}
	guard := http.NewCrossOriginProtection()
	mux.HandleFunc("GET "+p.path, p.get)
	mux.Handle("POST "+p.path, guard.Handler(http.HandlerFunc(p.post)))
	mux.HandleFunc("GET "+p.path+"/style.css", p.style)
}

type pages struct {
	s         *Service
	path      string
	templates *template.Template
}

// page is what the templates show.
type page struct {
	T       map[string]string // the texts
	Lang    string
	Other   string // the other language's tag
	Title   string // name of a text
	Style   string
	Agency  string
	Problem string // name of a text, or ""

	ClientID, RequestURI, Token string
	Visit                       *Visit
	Destination                 string
	Credentials                 []shown
}

// shown is a credential as a person is shown it.
type shown struct {
	Name, Format string
	Claims       []string
}

func (p *pages) style(w http.ResponseWriter, _ *http.Request) {
	css, err := pageFiles.ReadFile("pages/style.css")
	if err != nil {
		http.NotFound(w, nil)
		return
	}
	w.Header().Set("Content-Type", "text/css; charset=utf-8")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Write(css)
}

// cookieName is one for each authorization request, so that several can be open at once.
func cookieName(requestURI string) string {
	return "hufu_" + hex.EncodeToString(requestID(requestURI)[:8])
}

func cookieOf(r *http.Request, requestURI string) string {
	c, err := r.Cookie(cookieName(requestURI))
	if err != nil {
		return ""
	}
	return c.Value
}

// formToken is what a form of the browser with a cookie carries.
func formToken(cookie string) string { return jws.EncodeBase64(digest("form\x00" + cookie)) }

func (p *pages) get(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.Header.Get("Sec-Purpose") != "" { // a look ahead must not open the request
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	f, err := oauth.ParseForm(r.URL.RawQuery)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	p.show(w, r, f, "", http.StatusOK)
}

// show shows the step that an authorization request is at.
func (p *pages) show(w http.ResponseWriter, r *http.Request, f oauth.Form, problem string, status int) {
	client, uri := f.Get("client_id"), f.Get("request_uri")
	cookie := cookieOf(r, uri)
	v, fresh, err := p.s.Visit(r.Context(), client, uri, cookie)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	if fresh != "" {
		cookie = fresh
		http.SetCookie(w, &http.Cookie{
			Name: cookieName(uri), Value: cookie, Path: p.path, MaxAge: int(visitLife.Seconds()),
			HttpOnly: true, SameSite: http.SameSiteLaxMode, Secure: strings.HasPrefix(p.s.exchange.URL, "https://"),
		})
	}
	wish := f.Get("lang")
	if wish == "" {
		wish = firstOf(v.Locales)
	}
	pg := p.page(r, wish)
	pg.ClientID, pg.RequestURI, pg.Token, pg.Visit, pg.Problem = client, uri, formToken(cookie), v, problem
	pg.Destination = destination(v.Destination)
	name := "signin.html"
	pg.Title = "signInTitle"
	if v.SignedIn {
		name, pg.Title = "consent.html", "consentTitle"
		for _, c := range v.Configurations {
			pg.Credentials = append(pg.Credentials, show(c, pg.Lang))
		}
	}
	p.render(w, name, pg, status, "'self'"+formTarget(v.Destination))
}

func (p *pages) post(w http.ResponseWriter, r *http.Request) {
	f, err := form(w, r)
	if err != nil {
		p.fail(w, r, err)
		return
	}
	uri := f.Get("request_uri")
	cookie := cookieOf(r, uri)
	if cookie == "" || f.Get("token") != formToken(cookie) {
		p.fail(w, r, errVisit)
		return
	}
	if f.Get("step") == "consent" {
		to, err := p.s.Consent(r.Context(), uri, cookie, f.Get("decision") == "allow")
		if err != nil {
			p.fail(w, r, err)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: cookieName(uri), Path: p.path, MaxAge: -1})
		redirect(w, to)
		return
	}
	err = p.s.SignIn(r.Context(), uri, cookie, f.Get("number"), f.Get("passcode"))
	switch rule := hufu.RuleOf(err); {
	case rule == RuleSignIn:
		p.show(w, r, f, "wrong", http.StatusForbidden)
	case rule == RuleOfferFor:
		p.show(w, r, f, "otherPerson", http.StatusForbidden)
	case err != nil:
		p.fail(w, r, err)
	default:
		again := url.Values{"client_id": {f.Get("client_id")}, "request_uri": {uri}, "lang": {f.Get("lang")}}
		redirect(w, p.path+"?"+again.Encode())
	}
}

func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusSeeOther)
}

// fail shows that a request cannot go on. Nobody is sent anywhere: where to is not known to be right.
func (p *pages) fail(w http.ResponseWriter, r *http.Request, err error) {
	pg, status := p.page(r, r.URL.Query().Get("lang")), http.StatusBadRequest
	pg.Title, pg.Problem = "errorTitle", "over"
	if rule := hufu.RuleOf(err); rule == "" {
		p.s.cfg.Log.ErrorContext(r.Context(), "issuer", "path", r.Pattern, "error", err)
		pg.Problem, status = "broken", http.StatusInternalServerError
	}
	p.render(w, "error.html", pg, status, "'none'")
}

func (p *pages) page(r *http.Request, wish string) *page {
	lang := "en"
	if wish == "zh-Hans" || wish != "en" && likesChinese(r.Header.Get("Accept-Language")) {
		lang = "zh-Hans"
	}
	pg := &page{T: texts[lang], Lang: lang, Style: p.path + "/style.css"}
	pg.Other = languages()[1-slices.Index(languages(), lang)]
	pg.Agency = inLanguage(p.s.exchange.Name, lang)
	return pg
}

// likesChinese reports whether the first language of an Accept-Language header that there are pages in
// is Chinese.
func likesChinese(accept string) bool {
	var tags []string
	for a := range strings.SplitSeq(accept, ",") {
		tag, _, _ := strings.Cut(strings.TrimSpace(a), ";")
		tags = append(tags, tag)
	}
	return firstOf(tags) == "zh-Hans"
}

// firstOf is the first of languages that there are pages in, or "".
func firstOf(tags []string) string {
	for _, tag := range tags {
		switch primary, _, _ := strings.Cut(strings.ToLower(tag), "-"); primary {
		case "zh":
			return "zh-Hans"
		case "en":
			return "en"
		}
	}
	return ""
}

// inLanguage is a text in a language, in a related one, or in any.
func inLanguage(all map[string]string, lang string) string {
	primary, _, _ := strings.Cut(lang, "-")
	best, rank := "", -1
	for _, tag := range slices.Sorted(maps.Keys(all)) {
		got, _, _ := strings.Cut(tag, "-")
		switch {
		case tag == lang:
			return all[tag]
		case got == primary && rank < 2:
			best, rank = all[tag], 2
		case got == "en" && rank < 1:
			best, rank = all[tag], 1
		case rank < 0:
			best, rank = all[tag], 0
		}
	}
	return best
}

func show(c *Configuration, lang string) shown {
	names := map[string]string{}
	for _, d := range c.record.Display {
		names[d.Lang] = d.Name
	}
	out := shown{Name: inLanguage(names, lang), Format: c.Format}
	for _, claim := range c.record.Claims {
		labels := map[string]string{}
		for _, d := range claim.Display {
			labels[d.Lang] = d.Label
		}
		if label := inLanguage(labels, lang); label != "" {
			out.Claims = append(out.Claims, label)
		}
	}
	return out
}

// destination is what a person is shown of a redirect_uri: its host, or the scheme of an app.
func destination(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	if u.Scheme == "https" || u.Scheme == "http" {
		return u.Host
	}
	return u.Scheme + ":"
}

// formTarget lets the form's answer lead to a redirect_uri: browsers hold a redirect to form-action.
func formTarget(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return ""
	}
	if (u.Scheme == "https" || u.Scheme == "http") && strings.Trim(u.Host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.:[]") == "" {
		return " " + u.Scheme + "://" + u.Host
	}
	return " " + u.Scheme + ":" // letters, digits, "+", "-" and "." alone (RFC 3986 §3.1)
}

func (p *pages) render(w http.ResponseWriter, name string, pg *page, status int, formAction string) {
	var b bytes.Buffer
	if err := p.templates.ExecuteTemplate(&b, name, pg); err != nil {
		p.s.cfg.Log.Error("issuer", "page", name, "error", err)
		http.Error(w, "", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", pg.Lang)
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; form-action "+formAction+"; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Frame-Options", "DENY")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
	w.WriteHeader(status)
	w.Write(b.Bytes()) //nolint:errcheck // the reader has gone
}
