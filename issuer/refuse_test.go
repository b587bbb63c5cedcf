package issuer_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

func TestOffersRefused(t *testing.T) {
	o := openOffice(t)
	who := adult(t, o.people)
	p := o.phone(true)
	redeemed := func(change ...func(*oauth.TokenRequest)) *answer {
		p.Helper()
		return p.take(o.preAuthorized(who, true, residentJWT), change...)
	}
	redeemed(func(r *oauth.TokenRequest) { r.Code = "unknown" }).refused(t, http.StatusBadRequest, "invalid_grant")
	redeemed(func(r *oauth.TokenRequest) { r.Code = "" }).refused(t, http.StatusBadRequest, "invalid_request")
	redeemed(func(r *oauth.TokenRequest) { r.Grant = "password" }).refused(t, http.StatusBadRequest, "unsupported_grant_type")
	redeemed(func(r *oauth.TokenRequest) { r.TxCode = "" }).refused(t, http.StatusBadRequest, "invalid_request")
	redeemed(func(r *oauth.TokenRequest) { r.Details = mustDetails(t, residentMDoc) }).refused(t, http.StatusBadRequest, "invalid_authorization_details")
	redeemed(func(r *oauth.TokenRequest) { r.Details = mustDetails(t, "nothing") }).refused(t, http.StatusBadRequest, "invalid_authorization_details")
	redeemed(func(r *oauth.TokenRequest) { r.Details = []byte("[]") }).refused(t, http.StatusBadRequest, "invalid_authorization_details")

	once := o.preAuthorized(who, false, residentJWT)
	p.take(once, func(r *oauth.TokenRequest) { r.TxCode = "123456" }).refused(t, http.StatusBadRequest, "invalid_request")
	p.take(once).ok(t, http.StatusOK, nil)
	p.take(once).refused(t, http.StatusBadRequest, "invalid_grant")

	late := o.preAuthorized(who, false, residentJWT)
	o.now = o.now.Add(issuer.DefaultOfferLife)
	p.take(late).refused(t, http.StatusBadRequest, "invalid_grant")

	// A refusal for another reason than the code leaves the code.
	kept := o.preAuthorized(who, false, residentJWT)
	p.take(kept, func(r *oauth.TokenRequest) { r.Details = mustDetails(t, residentMDoc) }).refused(t, http.StatusBadRequest, "invalid_authorization_details")
	p.take(kept).ok(t, http.StatusOK, nil)
}

func TestTransactionCodesAreFew(t *testing.T) {
	o := openOffice(t)
	p := o.phone(false)
	offer := o.preAuthorized(adult(t, o.people), true, residentJWT)
	wrong := func() *answer {
		return p.take(offer, func(r *oauth.TokenRequest) { r.TxCode = otherDigits(offer.TxCode) })
	}
	for range 4 {
		wrong().refused(t, http.StatusBadRequest, "invalid_grant")
	}
	o.restart() // tries are remembered
	wrong().refused(t, http.StatusBadRequest, "invalid_grant")
	p.take(offer).refused(t, http.StatusBadRequest, "invalid_grant") // the right one, too late
	if _, err := o.FetchOffer(t.Context(), "x"); err == nil {
		t.Error("an offer of no reference")
	}
}

