package gate_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/database/databasetest"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

func TestSameDevice(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	o := s.open(gate.SessionInput{ReturnURI: "https://shop.example/back?cart=1", Claims: true})
	r := s.reads(o.URI)
	got := s.sends(r, alice.shows(r, ""))
	wantAnswer(t, got, 200, "", "")
	back := must[*url.URL](t)(url.Parse(got.json["redirect_uri"].(string)))
	code := back.Query().Get("response_code")
	if back.Host != "shop.example" || back.Query().Get("cart") != "1" || len(code) < 22 {
		t.Fatalf("sent back to %s", back)
	}
	for _, wrong := range []string{"", "x", code + "x", code[1:]} {
		_, err := s.gate.Result(t.Context(), o.ID, wrong)
		wantRule(t, err, gate.RuleResponseCode)
	}
	if res := s.result(o, code); *res.Decision != hufu.Allow || res.Claims["person"].Claims == nil {
		t.Errorf("result %+v", res)
	}
	// The decision can be fetched again, what was shown cannot.
	if res := s.result(o, code); *res.Decision != hufu.Allow || res.Claims != nil {
		t.Errorf("result %+v", res)
	}
	_, err := s.gate.Result(t.Context(), o.State, code)
	wantRule(t, err, gate.RuleNoSession)
	if res := must[*gate.SessionResult](t)(s.gate.ResultByState(t.Context(), o.State)); *res.Decision != hufu.Allow || res.Claims != nil {
		t.Errorf("by state %+v", res)
	}
	_, err = s.gate.ResultByState(t.Context(), o.ID)
	wantRule(t, err, gate.RuleNoSession)

	second := s.open(gate.SessionInput{ReturnURI: "https://shop.example/back"})
	r = s.reads(second.URI)
	other := must[*url.URL](t)(url.Parse(s.sends(r, alice.shows(r, "")).json["redirect_uri"].(string))).Query().Get("response_code")
	if other == code {
		t.Error("a response code twice")
	}
	_, err = s.gate.Result(t.Context(), second.ID, code)
	wantRule(t, err, gate.RuleResponseCode)
}

func TestClaimsAreKeptForAMoment(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	o := s.open(gate.SessionInput{Claims: true})
	r := s.reads(o.URI)
	wantAnswer(t, s.sends(r, alice.shows(r, "")), 200, "", "")
	s.late = 2 * gate.DefaultLifetime
	if res := s.result(o, ""); *res.Decision != hufu.Allow || res.Claims != nil {
		t.Errorf("long after: %+v", res)
	}
}

// stream reads server-sent events of a page until one has a name.
func stream(ctx context.Context, address string, ready func()) (string, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	res, err := http.DefaultClient.Do(q)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), ": waiting") && ready != nil {
			ready()
			ready = nil
		}
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			return name, nil
		}
	}
	return "", lines.Err()
}

