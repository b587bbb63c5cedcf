package oauth_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// The examples of RFC 9449 §4.1 and §7.1.
const (
	tokenProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik" +
		"VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR" +
		"nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE" +
		"QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIj" +
		"oiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia" +
		"WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg" +
		"4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
	resourceProof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6Ik" +
		"VDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCR" +
		"nMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JE" +
		"QSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIj" +
		"oiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0Z" +
		"WRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNF" +
		"c05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71E" +
		"OptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	resourceToken = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
)

func TestDPoPOfTheStandard(t *testing.T) {
	p, err := oauth.VerifyDPoP(tokenProof, oauth.DPoPParams{Method: "POST", URL: "https://server.example.com/token", Now: time.Unix(1562262616, 0)})
	if err != nil {
		t.Fatal(err)
	}
	if p.Thumbprint != "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I" || p.ID != "-BwC3ESc6acc2lTc" {
		t.Error(p.Thumbprint, p.ID)
	}
	_, err = oauth.VerifyDPoP(resourceProof, oauth.DPoPParams{
		Method: "GET", URL: "https://resource.example.org/protectedresource", AccessToken: resourceToken, BoundTo: p.Thumbprint, Now: time.Unix(1562262618, 0),
	})
	if err != nil {
		t.Error(err)
	}
}

func TestDPoPRoundTrip(t *testing.T) {
	for _, s := range []*keys.Suite{keys.P256, keys.Ed25519} {
		k := signer(t, s)
		proof, err := oauth.MakeDPoP(rand.Reader, k, oauth.DPoP{
			Method: "POST", URL: "https://AS.example:443/token?x=1", ID: "id", IssuedAt: now, Nonce: "n", AccessToken: "t",
		})
		if err != nil {
			t.Fatal(err)
		}
		p, err := oauth.VerifyDPoP(proof, oauth.DPoPParams{
			Method: "POST", URL: "https://as.example/token", AccessToken: "t", BoundTo: jws.Thumbprint(k.Public()), Now: now.Add(time.Second),
			Nonce: func(n string) bool { return n == "n" },
		})
		if err != nil || !p.Key.Equal(k.Public()) || !p.Until.Equal(now.Add(oauth.DefaultMaxAge)) {
			t.Errorf("%s: %+v %v", s, p, err)
		}
	}
}

