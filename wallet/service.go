package wallet

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// Rules a wallet refuses by. Refusals by credential.*, did.*, oid4vp.*, dcql.* and receipt.* pass as they are.
const (
	RuleOverAsking    hufu.Rule = "wallet.over-asking"    // the request is not what its gate published
	RuleNotCurrent    hufu.Rule = "wallet.not-current"    // the contract is retired, or its version not the latest
	RuleUnknownGate   hufu.Rule = "wallet.unknown-gate"   // the gate is no DID of this ledger
	RuleAskedBefore   hufu.Rule = "wallet.asked-before"   // a request with this nonce was answered
	RuleStale         hufu.Rule = "wallet.stale"          // no node can be reached, and what the gate shows of the ledger is older than its contract allows
	RuleForeignKey    hufu.Rule = "wallet.foreign-key"    // a credential bound to a key that is not the wallet's
	RuleDuplicate     hufu.Rule = "wallet.duplicate"      // a credential twice, or two that say the same bound to one key
	RuleUnknownIssuer hufu.Rule = "wallet.unknown-issuer" // the issuer is no DID of this ledger
	RuleUnasked       hufu.Rule = "wallet.unasked"        // a receipt for something the wallet did not answer

	RuleStranger   hufu.Rule = "wallet.stranger"    // the ledger does not know who asks or issues, and the person did not agree to it
	RuleDeclined   hufu.Rule = "wallet.declined"    // the person said no
	RuleChanged    hufu.Rule = "wallet.changed"     // what was to be shown was used up meanwhile
	RuleRemote     hufu.Rule = "wallet.remote"      // the other side answered with an error, or not as its protocol says
	RuleTxCode     hufu.Rule = "wallet.tx-code"     // the offer needs a transaction code of another form than the one given
	RuleSignIn     hufu.Rule = "wallet.sign-in"     // the offer needs the person to sign in and there is no way to
	RuleNoFormat   hufu.Rule = "wallet.unsupported" // nothing that is offered is of a kind that the wallet can hold
	RuleNotOffered hufu.Rule = "wallet.not-offered" // the issuer gave something else than what was offered
)

// ClockSkew is how far the clocks of gates and issuers may be off.
const ClockSkew = 30 * time.Second

// LowWater is the number of copies left at which a wallet says that it runs low.
const LowWater = 2

// MaxKeys bounds the keys that [Wallet.Keygen] makes at once.
const MaxKeys = 1000

// Config is what a wallet is made of. Only Store is required.
type Config struct {
	Store    Store
	Suite    *keys.Suite      // of new keys; nil is P-256
	Now      func() time.Time // nil is the machine's clock
	Rand     io.Reader        // nil is crypto/rand
	HTTP     *http.Client     // for issuers and verifiers; nil is one with a time limit
	ClientID string           // by which authorization servers know the wallet; "" is [DefaultClientID]
	Provider Provider         // attests wallet and keys to issuers that demand it; nil: nobody does
}

// DefaultClientID is the client identifier of a wallet that no issuer registered.
const DefaultClientID = "hufu-wallet"

// Ledger is where a wallet reads the network's records: see [client.Client].
type Ledger interface {
	// Read runs f on one proven state, and again on a newer one if that is needed.
	Read(ctx context.Context, f func(client.View) error) error
}

// Opener is a Ledger that also tells whether what a gate staples to its request is true, and asks nobody: see
// [client.Client.OpenStaple]. With another, what is stapled is passed over.
type Opener interface {
	Ledger
	OpenStaple(staple []byte) (*client.Stapled, error)
}

// Wallet is one person's wallet. It is safe for concurrent use.
type Wallet struct {
	Config
	mu        sync.Mutex
	held      *contents
	contracts map[hufu.Digest]*contract.Contract // parsed, by the hash of their text, which never changes
}

// maxContracts bounds the parsed contracts that a wallet remembers.
const maxContracts = 64

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
	if c.ClientID == "" {
		c.ClientID = DefaultClientID
	}
	c.HTTP = hardened(c.HTTP)
	raw, err := c.Store.Load()
	if err != nil {
		return nil, err
	}
	held, err := decode(raw)
	if err != nil {
		return nil, err
	}
	return &Wallet{Config: c, held: held, contracts: map[hufu.Digest]*contract.Contract{}}, nil
}

// Close closes the store.
func (w *Wallet) Close() error { return w.Store.Close() }

// change runs f on a copy of the contents and keeps the copy once it is saved. When f or the store
// fails, nothing is changed. What f leaves alone is shared between the copies, so f replaces entries
// and does not write through their slices.
func (w *Wallet) change(f func(*contents) error) error {
	next := &contents{
		Version: w.held.Version, Keys: slices.Clone(w.held.Keys), Copies: slices.Clone(w.held.Copies), Log: slices.Clone(w.held.Log),
		Sources: slices.Clone(w.held.Sources), Pending: slices.Clone(w.held.Pending),
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
	var out []keys.PublicKey
	err := w.change(func(c *contents) (err error) {
		out, err = w.generate(c, w.Suite, k)
		return err
	})
	return out, err
}

// generate adds k new keys to the contents.
func (w *Wallet) generate(c *contents, suite *keys.Suite, k int) ([]keys.PublicKey, error) {
	out := make([]keys.PublicKey, k)
	for i := range out {
		signer, err := suite.Generate(w.Rand)
		if err != nil {
			return nil, fmt.Errorf("wallet: %w", err)
		}
		secret, ok := signer.(keys.Secret)
		if !ok {
			return nil, errors.New("wallet: a key whose secret cannot be kept")
		}
		c.Keys = append(c.Keys, heldKey{Suite: suite.Name(), Secret: secret.Secret(), signer: signer})
		out[i] = signer.Public()
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