func TestCrossDevice(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	o := s.open(gate.SessionInput{CrossDevice: true, ReturnURI: "https://shop.example/back"})
	page := s.do(http.MethodGet, o.Page, "", "")
	if page.code != http.StatusOK || !strings.Contains(page.body, "<svg") || !strings.Contains(page.body, "To open.") ||
		!strings.Contains(page.header.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Fatalf("page: %d %v, %d bytes", page.code, page.header, len(page.body))
	}
	link := regexp.MustCompile(`href="(openid4vp://[^"]+)"`).FindStringSubmatch(page.body)
	if link == nil || html.UnescapeString(link[1]) != o.URI {
		t.Errorf("the page links %v, not %s", link, o.URI)
	}
	for _, asset := range []string{"page.css", "page.js"} {
		if got := s.do(http.MethodGet, s.server.URL+"/gate/vp/assets/"+asset, "", ""); got.code != 200 || got.header.Get("Content-Type") == "" {
			t.Errorf("%s: %d", asset, got.code)
		}
	}
	if got := s.do(http.MethodGet, s.server.URL+"/gate/vp/assets/page.html", "", ""); got.code != 404 {
		t.Errorf("the template is served: %d", got.code)
	}
	if got := s.do(http.MethodPost, o.Page+"/return", "", ""); got.code != http.StatusConflict {
		t.Errorf("sent back before the answer: %d %s", got.code, got.body)
	}

	event := make(chan string, 1)
	waiting := make(chan struct{})
	go func() {
		name, err := stream(t.Context(), o.Page+"/events", func() { close(waiting) })
		event <- name + errorText(err)
	}()
	<-waiting
	r := s.reads(o.URI)
	got := s.sends(r, alice.shows(r, ""))
	wantAnswer(t, got, 200, "", "")
	if to, _ := got.json["redirect_uri"].(string); !strings.HasPrefix(to, strings.TrimSuffix(r.ResponseURI, "response")+"vp/done?response_code=") {
		t.Errorf("the wallet's browser is sent to %s", to)
	} else if done := s.do(http.MethodGet, to, "", ""); done.code != 200 {
		t.Errorf("where the wallet's browser ends: %d", done.code)
	}
	if name := <-event; name != "answered" {
		t.Fatalf("the page was told %q", name)
	}
	// Nobody has the code but who asks as the page.
	_, err := s.gate.Result(t.Context(), o.ID, must[*url.URL](t)(url.Parse(got.json["redirect_uri"].(string))).Query().Get("response_code"))
	wantRule(t, err, gate.RuleResponseCode)
	back := s.do(http.MethodPost, o.Page+"/return", "", "")
	code := must[*url.URL](t)(url.Parse(back.json["return_uri"].(string))).Query().Get("response_code")
	if res := s.result(o, code); *res.Decision != hufu.Allow {
		t.Errorf("result %+v", res)
	}
	if name, err := stream(t.Context(), o.Page+"/events", nil); name != "answered" {
		t.Errorf("a page that comes late is told %q %v", name, err)
	}
	for _, path := range []string{"", "/events"} {
		if got := s.do(http.MethodGet, s.server.URL+"/gate/vp/page/AAAA"+path, "", ""); got.code != 404 {
			t.Errorf("a page of nobody: %d", got.code)
		}
	}
	unsigned := s.open(gate.SessionInput{CrossDevice: true, ClientIDPrefix: oid4vp.PrefixRedirect, ResponseMode: oid4vp.ModePost})
	page = s.do(http.MethodGet, unsigned.Page, "", "")
	if link = regexp.MustCompile(`href="(openid4vp://[^"]+)"`).FindStringSubmatch(page.body); link == nil {
		t.Fatalf("page: %s", page.body)
	}
	r = s.reads(html.UnescapeString(link[1]))
	wantAnswer(t, s.sends(r, alice.shows(r, "")), 200, "", "")
}

