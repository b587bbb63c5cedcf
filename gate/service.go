package gate

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
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
	Store       Store
	ResponseURI string        // where wallets post their answers
	Lifetime    time.Duration // of a request; 0 is DefaultLifetime
	Now         func() time.Time
	Rand        io.Reader // nil is crypto/rand
}

// Gate is a verifier. It is safe for concurrent use.
type Gate struct {
	Config
	cache *cache
}

// New makes a gate.
func New(c Config) (*Gate, error) {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
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
	return &Gate{Config: c, cache: newCache()}, nil
}

// now is in whole seconds, as receipts are, so that a replay sees the same moment.
func (g *Gate) now() time.Time { return g.Now().UTC().Truncate(time.Second) }

// Request asks for what the contract asks for and nothing else. The contract must be published, current
// and the gate's own. The result is a signed request object to be answered once, at [Config.ResponseURI].
func (g *Gate) Request(ctx context.Context, id hufu.ContractID) (string, error) {
	if id.Owner != g.DID {
		return "", hufu.Refuse(RuleNotOwner, "the contract is not this gate's")
	}
	var current *contract.Contract
	err := g.Ledger.Read(ctx, func(v client.View) (err error) {
		current, err = g.cache.current(v, id)
		return err
	})
	if err != nil {
		return "", err
	}
	var random [40]byte
	if _, err := io.ReadFull(g.Rand, random[:]); err != nil {
		return "", fmt.Errorf("gate: %w", err)
	}
	at := g.now()
	s := Session{
		Nonce: base64.RawURLEncoding.EncodeToString(random[:24]), State: base64.RawURLEncoding.EncodeToString(random[24:]),
		Contract: id, Version: current.Version, Opened: at, Expires: at.Add(g.Lifetime),
	}
	r := oid4vp.Request{
		Verifier: g.DID, ResponseURI: g.ResponseURI, Nonce: s.Nonce, State: s.State, Query: json.RawMessage(current.QueryJSON),
		Contract: id, Version: s.Version, IssuedAt: s.Opened, ExpiresAt: s.Expires,
	}
	token, err := r.Sign(g.Rand, g.Signer, g.DID.URL(g.Fragment))
	if err != nil {
		return "", err
	}
	if err := g.Store.Open(ctx, s); err != nil {
		return "", fmt.Errorf("gate: %w", err)
	}
	return token, nil
}

// Outcome is what came of an answer.
type Outcome struct {
	Decision hufu.Decision
	Receipt  receipt.Receipt
	Token    string // Receipt, signed
	Grant    *Grant // nil unless allowed
}

// Grant says what an allowed visitor may do: enter by this contract until then.
type Grant struct {
	Contract hufu.ContractID `json:"contract"`
	Version  uint32          `json:"version"`
	From     time.Time       `json:"from"`
	Until    time.Time       `json:"until"`
}

// Respond judges an answer. Whatever is wrong with it is an outcome, with a receipt that is stored before
// Respond returns. An error means that no decision could be made (the ledger or the store was out of
// reach): the door stays shut, and the request is used up.
func (g *Gate) Respond(ctx context.Context, answer oid4vp.Response) (*Outcome, error) {
	return g.respond(ctx, answer, "")
}

// RespondForm is [Gate.Respond] for the parameters of a direct_post (OpenID4VP 1.0 §8.2). A vp_token that
// cannot be read is an outcome too, and uses the request up.
func (g *Gate) RespondForm(ctx context.Context, vpToken, state string) (*Outcome, error) {
	token, err := oid4vp.ParseVPToken([]byte(vpToken))
	return g.respond(ctx, oid4vp.Response{VPToken: token, State: state}, hufu.RuleOf(err))
}

