package jwe

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
)

func seeded(n byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{n}) }

func newKey(t testing.TB, seed byte, kid string) *PrivateKey {
	t.Helper()
	k, err := GenerateKey(seeded(seed), kid)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}

// The example computation of RFC 7518 Appendix C.
func TestKeyDerivationExample(t *testing.T) {
	secret := func(d string) *PrivateKey {
		raw, err := jws.DecodeBase64(d)
		if err != nil {
			t.Fatal(err)
		}
		k, err := LoadKey(raw, "")
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	alice := secret("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo")
	bob := secret("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw")
	if x := alice.Public().JWK().X; x != "gI0GAILBdu7T53akrFmMyGcsF3n5dO7MmwNBHKW5SV0" {
		t.Fatalf("Alice's x is %s", x)
	}
	if x := bob.Public().JWK().X; x != "weNJy2HscCSM6AEDTDg04biOvhFhyyWvOHQfeF_PxMQ" {
		t.Fatalf("Bob's x is %s", x)
	}
	z, err := alice.key.ECDH(bob.pub.key)
	if err != nil {
		t.Fatal(err)
	}
	if got := jws.EncodeBase64(deriveKey(z, A128GCM, []byte("Alice"), []byte("Bob"))); got != "VqqN6vgjbSBcIijNcacQGg" {
		t.Fatalf("derived %s", got)
	}
}

func TestWycheproof(t *testing.T) {
	for _, name := range []string{"json_web_encryption_test.json", "json_web_crypto_test.json"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "vectors", "wycheproof", name))
		if err != nil {
			t.Skip("Wycheproof vectors not present")
		}
		var file struct {
			TestGroups []struct {
				Private struct{ Kty, Crv, D, Kid string }
				Tests   []struct {
					TcID            int
					Comment, Result string
					JWE             json.RawMessage
					Pt              string
				}
			}
		}
		if err := json.Unmarshal(raw, &file); err != nil {
			t.Fatal(err)
		}
		opened, refused := 0, 0
		for _, g := range file.TestGroups {
			if g.Private.Kty != "EC" || g.Private.Crv != "P-256" {
				continue
			}
			secret, err := base64.RawURLEncoding.DecodeString(g.Private.D)
			if err != nil {
				t.Fatal(err)
			}
			key, err := LoadKey(secret, g.Private.Kid)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range g.Tests {
				var token string
				if len(c.JWE) == 0 || json.Unmarshal(c.JWE, &token) != nil {
					continue // a signature's test
				}
				got, err := open(token, key)
				if ours := c.Result == "valid" && supported(token); ours != (err == nil) {
					t.Errorf("%s %d %s: %v", name, c.TcID, c.Comment, err)
				}
				if err != nil {
					refused++
					continue
				}
				opened++
				if want, _ := hex.DecodeString(c.Pt); !bytes.Equal(got, want) {
					t.Errorf("%s %d %s: wrong plaintext", name, c.TcID, c.Comment)
				}
			}
		}
		t.Logf("%s: %d opened, %d refused", name, opened, refused)
		if opened+refused == 0 || name == "json_web_encryption_test.json" && opened != 2 {
			t.Errorf("%s: %d opened, %d refused", name, opened, refused)
		}
	}
}

func open(token string, key *PrivateKey) ([]byte, error) {
	m, err := Parse(token, 1<<20)
	if err != nil {
		return nil, err
	}
	return m.Decrypt(key)
}

