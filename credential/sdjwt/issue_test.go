package sdjwt_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// signedPayload is what the issuer signed, before any disclosure.
func signedPayload(t testing.TB, credential string) map[string]any {
	t.Helper()
	m, err := jws.Parse(credential[:strings.IndexByte(credential, '~')], sdjwt.MaxSize)
	if err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := encoding.UnmarshalJSON(m.Payload, sdjwt.MaxSize, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

func TestIssueSaysWhatItWasGiven(t *testing.T) {
	for _, suite := range keys.Suites() {
		s := newScene(t, suite)
		p := s.issueParams()
		p.NotBefore = s.now.Add(-time.Minute)
		raw, err := sdjwt.Issue(rand.Reader, p)
		if err != nil {
			t.Fatal(err)
		}
		c, err := sdjwt.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		v, err := c.Verify(s.params())
		if err != nil {
			t.Fatal(err)
		}
		if v.Issuer != issuerDID || v.KeyID != issuerKeyID || v.Type != residentVCT || v.Alg != suite.JOSEAlg() ||
			!v.HolderKey.Equal(s.holder.Public()) || !v.IssuedAt.Equal(p.IssuedAt) || !v.NotBefore.Equal(p.NotBefore) ||
			!v.ExpiresAt.Equal(p.ExpiresAt) || *v.Status != *p.Status || v.KeyBound || c.String() != raw {
			t.Errorf("%s: verified %+v", suite, v.Content)
		}
		for name, want := range s.claims {
			if got := c.Claims[name]; !reflect.DeepEqual(normal(t, got), normal(t, want)) {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	}
}

// normal brings Go's integers and json.Number to one form.
func normal(t testing.TB, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return decode(t, `{"v":`+string(raw)+`}`)
}

// TestNothingInTheClear: the signed payload names no claim and no value, and hides the order.
func TestNothingInTheClear(t *testing.T) {
	s := newScene(t, keys.P256)
	for range 20 {
		p := signedPayload(t, s.issue(t))
		digests := p["_sd"].([]any)
		if len(digests) != len(s.claims) {
			t.Fatalf("%d digests for %d claims", len(digests), len(s.claims))
		}
		texts := make([]string, len(digests))
		for i, d := range digests {
			texts[i] = d.(string)
		}
		if !slices.IsSorted(texts) {
			t.Error("the digests are in another order than their own")
		}
		delete(p, "_sd")
		for name := range p {
			if !slices.Contains([]string{"_sd_alg", "cnf", "exp", "iat", "iss", "status", "vct"}, name) {
				t.Errorf("%s in the clear", name)
			}
		}
	}
}

func TestSaltsAreFreshAndLong(t *testing.T) {
	s := newScene(t, keys.P256)
	p := s.issueParams()
	p.HolderKey, p.Status, p.Decoys = keys.PublicKey{}, nil, 4
	copies, err := sdjwt.IssueBatch(rand.Reader, p, s.copies(t, 5))
	if err != nil {
		t.Fatal(err)
	}
	salts, digests := map[string]bool{}, map[string]bool{}
	for _, c := range copies {
		parts := strings.Split(c, "~")
		for _, d := range parts[1 : len(parts)-1] {
			raw, err := jws.DecodeBase64(d)
			if err != nil {
				t.Fatal(err)
			}
			var list []any
			if err := encoding.UnmarshalJSON(raw, sdjwt.MaxSize, &list); err != nil {
				t.Fatal(err)
			}
			salt, err := jws.DecodeBase64(list[0].(string))
			if err != nil || len(salt) < 16 || salts[string(salt)] {
				t.Fatalf("salt of %d bytes, used before: %v", len(salt), salts[string(salt)])
			}
			salts[string(salt)] = true
		}
		for _, d := range signedPayload(t, c)["_sd"].([]any) {
			if digests[d.(string)] {
				t.Fatal("two copies share a digest or decoy")
			}
			digests[d.(string)] = true
		}
	}
}

func TestBatch(t *testing.T) {
	s := newScene(t, keys.P256)
	p := s.issueParams()
	p.HolderKey, p.Status = keys.PublicKey{}, nil
	copies := s.copies(t, 4)
	out, err := sdjwt.IssueBatch(rand.Reader, p, copies)
	if err != nil {
		t.Fatal(err)
	}
	for i, raw := range out {
		c, err := sdjwt.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Verify(s.params()); err != nil {
			t.Error(err)
		}
		if !c.HolderKey.Equal(copies[i].HolderKey) || *c.Status != *copies[i].Status {
			t.Errorf("copy %d has another's holder key or status", i)
		}
		if !reflect.DeepEqual(normal(t, c.Claims["address"]), normal(t, s.claims["address"])) {
			t.Errorf("copy %d says something else", i)
		}
	}
	for what, change := range map[string]func(*sdjwt.IssueParams, []sdjwt.Copy){
		"one holder key twice": func(_ *sdjwt.IssueParams, c []sdjwt.Copy) { c[1].HolderKey = c[0].HolderKey },
		"one status twice":     func(_ *sdjwt.IssueParams, c []sdjwt.Copy) { c[1].Status = &sdjwt.StatusRef{URI: c[0].Status.URI} },
		"no holder key":        func(_ *sdjwt.IssueParams, c []sdjwt.Copy) { c[1].HolderKey = keys.PublicKey{} },
		"holder key for all":   func(p *sdjwt.IssueParams, _ []sdjwt.Copy) { p.HolderKey = s.holder.Public() },
		"status for all":       func(p *sdjwt.IssueParams, _ []sdjwt.Copy) { p.Status = copies[0].Status },
	} {
		p, c := p, slices.Clone(copies)
		change(&p, c)
		if _, err := sdjwt.IssueBatch(rand.Reader, p, c); err == nil {
			t.Errorf("%s: issued", what)
		}
	}
}

func TestClaimTypes(t *testing.T) {
	s := newScene(t, keys.P256)
	s.claims = map[string]any{"list": []string{"a", "b\x01\"\\"}, "i": int64(-5), "u": uint64(math.MaxUint64), "aka_vcts": []string{"y", "z"}, "vct#integrity": map[string]any{"a": 1, "b": []any{true, nil}}}
	raw := s.issue(t)
	c, err := sdjwt.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if p := signedPayload(t, raw); !reflect.DeepEqual(p["aka_vcts"], []any{"y", "z"}) {
		t.Errorf("aka_vcts are not in the clear: %v", p)
	}
	for name, want := range s.claims {
		if !reflect.DeepEqual(normal(t, c.Claims[name]), normal(t, want)) {
			t.Errorf("%s: %v, want %v", name, c.Claims[name], want)
		}
	}
}

// TestDecoys: whatever the number of claims, objects and arrays have a multiple of so many digests.
func TestDecoys(t *testing.T) {
	s := newScene(t, keys.P256)
	s.decoys = 6
	for _, claims := range []map[string]any{
		{}, {"a": 1}, {"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}, {"l": []any{}}, {"l": []any{1, 2}, "o": map[string]any{}},
	} {
		s.claims = claims
		raw := s.issue(t)
		if n := len(signedPayload(t, raw)["_sd"].([]any)); n != 6 {
			t.Errorf("%d digests for %d claims", n, len(claims))
		}
		c, err := sdjwt.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range claims {
			if !reflect.DeepEqual(normal(t, c.Claims[name]), normal(t, want)) {
				t.Errorf("%s: %v, want %v", name, c.Claims[name], want)
			}
		}
	}
	s.claims = map[string]any{"l": []any{1, 2}}
	s.disclosable = func(p sdjwt.Path) bool { return len(p) > 1 }
	seen := map[int]bool{}
	for range 64 { // elements stay in order, decoys stand anywhere among them
		raw := s.issue(t)
		list := signedPayload(t, raw)["l"].([]any)
		if len(list) != 6 {
			t.Fatalf("%d elements", len(list))
		}
		for i, d := range strings.Split(raw, "~")[1:3] {
			for at, e := range list {
				if e.(map[string]any)["..."] == digest(d) && i == 0 {
					seen[at] = true
				}
			}
		}
	}
	if len(seen) < 3 {
		t.Errorf("the first element stood in places %v only", seen)
	}
}

func TestDisclosable(t *testing.T) {
	s := newScene(t, keys.P256)
	s.disclosable = sdjwt.Except(sdjwt.Path{"sex"}, sdjwt.Path{"address", "region"}, sdjwt.Path{"roles", nil})
	p := s.present(t)
	v, err := sdjwt.Verify(p, s.params())
	if err != nil {
		t.Fatal(err)
	}
	if v.Claims["sex"] != json.Number("1") || v.Claims["address"] != nil {
		t.Errorf("without disclosures: %v", v.Claims)
	}
	if v, err = sdjwt.Verify(s.present(t, sdjwt.Path{"roles"}, sdjwt.Path{"address", "street"}), s.params()); err != nil {
		t.Fatal(err)
	}
	if len(v.Claims["roles"].([]any)) != 4 || v.Claims["address"].(map[string]any)["region"] != "CN-33" {
		t.Errorf("with disclosures: %v", v.Claims)
	}
}

func TestIssueRefuses(t *testing.T) {
	s := newScene(t, keys.P256)
	deep := any("x")
	for range 40 {
		deep = []any{deep}
	}
	deepObject := any("x")
	for range 40 {
		deepObject = map[string]any{"o": deepObject}
	}
	claim := func(name string, v any) func(*sdjwt.IssueParams) {
		return func(p *sdjwt.IssueParams) { p.Claims = map[string]any{name: v} }
	}
	many := make([]any, sdjwt.MaxDisclosures)
	for what, change := range map[string]func(*sdjwt.IssueParams){
		"no signer":            func(p *sdjwt.IssueParams) { p.Signer = nil },
		"no type":              func(p *sdjwt.IssueParams) { p.Type = "" },
		"no issuer":            func(p *sdjwt.IssueParams) { p.Issuer = "" },
		"no issuance time":     func(p *sdjwt.IssueParams) { p.IssuedAt = time.Time{} },
		"times before 1970":    func(p *sdjwt.IssueParams) { p.IssuedAt = time.Unix(-1, 0) },
		"times after 9999":     func(p *sdjwt.IssueParams) { p.ExpiresAt = time.Unix(math.MaxInt32*1000, 0) },
		"expiry at issuance":   func(p *sdjwt.IssueParams) { p.ExpiresAt = p.IssuedAt },
		"expiry before start":  func(p *sdjwt.IssueParams) { p.NotBefore = p.ExpiresAt },
		"negative decoys":      func(p *sdjwt.IssueParams) { p.Decoys = -1 },
		"status without URI":   func(p *sdjwt.IssueParams) { p.Status = &sdjwt.StatusRef{} },
		"iss among claims":     claim("iss", "x"),
		"cnf among claims":     claim("cnf", "x"),
		"status among claims":  claim("status", "x"),
		"claim _sd":            claim("_sd", []any{}),
		"claim ... below":      claim("o", map[string]any{"...": 1}),
		"claim _sd_alg below":  claim("l", []any{map[string]any{"_sd_alg": 1}}),
		"claim ... in clear":   claim("aka_vcts", map[string]any{"...": 1}),
		"a float":              claim("a", 1.5),
		"a struct":             claim("a", struct{}{}),
		"a bad number":         claim("a", json.Number("1x")),
		"a number in disguise": claim("a", json.Number(`"x"`)),
		"bad UTF-8":            claim("a", "\xff"),
		"bad UTF-8 in clear":   claim("aka_vcts", []string{"\xff"}),
		"bad UTF-8 type":       func(p *sdjwt.IssueParams) { p.Type = "\xff" },
		"bad UTF-8 issuer":     func(p *sdjwt.IssueParams) { p.Issuer = "\xff" },
		"bad UTF-8 status":     func(p *sdjwt.IssueParams) { p.Status = &sdjwt.StatusRef{URI: "\xff"} },
		"bad UTF-8 key id":     func(p *sdjwt.IssueParams) { p.KeyID = "\xff" },
		"bad UTF-8 name":       claim("\xff", "a"),
		"too deep":             claim("a", deep),
		"too deep objects":     claim("a", deepObject),
		"a number of 65":       claim("a", json.Number(strings.Repeat("1", 65))),
		"a number of 70,000":   claim("a", json.Number(strings.Repeat("1", 70_000))),
		"too deep in clear":    claim("aka_vcts", deep),
		"too many disclosures": claim("a", many),
		"too large":            claim("a", strings.Repeat("a", sdjwt.MaxSize)),
	} {
		p := s.issueParams()
		change(&p)
		if _, err := sdjwt.Issue(rand.Reader, p); err == nil {
			t.Errorf("%s: issued", what)
		}
	}
	if _, err := sdjwt.Issue(bytes.NewReader(nil), s.issueParams()); err == nil {
		t.Error("issued without randomness")
	}
}

// TestLargestDepth: what is issued can be read.
func TestLargestDepth(t *testing.T) {
	s := newScene(t, keys.P256)
	deep := any("x")
	for range encoding.MaxJSONDepth - 5 {
		deep = map[string]any{"o": deep}
	}
	s.claims = map[string]any{"o": deep}
	for _, d := range []func(sdjwt.Path) bool{nil, func(sdjwt.Path) bool { return false }, func(p sdjwt.Path) bool { return len(p)%2 == 0 }} {
		s.disclosable = d
		if v, err := sdjwt.Verify(s.present(t, sdjwt.Path{}), s.params()); err != nil {
			t.Error(err)
		} else if !reflect.DeepEqual(v.Claims["o"], deep) {
			t.Error("something else was read")
		}
	}
}

func TestPresentRefuses(t *testing.T) {
	s := newScene(t, keys.P256)
	c := s.credential(t)
	for _, path := range []sdjwt.Path{
		{"nothing"}, {"sex", "x"}, {"sex", nil}, {"sex", 0}, {"address", nil}, {"roles", "x"}, {"roles", 4}, {"roles", nil, "x"}, {"roles", ""},
	} {
		_, err := c.Present(rand.Reader, []sdjwt.Path{path}, s.keyBinding())
		wantRule(t, err, sdjwt.RuleUnknownClaim)
	}
	for _, path := range []sdjwt.Path{{"roles", -1}, {"roles", 1.0}, {"roles", json.Number("1.5")}, {true}} {
		if _, err := c.Present(rand.Reader, []sdjwt.Path{path}, s.keyBinding()); err == nil {
			t.Errorf("%v was taken for a path", path)
		}
	}
	kb := s.keyBinding()
	kb.Signer = s.issuer
	_, err := c.Present(rand.Reader, nil, kb)
	wantRule(t, err, sdjwt.RuleHolderKey)
	for _, kb := range []sdjwt.KeyBinding{
		{Nonce: nonce, IssuedAt: s.now, Signer: s.holder}, {Audience: audience, IssuedAt: s.now, Signer: s.holder}, {Audience: audience, Nonce: nonce, Signer: s.holder},
	} {
		if _, err := c.Present(rand.Reader, nil, kb); err == nil {
			t.Errorf("bound %+v", kb)
		}
	}
	kb = s.keyBinding()
	kb.Nonce = strings.Repeat("n", sdjwt.MaxSize)
	_, err = c.Present(rand.Reader, nil, kb)
	wantRule(t, err, sdjwt.RuleTooLarge)
	loose, err := c.Present(rand.Reader, []sdjwt.Path{{"sex"}}, sdjwt.KeyBinding{})
	if err != nil || !strings.HasSuffix(loose, "~") {
		t.Errorf("without key binding: %v", err)
	}
}

func TestCompactRefuses(t *testing.T) {
	for _, raw := range []string{
		``, `[]`, `{}`, `{"protected":"a","payload":"b","signature":"c"}`,
		`{"protected":"a","payload":"b","signature":"c","header":{}}`,
		`{"protected":"a","payload":"b","signature":"c","header":{"disclosures":"d"}}`,
		`{"protected":"a","payload":"b","signature":"c","header":{"disclosures":["d~"]}}`,
		`{"protected":"a","payload":"b","signature":"c","header":{"disclosures":[1]}}`,
		`{"protected":"a","payload":"b","signature":"c","header":{"disclosures":[],"kb_jwt":1}}`,
		`{"protected":"a","payload":"b","signature":"c","header":{"disclosures":[],"kb_jwt":"~"}}`,
		`{"protected":"a.b","payload":"b","signature":"c","header":{"disclosures":[]}}`,
		`{"protected":"a","payload":1,"signature":"c","header":{"disclosures":[]}}`,
	} {
		if got, err := sdjwt.Compact(raw); err == nil {
			t.Errorf("%s became %s", raw, got)
		}
	}
	_, err := sdjwt.Compact(`{"a":1,"a":1}`)
	wantRule(t, err, sdjwt.RuleDuplicateName)
	_, err = sdjwt.Compact(strings.Repeat(" ", sdjwt.MaxSize+1))
	wantRule(t, err, sdjwt.RuleTooLarge)
}
