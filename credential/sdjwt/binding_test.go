package sdjwt_test

import (
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
)

// TestKeyBinding breaks each part of the key binding of a presentation that is right otherwise.
func TestKeyBinding(t *testing.T) {
	s := newScene(t, keys.P256)
	thief, err := keys.P256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	presented := strings.TrimSuffix(s.present(t, sdjwt.Path{"sex"}), "~")
	presented = presented[:strings.LastIndexByte(presented, '~')+1]
	now := s.now.Unix()
	const header = `{"alg":"ES256","typ":"kb+jwt"}`
	payload := func(aud, nonce string, iat int64, hash, more string) string {
		return fmt.Sprintf(`{"aud":%s,"nonce":%s,"iat":%d,"sd_hash":"%s"%s}`, aud, nonce, iat, hash, more)
	}
	aud, non, hash := `"`+audience+`"`, `"`+nonce+`"`, digest(presented)
	for what, c := range map[string]struct {
		header, payload string
		signer          keys.Signer
		rule            hufu.Rule
	}{
		"fine":                        {header, payload(aud, non, now, hash, ""), s.holder, ""},
		"fine, at the edge":           {header, payload(aud, non, now-300, hash, ""), s.holder, ""},
		"stolen copy":                 {header, payload(aud, non, now, hash, ""), thief, sdjwt.RuleKeyBindingSignature},
		"signed by the issuer":        {header, payload(aud, non, now, hash, ""), s.issuer, sdjwt.RuleKeyBindingSignature},
		"other audience":              {header, payload(`"x"`, non, now, hash, ""), s.holder, sdjwt.RuleAudience},
		"list of audiences":           {header, payload(`[`+aud+`]`, non, now, hash, ""), s.holder, sdjwt.RuleAudience},
		"replayed":                    {header, payload(aud, `"x"`, now, hash, ""), s.holder, sdjwt.RuleNonce},
		"nonce a number":              {header, payload(aud, `1`, now, hash, ""), s.holder, sdjwt.RuleNonce},
		"stale":                       {header, payload(aud, non, now-301, hash, ""), s.holder, sdjwt.RuleStalePresentation},
		"in the future":               {header, payload(aud, non, now+1, hash, ""), s.holder, sdjwt.RuleFuturePresentation},
		"expired":                     {header, payload(aud, non, now, hash, fmt.Sprintf(`,"exp":%d`, now)), s.holder, sdjwt.RuleStalePresentation},
		"not yet valid":               {header, payload(aud, non, now, hash, fmt.Sprintf(`,"nbf":%d`, now+1)), s.holder, sdjwt.RuleFuturePresentation},
		"exp a string":                {header, payload(aud, non, now, hash, `,"exp":"x"`), s.holder, sdjwt.RuleMalformed},
		"no iat":                      {header, `{"aud":` + aud + `,"nonce":` + non + `,"sd_hash":"` + hash + `"}`, s.holder, sdjwt.RuleMalformed},
		"other disclosures":           {header, payload(aud, non, now, digest(presented+"x~"), ""), s.holder, sdjwt.RuleSDHash},
		"no sd_hash":                  {header, `{"aud":` + aud + `,"nonce":` + non + fmt.Sprintf(`,"iat":%d}`, now), s.holder, sdjwt.RuleSDHash},
		"other type":                  {`{"alg":"ES256","typ":"jwt"}`, payload(aud, non, now, hash, ""), s.holder, sdjwt.RuleMediaType},
		"crit":                        {`{"alg":"ES256","typ":"kb+jwt","crit":["a"]}`, payload(aud, non, now, hash, ""), s.holder, sdjwt.RuleHeader},
		"alg none":                    {`{"alg":"none","typ":"kb+jwt"}`, payload(aud, non, now, hash, ""), s.holder, sdjwt.RuleAlg},
		"alg HS256":                   {`{"alg":"HS256","typ":"kb+jwt"}`, payload(aud, non, now, hash, ""), s.holder, sdjwt.RuleAlg},
		"alg of another suite":        {`{"alg":"SM2SM3","typ":"kb+jwt"}`, payload(aud, non, now, hash, ""), s.holder, sdjwt.RuleAlg},
		"duplicate nonce":             {header, payload(aud, `"x","nonce":`+non, now, hash, ""), s.holder, sdjwt.RuleDuplicateName},
		"own key in the header":       {`{"alg":"ES256","typ":"kb+jwt","jwk":` + vectorHolderJWK + `}`, payload(aud, non, now, hash, ""), thief, sdjwt.RuleKeyBindingSignature},
		"a credential as key binding": {`{"alg":"ES256","typ":"dc+sd-jwt"}`, payload(aud, non, now, hash, ""), s.holder, sdjwt.RuleMediaType},
	} {
		t.Run(what, func(t *testing.T) {
			v, err := sdjwt.Verify(presented+s.token(t, c.signer, c.header, c.payload), s.params())
			wantRule(t, err, c.rule)
			if c.rule == "" && (err != nil || !v.KeyBound) {
				t.Errorf("%v, %v", v, err)
			}
		})
	}

	_, err = sdjwt.Verify(presented, s.params())
	wantRule(t, err, sdjwt.RuleKeyBindingMissing)
	params := s.params()
	params.RequireKeyBinding = false
	_, err = sdjwt.Verify(s.present(t), params)
	wantRule(t, err, sdjwt.RuleKeyBindingUnexpected)
	_, err = sdjwt.Parse(s.present(t))
	wantRule(t, err, sdjwt.RuleKeyBindingUnexpected)

	// A credential bound to no key can be presented by nobody where a binding is wanted.
	p := s.issueParams()
	p.HolderKey = keys.PublicKey{}
	loose, err := sdjwt.Issue(rand.Reader, p)
	if err != nil {
		t.Fatal(err)
	}
	kb := s.token(t, s.holder, header, payload(aud, non, now, digest(loose), ""))
	_, err = sdjwt.Verify(loose+kb, s.params())
	wantRule(t, err, sdjwt.RuleHolderKey)
	params = s.params()
	params.MaxKBAge = time.Second
	_, err = sdjwt.Verify(presented+s.token(t, s.holder, header, payload(aud, non, now-2, hash, "")), params)
	wantRule(t, err, sdjwt.RuleStalePresentation)
}

