package issuer

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tilelog"
)

// The credential types that the issuer knows how to make.
const (
	TypeResidentID   = "urn:hufu:type:resident-id:1"
	TypeGuardianship = "urn:hufu:type:guardianship:1"
)

// The rules a request can be refused by, beside those of package oid4vci.
const (
	RuleUnknownPerson hufu.Rule = "issuer.unknown-person"
	RuleErased        hufu.Rule = "issuer.erased"         // the person's file was erased
	RuleUnknownType   hufu.Rule = "issuer.unknown-type"   // no credential of this type is made here
	RuleNotEntitled   hufu.Rule = "issuer.not-entitled"   // the type is not for this person
	RuleNoGuardian    hufu.Rule = "issuer.no-guardian"    // the guardian is not enrolled, erased or no adult
	RulePurpose       hufu.Rule = "issuer.purpose"        // a file is read for a purpose or not at all
	RuleUnknownStatus hufu.Rule = "issuer.unknown-status" // neither valid, revoked nor suspended
	RuleUnknownEntry  hufu.Rule = "issuer.unknown-entry"  // no such status entry was given to anybody here
	RuleTooMany       hufu.Rule = "issuer.too-many"       // more than one request may change
)

// Errors that callers act on.
var (
	ErrWrongKey    = errors.New("issuer: the store is under another master key")
	ErrWrongIssuer = errors.New("issuer: the store belongs to another issuer or network")
)

// Ledger is what an issuer needs of the ledger; a [client.Client] is one.
type Ledger interface {
	SubmitAll(ctx context.Context, raws [][]byte, told func(client.Outcome)) []client.Outcome
	Read(ctx context.Context, f func(client.View) error) error
}

// Config is an issuer's identity, keys and settings. What is optional says so.
type Config struct {
	DID       hufu.DID
	Signer    keys.Signer // signs credentials and status lists
	Fragment  string      // of the method in the DID document that Signer's key is
	MasterKey [32]byte    // from the keystore; everything in the store is under it
	Store     string      // path of the SQLite file, made when there is none, or a postgres:// DSN

	Ledger Ledger
	// Sign makes bodies the issuer's next transactions on the ledger, in this order. It is called one at a time.
	Sign func(ctx context.Context, bodies ...tx.Body) (raws [][]byte, err error)
	// StatusBase is the URL that status lists are served below, without a "/" at its end.
	StatusBase string

	Zone *time.Location   // the issuer's, in which people have birthdays
	Now  func() time.Time // optional: the clock
	Rand io.Reader        // optional: the source of randomness, safe for concurrent use

	Validity time.Duration // optional, of credentials: [DefaultValidity]
	// Since, if set, is from when Signer's key and the accreditation hold. Then iat is rounded down to
	// the day, though never before Since, and exp up, so that copies cannot be told apart, or
	// together, by the second of their issue.
	Since    time.Time
	ListSize uint64        // optional, entries of a status list: [DefaultListSize]
	ListTTL  time.Duration // optional, how long a status list token may be cached: [DefaultListTTL]

	// Exchange is optional: without it, credentials are given by [Service.Issue] alone.
	Exchange *Exchange
	// Chain is optional: certificates in DER that lead from one of Signer's key, for signing mdocs and
	// other credentials, to an authority of DID, whose own is left out (package x5c). With it,
	// credentials are issued under the certificate, too.
	Chain [][]byte
	// AccessLog is optional: the log of readings of files, at [LogName], brought up by [Service.FollowLog].
	AccessLog *tilelog.Log

	Log *slog.Logger // optional: what went wrong, without personal data
	// Issued, if not nil, is told of the copies that were issued, by credential type, for counting.
	Issued func(vct string, copies int)
}

// Defaults of [Config].
const (
	DefaultValidity = 90 * 24 * time.Hour
	DefaultListSize = 1 << 20 // the larger, the less an index says
	DefaultListTTL  = time.Minute
)