// supported tells by the header's text alone whether this package is to open a valid token.
func supported(token string) bool {
	head, _, _ := strings.Cut(token, ".")
	raw, _ := base64.RawURLEncoding.DecodeString(head)
	var h struct{ Alg, Enc string }
	return json.Unmarshal(raw, &h) == nil && h.Alg == "ECDH-ES" && (h.Enc == "A128GCM" || h.Enc == "A256GCM")
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seed := rapid.Byte().Draw(t, "seed")
		key, err := GenerateKey(seeded(seed), rapid.StringMatching(`[a-z0-9]{0,12}`).Draw(t, "kid"))
		if err != nil {
			t.Fatal(err)
		}
		h := Header{
			Enc: rapid.SampledFrom(Encs()).Draw(t, "enc"), Cty: rapid.SampledFrom([]string{"", "json"}).Draw(t, "cty"),
			APU: rapid.SliceOfN(rapid.Byte(), 0, MaxPartyInfo).Draw(t, "apu"), APV: rapid.SliceOfN(rapid.Byte(), 0, MaxPartyInfo).Draw(t, "apv"),
		}
		plain := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "plaintext")
		token, err := Encrypt(seeded(seed+1), key.Public(), h, plain)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(token, len(token))
		if err != nil {
			t.Fatal(err)
		}
		got, err := m.Decrypt(key)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, plain) || m.Enc != h.Enc || m.Cty != h.Cty || m.KeyID != key.Public().KeyID ||
			!bytes.Equal(m.APU, h.APU) || !bytes.Equal(m.APV, h.APV) {
			t.Fatalf("wrote %+v, read %+v", h, m.Header)
		}
		// One bit anywhere in the text is noticed.
		at := rapid.IntRange(0, len(token)-1).Draw(t, "at")
		spoilt := []byte(token)
		spoilt[at] ^= 1
		if _, err := open(string(spoilt), key); err == nil {
			t.Fatalf("opened with character %d changed", at)
		}
	})
}

func TestRandomnessDecides(t *testing.T) {
	key := newKey(t, 1, "")
	a, _ := Encrypt(seeded(2), key.Public(), Header{Enc: A256GCM}, []byte("x"))
	b, _ := Encrypt(seeded(2), key.Public(), Header{Enc: A256GCM}, []byte("x"))
	c, _ := Encrypt(seeded(3), key.Public(), Header{Enc: A256GCM}, []byte("x"))
	if a != b || a == c {
		t.Error("the message is not decided by the randomness that was passed in")
	}
}

