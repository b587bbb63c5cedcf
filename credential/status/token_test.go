package status_test

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/keys"
)

const uri = "https://example.com/statuslists/1"

var issued = time.Unix(1686920170, 0).UTC()

func newKey(t testing.TB, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func exampleList(t testing.TB) *status.List {
	t.Helper()
	l, err := status.FromBytes(1, []byte{0xb9, 0xa3})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// expect wants the example list a minute after its issuance.
func expect(key keys.PublicKey) status.Expect {
	return status.Expect{
		URI: uri, Now: issued.Add(time.Minute),
		Key: func(string, int64) (keys.PublicKey, error) { return key, nil },
	}
}

func TestTokenRoundTrip(t *testing.T) {
	for _, s := range keys.Suites() {
		key := newKey(t, s)
		in := &status.Token{
			URI: uri, Issuer: "did:x", KeyID: "did:x#k", IssuedAt: issued,
			ExpiresAt: issued.Add(time.Hour), TTL: 5 * time.Minute, List: exampleList(t),
		}
		text, err := in.Sign(rand.Reader, key)
		if err != nil {
			t.Fatal(err)
		}
		want := expect(key.Public())
		want.Key = func(kid string, at int64) (keys.PublicKey, error) {
			if kid != "did:x#k" || at != issued.Unix() {
				t.Errorf("asked for key %q at %d", kid, at)
			}
			return key.Public(), nil
		}
		out, err := status.Verify(text, want)
		if err != nil {
			t.Fatal(err)
		}
		if out.URI != in.URI || out.Issuer != in.Issuer || out.KeyID != in.KeyID || !out.IssuedAt.Equal(in.IssuedAt) ||
			!out.ExpiresAt.Equal(in.ExpiresAt) || out.TTL != in.TTL {
			t.Errorf("read %+v, wrote %+v", out, in)
		}
		if v, err := out.List.Get(0); err != nil || v != hufu.StatusRevoked {
			t.Errorf("index 0: %v %v", v, err)
		}
	}
}

// §5.1 of the draft: the published token, and the key pair of the draft's examples is not published
// with it, so its form alone is checked: everything up to the signature passes.
func TestDraftToken(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiIsImtpZCI6IjEyIiwidHlwIjoic3RhdHVzbGlzdCtqd3QifQ.eyJleHAiOjIyOTE3MjAxNzAsImlhdCI6MTY4NjkyMDE3MCwiaXNzIjoiaHR0cHM6Ly9leGFtcGxlLmNvbSIsInN0YXR1c19saXN0Ijp7ImJpdHMiOjEsImxzdCI6ImVOcmJ1UmdBQWhjQlhRIn0sInN1YiI6Imh0dHBzOi8vZXhhbXBsZS5jb20vc3RhdHVzbGlzdHMvMSIsInR0bCI6NDMyMDB9.2lKUUNG503R9htu4aHAYi7vjmr3sgApbfoDvPrl65N3URUO1EYqqQl45Jfzd-Av4QzlKa3oVALpLwOEUOq-U_g"
	_, err := status.Verify(token, expect(newKey(t, keys.P256).Public()))
	wantRule(t, err, status.RuleSignature)
	m, err := jws.Parse(token, status.MaxTokenBytes)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t, keys.P256)
	again, err := jws.Sign(rand.Reader, m.Header, m.Payload, key)
	if err != nil {
		t.Fatal(err)
	}
	got, err := status.Verify(again, expect(key.Public()))
	if err != nil {
		t.Fatal(err)
	}
	if got.KeyID != "12" || got.Issuer != "https://example.com" || got.ExpiresAt.Unix() != 2291720170 || got.TTL != 12*time.Hour {
		t.Errorf("%+v", got)
	}
	for i, want := range []hufu.Status{1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1} {
		if v, err := got.List.Get(uint64(i)); err != nil || v != want {
			t.Errorf("index %d: %v %v", i, v, err)
		}
	}
}

func TestVerifyRefusesTheContext(t *testing.T) {
	key := newKey(t, keys.P256)
	text, err := (&status.Token{URI: uri, IssuedAt: issued, ExpiresAt: issued.Add(time.Hour), List: exampleList(t)}).Sign(rand.Reader, key)
	if err != nil {
		t.Fatal(err)
	}
	resolver := hufu.Refuse("did.unknown-key", "x")
	for name, c := range map[string]struct {
		change func(*status.Expect)
		rule   hufu.Rule
	}{
		"as it should be":     {func(*status.Expect) {}, ""},
		"last second":         {func(w *status.Expect) { w.Now = issued.Add(time.Hour - time.Second) }, ""},
		"expired":             {func(w *status.Expect) { w.Now = issued.Add(time.Hour) }, status.RuleExpired},
		"expired, with skew":  {func(w *status.Expect) { w.Now, w.Skew = issued.Add(time.Hour), time.Second }, ""},
		"future":              {func(w *status.Expect) { w.Now = issued.Add(-time.Second) }, status.RuleFuture},
		"future, with skew":   {func(w *status.Expect) { w.Now, w.Skew = issued.Add(-time.Second), time.Second }, ""},
		"age at its bound":    {func(w *status.Expect) { w.MaxAge = time.Minute }, ""},
		"too old":             {func(w *status.Expect) { w.MaxAge = time.Minute - time.Second }, status.RuleStale},
		"another list's URI":  {func(w *status.Expect) { w.URI = uri + "1" }, status.RuleURI},
		"another key":         {func(w *status.Expect) { w.Key = expect(newKey(t, keys.P256).Public()).Key }, status.RuleSignature},
		"key of another kind": {func(w *status.Expect) { w.Key = expect(newKey(t, keys.Ed25519).Public()).Key }, status.RuleAlg},
		"no such key": {func(w *status.Expect) {
			w.Key = func(string, int64) (keys.PublicKey, error) { return keys.PublicKey{}, resolver }
		}, "did.unknown-key"},
	} {
		t.Run(name, func(t *testing.T) {
			want := expect(key.Public())
			c.change(&want)
			_, err := status.Verify(text, want)
			wantRule(t, err, c.rule)
		})
	}
	want := expect(keys.PublicKey{})
	if _, err := status.Verify(text, want); err == nil {
		t.Error("verified with no key")
	}
}

// Tokens that the issuer itself signed and that are still wrong.
func TestVerifyRefusesTheToken(t *testing.T) {
	key := newKey(t, keys.P256)
	claims := func(change func(map[string]any)) string {
		m := map[string]any{
			"sub": uri, "iat": 1686920170, "exp": 2291720170, "ttl": 60,
			"status_list": map[string]any{"bits": 1, "lst": "eNrbuRgAAhcBXQ"},
		}
		change(m)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	set := func(name string, v any) string { return claims(func(m map[string]any) { m[name] = v }) }
	list := func(name string, v any) string {
		return claims(func(m map[string]any) { m["status_list"].(map[string]any)[name] = v })
	}
	same := claims(func(map[string]any) {})
	for name, c := range map[string]struct {
		typ     string
		payload string
		rule    hufu.Rule
	}{
		"as it should be":   {status.Type, same, ""},
		"media type as typ": {status.MediaType, same, ""},
		"nbf":               {status.Type, set("nbf", 1686920170), ""},
		"unknown claim":     {status.Type, set("aud", "x"), ""},
		"no typ":            {"", same, status.RuleType},
		"a JWT":             {"JWT", same, status.RuleType},
		"a credential":      {"dc+sd-jwt", same, status.RuleType},
		"no JSON":           {status.Type, "{", status.RuleMalformed},
		"duplicate":         {status.Type, `{"sub":"a","sub":"b"}`, status.RuleMalformed},
		"deep":              {status.Type, strings.Repeat("[", 10000) + strings.Repeat("]", 10000), status.RuleMalformed},
		"null":              {status.Type, "null", status.RuleMalformed},
		"no sub":            {status.Type, claims(func(m map[string]any) { delete(m, "sub") }), status.RuleMalformed},
		"sub no URI":        {status.Type, set("sub", "statuslists/1"), status.RuleMalformed},
		"iss no string":     {status.Type, set("iss", 1), status.RuleMalformed},
		"no iat":            {status.Type, claims(func(m map[string]any) { delete(m, "iat") }), status.RuleMalformed},
		"iat a string":      {status.Type, set("iat", "1686920170"), status.RuleMalformed},
		"iat negative":      {status.Type, set("iat", -1), status.RuleMalformed},
		"iat a fraction":    {status.Type, set("iat", 1686920170.5), status.RuleMalformed},
		"iat after 9999":    {status.Type, set("iat", 253402300800), status.RuleMalformed},
		"nbf after iat":     {status.Type, set("nbf", 1686920171), status.RuleMalformed},
		"nbf no number":     {status.Type, set("nbf", "0"), status.RuleMalformed},
		"exp no number":     {status.Type, set("exp", nil), status.RuleMalformed},
		"ttl zero":          {status.Type, set("ttl", 0), status.RuleMalformed},
		"ttl negative":      {status.Type, set("ttl", -60), status.RuleMalformed},
		"ttl enormous":      {status.Type, set("ttl", 1<<53), status.RuleMalformed},
		"no list":           {status.Type, claims(func(m map[string]any) { delete(m, "status_list") }), status.RuleMalformed},
		"list no object":    {status.Type, set("status_list", []int{1}), status.RuleMalformed},
		"bits 3":            {status.Type, list("bits", 3), status.RuleMalformed},
		"bits 257":          {status.Type, list("bits", 257), status.RuleMalformed},
		"bits a string":     {status.Type, list("bits", "1"), status.RuleMalformed},
		"lst no string":     {status.Type, list("lst", 1), status.RuleMalformed},
		"lst padded":        {status.Type, list("lst", "eNrbuRgAAhcBXQ=="), status.RuleMalformed},
		"lst no zlib":       {status.Type, list("lst", "AAAA"), status.RuleMalformed},
		"lst a bomb":        {status.Type, list("lst", jws.EncodeBase64(compress(t, make([]byte, status.MaxListBytes+1)))), status.RuleTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			header := jws.Header{}
			if c.typ != "" {
				header["typ"] = c.typ
			}
			text, err := jws.Sign(rand.Reader, header, []byte(c.payload), key)
			if err != nil {
				t.Fatal(err)
			}
			_, err = status.Verify(text, expect(key.Public()))
			wantRule(t, err, c.rule)
		})
	}
	for name, c := range map[string]struct {
		text string
		rule hufu.Rule
	}{
		"not three parts": {"a.b", status.RuleMalformed},
		"too large":       {strings.Repeat("A", status.MaxTokenBytes+1), status.RuleTooLarge},
		"alg none": {
			jws.EncodeBase64([]byte(`{"alg":"none","typ":"statuslist+jwt"}`)) + "." + jws.EncodeBase64([]byte(same)) + ".AA", status.RuleAlg,
		},
	} {
		_, err := status.Verify(c.text, expect(key.Public()))
		if hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: %v, want %s", name, err, c.rule)
		}
	}
}