// Service is an issuer at work. Safe for concurrent use.
type Service struct {
	cfg    Config
	id     hufu.ID
	vault  *vault
	store  *database.DB
	nonces nonces

	listMu sync.Mutex // held while a list is opened
	lists  sync.Map   // list number → *order
	submit sync.Mutex // the issuer's transactions go one by one
	tokens tokenCache

	exchange *exchange // or nil
}

// Open opens the issuer's store, or makes it. It returns [ErrWrongKey] or [ErrWrongIssuer] when the
// store is another's.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	_, id, err := cfg.DID.Parse()
	if err != nil {
		return nil, err
	}
	v, err := newVault(cfg.Rand, cfg.MasterKey)
	if err != nil {
		return nil, err
	}
	st, err := openStore(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, id: id, vault: v, store: st, nonces: nonces{cfg.Rand, v.nonce}, tokens: tokenCache{held: map[tokenKey]heldToken{}}}
	if s.exchange, err = s.newExchange(cfg.Exchange, cfg.Chain); err == nil {
		err = s.recognise(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return s, nil
}

func (c *Config) complete() error {
	switch {
	case c.Signer == nil || c.Fragment == "":
		return errors.New("issuer: no signer or no fragment of its key")
	case c.Ledger == nil || c.Sign == nil || c.StatusBase == "":
		return errors.New("issuer: no ledger, no way to sign for it, or no base of status list URLs")
	case c.Store == "" || c.MasterKey == [32]byte{}:
		return errors.New("issuer: no store or no master key")
	case c.Zone == nil:
		return errors.New("issuer: no time zone")
	}
	if c.Issued == nil {
		c.Issued = func(string, int) {}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Validity == 0 {
		c.Validity = DefaultValidity
	}
	if c.ListSize == 0 {
		c.ListSize = DefaultListSize
	}
	if c.ListTTL == 0 {
		c.ListTTL = DefaultListTTL
	}
	return nil
}

// recognise marks a new store as this issuer's, and checks an old one.
func (s *Service) recognise(ctx context.Context) error {
	const name = "issuer"
	return s.store.Write(ctx, func(t *database.Tx) error {
		var sealed []byte
		err := t.QueryRowContext(ctx, "SELECT value FROM settings WHERE name = ?", name).Scan(&sealed)
		if errors.Is(err, sql.ErrNoRows) {
			if sealed, err = s.vault.seal(s.vault.master, name, PersonRef{}, []byte(s.cfg.DID)); err != nil {
				return err
			}
			_, err = t.ExecContext(ctx, "INSERT INTO settings VALUES (?, ?)", name, sealed)
			return err
		}
		if err != nil {
			return err
		}
		did, err := open(s.vault.master, name, PersonRef{}, sealed)
		switch {
		case err != nil:
			return ErrWrongKey
		case !bytes.Equal(did, []byte(s.cfg.DID)):
			return ErrWrongIssuer
		}
		return nil
	})
}

// Close closes the store. Running calls fail.
func (s *Service) Close() error { return s.store.Close() }

// DID is the issuer's identifier, which is also the audience of key proofs.
func (s *Service) DID() hufu.DID { return s.cfg.DID }

// Ref is the reference of the person with a resident number, enrolled or not.
func (s *Service) Ref(residentNumber string) PersonRef { return s.vault.ref(residentNumber) }

// Nonce is a new c_nonce for key proofs (OpenID4VCI 1.0 §7), good once and for five minutes.
func (s *Service) Nonce() (string, error) { return s.nonces.next(s.cfg.Now()) }

// send signs a transaction as the issuer's next and awaits it.
func (s *Service) send(ctx context.Context, body tx.Body) (client.Receipt, error) {
	outcomes, err := s.sendAll(ctx, nil, body)
	if err != nil {
		return client.Receipt{}, err
	}
	return outcomes[0].Receipt, outcomes[0].Err
}

// sendAll signs transactions as the issuer's next and awaits them all.
func (s *Service) sendAll(ctx context.Context, told func(client.Outcome), bodies ...tx.Body) ([]client.Outcome, error) {
	s.submit.Lock()
	defer s.submit.Unlock()
	raws, err := s.cfg.Sign(ctx, bodies...)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return s.cfg.Ledger.SubmitAll(ctx, raws, told), nil
}
