package issuer

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// Answer is a credential response, and how it is to be encrypted if it is.
type Answer struct {
	*oid4vci.CredentialResponse
	Encryption *oid4vci.ResponseEncryption // or nil
}

// decrypt reads the body of a request. Whether it has to be encrypted is checked by what it asks for, too.
func (s *Service) decrypt(body []byte, encrypted bool) ([]byte, error) {
	x := s.exchange
	if !encrypted {
		if x.EncryptRequests || x.EncryptResponses {
			return nil, hufu.Refuse(oid4vci.RuleEncryption, "requests are to be encrypted")
		}
		return body, nil
	}
	return oid4vci.DecryptRequest(string(body), func(kid string) (*jwe.PrivateKey, bool) {
		return x.encryption, kid == x.encryption.Public().KeyID
	})
}

// checkEncryption sees to it that a response is encrypted when that is demanded, and that nobody on the
// way has put in a key of his own (OpenID4VCI 1.0 §8.2).
func (s *Service) checkEncryption(asked *oid4vci.ResponseEncryption, encrypted bool) error {
	switch {
	case asked == nil && s.exchange.EncryptResponses:
		return hufu.Refuse(oid4vci.RuleEncryption, "responses are to be encrypted: credential_response_encryption is needed")
	case asked != nil && !encrypted:
		return hufu.Refuse(oid4vci.RuleEncryption, "a request for an encrypted response is to be encrypted")
	}
	return nil
}

// Credential answers a credential request (OpenID4VCI 1.0 §8). It refuses by the rules of package
// oid4vci and, for what the token does not give leave for, of package oauth.
func (s *Service) Credential(ctx context.Context, body []byte, encrypted bool, proofs *Proofs) (*Answer, error) {
	if _, err := s.exchanging(); err != nil {
		return nil, err
	}
	l, err := s.admit(ctx, proofs, "credential")
	if err != nil {
		return nil, err
	}
	if err := s.notTooOften(l.person); err != nil {
		return nil, err
	}
	out, err := s.credential(ctx, l, body, encrypted)
	return out, s.settle(ctx, l, err)
}

func (s *Service) credential(ctx context.Context, l *leave, body []byte, encrypted bool) (*Answer, error) {
	body, err := s.decrypt(body, encrypted)
	if err != nil {
		return nil, err
	}
	req, err := oid4vci.ParseCredentialRequest(body)
	if err != nil {
		return nil, err
	}
	if err := s.checkEncryption(req.Encryption, encrypted); err != nil {
		return nil, err
	}
	c, err := s.allowed(ctx, l, req)
	if err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	bound, err := oid4vci.VerifyProofs(&req.Proofs, s.proofParams(ctx, l, c, now))
	if err != nil {
		return nil, err
	}
	if err := c.fit(bound.Keys); err != nil {
		return nil, err
	}
	first := func(t *database.Tx) error {
		if err := useUp(ctx, t, l.spend, now); err != nil {
			return err
		}
		return s.useProofs(ctx, t, l, c, bound, now)
	}
	out, err := s.fulfil(ctx, l, c, bound.Keys, first, now)
	if err != nil {
		return nil, err
	}
	return &Answer{out, req.Encryption}, nil
}

// notTooOften counts a request for a person, in this process: it holds off a wallet that has gone wild.
func (s *Service) notTooOften(person PersonRef) error {
	if s.exchange.often == nil {
		return nil
	}
	if _, ok := s.exchange.often.Allow(string(person[:])); !ok {
		return hufu.Refuse(RuleTooOften, "too many requests for this person; wait a minute")
	}
	return nil
}