func errorText(err error) string {
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestPageExpires(t *testing.T) {
	s := newSite(t)
	o := s.open(gate.SessionInput{CrossDevice: true})
	s.late = gate.DefaultLifetime
	if name, err := stream(t.Context(), o.Page+"/events", nil); name != "expired" {
		t.Errorf("told %q %v", name, err)
	}
	if page := s.do(http.MethodGet, o.Page, "", ""); strings.Contains(page.body, "<svg") {
		t.Error("a code nobody can use any more")
	}
}

// A thousand pages wait at once; each is told of its own session, when it is answered.
func TestThousandPages(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	const n = 1000
	sessions := make([]*gate.SessionOutput, n)
	for i := range sessions {
		sessions[i] = s.open(gate.SessionInput{CrossDevice: true, ResponseMode: oid4vp.ModePost})
	}
	var ready, told sync.WaitGroup
	ready.Add(n)
	names, first := make([]string, n), make(chan string, 1)
	for i := range sessions {
		told.Go(func() {
			name, err := stream(t.Context(), sessions[i].Page+"/events", ready.Done)
			if names[i] = name + errorText(err); i == 0 {
				first <- names[i]
			}
		})
	}
	ready.Wait()
	r := s.reads(sessions[0].URI)
	wantAnswer(t, s.sends(r, alice.shows(r, "")), 200, "", "")
	if name := <-first; name != "answered" {
		t.Errorf("the page of the answered session was told %q", name)
	}
	s.gate.Hangup() // the others are let go, as at the end of a server
	told.Wait()
	for i, name := range names[1:] {
		if name != "" {
			t.Fatalf("page %d was told %q", i+1, name)
		}
	}
}

// Two processes on one database: either serves the request, takes the answer, tells the page and gives the
// result, and what is used up at one is used up at the other.
func TestTwoProcesses(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		s := &site{scene: newScene(t)}
		s.t = t
		one, gateOne := s.serve(dsn)
		two, gateTwo := s.serve(dsn)
		alice := s.resident("north", true)
		at := func(text string, from, to string) string {
			return strings.Replace(text, strings.Replace(from, "127.0.0.1", "localhost", 1), strings.Replace(to, "127.0.0.1", "localhost", 1), 1)
		}
		s.gate = gateOne
		o := s.open(gate.SessionInput{CrossDevice: true, Claims: true})
		event := make(chan string, 1)
		waiting := make(chan struct{})
		go func() {
			name, err := stream(t.Context(), o.Page+"/events", func() { close(waiting) })
			event <- name + errorText(err)
		}()
		<-waiting
		signed := s.checked(s.do(http.MethodGet, at(o.Request, one.URL, two.URL), "", "").body)
		r := &signed.Request
		token := alice.shows(r, "")
		r.ResponseURI = at(r.ResponseURI, one.URL, two.URL)
		wantAnswer(t, s.sends(r, token), 200, "", "")
		if name := <-event; name != "answered" {
			t.Errorf("the page at the other process was told %q", name)
		}
		r.ResponseURI = at(r.ResponseURI, two.URL, one.URL)
		wantAnswer(t, s.sends(r, token), 400, "invalid_request", gate.RuleReplayed)
		got := map[bool]int{}
		for _, g := range []*gate.Gate{gateOne, gateTwo} {
			res := must[*gate.SessionResult](t)(g.Result(t.Context(), o.ID, ""))
			got[res.Claims != nil]++
		}
		if got[true] != 1 {
			t.Errorf("claims were handed over %d times", got[true])
		}
	})
}

// What a person shows is in no file of the gate's in a form that the gate can read.
func TestStoreHoldsNoClaims(t *testing.T) {
	s := &site{scene: newScene(t)}
	path := filepath.Join(t.TempDir(), "gate.db")
	s.server, s.gate = s.serve(path)
	alice := s.resident("north", true)
	o := s.open(gate.SessionInput{Contract: "clinic", Claims: true, ReturnURI: "https://shop.example/"})
	r := s.reads(o.URI)
	wantAnswer(t, s.sends(r, alice.shows(r, "")), 200, "", "")
	db := must[*sql.DB](t)(sql.Open("sqlite", "file:"+path))
	defer db.Close()
	var secret, claims []byte
	check(t, db.QueryRow("SELECT secret, claims FROM requests WHERE state = ?", o.State).Scan(&secret, &claims))
	if secret != nil || claims == nil {
		t.Errorf("secret %d bytes, claims %d bytes", len(secret), len(claims))
	}
	for _, name := range must[[]os.DirEntry](t)(os.ReadDir(filepath.Dir(path))) {
		raw := must[[]byte](t)(os.ReadFile(filepath.Join(filepath.Dir(path), name.Name())))
		for _, personal := range []string{"north", `"region"`, "Somebody", alice.copies["person"][:200], o.ID} {
			if bytes.Contains(raw, []byte(personal)) {
				t.Errorf("%s holds %q", name.Name(), personal)
			}
		}
	}
}