func TestDPoPRefused(t *testing.T) {
	k, other := signer(t, keys.P256), signer(t, keys.P256)
	jwk := jws.NewJWK(k.Public()).Claim()
	params := oauth.DPoPParams{
		Method: "POST", URL: "https://as.example/token", AccessToken: "t", BoundTo: jws.Thumbprint(k.Public()), Now: now,
		Nonce: func(n string) bool { return n == "n" },
	}
	claims := func(name string, v any) map[string]any {
		c := map[string]any{"jti": "i", "htm": "POST", "htu": "https://as.example/token", "iat": now.Unix(), "nonce": "n", "ath": oauth.Challenge("t")}
		if v == nil {
			delete(c, name)
		} else {
			c[name] = v
		}
		return c
	}
	header := func(name string, v any) jws.Header {
		h := jws.Header{"typ": oauth.DPoPMediaType, "jwk": jwk}
		if v == nil {
			delete(h, name)
		} else {
			h[name] = v
		}
		return h
	}
	sign := func(h jws.Header, c any, by keys.Signer) string {
		raw, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		token, err := jws.Sign(rand.Reader, h, raw, by)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := sign(header("x", 1), claims("x", 1), k)
	if _, err := oauth.VerifyDPoP(good, params); err != nil {
		t.Fatal(err)
	}
	sm2 := signer(t, keys.SM2)
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		proof string
		rule  hufu.Rule
	}{
		"nothing":              {"", oauth.RuleDPoP},
		"too large":            {good + strings.Repeat("A", oauth.MaxProofBytes), oauth.RuleDPoP},
		"alg none":             {jws.EncodeBase64([]byte(`{"alg":"none","typ":"dpop+jwt"}`)) + "." + parts[1] + "." + parts[2], oauth.RuleDPoP},
		"no typ":               {sign(header("typ", nil), claims("x", 1), k), oauth.RuleDPoP},
		"another typ":          {sign(header("typ", "JWT"), claims("x", 1), k), oauth.RuleDPoP},
		"no key":               {sign(header("jwk", nil), claims("x", 1), k), oauth.RuleDPoP},
		"private key":          {sign(header("jwk", map[string]any{"kty": "EC", "crv": "P-256", "x": jwk["x"], "y": jwk["y"], "d": "AA"}), claims("x", 1), k), oauth.RuleDPoP},
		"unregistered alg":     {sign(header("jwk", jws.NewJWK(sm2.Public()).Claim()), claims("x", 1), sm2), oauth.RuleDPoP},
		"another's signature":  {sign(header("x", 1), claims("x", 1), other), oauth.RuleDPoP},
		"no claims":            {sign(header("x", 1), []int{}, k), oauth.RuleDPoP},
		"no jti":               {sign(header("x", 1), claims("jti", nil), k), oauth.RuleDPoP},
		"long jti":             {sign(header("x", 1), claims("jti", strings.Repeat("j", 257)), k), oauth.RuleDPoP},
		"no htm":               {sign(header("x", 1), claims("htm", nil), k), oauth.RuleDPoP},
		"wrong htm":            {sign(header("x", 1), claims("htm", "GET"), k), oauth.RuleDPoP},
		"htm in small letters": {sign(header("x", 1), claims("htm", "post"), k), oauth.RuleDPoP},
		"no htu":               {sign(header("x", 1), claims("htu", nil), k), oauth.RuleDPoP},
		"wrong htu":            {sign(header("x", 1), claims("htu", "https://as.example/credential"), k), oauth.RuleDPoP},
		"htu of another host":  {sign(header("x", 1), claims("htu", "https://as.example.evil/token"), k), oauth.RuleDPoP},
		"htu of plain HTTP":    {sign(header("x", 1), claims("htu", "http://as.example/token"), k), oauth.RuleDPoP},
		"no iat":               {sign(header("x", 1), claims("iat", nil), k), oauth.RuleDPoP},
		"iat a text":           {sign(header("x", 1), claims("iat", "1800000000"), k), oauth.RuleDPoP},
		"future":               {sign(header("x", 1), claims("iat", now.Unix()+31), k), oauth.RuleDPoP},
		"stale":                {sign(header("x", 1), claims("iat", now.Unix()-61), k), oauth.RuleDPoP},
		"no ath":               {sign(header("x", 1), claims("ath", nil), k), oauth.RuleDPoP},
		"wrong ath":            {sign(header("x", 1), claims("ath", oauth.Challenge("u")), k), oauth.RuleDPoP},
		"no nonce":             {sign(header("x", 1), claims("nonce", nil), k), oauth.RuleDPoPNonce},
		"old nonce":            {sign(header("x", 1), claims("nonce", "m"), k), oauth.RuleDPoPNonce},
		"nonce a number":       {sign(header("x", 1), claims("nonce", 1), k), oauth.RuleDPoP},
		"long nonce":           {sign(header("x", 1), claims("nonce", strings.Repeat("n", 513)), k), oauth.RuleDPoP},
		"key swapped":          {sign(header("jwk", jws.NewJWK(other.Public()).Claim()), claims("x", 1), other), oauth.RuleToken},
	} {
		got, err := oauth.VerifyDPoP(c.proof, params)
		if hufu.RuleOf(err) != c.rule || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, at := range []int64{-60, 30} {
		if _, err := oauth.VerifyDPoP(sign(header("x", 1), claims("iat", now.Unix()+at), k), params); err != nil {
			t.Errorf("%d s: %v", at, err)
		}
	}
}

const server = "https://as.example"

func attestation(t *testing.T, provider, instance keys.Signer, change func(*oauth.Attestation)) string {
	t.Helper()
	a := &oauth.Attestation{Issuer: "https://provider.example", ClientID: "wallet", Name: "W", Key: instance.Public(), IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	if change != nil {
		change(a)
	}
	token, err := oauth.MakeAttestation(rand.Reader, jws.Header{"kid": "11"}, provider, a)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestAttestations(t *testing.T) {
	provider, instance, other := signer(t, keys.P256), signer(t, keys.P256), signer(t, keys.Ed25519)
	params := oauth.AttestationParams{ClientID: "wallet", Now: now, Signer: func(h jws.Header, iss string) (keys.PublicKey, error) {
		if h.Text("kid") != "11" || iss != "https://provider.example" {
			return keys.PublicKey{}, errors.New("nobody known")
		}
		return provider.Public(), nil
	}}
	good := attestation(t, provider, instance, nil)
	a, err := oauth.VerifyAttestation(good, params)
	if err != nil || a.ClientID != "wallet" || !a.Key.Equal(instance.Public()) || a.Name != "W" || !a.ExpiresAt.Equal(now.Add(time.Hour)) {
		t.Fatal(a, err)
	}
	parts := strings.Split(good, ".")
	for name, c := range map[string]struct {
		token string
		rule  hufu.Rule
	}{
		"nothing":          {"", oauth.RuleAttestation},
		"too large":        {good + strings.Repeat("A", oauth.MaxAttestationBytes), oauth.RuleAttestation},
		"alg none":         {jws.EncodeBase64([]byte(`{"alg":"none","typ":"oauth-client-attestation+jwt"}`)) + "." + parts[1] + "." + parts[2], oauth.RuleAttestation},
		"unknown provider": {attestation(t, provider, instance, func(a *oauth.Attestation) { a.Issuer = "https://x.example" }), oauth.RuleAttestation},
		"forged":           {attestation(t, instance, instance, nil), oauth.RuleAttestation},
		"another client":   {attestation(t, provider, instance, func(a *oauth.Attestation) { a.ClientID = "x" }), oauth.RuleAttestation},
		"no client":        {attestation(t, provider, instance, func(a *oauth.Attestation) { a.ClientID = "" }), oauth.RuleAttestation},
		"not yet":          {attestation(t, provider, instance, func(a *oauth.Attestation) { a.IssuedAt = now.Add(time.Minute) }), oauth.RuleAttestation},
		"expired":          {attestation(t, provider, instance, func(a *oauth.Attestation) { a.ExpiresAt = now.Add(-31 * time.Second) }), oauth.RuleStale},
		"no key":           {attestation(t, provider, instance, func(a *oauth.Attestation) { a.Key = keys.PublicKey{} }), oauth.RuleAttestation},
		"a status":         {attestation(t, provider, instance, func(a *oauth.Attestation) { a.Status = "any" }), oauth.RuleAttestation}, // nobody looks it up
	} {
		got, err := oauth.VerifyAttestation(c.token, params)
		if hufu.RuleOf(err) != c.rule || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	away := errors.New("the ledger is away")
	for name, c := range map[string]struct{ says, is error }{
		"it stands": {nil, nil}, "it does not": {hufu.Refuse("test.revoked", "revoked"), hufu.Refuse(oauth.RuleAttestation, "")}, "who knows": {away, away},
	} {
		params.Standing = func(status any) error {
			if status != "any" {
				t.Errorf("asked about %v", status)
			}
			return c.says
		}
		_, err := oauth.VerifyAttestation(attestation(t, provider, instance, func(a *oauth.Attestation) { a.Status = "any" }), params)
		if hufu.RuleOf(err) != hufu.RuleOf(c.is) || hufu.RuleOf(c.is) == "" && !errors.Is(err, c.is) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := oauth.VerifyAttestation(good, params); err != nil {
			t.Errorf("%s, of one without: %v", name, err)
		}
	}
	params.Signer = nil
	_, err = oauth.VerifyAttestation(good, params)
	wantRule(t, err, oauth.RuleAttestation)

	proofParams := oauth.AttestationProofParams{Audience: server, Now: now, Challenge: func(c string) bool { return c == "c" }}
	proof := func(by keys.Signer, change func(*oauth.AttestationProof)) string {
		p := oauth.AttestationProof{Audience: server, ID: "i", IssuedAt: now, Challenge: "c", ClientID: "wallet"}
		if change != nil {
			change(&p)
		}
		token, err := oauth.MakeAttestationProof(rand.Reader, by, p)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	id, until, err := oauth.VerifyAttestationProof(proof(instance, nil), a, proofParams)
	if err != nil || id != "i" || !until.Equal(now.Add(oauth.DefaultMaxAge)) {
		t.Fatal(id, until, err)
	}
	for name, c := range map[string]struct {
		token string
		rule  hufu.Rule
	}{
		"the attestation":   {good, oauth.RuleAttestation},
		"another key":       {proof(other, nil), oauth.RuleAttestation},
		"another server":    {proof(instance, func(p *oauth.AttestationProof) { p.Audience += "/" }), oauth.RuleAttestation},
		"no jti":            {proof(instance, func(p *oauth.AttestationProof) { p.ID = "" }), oauth.RuleAttestation},
		"another client":    {proof(instance, func(p *oauth.AttestationProof) { p.ClientID = "x" }), oauth.RuleAttestation},
		"stale":             {proof(instance, func(p *oauth.AttestationProof) { p.IssuedAt = now.Add(-61 * time.Second) }), oauth.RuleAttestation},
		"future":            {proof(instance, func(p *oauth.AttestationProof) { p.IssuedAt = now.Add(31 * time.Second) }), oauth.RuleAttestation},
		"no challenge":      {proof(instance, func(p *oauth.AttestationProof) { p.Challenge = "" }), oauth.RuleChallenge},
		"another challenge": {proof(instance, func(p *oauth.AttestationProof) { p.Challenge = "d" }), oauth.RuleChallenge},
	} {
		_, _, err := oauth.VerifyAttestationProof(c.token, a, proofParams)
		if hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The wallet attestation of OpenID4VCI 1.0 Appendix I.2, with the key of its own certificate.
func TestAttestationOfTheStandard(t *testing.T) {
	raw, err := os.ReadFile("../../../shared/vectors/oid4vci/wallet_attestation.jwt.txt")
	if err != nil {
		t.Skip("SKIPPED: the OpenID4VCI example is not present")
	}
	token := strings.ReplaceAll(strings.TrimSpace(string(raw)), "\n", "")
	a, err := oauth.VerifyAttestation(token, oauth.AttestationParams{Now: time.Unix(1755023547, 0), Signer: certified})
	if err != nil || a.ClientID != "https://wallet.example.com" || a.Issuer != "https://wallet-provider.example.com" {
		t.Fatal(a, err)
	}
}

// certified takes the key of the first certificate, whoever made it.
func certified(h jws.Header, _ string) (keys.PublicKey, error) {
	list, _ := h["x5c"].([]any)
	text, _ := list[0].(string)
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return keys.PublicKey{}, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return keys.PublicKey{}, err
	}
	point, err := cert.PublicKey.(interface{ Bytes() ([]byte, error) }).Bytes()
	if err != nil {
		return keys.PublicKey{}, err
	}
	return keys.NewPublicKeyFromPoint(keys.P256, point[1:33], point[33:])
}

func FuzzVerifyDPoP(f *testing.F) {
	f.Add(tokenProof)
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := oauth.VerifyDPoP(s, oauth.DPoPParams{Method: "POST", URL: "https://server.example.com/token", Now: time.Unix(1562262616, 0)})
		if (err == nil) != (s == tokenProof) || (p == nil) != (err != nil) {
			t.Fatal("nobody signed this")
		}
	})
}

func FuzzVerifyAttestation(f *testing.F) {
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, s string) {
		nobody := func(jws.Header, string) (keys.PublicKey, error) { return keys.PublicKey{}, nil }
		if a, err := oauth.VerifyAttestation(s, oauth.AttestationParams{Now: now, Signer: nobody}); err == nil || a != nil {
			t.Fatal("nobody signed this")
		}
	})
}