// allowed is the configuration that a request names, if the token is for it.
func (s *Service) allowed(ctx context.Context, l *leave, req *oid4vci.CredentialRequest) (*Configuration, error) {
	list, err := s.Configurations(ctx)
	if err != nil {
		return nil, err
	}
	var c *Configuration
	for _, k := range list {
		if k.ID == req.ConfigurationID || req.Identifier != "" && k.identifier() == req.Identifier {
			c = k
		}
	}
	switch {
	case c == nil && req.Identifier != "":
		return nil, hufu.Refuse(oid4vci.RuleIdentifier, "no such credential identifier")
	case c == nil:
		return nil, hufu.Refuse(oid4vci.RuleConfiguration, "no such credential configuration")
	case req.Identifier != "" && !l.identified:
		return nil, hufu.Refuse(oid4vci.RuleIdentifier, "the token came with no credential identifiers")
	case req.Identifier == "" && l.identified:
		return nil, hufu.Refuse(oid4vci.RuleRequest, "the token came with credential identifiers, which are to be used")
	case !slices.Contains(l.configurations, c.ID):
		return nil, hufu.Refuse(oauth.RuleNotAllowed, "the token is for other credentials")
	}
	return c, nil
}

func (s *Service) proofParams(ctx context.Context, l *leave, c *Configuration, now time.Time) oid4vci.ProofParams {
	by := attester{s: s}
	return oid4vci.ProofParams{
		Audience: s.exchange.URL, Now: now, ClientID: l.client, Algs: c.algs(), MaxKeys: s.exchange.Batch,
		Nonce:    func(n string) bool { return s.nonces.given(n, now) },
		Required: s.exchange.KeyAttestation,
		Attester: func(h jws.Header, iss string) (keys.PublicKey, error) { return by.key(ctx, h, iss) },
		Standing: func(status any) error { return by.stands(ctx, status) },
	}
}

// fit refuses holder keys that the format has no place for: an attestation may hold any.
func (c *Configuration) fit(holders []keys.PublicKey) error {
	for _, k := range holders {
		if !slices.Contains(c.algs(), k.Suite().JOSEAlg()) {
			return hufu.Refuse(oid4vci.RuleProof, "a key of %s, which is not supported", k.Suite())
		}
	}
	return nil
}

// useProofs uses up what a credential request is good once for: its nonces, its keys, and the token's
// copies.
func (s *Service) useProofs(ctx context.Context, t *database.Tx, l *leave, c *Configuration, bound *oid4vci.Bound, now time.Time) error {
	for _, n := range bound.Nonces {
		if err := s.nonces.use(ctx, t, n, now); err != nil {
			return err
		}
	}
	_, expires := s.times(now, 0)
	for _, k := range bound.Keys {
		first, err := t.Spend(ctx, "holder key", c.ID+"\x00"+string(k.Multikey()), expires, now)
		if err != nil {
			return err
		}
		if !first {
			return hufu.Refuse(oid4vci.RuleProof, "a credential is bound to one of the keys already")
		}
	}
	n := len(bound.Keys)
	r, err := t.ExecContext(ctx, "UPDATE tokens SET copies = copies + ? WHERE id = ? AND copies + ? <= ?", n, l.token, n, maxCopiesPerToken)
	if err != nil {
		return err
	}
	if rows, err := r.RowsAffected(); err != nil || rows != 1 {
		return errors.Join(err, hufu.Refuse(oid4vci.RuleDenied, "too many copies for one access token"))
	}
	return nil
}

// fulfil issues, or promises to. first is made in the same change.
func (s *Service) fulfil(ctx context.Context, l *leave, c *Configuration, holders []keys.PublicKey, first func(*database.Tx) error, now time.Time) (*oid4vci.CredentialResponse, error) {
	waiting, err := s.waits(ctx, l)
	if err != nil {
		return nil, err
	}
	if waiting {
		return s.promise(ctx, l, c, holders, first, now)
	}
	notification, id, err := s.secret()
	if err != nil {
		return nil, err
	}
	issued, err := s.issue(ctx, &issuance{
		person: l.person, types: []string{c.Type}, configuration: c, holders: holders, now: now,
		first: func(t *database.Tx) error {
			if err := first(t); err != nil {
				return err
			}
			_, err := t.ExecContext(ctx, "INSERT INTO notifications (id, grant_id, until) VALUES (?, ?, ?)", id, l.grant, l.grantUntil)
			return err
		},
	})
	switch rule := hufu.RuleOf(err); rule {
	case RuleUnknownPerson, RuleErased, RuleNotEntitled, RuleNoGuardian, RuleUnknownType, RuleCertificate:
		return nil, hufu.Refuse(oid4vci.RuleDenied, "the credential is not for this person, or not any more")
	}
	if err != nil {
		return nil, err
	}
	out := oid4vci.NewCredentialResponse(issued[0].Copies)
	out.NotificationID = notification
	return out, nil
}