// respond judges an answer, unless unreadable names a rule by which it is refused unread.
func (g *Gate) respond(ctx context.Context, answer oid4vp.Response, unreadable hufu.Rule) (*Outcome, error) {
	r := receipt.Receipt{Gate: g.DID, Time: g.now()}
	s, rule, err := g.take(ctx, answer.State, r.Time)
	if err != nil {
		return nil, err
	}
	r.Nonce = s.Nonce
	if rule == "" {
		rule = unreadable
	}
	if rule != "" {
		r.Rule = rule
		r.Commitment = receipt.Commit(r.Nonce, answer.VPToken.InOrder(answer.VPToken.IDs()))
		return g.conclude(ctx, r)
	}
	if r, err = g.Judge(ctx, s, answer.VPToken, r.Time); err != nil {
		return nil, err
	}
	if r.Rule == ruleForeignNonce {
		if r.Rule, err = g.foreignNonce(ctx, s.Nonce, answer.VPToken); err != nil {
			return nil, err
		}
	}
	return g.conclude(ctx, r)
}

// take uses up the request that state names; rule says what is wrong with it.
func (g *Gate) take(ctx context.Context, state string, now time.Time) (Session, hufu.Rule, error) {
	s, err := g.Store.Take(ctx, state)
	switch {
	case errors.Is(err, ErrUnknownSession):
		return Session{}, RuleUnknownRequest, nil
	case errors.Is(err, ErrAnsweredSession):
		return Session{}, RuleReplayed, nil
	case err != nil:
		return Session{}, "", fmt.Errorf("gate: %w", err)
	case !now.Before(s.Expires):
		return s, RuleExpiredRequest, nil
	}
	return s, "", nil
}

// Judge is the decision in [Gate.Respond] alone: it takes no request from the store, signs nothing and keeps
// nothing. The receipt it returns is not signed yet.
func (g *Gate) Judge(ctx context.Context, s Session, answer oid4vp.VPToken, at time.Time) (receipt.Receipt, error) {
	var r receipt.Receipt
	err := g.Ledger.Read(ctx, func(v client.View) error {
		r = receipt.Receipt{Gate: g.DID, Time: at, Nonce: s.Nonce}
		return g.judge(v, s, answer, &r)
	})
	return r, err
}

// judge fills in r what the ledger and the contract say. It changes nothing else, as the ledger may run
// it again.
func (g *Gate) judge(v client.View, s Session, answer oid4vp.VPToken, r *receipt.Receipt) error {
	r.AsOf, r.Staleness = v.AsOf(), staleness(v, r.Time)
	c, err := g.cache.version(v, s.Contract, s.Version)
	if err != nil {
		r.Commitment = receipt.Commit(s.Nonce, answer.InOrder(answer.IDs()))
		return refuse(r, err)
	}
	r.Contract, r.Version, r.Hash = s.Contract, s.Version, c.Hash
	r.Commitment = receipt.Commit(s.Nonce, answer.InOrder(order(c, answer)))
	if err := g.cache.standing(v, s.Contract, s.Version); err != nil {
		return refuse(r, err)
	}
	result, err := g.cache.judge(v, &question{contract: c, gate: g.DID, nonce: s.Nonce, answer: answer, now: r.Time})
	if err != nil {
		return err
	}
	r.Decision, r.Policies, r.Rule, r.Reason = result.Decision, result.Policies, result.Rule, result.Reason
	if r.Decision == hufu.Allow {
		r.Until = r.Time.Add(c.Grant)
	}
	return nil
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

// conclude signs the receipt and stores it.
func (g *Gate) conclude(ctx context.Context, r receipt.Receipt) (*Outcome, error) {
	token, err := receipt.Make(g.Rand, g.Signer, g.DID.URL(g.Fragment), &r)
	if err != nil {
		return nil, fmt.Errorf("gate: receipt: %w", err)
	}
	e := Entry{Time: r.Time, Decision: r.Decision, Rule: r.Rule, Token: token}
	if r.Contract != (hufu.ContractID{}) {
		e.Contract = r.Contract.String()
	}
	if _, err := g.Store.Append(ctx, e); err != nil {
		return nil, fmt.Errorf("gate: receipt: %w", err)
	}
	o := &Outcome{Decision: r.Decision, Receipt: r, Token: token}
	if r.Decision == hufu.Allow {
		o.Grant = &Grant{Contract: r.Contract, Version: r.Version, From: r.Time, Until: r.Until}
	}
	return o, nil
}