func TestOfferReferences(t *testing.T) {
	o := openOffice(t)
	p := o.phone(false)
	offer := o.preAuthorized(adult(t, o.people), true, residentJWT, residentMDoc)
	_, address, err := oid4vci.ParseOfferLink(offer.Link)
	if err != nil {
		t.Fatal(err)
	}
	fetch := func(address string) *answer {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
		if err != nil {
			t.Fatal(err)
		}
		return p.do(r)
	}
	a := fetch(address)
	a.ok(t, http.StatusOK, nil)
	got, err := oid4vci.ParseOffer(a.body)
	if err != nil || got.PreAuthorized.Code != offer.Offer.PreAuthorized.Code || len(got.ConfigurationIDs) != 2 || got.PreAuthorized.TxCode.Length != len(offer.TxCode) {
		t.Fatal(got, err)
	}
	byValue, _, err := oid4vci.ParseOfferLink(offer.ByValue)
	if err != nil || byValue.PreAuthorized.Code != got.PreAuthorized.Code {
		t.Error(byValue, err)
	}
	if strings.Contains(string(a.body), offer.TxCode) {
		t.Error("the offer tells the transaction code")
	}
	fetch(address+"x").refused(t, http.StatusNotFound, "invalid_request")
	p.take(offer).ok(t, http.StatusOK, nil)
	fetch(address).refused(t, http.StatusNotFound, "invalid_request") // taken
	if png, err := issuer.QR(offer.Link, 4); err != nil || !strings.HasPrefix(string(png), "\x89PNG") {
		t.Error(err)
	}
	if text, err := issuer.QRText(offer.Link); err != nil || strings.Count(text, "\n") < 20 {
		t.Error(text, err)
	}

	for name, req := range map[string]issuer.OfferRequest{
		"nobody":            {Configurations: []string{residentJWT}, Grant: oauth.GrantPreAuthorized},
		"nothing":           {Person: o.Ref(o.people[0].ResidentNumber), Grant: oauth.GrantPreAuthorized},
		"another grant":     {Person: o.Ref(o.people[0].ResidentNumber), Configurations: []string{residentJWT}, Grant: "password"},
		"a stranger":        {Person: issuer.PersonRef{1}, Configurations: []string{residentJWT}, Grant: oauth.GrantPreAuthorized},
		"an unknown type":   {Person: o.Ref(o.people[0].ResidentNumber), Configurations: []string{"x"}, Grant: oauth.GrantPreAuthorized},
		"for ever":          {Person: o.Ref(o.people[0].ResidentNumber), Configurations: []string{residentJWT}, Grant: oauth.GrantPreAuthorized, Life: 1 << 60},
		"tx_code to a code": {Person: o.Ref(o.people[0].ResidentNumber), Configurations: []string{residentJWT}, Grant: oauth.GrantCode, TxCode: true},
	} {
		if _, err := o.CreateOffer(t.Context(), req); err == nil {
			t.Errorf("an offer of %s", name)
		}
	}
}

