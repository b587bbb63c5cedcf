package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/limit"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oauth"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// Exchange is how wallets get credentials of the issuer by OpenID4VCI. What is optional says so.
type Exchange struct {
	// URL is the Credential Issuer Identifier, and the identifier of the authorization server that is
	// part of the issuer. Everything but metadata and status lists is served below it.
	URL string
	// Name is the agency's in each language, by BCP 47 tag; optional.
	Name map[string]string

	Bearer bool // tokens that are bound to no key are given to wallets that do not prove one

	// Providers are whose attestations of wallets and keys are believed; optional.
	Providers []Provider
	// WalletAttestation demands that each wallet is attested by a provider.
	WalletAttestation bool
	// KeyAttestation, if not nil, demands that holder keys are attested by a provider, and how.
	KeyAttestation *oid4vci.KeyRequirement

	EncryptRequests  bool // demanded; possible always
	EncryptResponses bool // demanded; possible always

	PersonRate limit.Rate // optional, requests for credentials of one person; the zero value is no limit

	Batch       int           // copies in one request: [DefaultBatch] if 0, at most oid4vci.MaxProofs
	RefreshLife time.Duration // how long a wallet may come back: [DefaultRefreshLife] if 0, never if negative
}

// Provider is who vouches for wallets and their keys: by certificates below an authority, as an
// identifier on the ledger, or by one key.
type Provider struct {
	Issuer string         // iss of its attestations; "": any, or none
	CA     keys.PublicKey // of certificates in x5c
	DID    hufu.DID       // whose assertion keys a kid may name, and whose lists an attestation's status may be on
	Key    keys.PublicKey // that a kid names
	KeyID  string         // that kid
}

// Defaults of [Exchange], and how long things last that no setting is for.
const (
	DefaultBatch       = 32
	DefaultRefreshLife = 30 * 24 * time.Hour

	DefaultOfferLife = 15 * time.Minute // until a person at the counter has scanned it
	maxOfferLife     = 30 * 24 * time.Hour
	requestLife      = 90 * time.Second // from pushing a request to the browser's coming
	visitLife        = 15 * time.Minute // for a person to sign in and agree
	codeLife         = time.Minute
	accessLife       = 10 * time.Minute
	deferralLife     = 30 * 24 * time.Hour
	deferralInterval = time.Minute // for a wallet to ask again
)

// Limits on guessing and taking.
const (
	maxTxCodeTries    = 5   // wrong transaction codes; then the offer is void
	maxSignInTries    = 10  // wrong passcodes in one authorization request; then it is over
	maxCopiesPerToken = 256 // then a new access token is needed
)

// The rules that exchanges can be refused by, beside those of packages oauth and oid4vci.
const (
	RuleNoExchange  hufu.Rule = "issuer.no-exchange"   // the issuer has no address for wallets
	RuleOffer       hufu.Rule = "issuer.offer"         // no such offer, or it is taken, void or over
	RuleOfferFor    hufu.Rule = "issuer.offer-for"     // the offer is made out to somebody else
	RuleVisit       hufu.Rule = "issuer.visit"         // no such authorization request, or it is over or another browser's
	RuleSignIn      hufu.Rule = "issuer.sign-in"       // wrong resident number or passcode, or too many tries
	RulePasscode    hufu.Rule = "issuer.weak-passcode" // too short to be one
	RuleTooOften    hufu.Rule = "issuer.too-often"     // too many requests for one person: wait
	RuleCertificate hufu.Rule = "issuer.certificate"   // the certificate is past its time
)

// exchange is what a [Service] with an [Exchange] holds for it.
type exchange struct {
	Exchange
	path       string // of the URL
	dpop       nonces
	challenges nonces
	encryption *jwe.PrivateKey
	chain      [][]byte       // of the configuration's chain, or nil
	certified  *x5c.Certified // its leaf

	offered offering // what is on the ledger to be issued
	hashing chan struct{}
	often   *limit.Limiter // of people, or nil

	sweepMu sync.Mutex
	swept   time.Time
}

// maxHashing bounds how many passcodes are hashed at once: each takes 19 MiB.
const maxHashing = 4

