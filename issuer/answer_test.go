package issuer_test

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

func anyDID() hufu.DID { return hufu.ID{7, 7}.DID(network) }

// encrypt encrypts a message to the issuer, by its metadata.
func (p *phone) encrypt(v any, enc string) []byte {
	p.Helper()
	m, err := p.Metadata(p.Context())
	if err != nil {
		p.Fatal(err)
	}
	set, err := jwe.ParseKeySet(m.RequestEncryption.JWKS)
	if err != nil || len(set) != 1 {
		p.Fatal(err)
	}
	token, err := oid4vci.Encrypt(rand.Reader, set[0], enc, v)
	if err != nil {
		p.Fatal(err)
	}
	return []byte(token)
}

func TestEncryptedExchange(t *testing.T) {
	o := openOffice(t)
	p := o.phone(true)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	own, err := jwe.GenerateKey(rand.Reader, "mine")
	if err != nil {
		t.Fatal(err)
	}
	for _, enc := range jwe.Encs() {
		req := p.request(residentJWT, 2)
		p.post("/credential", "application/jwt", p.encrypt(req, enc), token).ok(t, http.StatusOK, nil)
		req = p.request(residentJWT, 2)
		req.Encryption = &oid4vci.ResponseEncryption{Key: own.Public(), Enc: enc}
		a := p.post("/credential", "application/jwt", p.encrypt(req, enc), token)
		a.ok(t, http.StatusOK, nil)
		if a.Header.Get("Content-Type") != "application/jwt" {
			t.Error(a.Header.Get("Content-Type"))
		}
		raw, err := oid4vci.DecryptResponse(string(a.body), own)
		if err != nil {
			t.Fatal(err)
		}
		if r, err := oid4vci.ParseCredentialResponse(raw); err != nil || len(r.Credentials) != 2 {
			t.Error(err)
		}
	}
	// A refusal is never encrypted.
	req := p.request(residentJWT, 1)
	req.Encryption, req.ConfigurationID = &oid4vci.ResponseEncryption{Key: own.Public(), Enc: jwe.A128GCM}, "x"
	p.post("/credential", "application/jwt", p.encrypt(req, jwe.A128GCM), token).refused(t, http.StatusBadRequest, "unknown_credential_configuration")
	// After a restart, the key is the same.
	sealed := p.encrypt(p.request(residentJWT, 1), jwe.A256GCM)
	o.restart()
	p.post("/credential", "application/jwt", sealed, token).ok(t, http.StatusOK, nil)
}

func TestEncryptionDemanded(t *testing.T) {
	o := openOffice(t, func(c *issuer.Config) { c.Exchange.EncryptResponses = true })
	p := o.phone(false)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	p.json("/credential", p.request(residentJWT, 1), token).refused(t, http.StatusBadRequest, "invalid_encryption_parameters")
	p.post("/credential", "application/jwt", p.encrypt(p.request(residentJWT, 1), jwe.A128GCM), token).refused(t, http.StatusBadRequest, "invalid_encryption_parameters")
	if m, err := o.Metadata(t.Context()); err != nil || !m.RequestEncryption.Required || !m.ResponseEncryption.Required {
		t.Error(m, err)
	}
}

// held makes an offer whose issuance waits, and asks for it.
func (p *phone) held(configuration string, copies int) (offer *issuer.Offered, token *oauth.TokenResponse, r *oid4vci.CredentialResponse) {
	p.Helper()
	offer, err := p.CreateOffer(p.Context(), issuer.OfferRequest{
		Person: p.Ref(p.people[0].ResidentNumber), Configurations: []string{configuration}, Grant: oauth.GrantPreAuthorized, Hold: true,
	})
	if err != nil {
		p.Fatal(err)
	}
	token = p.token(p.take(offer))
	a := p.json("/credential", p.request(configuration, copies), token.AccessToken)
	a.ok(p, http.StatusAccepted, nil)
	if r, err = oid4vci.ParseCredentialResponse(a.body); err != nil || !r.Deferred() {
		p.Fatal(r, err)
	}
	return offer, token, r
}

func TestDeferredIssuance(t *testing.T) {
	o := openOffice(t)
	p := o.phone(true)
	offer, token, promised := p.held(residentMDoc, 2)
	ask := func(transaction, token string) *answer {
		t.Helper()
		return p.json("/deferred_credential", oid4vci.DeferredRequest{TransactionID: transaction}, token)
	}
	a := ask(promised.TransactionID, token.AccessToken)
	a.ok(t, http.StatusAccepted, nil)
	if r, err := oid4vci.ParseCredentialResponse(a.body); err != nil || r.TransactionID != promised.TransactionID {
		t.Error(r, err)
	}
	ask("x", token.AccessToken).refused(t, http.StatusBadRequest, "invalid_transaction_id")
	other := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentMDoc)))
	ask(promised.TransactionID, other.AccessToken).refused(t, http.StatusBadRequest, "invalid_transaction_id")

	// Long after, with a fresh access token, in another process.
	o.now = o.now.Add(10 * 24 * time.Hour)
	o.restart()
	if err := o.Release(t.Context(), offer.ID); err != nil {
		t.Fatal(err)
	}
	token = p.token(p.form("/token", (&oauth.TokenRequest{Grant: oauth.GrantRefresh, Refresh: token.RefreshToken, ClientID: ""}).Form()))
	own, err := jwe.GenerateKey(rand.Reader, "")
	if err != nil {
		t.Fatal(err)
	}
	sealed := p.encrypt(oid4vci.DeferredRequest{TransactionID: promised.TransactionID, Encryption: &oid4vci.ResponseEncryption{Key: own.Public(), Enc: jwe.A128GCM}}, jwe.A128GCM)
	a = p.post("/deferred_credential", "application/jwt", sealed, token.AccessToken)
	a.ok(t, http.StatusOK, nil)
	raw, err := oid4vci.DecryptResponse(string(a.body), own)
	if err != nil {
		t.Fatal(err)
	}
	r, err := oid4vci.ParseCredentialResponse(raw)
	if err != nil || len(r.Credentials) != 2 || r.NotificationID == "" {
		t.Fatal(r, err)
	}
	o.holds(r.Credentials[0].Credential, residentMDoc, o.people[0].Name)
	ask(promised.TransactionID, token.AccessToken).refused(t, http.StatusBadRequest, "invalid_transaction_id")

	offer, token, promised = p.held(residentJWT, 1)
	if err := o.Decline(t.Context(), offer.ID); err != nil {
		t.Fatal(err)
	}
	ask(promised.TransactionID, token.AccessToken).refused(t, http.StatusBadRequest, "credential_request_denied")
	for _, id := range []string{offer.ID, "x", ""} {
		wantRule(t, o.Release(t.Context(), id), issuer.RuleOffer)
	}
}