func TestDecryptRefusals(t *testing.T) {
	key := newKey(t, 1, "a")
	token, err := Encrypt(seeded(2), key.Public(), Header{Enc: A128GCM, APU: []byte("u"), APV: []byte("v")}, []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(token, 4096)
	if err != nil {
		t.Fatal(err)
	}
	_, err = m.Decrypt(newKey(t, 9, "b"))
	wantRule(t, err, RuleKey)
	_, err = m.Decrypt(newKey(t, 9, "a"))
	wantRule(t, err, RuleDecrypt)
	for name, change := range map[string]func(*Message){
		"apu": func(m *Message) { m.APU = []byte("w") },
		"apv": func(m *Message) { m.APV = nil },
		"enc": func(m *Message) { m.Enc = A256GCM },
		"aad": func(m *Message) { m.protected += "A" },
		"iv":  func(m *Message) { m.iv = bytes.Repeat([]byte{1}, ivLen) },
		"epk": func(m *Message) { m.epk = newKey(t, 4, "").Public() },
	} {
		t.Run(name, func(t *testing.T) {
			altered := *m
			change(&altered)
			_, err := altered.Decrypt(key)
			wantRule(t, err, RuleDecrypt)
		})
	}
}

func TestParseRefusals(t *testing.T) {
	key := newKey(t, 1, "")
	token, err := Encrypt(seeded(2), key.Public(), Header{Enc: A128GCM}, []byte("content"))
	if err != nil {
		t.Fatal(err)
	}
	part := strings.Split(token, ".")
	rawHeader, _ := jws.DecodeBase64(part[0])
	var good map[string]any
	if err := json.Unmarshal(rawHeader, &good); err != nil {
		t.Fatal(err)
	}
	withHeader := func(change func(map[string]any)) string {
		var h map[string]any
		_ = json.Unmarshal(rawHeader, &h)
		change(h)
		raw, _ := json.Marshal(h)
		return jws.EncodeBase64(raw) + token[len(part[0]):]
	}
	set := func(name string, v any) string { return withHeader(func(h map[string]any) { h[name] = v }) }
	epk := func(name string, v any) string {
		return withHeader(func(h map[string]any) { h["epk"].(map[string]any)[name] = v })
	}
	zero := jws.EncodeBase64(make([]byte, 32))
	for name, c := range map[string]struct {
		token string
		want  hufu.Rule
	}{
		"unknown parameter is ignored": {token: set("unheard_of", 1)},
		"empty":                        {want: RuleMalformed},
		"four parts":                   {token: strings.Join(part[:4], "."), want: RuleMalformed},
		"six parts":                    {token: token + ".", want: RuleMalformed},
		"padding":                      {token: token + "=", want: RuleMalformed},
		"line break":                   {token: token + "\n", want: RuleMalformed},
		"encrypted key":                {token: part[0] + ".AAAA" + strings.TrimPrefix(token, part[0]+"."), want: RuleMalformed},
		"short iv":                     {token: strings.Join([]string{part[0], "", "AAAA", part[3], part[4]}, "."), want: RuleMalformed},
		"short tag":                    {token: strings.Join([]string{part[0], "", part[2], part[3], "AAAA"}, "."), want: RuleMalformed},
		"no tag":                       {token: strings.Join([]string{part[0], "", part[2], part[3], ""}, "."), want: RuleMalformed},
		"header no object":             {token: "W10" + token[len(part[0]):], want: RuleMalformed},
		"header null":                  {token: "bnVsbA" + token[len(part[0]):], want: RuleMalformed},
		"header duplicate name":        {token: jws.EncodeBase64(append([]byte(`{"alg":"ECDH-ES",`), rawHeader[1:]...)) + token[len(part[0]):], want: RuleMalformed},
		"header too long":              {token: set("x", strings.Repeat("a", MaxHeader)), want: RuleMalformed},
		"alg none":                     {token: set("alg", "none"), want: RuleAlg},
		"alg with key wrapping":        {token: set("alg", "ECDH-ES+A128KW"), want: RuleAlg},
		"alg dir":                      {token: set("alg", "dir"), want: RuleAlg},
		"alg RSA":                      {token: set("alg", "RSA-OAEP"), want: RuleAlg},
		"alg a number":                 {token: set("alg", 5), want: RuleMalformed},
		"enc CBC":                      {token: set("enc", "A128CBC-HS256"), want: RuleEnc},
		"enc A192GCM":                  {token: set("enc", "A192GCM"), want: RuleEnc},
		"enc lower case":               {token: set("enc", "a128gcm"), want: RuleEnc},
		"enc null":                     {token: set("enc", nil), want: RuleMalformed},
		"crit":                         {token: set("crit", []string{"exp"}), want: RuleUnsupported},
		"zip":                          {token: set("zip", "DEF"), want: RuleUnsupported},
		"jwk":                          {token: set("jwk", good["epk"]), want: RuleUnsupported},
		"jku":                          {token: set("jku", "https://a.example/"), want: RuleUnsupported},
		"kid a number":                 {token: set("kid", 1), want: RuleMalformed},
		"kid too long":                 {token: set("kid", strings.Repeat("a", MaxKeyIDLen+1)), want: RuleMalformed},
		"apu no base64url":             {token: set("apu", "a+b"), want: RuleMalformed},
		"apu an object":                {token: set("apu", map[string]any{}), want: RuleMalformed},
		"apv too long":                 {token: set("apv", strings.Repeat("AAAA", MaxPartyInfo)), want: RuleMalformed},
		"epk missing":                  {token: withHeader(func(h map[string]any) { delete(h, "epk") }), want: RuleMalformed},
		"epk on another curve":         {token: epk("crv", "P-384"), want: RuleKey},
		"epk of another type":          {token: epk("kty", "OKP"), want: RuleKey},
		"epk off the curve":            {token: epk("y", zero), want: RuleKey},
		"epk short coordinate":         {token: epk("x", "AAAA"), want: RuleKey},
		"epk private":                  {token: epk("d", zero), want: RuleKey},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse(c.token, 64<<10)
			wantRule(t, err, c.want)
		})
	}
	_, err = Parse(token, len(token)-1)
	wantRule(t, err, RuleTooLarge)
}