func TestDigitalCredentialsAPI(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true).withMdoc("north")
	const origin = "https://shop.example"
	for _, mode := range []string{oid4vp.ModeDC, oid4vp.ModeDCJWT} {
		for _, prefix := range []string{"", gate.PrefixNone, oid4vp.PrefixHash, oid4vp.PrefixDNS} {
			for _, format := range []string{oid4vp.Format, oid4vp.FormatMdoc} {
				t.Run(mode+" "+prefix+" "+format, func(t *testing.T) {
					o := s.open(gate.SessionInput{ResponseMode: mode, ClientIDPrefix: prefix, Format: format, Origins: []string{"https://other.example", origin}, Claims: true})
					signed, r, err := o.DC.Parse()
					check(t, err)
					if signed != nil {
						var data map[string]string
						check(t, json.Unmarshal(o.DC.Data, &data))
						r = &s.checked(data["request"]).Request
						check(t, r.FromOrigin(origin))
					}
					answer := oid4vp.Response{VPToken: alice.shows(r, origin)}
					data := must[[]byte](t)(answer.DC())
					if mode == oid4vp.ModeDCJWT {
						data = must[[]byte](t)(json.Marshal(map[string]string{"response": must[string](t)(answer.Encrypt(s.Rand, r))}))
					}
					in := gate.DCInput{Origin: origin, Protocol: o.DC.Protocol, Data: data}
					for name, change := range map[string]func(*gate.DCInput){
						"origin":   func(in *gate.DCInput) { in.Origin = "https://evil.example" },
						"protocol": func(in *gate.DCInput) { in.Protocol = "openid4vp-v1-multisigned" },
					} {
						bad := in
						change(&bad)
						if _, err := s.gate.AnswerDC(t.Context(), o.ID, bad); hufu.RuleOf(err) != gate.RuleSession {
							t.Errorf("%s: %v", name, err)
						}
					}
					res := must[*gate.SessionResult](t)(s.gate.AnswerDC(t.Context(), o.ID, in))
					if *res.Decision != hufu.Allow || res.Claims["person"].Claims == nil {
						t.Errorf("%+v", res)
					}
					again := must[*gate.SessionResult](t)(s.gate.AnswerDC(t.Context(), o.ID, in))
					if *again.Decision != hufu.Allow || again.Claims != nil {
						t.Errorf("again: %+v", again)
					}
					wantAnswer(t, s.post(strings.Replace(s.server.URL, "127.0.0.1", "localhost", 1)+"/gate/response",
						must[url.Values](t)(oid4vp.Response{VPToken: answer.VPToken, State: o.State}.Form())), 400, "invalid_request", gate.RuleReplayed)
				})
			}
		}
	}
	t.Run("from another of its origins", func(t *testing.T) {
		o := s.open(gate.SessionInput{ResponseMode: oid4vp.ModeDC, ClientIDPrefix: gate.PrefixNone, Origins: []string{"https://other.example", origin}})
		_, r, err := o.DC.Parse()
		check(t, err)
		data := must[[]byte](t)(oid4vp.Response{VPToken: alice.shows(r, origin)}.DC())
		res := must[*gate.SessionResult](t)(s.gate.AnswerDC(t.Context(), o.ID, gate.DCInput{Origin: "https://other.example", Protocol: o.DC.Protocol, Data: data}))
		if *res.Decision != hufu.Deny || res.Rule != "credential.audience" {
			t.Errorf("%+v", res)
		}
	})
	t.Run("posted", func(t *testing.T) {
		o := s.open(gate.SessionInput{ResponseMode: oid4vp.ModeDC, ClientIDPrefix: gate.PrefixNone, Origins: []string{origin}})
		wantAnswer(t, s.post(s.server.URL+"/gate/response", url.Values{"vp_token": {`{"person":["x"]}`}, "state": {o.State}}), 400, "invalid_request", oid4vp.RuleResponse)
		wantAnswer(t, s.do(http.MethodGet, s.server.URL+"/gate/vp/request/"+o.State, "", ""), 404, "invalid_request", gate.RuleUnknownRequest)
	})
	t.Run("an error", func(t *testing.T) {
		o := s.open(gate.SessionInput{ResponseMode: oid4vp.ModeDCJWT, Origins: []string{origin}})
		res := must[*gate.SessionResult](t)(s.gate.AnswerDC(t.Context(), o.ID, gate.DCInput{Origin: origin, Protocol: o.DC.Protocol, Data: json.RawMessage(`{"error":"access_denied"}`)}))
		if res.Rule != oid4vp.RuleDenied {
			t.Errorf("%+v", res)
		}
	})
	t.Run("a session by HTTP", func(t *testing.T) {
		o := s.open(gate.SessionInput{})
		_, err := s.gate.AnswerDC(t.Context(), o.ID, gate.DCInput{Origin: origin, Protocol: oid4vp.ProtocolSigned})
		wantRule(t, err, gate.RuleSession)
	})
}

