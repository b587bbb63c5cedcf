package issuer_test

import (
	"crypto/rand"
	"net/http"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	credstatus "github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// maker is a wallet provider. It signs by a certificate of its own authority.
type maker struct {
	*testing.T
	authority, signer keys.Signer
	header            jws.Header
}

const makerURL = "https://maker.example"

func newMaker(t *testing.T) *maker {
	t.Helper()
	m := &maker{T: t, authority: newKey(t, keys.P256), signer: newKey(t, keys.P256)}
	who := anyDID()
	ca, err := x5c.MakeCA(rand.Reader, m.authority, who, x5c.Subject{CommonName: "Maker CA"}, morning.Add(-time.Hour), morning.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x5c.MakeLeaf(rand.Reader, ca, m.authority, x5c.Leaf{
		Key: m.signer.Public(), DID: who, Subject: x5c.Subject{CommonName: "Maker"}, Use: x5c.CredentialSigner, NotBefore: morning.Add(-time.Hour), NotAfter: morning.AddDate(1, 0, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	m.header = jws.Header{"x5c": x5c.Header(leaf)}
	return m
}

func (m *maker) trusted(c *issuer.Config) {
	c.Exchange.Providers = []issuer.Provider{{Issuer: makerURL, CA: m.authority.Public()}}
}

// attest attests a wallet's key.
func (m *maker) attest(key keys.Signer, now time.Time, change ...func(*oauth.Attestation)) string {
	m.Helper()
	a := &oauth.Attestation{Issuer: makerURL, ClientID: "https://wallet.example", Name: "Pocket", Key: key.Public(), IssuedAt: now, ExpiresAt: now.Add(time.Hour)}
	for _, f := range change {
		f(a)
	}
	token, err := oauth.MakeAttestation(rand.Reader, m.header, m.signer, a)
	if err != nil {
		m.Fatal(err)
	}
	return token
}

// attestKeys attests holder keys.
func (m *maker) attestKeys(holders []keys.Signer, nonce string, now time.Time, change ...func(*oid4vci.KeyAttestation)) string {
	m.Helper()
	a := &oid4vci.KeyAttestation{Issuer: makerURL, IssuedAt: now, ExpiresAt: now.Add(time.Hour), Nonce: nonce, KeyStorage: []string{oid4vci.ResistsHigh}}
	for _, k := range holders {
		a.Keys = append(a.Keys, k.Public())
	}
	for _, f := range change {
		f(a)
	}
	token, err := oid4vci.MakeKeyAttestation(rand.Reader, m.header, m.signer, a)
	if err != nil {
		m.Fatal(err)
	}
	return token
}

func TestAttestedWallets(t *testing.T) {
	m := newMaker(t)
	o := openOffice(t, m.trusted, func(c *issuer.Config) { c.Exchange.WalletAttestation = true })
	who := adult(t, o.people)
	instance := newKey(t, keys.P256)
	p := o.phone(true)
	challenge := p.send("/challenge", "application/json", nil, http.Header{})
	var body struct {
		Challenge string `json:"attestation_challenge"`
	}
	challenge.ok(t, http.StatusOK, &body)
	prove := func(by keys.Signer, change ...func(*oauth.AttestationProof)) string {
		t.Helper()
		id, err := oauth.NewID(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		proof := oauth.AttestationProof{Audience: o.url, ID: id, IssuedAt: o.now, Challenge: body.Challenge}
		for _, f := range change {
			f(&proof)
		}
		token, err := oauth.MakeAttestationProof(rand.Reader, by, proof)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	take := func(attestation, proof string) *answer {
		t.Helper()
		p.headers = http.Header{}
		if attestation != "" {
			p.headers.Set(oauth.AttestationHeader, attestation)
		}
		if proof != "" {
			p.headers.Set(oauth.AttestationProofHeader, proof)
		}
		return p.take(o.preAuthorized(who, false, residentJWT))
	}
	p.form("/token", (&oauth.TokenRequest{Grant: oauth.GrantRefresh, Refresh: "x"}).Form()) // gets a DPoP nonce, so that nothing below is sent twice
	take(m.attest(instance, o.now), prove(instance)).ok(t, http.StatusOK, nil)
	take("", "").refused(t, http.StatusUnauthorized, "invalid_client")
	take("", prove(instance)).refused(t, http.StatusUnauthorized, "invalid_client_attestation")
	take(m.attest(instance, o.now), "").refused(t, http.StatusUnauthorized, "invalid_client_attestation")
	take(m.attest(instance, o.now), prove(newKey(t, keys.P256))).refused(t, http.StatusUnauthorized, "invalid_client_attestation")
	take(newMaker(t).attest(instance, o.now), prove(instance)).refused(t, http.StatusUnauthorized, "invalid_client_attestation")
	take(m.attest(instance, o.now, func(a *oauth.Attestation) { a.Issuer = "https://another.example" }), prove(instance)).refused(t, http.StatusUnauthorized, "invalid_client_attestation")
	take(m.attest(instance, o.now, func(a *oauth.Attestation) { a.ExpiresAt = o.now.Add(-time.Hour) }), prove(instance)).refused(t, http.StatusBadRequest, "use_fresh_attestation")
	take(m.attest(instance, o.now), prove(instance, func(p *oauth.AttestationProof) { p.Audience = "https://another.example" })).refused(t, http.StatusUnauthorized, "invalid_client_attestation")
	a := take(m.attest(instance, o.now), prove(instance, func(p *oauth.AttestationProof) { p.Challenge = "mine" }))
	a.refused(t, http.StatusBadRequest, "use_attestation_challenge")
	if a.Header.Get(oauth.ChallengeHeader) == "" {
		t.Error("no challenge to use")
	}
	replayed := prove(instance)
	take(m.attest(instance, o.now), replayed).ok(t, http.StatusOK, nil)
	take(m.attest(instance, o.now), replayed).refused(t, http.StatusUnauthorized, "invalid_client_attestation")

	// A DPoP proof of the attested key stands in for the attestation's.
	p.key = instance
	take(m.attest(instance, o.now), "").ok(t, http.StatusOK, nil)

	// A code that an attested wallet asked for is for an attested wallet; the person is told its name.
	passcode := o.passcode(who)
	p.headers.Set(oauth.AttestationHeader, m.attest(instance, o.now))
	b := p.browser()
	address := p.authorizationURL(p.pushed())
	page := b.get(address)
	a = b.submit(page, map[string]string{"number": who.ResidentNumber, "passcode": passcode})
	wants(t, b.get(b.origin.URL+a.Header.Get("Location")), "Pocket (a wallet whose maker vouches for it)")
	p.headers.Set(oauth.AttestationHeader, m.attest(instance, o.now, func(a *oauth.Attestation) { a.Name = "" }))
	code := p.browser().agree(p.authorizationURL(p.pushed()), who, passcode)
	p.headers = http.Header{}
	p.redeem(code).refused(t, http.StatusUnauthorized, "invalid_client")
	p.headers.Set(oauth.AttestationHeader, m.attest(instance, o.now))
	p.redeem(code).ok(t, http.StatusOK, nil)
	p.pushed(func(r *oauth.AuthorizationRequest) { r.ClientID = "https://another.example" }).refused(t, http.StatusUnauthorized, "invalid_client_attestation")
}

// assert puts an identifier on the ledger whose key "a" is for assertion.
func (o *office) assert(t *testing.T, d hufu.DID, key keys.Signer) hufu.ID {
	t.Helper()
	_, id, err := d.Parse()
	if err != nil {
		t.Fatal(err)
	}
	record := &did.Record{ID: id, Methods: []did.MethodRecord{{
		Fragment: "a", Multikey: key.Public().Multikey(), Purposes: tx.PurposeAssertion, Span: did.Span{From: 1, FromTime: morning.Add(-time.Hour).Unix()},
	}}}
	if err := state.Save(o.ledger.state, did.StateKey(id), record); err != nil {
		t.Fatal(err)
	}
	return id
}

func TestProvidersByKeyAndByIdentifier(t *testing.T) {
	key := newKey(t, keys.Ed25519)
	onLedger := newKey(t, keys.P256)
	provider := anyDID()
	o := openOffice(t, func(c *issuer.Config) {
		c.Exchange.Providers = []issuer.Provider{{Key: key.Public(), KeyID: "11"}, {DID: provider}}
	})
	o.assert(t, provider, onLedger)
	for name, c := range map[string]struct {
		signer keys.Signer
		kid    string
		good   bool
	}{
		"by key":           {key, "11", true},
		"by identifier":    {onLedger, provider.URL("a"), true},
		"another kid":      {key, "12", false},
		"another fragment": {onLedger, provider.URL("b"), false},
		"another DID":      {onLedger, o.cfg.DID.URL("a"), false},
		"another key":      {newKey(t, keys.P256), provider.URL("a"), false},
	} {
		m := &maker{T: t, signer: c.signer, header: jws.Header{"kid": c.kid}}
		p := o.phone(true)
		p.headers.Set(oauth.AttestationHeader, m.attest(p.key, o.now))
		a := p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))
		if (a.StatusCode == http.StatusOK) != c.good {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
}

// An attestation with a status stands as long as the ledger says so, on a list of its provider's own; one whose status cannot
// be looked up does not stand.
func TestAttestationStatus(t *testing.T) {
	onLedger, provider, other := newKey(t, keys.P256), anyDID(), hufu.ID{8, 8}.DID(network)
	byAuthority := newMaker(t)
	o := openOffice(t, func(c *issuer.Config) {
		c.Exchange.Providers = []issuer.Provider{{DID: provider}, {Issuer: makerURL, CA: byAuthority.authority.Public()}}
	})
	id := o.assert(t, provider, onLedger)
	uri := func(d hufu.DID, list uint64) string { return status.URI("https://maker.example", d, list) }
	_, stranger, err := other.Parse()
	if err != nil {
		t.Fatal(err)
	}
	for _, author := range []hufu.ID{id, stranger} {
		for _, b := range []tx.Body{
			&tx.StatusOpen{List: 0, Bits: 2, Size: 1024, URI: uri(author.DID(network), 0)},
			&tx.StatusSet{List: 0, Changes: []tx.StatusChange{
				{Status: hufu.StatusRevoked, Reason: tx.ReasonUnspecified, Indexes: []uint64{7}}, {Status: hufu.StatusSuspended, Reason: tx.ReasonUnspecified, Indexes: []uint64{8}},
			}},
		} {
			if err := status.Apply(state.Context{Network: network, Height: 9, Time: morning.Unix()}, o.ledger.state, &tx.Tx{Payload: tx.Payload{Author: author, Kind: b.Kind()}, Body: b}); err != nil {
				t.Fatal(err)
			}
		}
	}
	entry := func(uri string, index uint64) any { return credstatus.Reference{URI: uri, Index: index}.Claim() }
	ours := &maker{T: t, signer: onLedger, header: jws.Header{"kid": provider.URL("a")}}
	for name, c := range map[string]struct {
		by     *maker
		status any
		good   bool
	}{
		"valid":                             {ours, entry(uri(provider, 0), 6), true},
		"revoked":                           {ours, entry(uri(provider, 0), 7), false},
		"suspended":                         {ours, entry(uri(provider, 0), 8), false},
		"outside of the list":               {ours, entry(uri(provider, 0), 5000), false},
		"no such list":                      {ours, entry(uri(provider, 2), 6), false},
		"another's list":                    {ours, entry(uri(other, 0), 6), false},
		"a list elsewhere":                  {ours, entry("https://maker.example/lists/1", 6), false},
		"no list":                           {ours, map[string]any{"other": 1}, false},
		"no object":                         {ours, "valid", false},
		"of a provider without a list here": {byAuthority, entry(uri(provider, 0), 6), false},
	} {
		t.Run(name, func(t *testing.T) {
			p := o.phone(true)
			p.headers.Set(oauth.AttestationHeader, c.by.attest(p.key, o.now, func(a *oauth.Attestation) { a.Status = c.status }))
			a := p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))
			if c.good {
				a.ok(t, http.StatusOK, nil)
			} else {
				a.refused(t, http.StatusUnauthorized, "invalid_client_attestation")
			}
			p = o.phone(true)
			token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
			keyed := func(holders []keys.Signer, nonce string) string {
				return c.by.attestKeys(holders, nonce, o.now, func(a *oid4vci.KeyAttestation) { a.Status = c.status })
			}
			holders, nonce := p.wallet(2), p.cNonce()
			proof, err := oid4vci.ProofOf{Audience: o.url, Nonce: nonce, IssuedAt: o.now, Attestation: keyed(holders, nonce)}.Make(rand.Reader, holders[1])
			if err != nil {
				t.Fatal(err)
			}
			for _, proofs := range []oid4vci.Proofs{{JWT: []string{proof}}, {Attestation: []string{keyed(p.wallet(2), p.cNonce())}}} {
				a := p.json("/credential", &oid4vci.CredentialRequest{ConfigurationID: residentJWT, Proofs: proofs}, token)
				if c.good {
					a.ok(t, http.StatusOK, nil)
				} else {
					a.refused(t, http.StatusBadRequest, "invalid_proof")
				}
			}
		})
	}
}

func TestAttestedKeys(t *testing.T) {
	m := newMaker(t)
	o := openOffice(t, m.trusted, func(c *issuer.Config) {
		c.Exchange.KeyAttestation = &oid4vci.KeyRequirement{KeyStorage: []string{oid4vci.ResistsHigh}}
	})
	who := adult(t, o.people)
	p := o.phone(true)
	token := p.token(p.take(o.preAuthorized(who, false, residentJWT, residentMDoc))).AccessToken
	ask := func(configuration string, proofs oid4vci.Proofs) *answer {
		t.Helper()
		return p.json("/credential", &oid4vci.CredentialRequest{ConfigurationID: configuration, Proofs: proofs}, token)
	}
	copies := func(a *answer, n int) {
		t.Helper()
		a.ok(t, http.StatusOK, nil)
		r, err := oid4vci.ParseCredentialResponse(a.body)
		if err != nil || len(r.Credentials) != n {
			t.Errorf("%d copies, %v", len(r.Credentials), err)
		}
	}
	for _, configuration := range []string{residentJWT, residentMDoc} {
		copies(ask(configuration, oid4vci.Proofs{Attestation: []string{m.attestKeys(p.wallet(3), p.cNonce(), o.now)}}), 3)
		holders, nonce := p.wallet(3), p.cNonce()
		proof, err := oid4vci.ProofOf{Audience: o.url, Nonce: nonce, IssuedAt: o.now, Attestation: m.attestKeys(holders, nonce, o.now)}.Make(rand.Reader, holders[1])
		if err != nil {
			t.Fatal(err)
		}
		copies(ask(configuration, oid4vci.Proofs{JWT: []string{proof}}), 3)
	}
	nonce := p.cNonce()
	ask(residentJWT, oid4vci.Proofs{JWT: p.keyProofs(p.wallet(1), nonce)}).refused(t, http.StatusBadRequest, "invalid_proof")
	for name, token := range map[string]string{
		"weak":    m.attestKeys(p.wallet(1), nonce, o.now, func(a *oid4vci.KeyAttestation) { a.KeyStorage = []string{oid4vci.ResistsBasic} }),
		"foreign": newMaker(t).attestKeys(p.wallet(1), nonce, o.now),
		"many":    m.attestKeys(p.wallet(issuer.DefaultBatch+1), nonce, o.now),
		"expired": m.attestKeys(p.wallet(1), nonce, o.now, func(a *oid4vci.KeyAttestation) { a.ExpiresAt = o.now.Add(-time.Hour) }),
	} {
		if a := ask(residentJWT, oid4vci.Proofs{Attestation: []string{token}}); a.code() != "invalid_proof" {
			t.Errorf("%s: %d %s", name, a.StatusCode, a.body)
		}
	}
	ask(residentMDoc, oid4vci.Proofs{Attestation: []string{m.attestKeys([]keys.Signer{newKey(t, keys.Ed25519)}, nonce, o.now)}}).refused(t, http.StatusBadRequest, "invalid_proof")
	used := m.attestKeys(p.wallet(1), nonce, o.now)
	copies(ask(residentJWT, oid4vci.Proofs{Attestation: []string{used}}), 1)
	ask(residentJWT, oid4vci.Proofs{Attestation: []string{used}}).refused(t, http.StatusBadRequest, "invalid_nonce")
}