// A bomb that the issuer did not sign is not even decompressed.
func TestSignatureBeforeList(t *testing.T) {
	bomb := `{"sub":"` + uri + `","iat":1686920170,"status_list":{"bits":1,"lst":"AAAA"}}`
	text, err := jws.Sign(rand.Reader, jws.Header{"typ": status.Type}, []byte(bomb), newKey(t, keys.P256))
	if err != nil {
		t.Fatal(err)
	}
	_, err = status.Verify(text, expect(newKey(t, keys.P256).Public()))
	wantRule(t, err, status.RuleSignature)
}

func TestSignRefuses(t *testing.T) {
	key := newKey(t, keys.Ed25519)
	good := status.Token{URI: uri, IssuedAt: issued, List: exampleList(t)}
	if _, err := good.Sign(rand.Reader, key); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*status.Token){
		"the first second": func(x *status.Token) { x.IssuedAt = time.Unix(1, 0) },
		"the last second":  func(x *status.Token) { x.IssuedAt = time.Unix(253402300799, 0) },
		"the shortest ttl": func(x *status.Token) { x.TTL = time.Second },
	} {
		fine := good
		change(&fine)
		if _, err := fine.Sign(rand.Reader, key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, change := range map[string]func(*status.Token){
		"at the epoch":    func(x *status.Token) { x.IssuedAt = time.Unix(0, 0) },
		"no list":         func(x *status.Token) { x.List = nil },
		"no URI":          func(x *status.Token) { x.URI = "" },
		"no time":         func(x *status.Token) { x.IssuedAt = time.Time{} },
		"born expired":    func(x *status.Token) { x.ExpiresAt = issued },
		"negative ttl":    func(x *status.Token) { x.TTL = -time.Second },
		"fractional ttl":  func(x *status.Token) { x.TTL = time.Millisecond },
		"after year 9999": func(x *status.Token) { x.IssuedAt = time.Unix(253402300800, 0) },
	} {
		bad := good
		change(&bad)
		if _, err := bad.Sign(rand.Reader, key); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestStaleAt(t *testing.T) {
	now := issued.Add(time.Minute)
	for _, c := range []struct {
		token status.Token
		want  time.Time
	}{
		{status.Token{}, time.Time{}},
		{status.Token{TTL: time.Hour}, now.Add(time.Hour)},
		{status.Token{ExpiresAt: issued.Add(time.Hour)}, issued.Add(time.Hour)},
		{status.Token{ExpiresAt: issued.Add(time.Hour), TTL: 2 * time.Hour}, issued.Add(time.Hour)},
		{status.Token{ExpiresAt: issued.Add(time.Hour), TTL: time.Minute}, now.Add(time.Minute)},
	} {
		if got := c.token.StaleAt(now); !got.Equal(c.want) {
			t.Errorf("%+v: %v, want %v", c.token, got, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key := newKey(f, keys.Ed25519)
	for _, payload := range []string{
		`{"sub":"` + uri + `","iat":1686920170,"status_list":{"bits":1,"lst":"eNrbuRgAAhcBXQ"}}`,
		`{"sub":"` + uri + `","iat":1,"nbf":0,"exp":3,"ttl":4,"iss":"x","status_list":{"bits":8,"lst":""}}`,
		`[]`,
	} {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		text, err := jws.Sign(nil, jws.Header{"typ": status.Type}, payload, key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := status.Verify(text, expect(key.Public()))
		if err != nil {
			return
		}
		again, err := got.Sign(nil, key)
		if err != nil {
			if got.ExpiresAt.IsZero() || got.IssuedAt.Unix() > 0 && got.ExpiresAt.After(got.IssuedAt) {
				t.Fatalf("verified and cannot be signed: %v", err)
			}
			return
		}
		if _, err := status.Verify(again, expect(key.Public())); err != nil {
			t.Fatal(err)
		}
	})
}
