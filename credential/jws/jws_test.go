package jws_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"pgregory.net/rapid"
)

const most = 1 << 16

func signer(t testing.TB, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}

func TestSignedTokenVerifies(t *testing.T) {
	for _, s := range keys.Suites() {
		key := signer(t, s)
		header := jws.Header{"typ": "test+jwt", "kid": "did:x#<&>"}
		token, err := jws.Sign(rand.Reader, header, []byte(`{"a":1}`), key)
		if err != nil {
			t.Fatal(err)
		}
		if len(header) != 2 {
			t.Error("Sign changed the caller's header")
		}
		m, err := jws.Parse(token, most)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Verify(key.Public()); err != nil {
			t.Error(err)
		}
		if m.Header.Text("alg") != s.JOSEAlg() || m.Header.Text("kid") != "did:x#<&>" || string(m.Payload) != `{"a":1}` {
			t.Errorf("read back %v %s", m.Header, m.Payload)
		}
		if !bytes.Contains(m.HeaderRaw, []byte("did:x#<&>")) {
			t.Error("header escaped for HTML")
		}
		wantRule(t, m.Verify(signer(t, s).Public()), jws.RuleSignature)
		for _, other := range keys.Suites() {
			if other != s {
				wantRule(t, m.Verify(signer(t, other).Public()), jws.RuleAlg)
			}
		}
		if err := m.Verify(keys.PublicKey{}); !errors.Is(err, keys.ErrNoKey) {
			t.Errorf("zero key: %v", err)
		}
	}
}

// Whatever byte of a token changes, it is refused.
func TestEveryByteCounts(t *testing.T) {
	key := signer(t, keys.P256)
	token, err := jws.Sign(rand.Reader, jws.Header{"typ": "x"}, []byte("payload"), key)
	if err != nil {
		t.Fatal(err)
	}
	for i := range token {
		for _, c := range []byte{'A', 'b', '.', '=', '\n', '+'} {
			bad := []byte(token)
			if bad[i] == c {
				continue
			}
			bad[i] = c
			m, err := jws.Parse(string(bad), most)
			if err == nil {
				err = m.Verify(key.Public())
			}
			if err == nil {
				t.Fatalf("accepted with %q at %d", c, i)
			}
		}
	}
}

func enc(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestParseRefuses(t *testing.T) {
	good := enc(`{"alg":"ES256"}`)
	for name, c := range map[string]struct {
		token string
		rule  hufu.Rule
	}{
		"too large":            {good + ".AA." + strings.Repeat("A", most), jws.RuleTooLarge},
		"empty":                {"", jws.RuleMalformed},
		"two parts":            {good + ".AA", jws.RuleMalformed},
		"four parts":           {good + ".AA.AA.AA", jws.RuleMalformed},
		"no signature":         {good + ".AA.", jws.RuleMalformed},
		"padding":              {good + ".AA==.AA", jws.RuleMalformed},
		"line break":           {good + ".A\nA.AA", jws.RuleMalformed},
		"carriage return":      {good + ".AA.A\rA", jws.RuleMalformed},
		"line break first":     {good + ".\nAA.AA", jws.RuleMalformed},
		"return first":         {good + ".AA.\rAA", jws.RuleMalformed},
		"loose bits":           {good + ".AB.AA", jws.RuleMalformed},
		"standard alphabet":    {good + ".++++.AA", jws.RuleMalformed},
		"header no JSON":       {enc(`{"alg":`) + ".AA.AA", jws.RuleMalformed},
		"header array":         {enc(`["ES256"]`) + ".AA.AA", jws.RuleMalformed},
		"header twice":         {enc(`{"alg":"ES256"}{}`) + ".AA.AA", jws.RuleMalformed},
		"duplicate name":       {enc(`{"alg":"ES256","alg":"none"}`) + ".AA.AA", jws.RuleMalformed},
		"hidden duplicate":     {enc(`{"alg":"ES256","\u0061lg":"none"}`) + ".AA.AA", jws.RuleMalformed},
		"deep":                 {enc(`{"alg":"ES256","x":`+strings.Repeat("[", 10000)+strings.Repeat("]", 10000)+"}") + ".AA.AA", jws.RuleMalformed},
		"crit":                 {enc(`{"alg":"ES256","crit":["exp"]}`) + ".AA.AA", jws.RuleUnsupported},
		"b64":                  {enc(`{"alg":"ES256","b64":false}`) + ".AA.AA", jws.RuleUnsupported},
		"zip":                  {enc(`{"alg":"ES256","zip":"DEF"}`) + ".AA.AA", jws.RuleUnsupported},
		"enc":                  {enc(`{"alg":"ES256","enc":"A128GCM"}`) + ".AA.AA", jws.RuleUnsupported},
		"null header":          {enc(`null`) + ".AA.AA", jws.RuleAlg},
		"alg absent":           {enc(`{}`) + ".AA.AA", jws.RuleAlg},
		"alg in other letters": {enc(`{"ALG":"ES256"}`) + ".AA.AA", jws.RuleAlg},
		"alg no string":        {enc(`{"alg":["ES256"]}`) + ".AA.AA", jws.RuleAlg},
		"alg none":             {enc(`{"alg":"none"}`) + ".AA.AA", jws.RuleAlg},
		"alg NoNe":             {enc(`{"alg":"NoNe"}`) + ".AA.AA", jws.RuleAlg},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jws.Parse(c.token, most)
			wantRule(t, err, c.rule)
		})
	}
}