// TestOrder: of two faults the earlier check's is named, and no key is asked for before the cheap
// checks passed.
func TestOrder(t *testing.T) {
	s := newScene(t, keys.P256)
	p := s.present(t, sdjwt.Path{"sex"})
	params := s.params()
	params.ResolveKey = func(string, string, string, int64) (keys.PublicKey, error) {
		t.Error("asked for the issuer's key")
		return keys.PublicKey{}, errors.New("asked")
	}
	steps := []struct {
		change func()
		rule   hufu.Rule
	}{
		{func() { p = flipLast(p) }, sdjwt.RuleKeyBindingSignature},
		{func() { p = strings.Replace(p, "~"+disclosureOf(p), "", 1) }, sdjwt.RuleSDHash},
		{func() { params.Now = s.now.Add(10 * time.Minute) }, sdjwt.RuleStalePresentation},
		{func() { params.Nonce = "x" }, sdjwt.RuleNonce},
		{func() { params.Audience = "x" }, sdjwt.RuleAudience},
		{func() { params.Now = s.now.Add(2 * time.Hour) }, sdjwt.RuleExpired},
		{func() { params.MediaType = "example+sd-jwt" }, sdjwt.RuleMediaType},
		{func() { p = strings.Replace(p, "~", "~"+b64(`["s","n",1]`)+"~", 1) }, sdjwt.RuleUnreferenced},
	}
	for _, step := range steps {
		step.change()
		_, err := sdjwt.Verify(p, params)
		wantRule(t, err, step.rule)
	}
}

func disclosureOf(p string) string { return strings.Split(p, "~")[1] }

// flipLast changes the signature of the key binding in a bit that base64url does keep.
func flipLast(p string) string {
	at := len(p) - 10
	c := byte('A')
	if p[at] == c {
		c = 'B'
	}
	return p[:at] + string(c) + p[at+1:]
}