func TestNotifications(t *testing.T) {
	o := openOffice(t)
	p := o.phone(false)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	other := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT))).AccessToken
	id := p.credentials(token, residentJWT, 1).NotificationID
	tell := func(id, event, token string) *answer {
		t.Helper()
		return p.json("/notification", oid4vci.Notification{ID: id, Event: event}, token)
	}
	tell(id, oid4vci.EventAccepted, token).ok(t, http.StatusNoContent, nil)
	tell(id, oid4vci.EventAccepted, token).ok(t, http.StatusNoContent, nil)
	tell(id, "eaten", token).refused(t, http.StatusBadRequest, "invalid_notification_request")
	tell("x", oid4vci.EventAccepted, token).refused(t, http.StatusBadRequest, "invalid_notification_id")
	tell(id, oid4vci.EventAccepted, other).refused(t, http.StatusBadRequest, "invalid_notification_id")
	tell(id, oid4vci.EventAccepted, "x").refused(t, http.StatusUnauthorized, "invalid_token")
	p.post("/notification", "text/plain", nil, token).refused(t, http.StatusBadRequest, "invalid_notification_request")
}

func TestRefreshTokensTakeTurns(t *testing.T) {
	o := openOffice(t)
	p := o.phone(true)
	first := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT)))
	refresh := func(token string) *answer {
		t.Helper()
		return p.form("/token", (&oauth.TokenRequest{Grant: oauth.GrantRefresh, Refresh: token}).Form())
	}
	second := p.token(refresh(first.RefreshToken))
	p.credentials(second.AccessToken, residentJWT, 1)
	key := p.key
	p.key = newKey(t, key.Public().Suite())
	refresh(second.RefreshToken).refused(t, http.StatusBadRequest, "invalid_grant") // another key's
	p.key = key
	refresh(first.AccessToken).refused(t, http.StatusBadRequest, "invalid_grant")
	refresh("x").refused(t, http.StatusBadRequest, "invalid_grant")
	third := p.token(refresh(second.RefreshToken))
	// Whoever comes with the second again, the first wallet or a thief, ends it for both.
	refresh(second.RefreshToken).refused(t, http.StatusBadRequest, "invalid_grant")
	refresh(third.RefreshToken).refused(t, http.StatusBadRequest, "invalid_grant")
	p.json("/credential", p.request(residentJWT, 1), third.AccessToken).refused(t, http.StatusUnauthorized, "invalid_token")

	late := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT)))
	o.now = o.now.Add(issuer.DefaultRefreshLife)
	refresh(late.RefreshToken).refused(t, http.StatusBadRequest, "invalid_grant")

	never := openOffice(t, func(c *issuer.Config) { c.Exchange.RefreshLife = -1 })
	q := never.phone(true)
	if token := q.token(q.take(never.preAuthorized(adult(t, never.people), false, residentJWT))); token.RefreshToken != "" {
		t.Error("a refresh token where there are to be none")
	} else {
		q.credentials(token.AccessToken, residentJWT, 1)
	}
}

// What a token is for can be less than the offer, and the refresh token keeps the whole.
func TestNarrowerTokens(t *testing.T) {
	o := openOffice(t)
	p := o.phone(false)
	token := p.token(p.take(o.preAuthorized(adult(t, o.people), false, residentJWT, residentMDoc), func(r *oauth.TokenRequest) {
		r.Details = mustDetails(t, residentMDoc)
	}))
	var details []oid4vci.Detail
	if err := json.Unmarshal(token.Details, &details); err != nil || len(details) != 1 || details[0].ConfigurationID != residentMDoc {
		t.Fatal(string(token.Details), err)
	}
	req := p.request("", 1)
	req.Identifier = residentJWT + ".1"
	p.json("/credential", req, token.AccessToken).refused(t, http.StatusForbidden, "insufficient_scope")
	whole := p.token(p.form("/token", (&oauth.TokenRequest{Grant: oauth.GrantRefresh, Refresh: token.RefreshToken}).Form()))
	req = p.request("", 1)
	req.Identifier = residentJWT + ".1" // a wallet that uses identifiers goes on with them
	p.json("/credential", req, whole.AccessToken).ok(t, http.StatusOK, nil)
}
