package gate_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// TestPresentations enters by every combination of response mode, client identifier prefix, credential
// format and way to fetch the request.
func TestPresentations(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true).withMdoc("north")
	for _, mode := range []string{oid4vp.ModePost, oid4vp.ModePostJWT} {
		for _, prefix := range []string{"", oid4vp.PrefixDID, oid4vp.PrefixDNS, oid4vp.PrefixHash, oid4vp.PrefixRedirect} {
			for _, format := range []string{oid4vp.Format, oid4vp.FormatMdoc} {
				for _, method := range []string{"", oid4vp.MethodGet, oid4vp.MethodPost} {
					if prefix == oid4vp.PrefixRedirect && method != "" {
						continue
					}
					t.Run(fmt.Sprintf("%s %s %s %s", mode, prefix, format, method), func(t *testing.T) {
						o := s.open(gate.SessionInput{ResponseMode: mode, ClientIDPrefix: prefix, Format: format, RequestURIMethod: method, Claims: true})
						r := s.reads(o.URI)
						if r.Contract != s.room || r.Mode != mode || r.State != o.State {
							t.Fatalf("asked %+v", r)
						}
						if got := s.result(o, ""); got.Status != gate.StatusOpen {
							t.Errorf("before the answer: %+v", got)
						}
						wantAnswer(t, s.sends(r, alice.shows(r, "")), http.StatusOK, "", "")
						got := s.result(o, "")
						if got.Status != gate.StatusAnswered || *got.Decision != hufu.Allow || got.Receipt == "" || got.Grant == nil {
							t.Errorf("after the answer: %+v", got)
						}
						claims, _ := json.Marshal(got.Claims["person"])
						if want := `{"type":"urn:example:resident","issuer":"` + string(s.agency.DID) + `","claims":{"age":{"18":true}}}`; string(claims) != want {
							t.Errorf("claims %s, want %s", claims, want)
						}
						if again := s.result(o, ""); again.Claims != nil || again.Status != gate.StatusAnswered {
							t.Errorf("claims twice: %+v", again)
						}
						replayed := must[*gate.Replayed](t)(gate.Replay(must[*world.View](t)(s.View()), got.Receipt, s.last))
						if !replayed.Same {
							t.Errorf("decided again: %+v", replayed)
						}
					})
				}
			}
		}
	}
}

func TestCertifiedCredential(t *testing.T) {
	s := newSite(t)
	bob := s.resident("south", true, s.certified())
	r := s.reads(s.open(gate.SessionInput{}).URI)
	wantAnswer(t, s.sends(r, bob.shows(r, "")), http.StatusOK, "", "")
}