func TestCodesRefused(t *testing.T) {
	o := openOffice(t)
	who := adult(t, o.people)
	passcode := o.passcode(who)
	p := o.phone(true)
	code := func(change ...func(*oauth.AuthorizationRequest)) string {
		t.Helper()
		return p.browser().agree(p.authorizationURL(p.pushed(change...)), who, passcode)
	}
	p.redeem(code(), func(r *oauth.TokenRequest) { r.Verifier = "w" + verifier[1:] }).refused(t, http.StatusBadRequest, "invalid_grant")
	p.redeem(code(), func(r *oauth.TokenRequest) { r.Verifier = "short" }).refused(t, http.StatusBadRequest, "invalid_request")
	p.redeem(code(), func(r *oauth.TokenRequest) { r.Verifier = "" }).refused(t, http.StatusBadRequest, "invalid_request")
	p.redeem(code(), func(r *oauth.TokenRequest) { r.ClientID = "https://another.example" }).refused(t, http.StatusBadRequest, "invalid_grant")
	p.redeem(code(), func(r *oauth.TokenRequest) { r.ClientID = "" }).refused(t, http.StatusBadRequest, "invalid_grant")
	p.redeem(code(), func(r *oauth.TokenRequest) { r.RedirectURI += "x" }).refused(t, http.StatusBadRequest, "invalid_grant")
	p.redeem("unknown").refused(t, http.StatusBadRequest, "invalid_grant")

	late := code()
	o.now = o.now.Add(time.Minute)
	p.redeem(late).refused(t, http.StatusBadRequest, "invalid_grant")

	// The key that was proved with the request is the one that the code is good for.
	stolen := code()
	p.key = newKey(t, keys.P256)
	p.redeem(stolen).refused(t, http.StatusBadRequest, "invalid_grant")

	// A code that comes twice takes the tokens with it.
	once := code()
	token := p.token(p.redeem(once))
	p.redeem(once).refused(t, http.StatusBadRequest, "invalid_grant")
	p.json("/credential", p.request(residentJWT, 1), token.AccessToken).refused(t, http.StatusUnauthorized, "invalid_token")

	for name, c := range map[string]struct {
		change func(*oauth.AuthorizationRequest)
		code   string
	}{
		"no challenge":       {func(r *oauth.AuthorizationRequest) { r.Challenge = "" }, "invalid_request"},
		"an unknown scope":   {func(r *oauth.AuthorizationRequest) { r.Scope = []string{"openid"} }, "invalid_scope"},
		"no scope":           {func(r *oauth.AuthorizationRequest) { r.Scope = nil }, "invalid_scope"},
		"unknown details":    {func(r *oauth.AuthorizationRequest) { r.Details = mustDetails(t, "x") }, "invalid_authorization_details"},
		"an unknown offer":   {func(r *oauth.AuthorizationRequest) { r.IssuerState = "x" }, "invalid_request"},
		"a dangerous answer": {func(r *oauth.AuthorizationRequest) { r.RedirectURI = "javascript:alert(1)" }, "invalid_request"},
		"another key":        {func(r *oauth.AuthorizationRequest) { r.DPoPKey = oauth.Challenge("x") }, "invalid_dpop_proof"},
	} {
		if a := p.pushed(c.change); a.StatusCode != http.StatusBadRequest || a.code() != c.code {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	plain := (&oauth.AuthorizationRequest{ClientID: "w", RedirectURI: redirectURI, Scope: []string{residentJWT}, Challenge: oauth.Challenge(verifier)}).Form()
	plain["code_challenge_method"] = []string{"plain"}
	p.form("/par", plain).refused(t, http.StatusBadRequest, "invalid_request")
}

func TestDPoPRefused(t *testing.T) {
	o := openOffice(t)
	p := o.phone(true)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	raw, err := json.Marshal(p.request(residentJWT, 1))
	if err != nil {
		t.Fatal(err)
	}
	send := func(proof string, headers ...string) *answer {
		t.Helper()
		h := http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}}
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return p.send("/credential", "application/json", raw, h)
	}
	another := &phone{office: o, key: newKey(t, keys.P256), headers: http.Header{}}
	for name, c := range map[string]struct {
		proof func() string
		code  string
	}{
		"wrong htu": {func() string { return p.proof("/token", token) }, "invalid_dpop_proof"},
		"wrong htm": {func() string { return p.proof("/credential", token, func(d *oauth.DPoP) { d.Method = "GET" }) }, "invalid_dpop_proof"},
		"wrong ath": {func() string { return p.proof("/credential", token+"x") }, "invalid_dpop_proof"},
		"no ath":    {func() string { return p.proof("/credential", "") }, "invalid_dpop_proof"},
		"no nonce":  {func() string { return p.proof("/credential", token, func(d *oauth.DPoP) { d.Nonce = "" }) }, "use_dpop_nonce"},
		"own nonce": {func() string { return p.proof("/credential", token, func(d *oauth.DPoP) { d.Nonce = "mine" }) }, "use_dpop_nonce"},
		"stale": {func() string {
			return p.proof("/credential", token, func(d *oauth.DPoP) { d.IssuedAt = p.now.Add(-time.Hour) })
		}, "invalid_dpop_proof"},
		"future": {func() string {
			return p.proof("/credential", token, func(d *oauth.DPoP) { d.IssuedAt = p.now.Add(time.Hour) })
		}, "invalid_dpop_proof"},
		"key swapped": {func() string { another.nonce = p.nonce; return another.proof("/credential", token) }, "invalid_token"},
		"no proof":    {func() string { return "" }, "invalid_dpop_proof"},
		"alg none":    {func() string { return noneOf(p.proof("/credential", token)) }, "invalid_dpop_proof"},
		"c_nonce used": {func() string {
			n := p.cNonce()
			return p.proof("/credential", token, func(d *oauth.DPoP) { d.Nonce = n })
		}, "use_dpop_nonce"},
	} {
		a := send(c.proof())
		if a.StatusCode != http.StatusUnauthorized || a.code() != c.code {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
		if h := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(h, "DPoP ") || !strings.Contains(h, `error="`+c.code+`"`) || a.Header.Get("DPoP-Nonce") == "" {
			t.Errorf("%s: WWW-Authenticate: %s", name, h)
		}
	}
	// An old nonce.
	old := p.nonce
	o.now = o.now.Add(6 * time.Minute)
	send(p.proof("/credential", token, func(d *oauth.DPoP) { d.Nonce = old })).refused(t, http.StatusUnauthorized, "use_dpop_nonce")
	// As a Bearer token, it is worth nothing. Errors are told of the scheme that was used.
	a := send(p.proof("/credential", token), "Authorization", "Bearer "+token)
	a.refused(t, http.StatusUnauthorized, "invalid_token")
	if h := a.Header.Values("WWW-Authenticate"); len(h) != 2 || strings.Contains(h[0], "error") || !strings.HasPrefix(h[1], `Bearer error="invalid_token"`) {
		t.Error(h)
	}
	a = send(p.proof("/nonce", token))
	if h := a.Header.Values("WWW-Authenticate"); len(h) != 2 || !strings.HasPrefix(h[0], `DPoP error="invalid_dpop_proof"`) || h[1] != "Bearer" {
		t.Error(h)
	}
	send(p.proof("/credential", token), "Authorization", "Basic eDp5").refused(t, http.StatusUnauthorized, "invalid_token")
	h := http.Header{"Authorization": {"DPoP " + token}, "Dpop": {p.proof("/credential", token), p.proof("/credential", token)}}
	p.send("/credential", "application/json", raw, h).refused(t, http.StatusUnauthorized, "invalid_dpop_proof")
	// Without any token, nothing is said of errors.
	a = p.send("/credential", "application/json", raw, http.Header{})
	if h := a.Header.Values("WWW-Authenticate"); a.StatusCode != http.StatusUnauthorized || len(h) != 2 || strings.Contains(h[0]+h[1], "error") {
		t.Error(a.StatusCode, h)
	}

	// A replay, here and, after a restart, there.
	raw, err = json.Marshal(p.request(residentJWT, 1))
	if err != nil {
		t.Fatal(err)
	}
	proof := p.proof("/credential", token)
	send(proof).ok(t, http.StatusOK, nil)
	send(proof).refused(t, http.StatusUnauthorized, "invalid_dpop_proof")
	o.restart()
	send(proof).refused(t, http.StatusUnauthorized, "invalid_dpop_proof")

	// Of a request that is refused, too: it says nothing of the body.
	proof = p.proof("/credential", token)
	refused := http.Header{"Authorization": {"DPoP " + token}, "Dpop": {proof}}
	p.send("/credential", "application/json", []byte("{}"), refused).refused(t, http.StatusBadRequest, "invalid_credential_request")
	if raw, err = json.Marshal(p.request(residentJWT, 1)); err != nil {
		t.Fatal(err)
	}
	send(proof).refused(t, http.StatusUnauthorized, "invalid_dpop_proof")

	// At the token endpoint.
	offer := o.preAuthorized(adult(t, o.people), false, residentJWT)
	f := []byte((&oauth.TokenRequest{Grant: oauth.GrantPreAuthorized, Code: offer.Offer.PreAuthorized.Code}).Form().Encode())
	form := func(proof string) *answer {
		return p.send("/token", "application/x-www-form-urlencoded", f, http.Header{"Dpop": {proof}})
	}
	form(p.proof("/token", "", func(d *oauth.DPoP) { d.Nonce = "" })).refused(t, http.StatusBadRequest, "use_dpop_nonce")
	form(p.proof("/par", "")).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
	proof = p.proof("/token", "")
	form(proof).ok(t, http.StatusOK, nil)
	form(proof).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
}

// noneOf is a JWT as if it were not signed.
func noneOf(token string) string {
	part := strings.Split(token, ".")
	header, err := jws.DecodeBase64(part[0])
	if err != nil {
		return ""
	}
	return jws.EncodeBase64([]byte(strings.Replace(string(header), `"ES256"`, `"none"`, 1))) + "." + part[1] + "."
}

func TestBearerOnlyWhereAllowed(t *testing.T) {
	o := openOffice(t, func(c *issuer.Config) { c.Exchange.Bearer = false })
	o.phone(false).take(o.preAuthorized(adult(t, o.people), false, residentJWT)).refused(t, http.StatusBadRequest, "invalid_dpop_proof")
	p := o.phone(true)
	p.take(o.preAuthorized(adult(t, o.people), false, residentJWT)).ok(t, http.StatusOK, nil)
	a := p.send("/credential", "application/json", []byte("{}"), http.Header{})
	if h := a.Header.Values("WWW-Authenticate"); len(h) != 1 {
		t.Error(h)
	}
}

func TestCredentialRequestsRefused(t *testing.T) {
	o := openOffice(t, func(c *issuer.Config) { c.Exchange.Batch = 4 })
	who := adult(t, o.people)
	p := o.phone(true)
	token := p.token(p.take(o.preAuthorized(who, false, residentJWT))).AccessToken
	identified := p.token(p.take(o.preAuthorized(who, false, residentJWT), func(r *oauth.TokenRequest) { r.Details = mustDetails(t, residentJWT) })).AccessToken
	sign := func(header jws.Header, claims map[string]any) string {
		t.Helper()
		k := newKey(t, keys.P256)
		full := jws.Header{"typ": oid4vci.ProofMediaType, "jwk": jws.NewJWK(k.Public()).Claim()}
		for name, v := range header {
			if full[name] = v; v == nil {
				delete(full, name)
			}
		}
		body := map[string]any{"aud": o.url, "iat": o.now.Unix(), "nonce": p.cNonce()}
		for name, v := range claims {
			if body[name] = v; v == nil {
				delete(body, name)
			}
		}
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		proof, err := jws.Sign(rand.Reader, full, raw, k)
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	with := func(proofs ...string) *oid4vci.CredentialRequest {
		return &oid4vci.CredentialRequest{ConfigurationID: residentJWT, Proofs: oid4vci.Proofs{JWT: proofs}}
	}
	sm2 := newKey(t, keys.SM2)
	used := p.cNonce()
	p.json("/credential", with(p.keyProofs(p.wallet(1), used)...), token).ok(t, http.StatusOK, nil)
	key := p.wallet(1)
	p.json("/credential", with(p.keyProofs(key, p.cNonce())...), token).ok(t, http.StatusOK, nil)
	for name, c := range map[string]struct {
		request any
		code    string
	}{
		"no JSON":                  {json.RawMessage(`7`), "invalid_credential_request"},
		"nothing":                  {json.RawMessage(`{}`), "invalid_credential_request"},
		"both names":               {&oid4vci.CredentialRequest{ConfigurationID: residentJWT, Identifier: residentJWT + ".1", Proofs: with("x").Proofs}, "invalid_credential_request"},
		"unknown configuration":    {&oid4vci.CredentialRequest{ConfigurationID: "x", Proofs: with("x").Proofs}, "unknown_credential_configuration"},
		"unknown identifier":       {&oid4vci.CredentialRequest{Identifier: "x", Proofs: with("x").Proofs}, "unknown_credential_identifier"},
		"identifier without leave": {&oid4vci.CredentialRequest{Identifier: residentJWT + ".1", Proofs: with("x").Proofs}, "unknown_credential_identifier"},
		"no proofs":                {json.RawMessage(`{"credential_configuration_id":"` + residentJWT + `"}`), "invalid_proof"},
		"mixed proofs":             {&oid4vci.CredentialRequest{ConfigurationID: residentJWT, Proofs: oid4vci.Proofs{JWT: []string{sign(nil, nil)}, Attestation: []string{"x"}}}, "invalid_proof"},
		"a foreign type of proof":  {json.RawMessage(`{"credential_configuration_id":"` + residentJWT + `","proofs":{"di_vp":[{}]}}`), "invalid_proof"},
		"unattested":               {&oid4vci.CredentialRequest{ConfigurationID: residentJWT, Proofs: oid4vci.Proofs{Attestation: []string{"x"}}}, "invalid_proof"},
		"wrong aud":                {with(sign(nil, map[string]any{"aud": string(o.cfg.DID)})), "invalid_proof"},
		"no aud":                   {with(sign(nil, map[string]any{"aud": nil})), "invalid_proof"},
		"no nonce":                 {with(sign(nil, map[string]any{"nonce": nil})), "invalid_proof"},
		"own nonce":                {with(sign(nil, map[string]any{"nonce": "mine"})), "invalid_nonce"},
		"DPoP's nonce":             {with(sign(nil, map[string]any{"nonce": p.nonce})), "invalid_nonce"},
		"used nonce":               {with(sign(nil, map[string]any{"nonce": used})), "invalid_nonce"},
		"stale":                    {with(sign(nil, map[string]any{"iat": o.now.Add(-time.Hour).Unix()})), "invalid_proof"},
		"missing key":              {with(sign(jws.Header{"jwk": nil}, nil)), "invalid_proof"},
		"a key by name":            {with(sign(jws.Header{"jwk": nil, "kid": "did:example:1#k"}, nil)), "invalid_proof"},
		"alg none":                 {with(noneOf(sign(nil, nil))), "invalid_proof"},
		"another's key":            {with(sign(jws.Header{"jwk": jws.NewJWK(newKey(t, keys.P256).Public()).Claim()}, nil)), "invalid_proof"},
		"no typ":                   {with(sign(jws.Header{"typ": "JWT"}, nil)), "invalid_proof"},
		"unregistered alg":         {with(p.keyProofs([]keys.Signer{sm2}, p.cNonce())...), "invalid_proof"},
		"key already used":         {with(p.keyProofs(key, p.cNonce())...), "invalid_proof"},
		"one key twice":            {with(p.keyProofs([]keys.Signer{sm2, sm2}, p.cNonce())...), "invalid_proof"},
		"two nonces":               {with(sign(nil, nil), sign(nil, nil)), "invalid_proof"},
		"over-large batch":         {p.request(residentJWT, 5), "invalid_proof"},
		"plain, answer encrypted":  {json.RawMessage(`{"credential_configuration_id":"` + residentJWT + `","proofs":{"jwt":["x"]},"credential_response_encryption":{"jwk":{"kty":"EC"},"enc":"A128GCM"}}`), "invalid_encryption_parameters"},
	} {
		if a := p.json("/credential", c.request, token); a.StatusCode != http.StatusBadRequest || a.code() != c.code {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	late := p.cNonce()
	o.now = o.now.Add(5*time.Minute + time.Second)
	p.json("/credential", with(p.keyProofs(p.wallet(1), late)...), token).refused(t, http.StatusBadRequest, "invalid_nonce")

	// A token for another offer, one that came with identifiers, one that has expired.
	p.json("/credential", p.request(residentMDoc, 1), token).refused(t, http.StatusForbidden, "insufficient_scope")
	p.json("/credential", p.request(residentJWT, 1), identified).refused(t, http.StatusBadRequest, "invalid_credential_request")
	p.json("/credential", p.request(residentJWT, 1), "unknown").refused(t, http.StatusUnauthorized, "invalid_token")
	p.post("/credential", "text/plain", []byte("{}"), token).refused(t, http.StatusBadRequest, "invalid_credential_request")
	p.post("/credential", "application/json", make([]byte, 1<<20), token).refused(t, http.StatusRequestEntityTooLarge, "invalid_request")
	p.post("/credential", "application/jwt", []byte("a.b.c.d.e"), token).refused(t, http.StatusBadRequest, "invalid_encryption_parameters")
	o.now = o.now.Add(5 * time.Minute)
	p.json("/credential", p.request(residentJWT, 1), token).refused(t, http.StatusUnauthorized, "invalid_token")
}

// Each nonce and key is refused when it comes again, and refusing costs nothing: the next request is granted.
func TestNothingIsSpentOnARefusal(t *testing.T) {
	o := openOffice(t)
	p := o.phone(false)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	nonce, holders := p.cNonce(), p.wallet(2)
	bad := append(p.keyProofs(holders[:1], nonce), "x")
	p.json("/credential", &oid4vci.CredentialRequest{ConfigurationID: residentJWT, Proofs: oid4vci.Proofs{JWT: bad}}, token).refused(t, http.StatusBadRequest, "invalid_proof")
	good := &oid4vci.CredentialRequest{ConfigurationID: residentJWT, Proofs: oid4vci.Proofs{JWT: p.keyProofs(holders, nonce)}}
	p.json("/credential", good, token).ok(t, http.StatusOK, nil)
	p.json("/credential", good, token).refused(t, http.StatusBadRequest, "invalid_nonce")
	o.restart()
	p.json("/credential", good, token).refused(t, http.StatusBadRequest, "invalid_nonce")
}

func TestNotForThisPerson(t *testing.T) {
	o := openOffice(t)
	p := o.phone(false)
	offer := o.preAuthorized(adult(t, o.people), false, "guardianship_sd-jwt")
	token := p.token(p.take(offer)).AccessToken
	p.json("/credential", p.request("guardianship_sd-jwt", 1), token).refused(t, http.StatusBadRequest, "credential_request_denied")

	gone := o.people[1]
	if gone.Guardian != "" {
		gone = o.people[0]
	}
	token = p.token(p.take(o.preAuthorized(gone, false, residentJWT))).AccessToken
	if err := o.Erase(t.Context(), o.Ref(gone.ResidentNumber), "requested"); err != nil {
		t.Fatal(err)
	}
	p.json("/credential", p.request(residentJWT, 1), token).refused(t, http.StatusUnauthorized, "invalid_token")
}

func TestCopiesOfOneTokenAreBounded(t *testing.T) {
	o := openOffice(t, func(c *issuer.Config) { c.Exchange.Batch = oid4vci.MaxProofs })
	p := o.phone(false)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	for range 4 {
		p.credentials(token, residentJWT, oid4vci.MaxProofs)
	}
	p.json("/credential", p.request(residentJWT, 1), token).refused(t, http.StatusBadRequest, "credential_request_denied")
}

// otherDigits is another transaction code.
func otherDigits(code string) string {
	if code[0] == '0' {
		return "1" + code[1:]
	}
	return "0" + code[1:]
}
