package gate_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// What cannot be decided is no decision: the door stays shut, the wallet is told to come again, and the
// service that it failed.
func TestOutagesOverHTTP(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	o := s.open(gate.SessionInput{CrossDevice: true})
	r := s.reads(o.URI)
	token := must[string](t)(oid4vp.Response{VPToken: alice.shows(r, ""), State: r.State}.Encrypt(s.Rand, r))

	config := s.gate.Config
	config.Ledger = failing{errors.New("unplugged")}
	broken := httptest.NewServer(must[*gate.Gate](t)(gate.New(config)).Handler())
	defer broken.Close()
	unavailable := func(what string, got reply) {
		t.Helper()
		if got.code != http.StatusServiceUnavailable || got.json["error"] != "temporarily_unavailable" || got.json["receipt"] != nil {
			t.Errorf("%s: %d %s", what, got.code, got.body)
		}
	}
	unavailable("request", s.do(http.MethodGet, broken.URL+"/gate/vp/request/"+o.State, "", ""))
	page := must[*url.URL](t)(url.Parse(o.Page))
	unavailable("page", s.do(http.MethodGet, broken.URL+page.Path, "", ""))

	// A process that seals with another key cannot open the answer, and says so rather than refuse it.
	config = s.gate.Config
	config.Seal = [32]byte{8}
	stranger := httptest.NewServer(must[*gate.Gate](t)(gate.New(config)).Handler())
	defer stranger.Close()
	unavailable("request of another process", s.do(http.MethodGet, stranger.URL+"/gate/vp/request/"+o.State, "", ""))

	unavailable("answer", s.post(broken.URL+"/gate/response", url.Values{"response": {token}}))
	wantAnswer(t, s.post(r.ResponseURI, url.Values{"response": {token}}), 400, "invalid_request", gate.RuleReplayed)
	if got := s.result(o, ""); got.Status != gate.StatusOpen {
		t.Errorf("while it may still be decided: %s", got.Status)
	}
	s.late = gate.DefaultLifetime
	if got := s.result(o, ""); got.Status != gate.StatusFailed || got.Decision != nil {
		t.Errorf("afterwards: %+v", got)
	}

	certified := s.gate.Config
	certified.Certificate = nil
	s.late = 0
	named := s.open(gate.SessionInput{ClientIDPrefix: oid4vp.PrefixHash})
	bare := must[*gate.Gate](t)(gate.New(certified))
	if _, err := bare.FetchRequest(t.Context(), named.State, "", ""); err == nil || hufu.RuleOf(err) != "" {
		t.Errorf("signed without the certificate: %v", err)
	}
}