// waits reports whether the agency has yet to agree, and refuses when it declined.
func (s *Service) waits(ctx context.Context, l *leave) (bool, error) {
	if l.offer == nil {
		return false, nil
	}
	var holding int
	err := s.store.QueryRowContext(ctx, "SELECT held FROM offers WHERE id = ?", l.offer).Scan(&holding)
	switch {
	case errors.Is(err, sql.ErrNoRows): // an offer that is held outlives what waits for it
		return false, nil
	case err != nil:
		return false, fmt.Errorf("issuer: store: %w", err)
	case holding == issueDeclined:
		return false, hufu.Refuse(oid4vci.RuleDenied, "the agency has declined")
	}
	return holding == issueHeld, nil
}

// deferral is what is kept, sealed, of an issuance that waits.
type deferral struct {
	Holders [][]byte `cbor:"1,keyasint"` // Multikeys
}

func deferralSeal(id []byte) string {
	sum := sha256.Sum256(id)
	return "deferral " + jws.EncodeBase64(sum[:])
}

// promise keeps the keys of a request whose issuance waits (§9).
func (s *Service) promise(ctx context.Context, l *leave, c *Configuration, holders []keys.PublicKey, first func(*database.Tx) error, now time.Time) (*oid4vci.CredentialResponse, error) {
	transaction, id, err := s.secret()
	if err != nil {
		return nil, err
	}
	var d deferral
	for _, k := range holders {
		d.Holders = append(d.Holders, k.Multikey())
	}
	raw, err := encoding.Marshal(&d)
	if err != nil {
		return nil, err
	}
	sealed, err := s.vault.seal(s.vault.master, deferralSeal(id), l.person, raw)
	if err != nil {
		return nil, err
	}
	err = s.store.Write(ctx, func(t *database.Tx) error {
		if err := first(t); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, "INSERT INTO deferrals (id, grant_id, configuration, sealed, until) VALUES (?, ?, ?, ?, ?)",
			id, l.grant, c.ID, sealed, now.Add(deferralLife).Unix())
		return err
	})
	if err != nil {
		return nil, err
	}
	return &oid4vci.CredentialResponse{TransactionID: transaction, Interval: int64(deferralInterval / time.Second)}, nil
}

// Deferred answers a deferred credential request (§9): with the credentials, once, or with the same
// promise.
func (s *Service) Deferred(ctx context.Context, body []byte, encrypted bool, proofs *Proofs) (*Answer, error) {
	if _, err := s.exchanging(); err != nil {
		return nil, err
	}
	l, err := s.admit(ctx, proofs, "deferred_credential")
	if err != nil {
		return nil, err
	}
	out, err := s.deferred(ctx, l, body, encrypted)
	return out, s.settle(ctx, l, err)
}

