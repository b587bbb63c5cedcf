package issuer_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/hufu-id/hufu/database/databasetest"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// twoProcesses is an office that two processes serve, on one database, request by request in turn.
func twoProcesses(t *testing.T, dsn string) *office {
	t.Helper()
	o := openOffice(t, func(c *issuer.Config) { c.Store = dsn })
	second, err := issuer.Open(t.Context(), o.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	})
	handlers := []http.Handler{o.Handler(), second.Handler()}
	var turn atomic.Uint64
	o.origin.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handlers[turn.Add(1)%2].ServeHTTP(w, r)
	})
	return o
}

// sent is a request that can be sent again and again.
type sent struct {
	url    string
	header http.Header
	body   []byte
}

// atOnce sends each request at the same moment, and returns how many were answered with 200, and what
// the others were refused by.
func atOnce(t *testing.T, all []sent) (taken int, codes map[string]int) {
	t.Helper()
	codes = map[string]int{}
	var mu sync.Mutex
	var ready, done sync.WaitGroup
	ready.Add(len(all))
	for _, s := range all {
		done.Go(func() {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url, bytes.NewReader(s.body))
			ready.Done()
			ready.Wait()
			if err != nil {
				t.Error(err)
				return
			}
			r.Header = s.header.Clone()
			w, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Body.Close()
			raw, err := io.ReadAll(w.Body)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if w.StatusCode == http.StatusOK {
				taken++
			} else {
				codes[(&answer{w, raw}).code()]++
			}
		})
	}
	done.Wait()
	return taken, codes
}

// fresh makes n requests that differ in nothing but the proof of the key.
func (p *phone) fresh(n int, path, mediaType, token string, body []byte) []sent {
	p.Helper()
	out := make([]sent, n)
	for i := range out {
		h := http.Header{"Content-Type": {mediaType}, "Dpop": {p.proof(path, token)}}
		if token != "" {
			h.Set("Authorization", "DPoP "+token)
		}
		out[i] = sent{p.url + path, h, body}
	}
	return out
}

const formType = "application/x-www-form-urlencoded"

// Codes, tokens, nonces and proofs are taken once, by whichever of two processes is asked first.
func TestOnceAmongProcesses(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		o := twoProcesses(t, dsn)
		who := adult(t, o.people)
		p := o.phone(true)
		first := p.token(p.take(o.preAuthorized(who, false, residentJWT))) // and the server's nonce with it
		const n = 8
		once := func(name string, all []sent, code string) {
			t.Helper()
			if taken, codes := atOnce(t, all); taken != 1 || codes[code] != n-1 {
				t.Errorf("%s: taken %d times, refused %v", name, taken, codes)
			}
		}

		offer := o.preAuthorized(who, false, residentJWT)
		form := (&oauth.TokenRequest{Grant: oauth.GrantPreAuthorized, Code: offer.Offer.PreAuthorized.Code}).Form().Encode()
		once("pre-authorized code", p.fresh(n, "/token", formType, "", []byte(form)), "invalid_grant")

		raw, err := json.Marshal(p.request(residentJWT, 2))
		if err != nil {
			t.Fatal(err)
		}
		once("c_nonce", p.fresh(n, "/credential", "application/json", first.AccessToken, raw), "invalid_nonce")

		again := make([]sent, n)
		one := p.fresh(1, "/credential", "application/json", first.AccessToken, nil)[0]
		for i := range again {
			again[i] = one
			if again[i].body, err = json.Marshal(p.request(residentJWT, 1)); err != nil {
				t.Fatal(err)
			}
		}
		once("DPoP proof", again, "invalid_dpop_proof")

		code := p.browser().agree(p.authorizationURL(p.pushed()), who, o.passcode(who))
		form = (&oauth.TokenRequest{Grant: oauth.GrantCode, ClientID: p.clientID, Code: code, RedirectURI: redirectURI, Verifier: verifier}).Form().Encode()
		once("authorization code", p.fresh(n, "/token", formType, "", []byte(form)), "invalid_grant")

		form = (&oauth.TokenRequest{Grant: oauth.GrantRefresh, Refresh: first.RefreshToken}).Form().Encode()
		once("refresh token", p.fresh(n, "/token", formType, "", []byte(form)), "invalid_grant")
	})
}