func TestSignRefuses(t *testing.T) {
	key := signer(t, keys.P256)
	if _, err := jws.Sign(rand.Reader, jws.Header{"alg": "EdDSA"}, nil, key); err == nil {
		t.Error("signed under another algorithm's name")
	}
	if _, err := jws.Sign(rand.Reader, jws.Header{"alg": "ES256"}, nil, key); err != nil {
		t.Error(err)
	}
	_, err := jws.Sign(rand.Reader, jws.Header{"crit": []string{"x"}}, nil, key)
	wantRule(t, err, jws.RuleUnsupported)
	if _, err := jws.Sign(rand.Reader, jws.Header{"x": func() {}}, nil, key); err == nil {
		t.Error("signed a header that is no JSON")
	}
	if _, err := jws.Sign(bytes.NewReader(nil), nil, nil, signer(t, keys.SM2)); err == nil {
		t.Error("signed without randomness")
	}
}

// RFC 9864 names the curve in the algorithm; both names are the same signature.
func TestFullySpecifiedEd25519(t *testing.T) {
	key := signer(t, keys.Ed25519)
	input := enc(`{"alg":"Ed25519"}`) + "." + enc("x")
	sig, _ := key.Sign(nil, []byte(input))
	m, err := jws.Parse(input+"."+enc(string(sig)), most)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(key.Public()); err != nil {
		t.Error(err)
	}
	wantRule(t, m.Verify(signer(t, keys.P256).Public()), jws.RuleAlg)
}

// RFC 7515 appendix A.3: the standard's own ES256 token.
func TestRFC7515(t *testing.T) {
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	key, err := jws.ParseJWK([]byte(`{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`))
	if err != nil {
		t.Fatal(err)
	}
	m, err := jws.Parse(token, most)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Verify(key); err != nil {
		t.Error(err)
	}
}

type wycheproof struct {
	TestGroups []struct {
		Comment string          `json:"comment"`
		Public  json.RawMessage `json:"public"`
		Tests   []struct {
			TcID    int    `json:"tcId"`
			Comment string `json:"comment"`
			JWS     string `json:"jws"`
			Result  string `json:"result"`
		} `json:"tests"`
	} `json:"testGroups"`
}

// The groups that apply have a P-256 key for signatures; the other keys, of algorithms this network
// has not or for encryption, are refused as keys.
func TestWycheproof(t *testing.T) {
	raw, err := os.ReadFile("../../../shared/vectors/wycheproof/json_web_signature_test.json")
	if err != nil {
		t.Skip("wycheproof vectors not present")
	}
	var file wycheproof
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	applied, foreign := 0, 0
	for _, g := range file.TestGroups {
		key, keyErr := jws.ParseJWK(g.Public)
		for _, c := range g.Tests {
			m, err := jws.Parse(c.JWS, most)
			if keyErr != nil {
				foreign++
				continue
			}
			if err == nil {
				err = m.Verify(key)
			}
			applied++
			if (err == nil) != (c.Result == "valid") {
				t.Errorf("%s, case %d (%s): want %s, got %v", g.Comment, c.TcID, c.Comment, c.Result, err)
			}
		}
	}
	if applied < 39 {
		t.Errorf("only %d cases applied, %d are for other algorithms", applied, foreign)
	}
}

// Any payload and any text in the header come back as they were.
func TestRoundTrip(t *testing.T) {
	key := signer(t, keys.Ed25519)
	rapid.Check(t, func(t *rapid.T) {
		payload := rapid.SliceOf(rapid.Byte()).Draw(t, "payload")
		kid := rapid.String().Draw(t, "kid")
		token, err := jws.Sign(nil, jws.Header{"kid": kid}, payload, key)
		if err != nil {
			t.Fatal(err)
		}
		m, err := jws.Parse(token, len(token))
		if err != nil {
			t.Fatal(err)
		}
		if m.Verify(key.Public()) != nil || m.Header.Text("kid") != kid || !bytes.Equal(m.Payload, payload) {
			t.Fatalf("%q became %q", kid, m.Header.Text("kid"))
		}
	})
}

// A token that parses has exactly one spelling.
func FuzzParse(f *testing.F) {
	f.Add(enc(`{"alg":"ES256"}`) + ".AA.AA")
	f.Add(enc(`{"alg":"none"}`) + "..")
	f.Add("..")
	f.Fuzz(func(t *testing.T, token string) {
		m, err := jws.Parse(token, most)
		if err != nil {
			return
		}
		if again := enc(string(m.HeaderRaw)) + "." + enc(string(m.Payload)) + "." + enc(string(m.Signature)); again != token {
			t.Fatalf("%q has a second spelling %q", token, again)
		}
	})
}