func TestTransactionData(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	pay := json.RawMessage(`{"type":"urn:hufu:transaction:statement:1","credential_ids":["person"],"transaction_data_hashes_alg":["sha-256"],"statement":"Pay 10 to Bob"}`)
	in := gate.SessionInput{TransactionData: []json.RawMessage{pay}}
	for name, c := range map[string]struct {
		change func(*presentation)
		rule   hufu.Rule
	}{
		"consented":     {func(*presentation) {}, ""},
		"not consented": {func(p *presentation) { p.consent = nil }, oid4vp.RuleTransaction},
		"something else": {func(p *presentation) {
			p.consent = []oid4vp.Transaction{must[oid4vp.Transaction](t)(oid4vp.NewStatement("Pay 99 to Eve", "person"))}
		}, oid4vp.RuleTransaction},
		"and more": {func(p *presentation) {
			p.consent = append(p.consent, must[oid4vp.Transaction](t)(oid4vp.NewStatement("Pay 99 to Eve", "person")))
		}, oid4vp.RuleTransaction},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.open(in)
			r := s.reads(o.URI)
			if text, ok := r.Transactions[0].Statement(); !ok || text != "Pay 10 to Bob" {
				t.Fatalf("statement %q", text)
			}
			got := s.sends(r, alice.shows(r, "", c.change))
			if c.rule == "" {
				wantAnswer(t, got, 200, "", "")
			} else {
				wantAnswer(t, got, 400, "invalid_request", c.rule)
			}
			if res := s.result(o, ""); res.Rule != c.rule {
				t.Errorf("%+v", res)
			}
		})
	}
}

// What an issuer left in the clear is not handed on, as the contract does not ask for it.
func TestServiceLearnsWhatIsAsked(t *testing.T) {
	s := newSite(t)
	must[hufu.ContractID](t)(s.Publish(s.owner, "either", 1, eitherName))
	bob := s.resident("south", true, func(p *sdjwt.IssueParams) {
		p.Disclosable = sdjwt.Except(sdjwt.Path{"name"}, sdjwt.Path{"birth_date"})
	})
	for name, c := range map[string]struct {
		disclose []sdjwt.Path
		want     string
	}{
		"reading-room": {[]sdjwt.Path{{"age", "18"}}, `{"age":{"18":true}}`},
		"clinic":       {[]sdjwt.Path{{"age", "18"}, {"region"}}, `{"age":{"18":true},"region":"south"}`},
		"either":       {[]sdjwt.Path{{"region"}}, `{"birth_date":"1990-01-02","name":"Somebody","region":"south"}`},
	} {
		o := s.open(gate.SessionInput{Contract: name, Claims: true})
		r := s.reads(o.URI)
		wantAnswer(t, s.sends(r, bob.shows(r, "", func(p *presentation) { p.disclose = c.disclose })), 200, "", "")
		if got := string(must[[]byte](t)(json.Marshal(s.result(o, "").Claims["person"].Claims))); got != c.want {
			t.Errorf("%s: the service learns %s, want %s", name, got, c.want)
		}
	}
}
