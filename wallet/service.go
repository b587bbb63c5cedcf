package wallet

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// Rules a wallet refuses by. Refusals by credential.*, did.*, oid4vp.*, dcql.* and receipt.* pass as they are.
const (
	RuleOverAsking    hufu.Rule = "wallet.over-asking"    // the request is not what its gate published
	RuleNotCurrent    hufu.Rule = "wallet.not-current"    // the contract is retired, or its version not the latest
	RuleUnknownGate   hufu.Rule = "wallet.unknown-gate"   // the gate is no DID of this ledger
	RuleAskedBefore   hufu.Rule = "wallet.asked-before"   // a request with this nonce was answered
	RuleForeignKey    hufu.Rule = "wallet.foreign-key"    // a credential bound to a key that is not the wallet's
	RuleDuplicate     hufu.Rule = "wallet.duplicate"      // a credential twice, or two that say the same bound to one key
	RuleUnknownIssuer hufu.Rule = "wallet.unknown-issuer" // the issuer is no DID of this ledger
	RuleUnasked       hufu.Rule = "wallet.unasked"        // a receipt for something the wallet did not answer
)

// ClockSkew is how far the clocks of gates and issuers may be off.
const ClockSkew = 30 * time.Second

// LowWater is the number of copies left at which a wallet says that it runs low.
const LowWater = 2

// MaxKeys bounds the keys that [Wallet.Keygen] makes at once.
const MaxKeys = 1000

// Config is what a wallet is made of. Only Store is required.
type Config struct {
	Store Store
	Suite *keys.Suite      // of new keys; nil is P-256
	Now   func() time.Time // nil is the machine's clock
	Rand  io.Reader        // nil is crypto/rand
}

// Wallet is one person's wallet. It is safe for concurrent use.
type Wallet struct {
	Config
	mu   sync.Mutex
	held *contents
}

