package wallet_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// office is an issuer that a test can make misbehave: the standard's messages over HTTP, and as little
// behind them as possible. It checks what wallets have to do right.
type office struct {
	*httptest.Server
	s   *scene
	t   testing.TB
	key *jwe.PrivateKey

	// What it does.
	dpopNonce   bool // wants a nonce in DPoP proofs
	bearer      bool // knows no DPoP
	encrypts    bool
	defer1      bool // the next credential request is deferred, and the deferred one once again
	stale       bool // the next nonce is too old
	txCode      string
	noRefresh   bool
	signedBy    *world.Actor // of metadata; nil: not signed
	details     bool         // gives credential identifiers
	foreign     keys.Signer  // issues as a stranger
	strangerX5C bool         // with a certificate that nobody knows
	wrongType   bool
	provider    *provider                   // whose attestations it demands; nil: it demands none
	challenged  int                         // challenges given
	instead     map[string]http.HandlerFunc // what it does at a path instead of what is right
	extra       bool                        // gives a copy more than was asked for
	otherKey    bool                        // binds copies to another key

	// What happened.
	tokens, refreshes, copies int
	unproven                  int // calls refused for their proofs
	notified                  []string
	pushed                    *oauth.AuthorizationRequest
	refresh                   string
	waiting                   map[string]*oid4vci.CredentialRequest
	thumbprint                string
}

const (
	configSD   = "resident"
	configMdoc = "resident.mdoc"
	configWard = "guardianship"
)

