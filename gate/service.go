package gate

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/tilelog"
)

// DefaultLifetime is how long a request may be answered when [Config] does not say.
const DefaultLifetime = 5 * time.Minute

// Ledger runs f on one verified view of the ledger, perhaps more than once; f has no effects before it
// returns nil. *client.Client is one; [Offline] makes one of a snapshot.
type Ledger interface {
	Read(ctx context.Context, f func(client.View) error) error
}

// Offline is the ledger as one view shows it, for as long as the view's age allows.
func Offline(v client.View) Ledger { return offline{v} }

type offline struct{ view client.View }

func (o offline) Read(_ context.Context, f func(client.View) error) error { return f(o.view) }

// Config is what a gate is made of.
type Config struct {
	DID         hufu.DID    // owner of the contracts that this gate may ask for
	Fragment    string      // of the key of DID that Signer holds; for authentication and assertion
	Signer      keys.Signer // signs requests and receipts
	Ledger      Ledger
	Stapler     Stapler // of what wallets look up, for the gate to attach to its requests; nil: wallets ask a node
	Store       Store
	ResponseURI string        // where wallets post their answers; ends with /response, see [Gate.Handler]
	Lifetime    time.Duration // of a request; 0 is DefaultLifetime
	Log         *tilelog.Log  // of receipts, at [LogName], brought up by [Gate.FollowLog]; nil: there is none

	// Certificate lets the gate name itself by the x509 client identifier prefixes; nil: it cannot.
	Certificate *Certificate
	// Seal seals the keys that answers are encrypted to. Processes on one store need the same. The zero
	// key is replaced by a random one, with which encrypted sessions end when the process does.
	Seal [32]byte

	// Opened and Decided, if not nil, are told of every request and every outcome, for counting.
	Opened  func()
	Decided func(decision hufu.Decision, rule hufu.Rule)

	Now  func() time.Time
	Rand io.Reader // nil is crypto/rand
}

// Gate is a verifier. It is safe for concurrent use.
type Gate struct {
	Config
	cache   *cache
	staples staples
	vault   *vault
	watches *watches
}

// New makes a gate.
func New(c Config) (*Gate, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.Opened == nil {
		c.Opened = func() {}
	}
	if c.Decided == nil {
		c.Decided = func(hufu.Decision, hufu.Rule) {}
	}
	if c.Lifetime == 0 {
		c.Lifetime = DefaultLifetime
	}
	switch _, _, err := c.DID.Parse(); {
	case err != nil:
		return nil, fmt.Errorf("gate: %w", err)
	case c.Signer == nil || c.Ledger == nil || c.Store == nil || c.Fragment == "":
		return nil, errors.New("gate: a gate needs a key, a ledger and a store")
	case c.Lifetime < time.Second || c.Lifetime > oid4vp.MaxLifetime:
		return nil, fmt.Errorf("gate: a request lives 1s to %s", oid4vp.MaxLifetime)
	}
	v, err := newVault(c.Rand, c.Seal)
	if err != nil {
		return nil, err
	}
	if c.Certificate != nil {
		if err := c.Certificate.check(c.DID); err != nil {
			return nil, err
		}
	}
	return &Gate{Config: c, cache: newCache(), vault: v, watches: newWatches(c.Store)}, nil
}

// now is in whole seconds, as receipts are, so that a replay sees the same moment.
func (g *Gate) now() time.Time { return g.Now().UTC().Truncate(time.Second) }

// Request asks for what the contract asks for and nothing else. The contract must be published, current
// and the gate's own. The result is a signed request object to be answered once, at [Config.ResponseURI].
// It is the shortest way to ask; [Gate.OpenSession] knows the others.
func (g *Gate) Request(ctx context.Context, id hufu.ContractID) (string, error) {
	q, err := g.current(ctx, id, "")
	if err != nil {
		return "", err
	}
	s, err := g.newSession(id, q.version)
	if err != nil {
		return "", err
	}
	r := g.request(&s, q)
	token, err := g.sign(ctx, r, q)
	if err != nil {
		return "", err
	}
	if err := g.Store.Open(ctx, s); err != nil {
		return "", fmt.Errorf("gate: %w", err)
	}
	g.Opened()
	return token, nil
}