func (s *Service) deferred(ctx context.Context, l *leave, body []byte, encrypted bool) (*Answer, error) {
	body, err := s.decrypt(body, encrypted)
	if err != nil {
		return nil, err
	}
	req, err := oid4vci.ParseDeferredRequest(body)
	if err != nil {
		return nil, err
	}
	if err := s.checkEncryption(req.Encryption, encrypted); err != nil {
		return nil, err
	}
	now := s.cfg.Now()
	c, holders, err := s.promised(ctx, l, req.TransactionID, now)
	if err != nil {
		return nil, err
	}
	if waiting, err := s.waits(ctx, l); err != nil {
		return nil, err
	} else if waiting {
		err := s.store.Write(ctx, func(t *database.Tx) error { return useUp(ctx, t, l.spend, now) })
		if err != nil {
			return nil, err
		}
		return &Answer{&oid4vci.CredentialResponse{TransactionID: req.TransactionID, Interval: int64(deferralInterval / time.Second)}, req.Encryption}, nil
	}
	out, err := s.fulfil(ctx, l, c, holders, func(t *database.Tx) error {
		if err := useUp(ctx, t, l.spend, now); err != nil {
			return err
		}
		r, err := t.ExecContext(ctx, "DELETE FROM deferrals WHERE id = ?", digest(req.TransactionID))
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n != 1 {
			return errors.Join(err, errTransaction)
		}
		return nil
	}, now)
	if err != nil {
		return nil, err
	}
	return &Answer{out, req.Encryption}, nil
}

var errTransaction = hufu.Refuse(oid4vci.RuleTransaction, "no such transaction, or its credentials were obtained")

// promised reads what waits under a transaction_id of the leave.
func (s *Service) promised(ctx context.Context, l *leave, transaction string, now time.Time) (*Configuration, []keys.PublicKey, error) {
	id := digest(transaction)
	var configuration string
	var sealed []byte
	err := s.store.QueryRowContext(ctx, "SELECT configuration, sealed FROM deferrals WHERE id = ? AND grant_id = ? AND until > ?",
		id, l.grant, now.Unix()).Scan(&configuration, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil, errTransaction
	}
	if err != nil {
		return nil, nil, fmt.Errorf("issuer: store: %w", err)
	}
	raw, err := open(s.vault.master, deferralSeal(id), l.person, sealed)
	if err != nil {
		return nil, nil, err
	}
	var d deferral
	if err := encoding.Unmarshal(raw, &d); err != nil {
		return nil, nil, err
	}
	holders := make([]keys.PublicKey, len(d.Holders))
	for i, k := range d.Holders {
		if holders[i], err = keys.ParseMultikey(k); err != nil {
			return nil, nil, err
		}
	}
	c, err := s.configuration(ctx, configuration)
	if err == nil && c == nil {
		err = hufu.Refuse(oid4vci.RuleDenied, "the credential is not issued any more")
	}
	return c, holders, err
}

// Notify takes a wallet's word of what became of credentials (§11). The same word may come again.
func (s *Service) Notify(ctx context.Context, body []byte, proofs *Proofs) error {
	if _, err := s.exchanging(); err != nil {
		return err
	}
	l, err := s.admit(ctx, proofs, "notification")
	if err != nil {
		return err
	}
	return s.settle(ctx, l, s.notify(ctx, l, body))
}

func (s *Service) notify(ctx context.Context, l *leave, body []byte) error {
	n, err := oid4vci.ParseNotification(body)
	if err != nil {
		return err
	}
	return s.store.Write(ctx, func(t *database.Tx) error {
		if err := useUp(ctx, t, l.spend, s.cfg.Now()); err != nil {
			return err
		}
		r, err := t.ExecContext(ctx, "UPDATE notifications SET event = ? WHERE id = ? AND grant_id = ?", n.Event, digest(n.ID), l.grant)
		if err != nil {
			return err
		}
		if rows, err := r.RowsAffected(); err != nil || rows != 1 {
			return errors.Join(err, hufu.Refuse(oid4vci.RuleNotificationID, "no such notification_id"))
		}
		return nil
	})
}

// DPoPNonce is a new nonce for DPoP proofs, which comes with every answer.
func (s *Service) DPoPNonce() (string, error) {
	x, err := s.exchanging()
	if err != nil {
		return "", err
	}
	return x.dpop.next(s.cfg.Now())
}

// Challenge is a new challenge for proofs of attested wallets.
func (s *Service) Challenge() (string, error) {
	x, err := s.exchanging()
	if err != nil {
		return "", err
	}
	return x.challenges.next(s.cfg.Now())
}