func (s *scene) office() *office {
	s.t.Helper()
	o := &office{s: s, t: s.t, waiting: map[string]*oid4vci.CredentialRequest{}, refresh: "refresh-0"}
	o.key = must[*jwe.PrivateKey](s.t)(jwe.GenerateKey(s.Rand, "office"))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-credential-issuer", o.metadata)
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", o.serverMetadata)
	mux.HandleFunc("GET /.well-known/jwt-vc-issuer", o.vcIssuer)
	mux.HandleFunc("GET /offer", func(w http.ResponseWriter, _ *http.Request) {
		if o.dpopNonce {
			w.Header().Set("DPoP-Nonce", "dpop-nonce")
		}
		w.Write(must[[]byte](o.t)(o.offer().MarshalJSON()))
	})
	mux.HandleFunc("POST /par", o.par)
	mux.HandleFunc("POST /token", o.token)
	mux.HandleFunc("POST /nonce", o.nonce)
	mux.HandleFunc("POST /challenge", func(w http.ResponseWriter, _ *http.Request) {
		reply(w, http.StatusOK, map[string]string{"attestation_challenge": o.newChallenge()})
	})
	mux.HandleFunc("POST /credential", o.credential)
	mux.HandleFunc("POST /deferred", o.deferred)
	mux.HandleFunc("POST /notification", o.notification)
	o.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if other := o.instead[r.URL.Path]; other != nil {
			other(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	s.t.Cleanup(o.Close)
	return o
}

func (o *office) offer() *oid4vci.Offer {
	offer := &oid4vci.Offer{CredentialIssuer: o.URL, ConfigurationIDs: []string{configSD, configMdoc, configWard}, PreAuthorized: &oid4vci.PreAuthorizedGrant{Code: "code"}}
	if o.txCode != "" {
		offer.PreAuthorized.TxCode = &oid4vci.TxCode{Length: len(o.txCode), InputMode: oid4vci.InputNumeric}
	}
	return offer
}

func (o *office) link() string { return must[string](o.t)(o.offer().Link(oid4vci.OfferScheme)) }

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, code string) {
	reply(w, http.StatusBadRequest, map[string]string{"error": code})
}

func (o *office) issuerMetadata() *oid4vci.IssuerMetadata {
	proof := map[string]*oid4vci.ProofType{oid4vci.ProofJWT: {Algs: []string{"ES256"}}}
	if o.provider != nil {
		proof[oid4vci.ProofJWT].Required = &oid4vci.KeyRequirement{KeyStorage: []string{oid4vci.ResistsHigh}}
	}
	m := &oid4vci.IssuerMetadata{
		CredentialIssuer: o.URL, CredentialEndpoint: o.URL + "/credential", NonceEndpoint: o.URL + "/nonce",
		DeferredEndpoint: o.URL + "/deferred", NotificationEndpoint: o.URL + "/notification",
		Batch: &oid4vci.BatchMetadata{Size: 5}, Display: []oid4vci.Display{{Name: "Agency", Locale: "en"}},
		Configurations: map[string]*oid4vci.CredentialConfig{
			configSD:   {Format: oid4vci.FormatSDJWT, VCT: world.Resident, ProofTypes: proof, BindingMethods: []string{"jwk"}},
			configWard: {Format: oid4vci.FormatSDJWT, VCT: world.Guardianship, ProofTypes: proof, BindingMethods: []string{"jwk"}},
			configMdoc: {Format: oid4vci.FormatMDoc, DocType: world.Resident, ProofTypes: proof, BindingMethods: []string{"cose_key"}},
			"paper":    {Format: "paper"},
		},
	}
	if o.encrypts {
		set := must[[]byte](o.t)(json.Marshal(jwe.KeySet{Keys: []jwe.JWK{o.key.Public().JWK()}}))
		m.RequestEncryption = &oid4vci.RequestEncryptionMetadata{JWKS: set, Encs: jwe.Encs(), Required: true}
		m.ResponseEncryption = &oid4vci.ResponseEncryptionMetadata{Algs: []string{jwe.Alg}, Encs: jwe.Encs(), Required: true}
	}
	return m
}

func (o *office) metadata(w http.ResponseWriter, r *http.Request) {
	if o.signedBy == nil || !strings.Contains(r.Header.Get("Accept"), "application/jwt") {
		reply(w, http.StatusOK, o.issuerMetadata())
		return
	}
	token := must[string](o.t)(o.issuerMetadata().Sign(o.s.Rand, jws.Header{"kid": o.signedBy.KeyID()}, o.signedBy.Signer, "", o.s.Now(), o.s.Now().Add(time.Hour)))
	w.Header().Set("Content-Type", "application/jwt")
	w.Write([]byte(token))
}

func (o *office) serverMetadata(w http.ResponseWriter, _ *http.Request) {
	m := &oauth.ServerMetadata{
		Issuer: o.URL, TokenEndpoint: o.URL + "/token", AuthorizationEndpoint: o.URL + "/authorize", PushedEndpoint: o.URL + "/par",
		Grants: []string{oauth.GrantCode, oauth.GrantPreAuthorized}, DPoPAlgs: []string{"ES256"}, IssuerInResponse: true,
		DetailsTypes: []string{oid4vci.DetailsType},
	}
	if o.bearer {
		m.DPoPAlgs = nil
	}
	if o.provider != nil {
		m.ClientAuth, m.ChallengeEndpoint = []string{oauth.AuthAttestation}, o.URL+"/challenge"
	}
	reply(w, http.StatusOK, m)
}

func (o *office) vcIssuer(w http.ResponseWriter, _ *http.Request) {
	key := jws.NewJWK(o.foreign.Public()).Claim()
	key["kid"] = "1"
	reply(w, http.StatusOK, map[string]any{"issuer": o.URL, "jwks": map[string]any{"keys": []any{key}}})
}

// proven checks the DPoP proof of a call.
func (o *office) proven(w http.ResponseWriter, r *http.Request, token string) bool {
	proof := r.Header.Get("DPoP")
	if o.bearer {
		if proof != "" {
			o.t.Error("a DPoP proof for a server that knows none")
		}
		return true
	}
	p := oauth.DPoPParams{Method: r.Method, URL: o.URL + r.URL.Path, AccessToken: token, BoundTo: o.thumbprint, Now: o.s.Now()}
	if o.dpopNonce {
		p.Nonce = func(n string) bool { return n == "dpop-nonce" }
		w.Header().Set("DPoP-Nonce", "dpop-nonce")
	}
	got, err := oauth.VerifyDPoP(proof, p)
	if err != nil {
		o.unproven++
		fail(w, oauth.CodeOf(err))
		return false
	}
	o.thumbprint = got.Thumbprint
	return true
}

func (o *office) form(r *http.Request) oauth.Form {
	body, _ := io.ReadAll(r.Body)
	return must[oauth.Form](o.t)(oauth.ParseForm(string(body)))
}

func (o *office) par(w http.ResponseWriter, r *http.Request) {
	o.thumbprint = "" // each sign-in is another wallet's
	if !o.proven(w, r, "") || !o.attested(w, r) {
		return
	}
	var err error
	if o.pushed, err = oauth.ParseAuthorizationRequest(o.form(r)); err != nil {
		fail(w, oauth.CodeOf(err))
		return
	}
	reply(w, http.StatusCreated, oauth.PushedResponse{RequestURI: oauth.RequestURIPrefix + "1", ExpiresIn: 60})
}

func (o *office) token(w http.ResponseWriter, r *http.Request) {
	if !o.proven(w, r, "") || !o.attested(w, r) {
		return
	}
	req, err := oauth.ParseTokenRequest(o.form(r))
	if err != nil {
		fail(w, oauth.CodeOf(err))
		return
	}
	good := req.Code == "code" && req.TxCode == o.txCode
	switch req.Grant {
	case oauth.GrantCode:
		good = req.Code == "code" && oauth.VerifyChallenge(o.pushed.Challenge, req.Verifier) == nil && req.RedirectURI == o.pushed.RedirectURI
	case oauth.GrantRefresh:
		o.refreshes++
		good = req.Refresh == o.refresh
	}
	if !good {
		fail(w, "invalid_grant")
		return
	}
	o.tokens++
	t := &oauth.TokenResponse{AccessToken: "token", Type: oauth.TypeDPoP, ExpiresIn: 60}
	if o.bearer {
		t.Type = oauth.TypeBearer
	}
	if !o.noRefresh {
		o.refresh += "x" // each is good once
		t.RefreshToken = o.refresh
	}
	if o.details {
		details := oid4vci.NewDetails(configSD, configMdoc, configWard)
		for i := range details {
			details[i].Identifiers = []string{"id-" + details[i].ConfigurationID}
		}
		t.Details = must[[]byte](o.t)(json.Marshal(details))
	}
	reply(w, http.StatusOK, t)
}

func (o *office) nonce(w http.ResponseWriter, _ *http.Request) {
	n := "c-nonce"
	if o.stale {
		o.stale, n = false, "stale"
	}
	reply(w, http.StatusOK, oid4vci.NonceResponse{Nonce: n})
}

// body reads a request of somebody with a token, encrypted or not.
func (o *office) body(w http.ResponseWriter, r *http.Request) []byte {
	kind, token, err := oauth.ParseAuthorization(r.Header.Get("Authorization"))
	if err != nil || token != "token" || (kind == oauth.TypeBearer) != o.bearer || !o.proven(w, r, token) {
		if err != nil {
			fail(w, "invalid_token")
		}
		return nil
	}
	raw, _ := io.ReadAll(r.Body)
	if o.encrypts {
		if raw, err = oid4vci.DecryptRequest(string(raw), func(string) (*jwe.PrivateKey, bool) { return o.key, true }); err != nil {
			fail(w, oid4vci.CodeOf(err))
			return nil
		}
	}
	return raw
}

func (o *office) credential(w http.ResponseWriter, r *http.Request) {
	raw := o.body(w, r)
	if raw == nil {
		return
	}
	req, err := oid4vci.ParseCredentialRequest(raw)
	if err != nil {
		fail(w, oid4vci.CodeOf(err))
		return
	}
	if o.defer1 {
		o.defer1 = false
		o.waiting["later"] = req
		o.answer(w, http.StatusAccepted, req.Encryption, &oid4vci.CredentialResponse{TransactionID: "later", Interval: 60})
		return
	}
	o.issue(w, req, req.Encryption)
}

func (o *office) deferred(w http.ResponseWriter, r *http.Request) {
	raw := o.body(w, r)
	if raw == nil {
		return
	}
	req, err := oid4vci.ParseDeferredRequest(raw)
	if err != nil {
		fail(w, oid4vci.CodeOf(err))
		return
	}
	first := o.waiting[req.TransactionID]
	switch {
	case first == nil:
		fail(w, "invalid_transaction_id")
	case o.defer1:
		o.defer1 = false
		o.answer(w, http.StatusAccepted, req.Encryption, &oid4vci.CredentialResponse{TransactionID: req.TransactionID, Interval: 60})
	default:
		delete(o.waiting, req.TransactionID)
		o.issue(w, first, req.Encryption)
	}
}

func (o *office) issue(w http.ResponseWriter, req *oid4vci.CredentialRequest, e *oid4vci.ResponseEncryption) {
	config := req.ConfigurationID
	if o.details {
		config = strings.TrimPrefix(req.Identifier, "id-")
	}
	p := oid4vci.ProofParams{Audience: o.URL, Nonce: func(n string) bool { return n == "c-nonce" }, Now: o.s.Now()}
	if o.provider != nil {
		p.Attester, p.Required = o.provider.knows, &oid4vci.KeyRequirement{KeyStorage: []string{oid4vci.ResistsHigh}}
	}
	bound, err := oid4vci.VerifyProofs(&req.Proofs, p)
	if err != nil {
		fail(w, oid4vci.CodeOf(err))
		return
	}
	var copies []string
	if o.extra {
		bound.Keys = append(bound.Keys, bound.Keys[0])
	}
	for _, key := range bound.Keys {
		if o.otherKey {
			key = o.s.stranger().Public()
		}
		copies = append(copies, o.make(config, key))
	}
	o.copies += len(copies)
	out := oid4vci.NewCredentialResponse(copies)
	out.NotificationID = config
	o.answer(w, http.StatusOK, e, out)
}

// make issues one copy, as the agency or as a stranger.
func (o *office) make(config string, holder keys.PublicKey) string {
	claims := world.Person("Alice", "north", "2000-01-01", true)
	vct := world.Resident
	if config == configWard || o.wrongType {
		vct, claims = world.Guardianship, map[string]any{"relation": "parent", "guardian_name": "Bob"}
	}
	if config == configMdoc {
		return o.makeMdoc(claims, holder)
	}
	return must[string](o.t)(o.s.Issue(o.s.agency, vct, claims, holder, func(p *sdjwt.IssueParams) {
		if o.foreign == nil {
			return
		}
		p.Issuer, p.KeyID, p.Signer, p.Status = o.URL, "1", o.foreign, nil
		if o.strangerX5C {
			p.KeyID = ""
			p.Issuer = string(hufu.ID{77}.DID("elsewhere"))
		}
	}))
}

func (o *office) makeMdoc(claims map[string]any, holder keys.PublicKey) string {
	did, authority, signer := o.s.agency.DID, o.s.agency.Signer, must[keys.Signer](o.t)(keys.P256.Generate(o.s.Rand))
	if o.foreign != nil {
		did, authority = hufu.ID{77}.DID("elsewhere"), o.foreign
	}
	now := o.s.Now()
	ca := must[[]byte](o.t)(x5c.MakeCA(o.s.Rand, authority, did, x5c.Subject{CommonName: "CA", Country: "CN"}, now, now.AddDate(1, 0, 0)))
	leaf := must[[]byte](o.t)(x5c.MakeLeaf(o.s.Rand, ca, authority, x5c.Leaf{
		Key: signer.Public(), DID: did, Subject: x5c.Subject{CommonName: "Signer", Country: "CN"}, Use: x5c.DocumentSigner, NotBefore: now, NotAfter: now.AddDate(0, 2, 0),
	}))
	elements := must[[]mdoc.Element](o.t)(mdoc.ElementsOf(world.Resident, claims, func(p []string) bool { return p[0] == "birth_date" }))
	return must[string](o.t)(mdoc.Issue(o.s.Rand, mdoc.IssueParams{
		DocType: world.Resident, Elements: elements, Signer: signer, Chain: [][]byte{leaf}, Signed: now, ValidUntil: now.AddDate(0, 1, 0), DeviceKey: holder,
	}))
}

func (o *office) answer(w http.ResponseWriter, status int, e *oid4vci.ResponseEncryption, v any) {
	if e == nil {
		reply(w, status, v)
		return
	}
	w.Header().Set("Content-Type", oid4vci.EncryptedMediaType)
	w.WriteHeader(status)
	w.Write([]byte(must[string](o.t)(oid4vci.Encrypt(o.s.Rand, e.Key, e.Enc, v))))
}

func (o *office) notification(w http.ResponseWriter, r *http.Request) {
	_, token, err := oauth.ParseAuthorization(r.Header.Get("Authorization"))
	if err != nil || !o.proven(w, r, token) {
		return
	}
	raw, _ := io.ReadAll(r.Body)
	n := must[*oid4vci.Notification](o.t)(oid4vci.ParseNotification(raw))
	o.notified = append(o.notified, n.ID+" "+n.Event)
	w.WriteHeader(http.StatusNoContent)
}

// signIn is the person at the issuer's page.
func (o *office) signIn(address string) string {
	u := must[*url.URL](o.t)(url.Parse(address))
	if u.Query().Get("request_uri") != oauth.RequestURIPrefix+"1" || u.Query().Get("client_id") != o.pushed.ClientID || len(u.Query()) != 2 {
		o.t.Errorf("the browser was sent to %s", address)
	}
	return (&oauth.AuthorizationResponse{Code: "code", State: o.pushed.State, Issuer: o.URL}).URL(o.pushed.RedirectURI)
}
