package sdjwt_test

import (
	"crypto/rand"
	"reflect"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// FuzzParse: no input makes a panic, each refusal names a rule, and what parses can be presented and
// read again with the same claims.
func FuzzParse(f *testing.F) {
	s := newScene(f, keys.P256)
	f.Add(rfcIssued)
	f.Add(rfcPresented)
	f.Add(s.issue(f))
	f.Add(s.forge(f, forgery{payload: `{"vct":"x","_sd":["a"],"l":[{"...":"b"}]}`}))
	f.Add("~")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := sdjwt.Parse(raw)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("refused without a rule: %v", err)
			}
			return
		}
		all, err := c.Present(rand.Reader, []sdjwt.Path{{}}, sdjwt.KeyBinding{})
		if err != nil {
			t.Fatal(err)
		}
		if all != c.String() {
			t.Fatal("disclosing everything gives something else")
		}
	})
}

// FuzzVerify reads payload and disclosures as an issuer might sign them.
func FuzzVerify(f *testing.F) {
	s := newScene(f, keys.Ed25519)
	const header = `{"alg":"EdDSA","typ":"dc+sd-jwt"}`
	f.Add(header, `{"vct":"x","_sd":["a"],"l":[{"...":"b"}]}`, `["salt","name",{"_sd":[]}]`)
	f.Add(header, `{"vct":"x","cnf":{"jwk":{}},"status":{"status_list":{"idx":1,"uri":"x"}}}`, `["salt",1]`)
	f.Add(header, `{"vct":"x","a":"\ud83d\udc2f\u0000","n":[-0.1e+9,null,true]}`, ``)
	f.Fuzz(func(t *testing.T, header, payload, disclosure string) {
		d := b64(disclosure)
		payload = strings.ReplaceAll(payload, "DIGEST", digest(d))
		v, err := s.verifyForged(t, forgery{header: header, payload: payload, disclosures: []string{d}})
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("refused without a rule: %v", err)
			}
			return
		}
		if v.Claims == nil {
			t.Fatal("verified nothing")
		}
	})
}

// FuzzJSON: the reader of this package takes nothing that encoding.CheckJSON refuses.
func FuzzJSON(f *testing.F) {
	s := newScene(f, keys.Ed25519)
	for _, seed := range []string{`1`, `"\u0061"`, `[1,2,{"a":[]}]`, `{"a":1,"\u0061":2}`, ` { } `, `-0`, `1e5`, `"\"`, `tru`, `[1,]`, `{"a"}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		payload := `{"vct":"x","a":` + text + `}`
		v, err := s.verifyForged(t, forgery{header: `{"alg":"EdDSA","typ":"dc+sd-jwt"}`, payload: payload})
		if err != nil {
			return
		}
		var want map[string]any
		if err := encoding.UnmarshalJSON([]byte(payload), sdjwt.MaxSize, &want); err != nil {
			t.Fatalf("took %q: %v", text, err)
		}
		if strings.Contains(text, "_sd") || strings.Contains(text, `\u`) || strings.Contains(text, "...") {
			return // names of our own may have been processed
		}
		if got, want := normal(t, v.Claims), normal(t, want); !reflect.DeepEqual(got, want) {
			t.Fatalf("%q read as %v, want %v", text, got, want)
		}
	})
}