// current is the question that a contract stands for now, in a format.
func (g *Gate) current(ctx context.Context, id hufu.ContractID, format string) (*asking, error) {
	if id.Owner != g.DID {
		return nil, hufu.Refuse(RuleNotOwner, "the contract is not this gate's")
	}
	var q *asking
	err := g.Ledger.Read(ctx, func(v client.View) error {
		c, err := g.cache.current(v, id)
		if err == nil {
			q, err = g.cache.ask(v, c, format)
		}
		return err
	})
	return q, err
}

// newSession draws what names a session and lets nothing be presented to another.
func (g *Gate) newSession(id hufu.ContractID, version uint32) (Session, error) {
	var random [40]byte
	if _, err := io.ReadFull(g.Rand, random[:]); err != nil {
		return Session{}, fmt.Errorf("gate: %w", err)
	}
	at := g.now()
	return Session{
		// A state is an argument of commands, so it does not begin with a hyphen.
		Nonce: base64.RawURLEncoding.EncodeToString(random[:24]), State: hex.EncodeToString(random[24:]),
		Contract: id, Version: version, Opened: at, Expires: at.Add(g.Lifetime),
	}, nil
}

// Outcome is what came of an answer.
type Outcome struct {
	Decision hufu.Decision
	Receipt  receipt.Receipt
	Token    string // Receipt, signed
	Grant    *Grant // nil unless allowed
	Redirect string // where the wallet is to send the person's browser; or ""
}

// Grant says what an allowed visitor may do: enter by this contract until then.
type Grant struct {
	Contract hufu.ContractID `json:"contract"`
	Version  uint32          `json:"version"`
	From     time.Time       `json:"from"`
	Until    time.Time       `json:"until"`
}

// decided is what a contract decided by.
type decided struct {
	contract *contract.Contract
	facts    contract.Facts
}

// judge fills in r what the ledger and the contract say. It changes nothing else, as the ledger may run
// it again.
func (g *Gate) judge(v client.View, s *Session, asked *receipt.Asked, answer oid4vp.VPToken, r *receipt.Receipt) (decided, error) {
	var none decided
	r.AsOf, r.Staleness = v.AsOf(), staleness(v, r.Time)
	c, err := g.cache.version(v, s.Contract, s.Version)
	if err != nil {
		r.Commitment = receipt.Commit(s.Nonce, answer.InOrder(answer.IDs()))
		return none, refuse(r, err)
	}
	r.Contract, r.Version, r.Hash = s.Contract, s.Version, c.Hash
	r.Commitment = receipt.Commit(s.Nonce, answer.InOrder(order(c, answer)))
	if err := g.cache.standing(v, s.Contract, s.Version); err != nil {
		return none, refuse(r, err)
	}
	result, facts, err := g.cache.judge(v, &question{contract: c, gate: g.DID, nonce: s.Nonce, asked: asked, answer: answer, now: r.Time})
	if err != nil {
		return none, err
	}
	r.Decision, r.Policies, r.Rule, r.Reason = result.Decision, result.Policies, result.Rule, result.Reason
	if r.Decision == hufu.Allow {
		r.Until = r.Time.Add(c.Grant)
	}
	return decided{c, facts}, nil
}

// refuse makes a refusal the receipt's outcome, and returns what is no refusal.
func refuse(r *receipt.Receipt, err error) error {
	var refusal *hufu.Refusal
	if !errors.As(err, &refusal) || isOutage(refusal.Rule) {
		return err
	}
	r.Rule, r.Reason = refusal.Rule, refusal.Detail
	return nil
}

// order is the ids of an answer in the order of the contract's queries, and after them any others.
func order(c *contract.Contract, answer oid4vp.VPToken) []string {
	ids := make([]string, 0, len(answer))
	for i := range c.Query.Credentials {
		ids = append(ids, c.Query.Credentials[i].ID)
	}
	for _, id := range answer.IDs() {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	return ids
}