// Open reads the wallet that store has, or begins a new one. The wallet owns the store from then on.
func Open(c Config) (*Wallet, error) {
	if c.Store == nil {
		return nil, errors.New("wallet: a wallet needs a store")
	}
	if c.Suite == nil {
		c.Suite = keys.P256
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	raw, err := c.Store.Load()
	if err != nil {
		return nil, err
	}
	held, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return &Wallet{Config: c, held: held}, nil
}

// Close closes the store.
func (w *Wallet) Close() error { return w.Store.Close() }

// change runs f on a copy of the contents and keeps the copy once it is saved. When f or the store
// fails, nothing is changed. What f leaves alone is shared between the copies, so f replaces entries
// and does not write through their slices.
func (w *Wallet) change(f func(*contents) error) error {
	next := &contents{
		Version: w.held.Version, Keys: slices.Clone(w.held.Keys), Copies: slices.Clone(w.held.Copies), Log: slices.Clone(w.held.Log),
	}
	if err := f(next); err != nil {
		return err
	}
	raw, err := encoding.Marshal(next)
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	if err := w.Store.Save(raw); err != nil {
		return err
	}
	w.held = next
	return nil
}

// Keygen makes k holder keys and returns their public halves, to be proven to an issuer with
// [Wallet.Prove]. Each is for one copy of each credential, so that copies of several credentials can be
// shown together as one holder's.
func (w *Wallet) Keygen(k int) ([]keys.PublicKey, error) {
	if k < 1 || k > MaxKeys {
		return nil, fmt.Errorf("wallet: %d keys, not 1 to %d", k, MaxKeys)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]keys.PublicKey, k)
	err := w.change(func(c *contents) error {
		for i := range out {
			signer, err := w.Suite.Generate(w.Rand)
			if err != nil {
				return fmt.Errorf("wallet: %w", err)
			}
			secret, ok := signer.(keys.Secret)
			if !ok {
				return errors.New("wallet: a key whose secret cannot be kept")
			}
			c.Keys = append(c.Keys, heldKey{Suite: w.Suite.Name(), Secret: secret.Secret(), signer: signer})
			out[i] = signer.Public()
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Prove makes a key proof (OpenID4VCI 1.0 Appendix F.1) for each key, for the issuer that is audience and
// with the nonce it gave.
func (w *Wallet) Prove(of []keys.PublicKey, audience, nonce string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]string, len(of))
	for i, key := range of {
		n, ok := w.held.number(key)
		if !ok {
			return nil, hufu.Refuse(RuleForeignKey, "key %d of %d is not the wallet's", i+1, len(of))
		}
		var err error
		if out[i], err = oid4vci.MakeProof(w.Rand, w.held.Keys[n].signer, audience, nonce, w.Now()); err != nil {
			return nil, fmt.Errorf("wallet: %w", err)
		}
	}
	return out, nil
}

func (c *contents) number(key keys.PublicKey) (int, bool) {
	for i := range c.Keys {
		if c.Keys[i].signer.Public().Equal(key) {
			return i, true
		}
	}
	return 0, false
}

// Accept takes credentials from an issuer, all or none of them. Each must be signed by its issuer's key
// on the ledger as of issuance, be in force, and be bound to one of the wallet's keys.
func (w *Wallet) Accept(v client.View, credentials []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	issuers := issuerKeys(v)
	return w.change(func(c *contents) error {
		for i, text := range credentials {
			h, err := c.accept(text, w.Now(), issuers)
			if err != nil {
				return fmt.Errorf("wallet: credential %d of %d: %w", i+1, len(credentials), err)
			}
			c.Copies = append(c.Copies, h)
		}
		return nil
	})
}

func (c *contents) accept(text string, now time.Time, issuers resolver) (heldCopy, error) {
	var none heldCopy
	cred, err := sdjwt.Parse(text)
	if err != nil {
		return none, err
	}
	got, err := cred.Verify(sdjwt.VerifyParams{Now: now, ClockSkew: ClockSkew, ResolveKey: issuers})
	if err != nil {
		return none, err
	}
	key, ok := c.number(got.HolderKey)
	if got.HolderKey.IsZero() || !ok {
		return none, hufu.Refuse(RuleForeignKey, "the credential is bound to no key of this wallet")
	}
	kind, err := kindOf(got.Claims)
	if err != nil {
		return none, err
	}
	h := heldCopy{Credential: text, Key: uint64(key), Type: got.Type, Issuer: got.Issuer, Kind: kind}
	if !got.ExpiresAt.IsZero() {
		h.Expires = got.ExpiresAt.Unix()
	}
	for i := range c.Copies {
		if c.Copies[i].Key == h.Key && c.Copies[i].Kind == kind {
			return none, hufu.Refuse(RuleDuplicate, "the wallet has such a credential bound to that key")
		}
	}
	return h, nil
}

// kindOf is what all copies of a batch have in common: everything they say but the key and the status.
func kindOf(claims map[string]any) (hufu.Digest, error) {
	common := make(map[string]any, len(claims))
	for name, v := range claims {
		if name != "cnf" && name != "status" {
			common[name] = v
		}
	}
	raw, err := encoding.JCS(common)
	if err != nil {
		return hufu.Digest{}, fmt.Errorf("wallet: %w", err)
	}
	return sha256.Sum256(raw), nil
}

// resolver finds issuers' keys as sdjwt wants them.
type resolver = func(iss, kid, alg string, iat int64) (keys.PublicKey, error)

// issuerKeys resolves on one view and remembers what it found: the copies of a batch have one issuer.
func issuerKeys(v client.View) resolver {
	type question struct {
		kid string
		iat int64
	}
	known := map[question]keys.PublicKey{}
	return func(iss, kid, _ string, iat int64) (keys.PublicKey, error) {
		if key, ok := known[question{kid, iat}]; ok && strings.HasPrefix(kid, iss+"#") {
			return key, nil
		}
		key, err := keyAt(v, hufu.DID(iss), kid, tx.PurposeAssertion, iat, RuleUnknownIssuer)
		if err == nil {
			known[question{kid, iat}] = key
		}
		return key, err
	}
}

// keyAt is the key under a DID URL, which must be one of owner's, as of a time.
func keyAt(v client.View, owner hufu.DID, url string, purpose uint8, at int64, unknown hufu.Rule) (keys.PublicKey, error) {
	var none keys.PublicKey
	named, fragment, err := hufu.SplitDIDURL(url)
	if err != nil || named != owner {
		return none, hufu.Refuse(unknown, "the key named is none of the signer's")
	}
	network, id, err := owner.Parse()
	if err != nil || network != v.Network() {
		return none, hufu.Refuse(unknown, "the signer is no DID of this ledger")
	}
	rec, err := did.Get(v, id)
	if err != nil {
		return none, err
	}
	if rec == nil {
		return none, hufu.Refuse(unknown, "the signer is no DID of this ledger")
	}
	return rec.KeyAt(fragment, purpose, at)
}
