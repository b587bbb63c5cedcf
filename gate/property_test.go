package gate_test

import (
	"net/url"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// No single character of an answer can be another and the door still open.
func TestAnyChangeIsRefused(t *testing.T) {
	s := newSite(t)
	alice := s.resident("north", true)
	rapid.Check(t, func(rt *rapid.T) {
		mode := rapid.SampledFrom([]string{oid4vp.ModePost, oid4vp.ModePostJWT}).Draw(rt, "mode")
		r := s.reads(s.open(gate.SessionInput{ResponseMode: mode}).URI)
		answer := oid4vp.Response{VPToken: alice.shows(r, ""), State: r.State}
		form := must[url.Values](t)(answer.Form())
		names := []string{"vp_token", "state"}
		if mode == oid4vp.ModePostJWT {
			names = []string{"response"}
			form = url.Values{"response": {must[string](t)(answer.Encrypt(s.Rand, r))}}
		}
		name := rapid.SampledFrom(names).Draw(rt, "parameter")
		text := []byte(form.Get(name))
		at := rapid.IntRange(0, len(text)-1).Draw(rt, "at")
		other := rapid.SampledFrom([]byte("ABab01-_.~{}\"[],:")).Filter(func(c byte) bool { return c != text[at] }).Draw(rt, "character")
		text[at] = other
		form.Set(name, string(text))
		o := must[*gate.Outcome](t)(s.gate.Answer(t.Context(), form))
		if o.Decision == hufu.Allow || o.Receipt.Rule == "" || o.ErrorCode() == "" || o.Token == "" {
			rt.Fatalf("%s with another character at %d: %s by %q", name, at, o.Decision, o.Receipt.Rule)
		}
	})
}