func TestEncryptRefusals(t *testing.T) {
	key := newKey(t, 1, "").Public()
	_, err := Encrypt(seeded(2), PublicKey{}, Header{Enc: A128GCM}, nil)
	wantRule(t, err, RuleKey)
	_, err = Encrypt(seeded(2), key, Header{Enc: "A128CBC-HS256"}, nil)
	wantRule(t, err, RuleEnc)
	_, err = Encrypt(seeded(2), key, Header{Enc: A128GCM, APU: make([]byte, MaxPartyInfo+1)}, nil)
	wantRule(t, err, RuleMalformed)
	_, err = Encrypt(seeded(2), key, Header{Enc: A128GCM, Cty: strings.Repeat("a", MaxHeader)}, nil)
	wantRule(t, err, RuleMalformed)
	if _, err = Encrypt(bytes.NewReader(make([]byte, 0)), key, Header{Enc: A128GCM}, nil); err == nil {
		t.Error("encrypted without randomness")
	}
	if _, err = Encrypt(bytes.NewReader(bytes.Repeat([]byte{1}, 40)), key, Header{Enc: A128GCM}, nil); err == nil {
		t.Error("encrypted with half an IV")
	}
	if _, err := GenerateKey(seeded(1), strings.Repeat("a", MaxKeyIDLen+1)); err == nil {
		t.Error("a key with a key id that no message can hold")
	}
	if _, err := LoadKey(make([]byte, 32), ""); err == nil {
		t.Error("loaded the secret 0")
	}
}

func TestKeys(t *testing.T) {
	key := newKey(t, 1, "enc-1")
	raw, _ := json.Marshal(key.Public().JWK())
	got, err := ParseKey(raw)
	if err != nil || !got.Equal(key.Public()) || got.KeyID != "enc-1" {
		t.Fatalf("%s read as %+v: %v", raw, got, err)
	}
	again, err := LoadKey(key.Secret(), "other")
	if err != nil || !again.Public().Equal(key.Public()) {
		t.Fatalf("loaded another key: %v", err)
	}
	var good map[string]any
	_ = json.Unmarshal(raw, &good)
	for name, v := range map[string]any{"use": "sig", "alg": "ES256", "kid": 7, "crv": "SM2", "d": "x", "kty": nil, "x": "AA"} {
		m := map[string]any{}
		for k, v := range good {
			m[k] = v
		}
		m[name] = v
		_, err := KeyOf(m)
		wantRule(t, err, RuleKey)
	}
	set, _ := json.Marshal(map[string]any{"keys": []any{
		map[string]any{"kty": "RSA", "n": "AQAB", "e": "AQAB"}, good, map[string]any{"kty": "EC", "crv": "P-384"},
	}})
	list, err := ParseKeySet(set)
	if err != nil || len(list) != 1 || !list[0].Equal(key.Public()) {
		t.Fatalf("key set read as %v: %v", list, err)
	}
	for _, bad := range []string{``, `[]`, `{}`, `{"keys":null}`, `{"keys":5}`, `{"keys":[` + strings.Repeat("{},", MaxKeys) + `{}]}`} {
		_, err := ParseKeySet([]byte(bad))
		wantRule(t, err, RuleKey)
	}
	if (PublicKey{}).JWK() != (JWK{}) || (PublicKey{}).Thumbprint() != nil || (PublicKey{}).Equal(PublicKey{}) {
		t.Error("the zero key is something")
	}
}

// The thumbprint equals that of the same point as a key for signatures.
func TestThumbprint(t *testing.T) {
	j := newKey(t, 1, "").Public()
	pub, err := jws.KeyOf(map[string]any{"kty": "EC", "crv": "P-256", "x": j.JWK().X, "y": j.JWK().Y})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := jws.EncodeBase64(j.Thumbprint()), jws.Thumbprint(pub); got != want {
		t.Errorf("thumbprint %s, want %s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	key, err := GenerateKey(seeded(1), "k")
	if err != nil {
		f.Fatal(err)
	}
	token, err := Encrypt(seeded(2), key.Public(), Header{Enc: A128GCM, APU: []byte("u")}, []byte("content"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("....")
	f.Add("e30....")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text, 8<<10)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		if _, err := m.Decrypt(key); err != nil && hufu.RuleOf(err) == "" {
			t.Fatalf("not a refusal: %v", err)
		}
	})
}