func (s *Service) newExchange(e *Exchange, chain [][]byte) (*exchange, error) {
	if e == nil {
		return nil, nil
	}
	if err := oauth.CheckIssuer(e.URL); err != nil {
		return nil, fmt.Errorf("issuer: URL: %w", err)
	}
	u, err := url.Parse(e.URL)
	if err != nil {
		return nil, fmt.Errorf("issuer: URL: %w", err)
	}
	x := &exchange{Exchange: *e, path: u.EscapedPath(), hashing: make(chan struct{}, maxHashing)}
	switch {
	case strings.HasSuffix(x.path, "/") || strings.ContainsAny(x.path, "{}%"):
		return nil, errors.New(`issuer: the path of the URL ends in "/" or has a character that is not plain`)
	case x.Batch < 0 || x.Batch > oid4vci.MaxProofs:
		return nil, fmt.Errorf("issuer: a batch of %d, at most %d", x.Batch, oid4vci.MaxProofs)
	case x.RefreshLife > deferralLife:
		return nil, fmt.Errorf("issuer: wallets may come back for %s, longer than it is kept whether the agency agrees: %s", x.RefreshLife, deferralLife)
	case (x.WalletAttestation || x.KeyAttestation != nil) && len(x.Providers) == 0:
		return nil, errors.New("issuer: attestations are demanded and nobody is trusted to give them")
	}
	if x.Batch == 0 {
		x.Batch = DefaultBatch
	}
	if x.PersonRate != (limit.Rate{}) {
		x.often = limit.New(x.PersonRate, s.cfg.Now)
	}
	if x.RefreshLife == 0 {
		x.RefreshLife = DefaultRefreshLife
	}
	x.dpop, x.challenges = nonces{s.cfg.Rand, s.vault.dpop}, nonces{s.cfg.Rand, s.vault.challenges}
	if x.encryption, err = encryptionKey(s.vault.encryption); err != nil {
		return nil, err
	}
	return x, x.certify(s, chain)
}

// certify takes the chain for Signer's key.
func (x *exchange) certify(s *Service, ders [][]byte) error {
	if len(ders) == 0 {
		return nil
	}
	chain, err := x5c.Parse(ders)
	if err != nil {
		return fmt.Errorf("issuer: Chain: %w", err)
	}
	if err := chain.Check(s.cfg.Now(), time.Minute, x5c.DocumentSigner); err != nil {
		return fmt.Errorf("issuer: Chain: %w", err)
	}
	leaf := chain.Leaf()
	switch {
	case !leaf.Key.Equal(s.cfg.Signer.Public()):
		return errors.New("issuer: Chain is not for the Signer's key")
	case leaf.DID != s.cfg.DID:
		return errors.New("issuer: Chain names another issuer")
	}
	x.chain, x.certified = ders, &leaf
	return nil
}

// encryptionKey is the same in every process of the issuer.
func encryptionKey(seed []byte) (*jwe.PrivateKey, error) {
	probe, err := jwe.GenerateKey(newStream(seed), "")
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return jwe.LoadKey(probe.Secret(), base64.RawURLEncoding.EncodeToString(probe.Public().Thumbprint()))
}

// stream is bytes that a seed decides: SHA-256 in counter mode, each block under the seed.
type stream struct {
	seed  []byte
	count byte
	rest  []byte
}

func newStream(seed []byte) io.Reader { return &stream{seed: seed} }

func (s *stream) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		block := sha256.Sum256(append([]byte{s.count}, s.seed...))
		s.rest = block[:]
		s.count++
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

func (x *exchange) endpoint(name string) string { return x.URL + "/" + name }

// exchanging is the exchange, or a refusal when there is none.
func (s *Service) exchanging() (*exchange, error) {
	if s.exchange == nil {
		return nil, hufu.Refuse(RuleNoExchange, "the issuer has no address for wallets")
	}
	return s.exchange, nil
}

// secret draws 256 bits and their digest, which is what is kept.
func (s *Service) secret() (text string, id []byte, err error) {
	var b [32]byte
	if _, err := io.ReadFull(s.cfg.Rand, b[:]); err != nil {
		return "", nil, fmt.Errorf("issuer: %w", err)
	}
	text = base64.RawURLEncoding.EncodeToString(b[:])
	return text, digest(text), nil
}

func digest(secret string) []byte {
	sum := sha256.Sum256([]byte(secret))
	return sum[:]
}

// sweepEvery is how often what is past its time is deleted.
const sweepEvery = time.Minute

// sweep deletes what is past its time. An hour is left for clocks that differ between processes.
func (s *Service) sweep(ctx context.Context, now time.Time) error {
	x := s.exchange
	x.sweepMu.Lock()
	due := now.Sub(x.swept) >= sweepEvery
	if due {
		x.swept = now
	}
	x.sweepMu.Unlock()
	if !due {
		return nil
	}
	return s.store.Write(ctx, func(t *database.Tx) error {
		for _, table := range []string{"offers", "authorizations", "tokens", "grants", "deferrals", "notifications"} {
			if _, err := t.ExecContext(ctx, "DELETE FROM "+table+" WHERE until < ?", now.Add(-time.Hour).Unix()); err != nil {
				return err
			}
		}
		return nil
	})
}
