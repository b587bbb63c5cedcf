package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/jwe"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// claimsKept is how long claims wait for the service that asked for them.
const claimsKept = 5 * time.Minute

// Respond judges an answer. Whatever is wrong with it is an outcome, with a receipt that is stored before
// Respond returns, unless no open request is answered. An error means that no decision could be made (the ledger or the store was out of
// reach): the door stays shut, and the request is used up.
func (g *Gate) Respond(ctx context.Context, answer oid4vp.Response) (*Outcome, error) {
	return g.respond(ctx, &oid4vp.Answer{Response: answer}, nil)
}

// RespondForm is [Gate.Respond] for the vp_token and the state of a direct_post. A vp_token that cannot be
// read is an outcome too, and uses the request up.
func (g *Gate) RespondForm(ctx context.Context, vpToken, state string) (*Outcome, error) {
	return g.Answer(ctx, url.Values{"vp_token": {vpToken}, "state": {state}})
}

// Answer is [Gate.Respond] for what a wallet posts (OpenID4VP 1.0 §8.2, §8.3.1): a vp_token, an encrypted
// response or an error.
func (g *Gate) Answer(ctx context.Context, form url.Values) (*Outcome, error) {
	a, err := oid4vp.ParseForm(form)
	return g.respond(ctx, a, err)
}

// AnswerDC is the answer that a page got over the Digital Credentials API, handed on by the service that
// opened the session. It refuses, without using the session up, what is not an answer to this session's
// request, and otherwise returns what [Gate.Result] does.
func (g *Gate) AnswerDC(ctx context.Context, id string, in DCInput) (*SessionResult, error) {
	p, err := g.byTicket(ctx, id)
	if err != nil {
		return nil, err
	}
	protocol := oid4vp.ProtocolSigned
	if p.Settings.Unsigned {
		protocol = oid4vp.ProtocolUnsigned
	}
	switch {
	case !oid4vp.OverDC(p.Settings.Mode):
		return nil, hufu.Refuse(RuleSession, "the session is not over the Digital Credentials API")
	case in.Protocol != protocol:
		return nil, hufu.Refuse(RuleSession, "protocol is not %s", protocol)
	case !slices.Contains(p.Settings.Origins, in.Origin):
		return nil, hufu.Refuse(RuleSession, "origin is none of expected_origins")
	}
	a, unreadable := oid4vp.ParseDC(in.Data)
	s, rule, err := g.take(ctx, p.State, g.now())
	if err != nil {
		return nil, err
	}
	if _, err := g.settle(ctx, s, rule, a, in.Origin, unreadable); err != nil {
		return nil, err
	}
	return g.Result(ctx, id, "")
}

// respond judges an answer by a wallet that posts it. unreadable is what is wrong with its form.
func (g *Gate) respond(ctx context.Context, a *oid4vp.Answer, unreadable error) (*Outcome, error) {
	state := a.State
	if a.Encrypted != nil {
		state = a.Encrypted.KeyID // each session has a key of its own, named by its state
	}
	if state == "" && unreadable != nil { // which request it would answer cannot be told
		return g.settle(ctx, Session{}, "", a, "", unreadable)
	}
	s, rule, err := g.take(ctx, state, g.now())
	if err != nil {
		return nil, err
	}
	if rule == "" && oid4vp.OverDC(s.Settings.Mode) {
		rule = oid4vp.RuleResponse
	}
	return g.settle(ctx, s, rule, a, "", unreadable)
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

// settle decides about the answer to a session that was taken, unless rule says that it is too late for
// that, and records what came of it.
func (g *Gate) settle(ctx context.Context, s Session, rule hufu.Rule, a *oid4vp.Answer, origin string, unreadable error) (*Outcome, error) {
	r := receipt.Receipt{Gate: g.DID, Time: g.now(), Nonce: s.Nonce}
	if rule == "" && unreadable != nil {
		if rule = hufu.RuleOf(unreadable); rule == "" {
			return nil, unreadable
		}
	}
	var thumbprint []byte
	if rule == "" {
		var err error
		if a, thumbprint, err = g.open(&s, a); err != nil {
			if rule = hufu.RuleOf(err); rule == "" {
				return nil, err
			}
		}
	}
	if rule != "" {
		r.Rule = rule
		if a == nil {
			a = &oid4vp.Answer{}
		}
		r.Commitment = receipt.Commit(r.Nonce, a.VPToken.InOrder(a.VPToken.IDs()))
		return g.conclude(ctx, &s, r, decided{})
	}
	asked := g.asked(&s, origin, thumbprint)
	r, d, err := g.decide(ctx, &s, asked, a.VPToken, r.Time)
	if err != nil {
		return nil, err
	}
	if r.Rule == ruleForeignNonce {
		if r.Rule, err = g.foreignNonce(ctx, s.Nonce, a.VPToken); err != nil {
			return nil, err
		}
	}
	return g.conclude(ctx, &s, r, d)
}

// open gets at what the wallet shows. It refuses an answer in another mode than was asked for, and an
// answer without anything to show with [oid4vp.RuleDenied].
func (g *Gate) open(s *Session, a *oid4vp.Answer) (*oid4vp.Answer, []byte, error) {
	var thumbprint []byte
	encrypted := oid4vp.Encrypted(s.Settings.Mode)
	if a.Encrypted != nil {
		if !encrypted {
			return nil, nil, hufu.Refuse(oid4vp.RuleResponse, "the answer is encrypted and was not to be")
		}
		key, err := g.vault.key(s.State, s.Secret)
		if err != nil {
			return nil, nil, err
		}
		if a, err = a.Open(key, jwe.Encs()); err != nil {
			return nil, nil, err
		}
		if !oid4vp.OverDC(s.Settings.Mode) && a.State != s.State {
			return nil, nil, hufu.Refuse(RuleOtherState, "the answer names another request than it is encrypted to")
		}
		thumbprint = key.Public().Thumbprint()
	} else if encrypted && a.Error == nil { // an error may come in the clear (§8.3.1)
		return nil, nil, hufu.Refuse(oid4vp.RuleResponse, "the answer is not encrypted")
	}
	if a.Error != nil {
		return nil, nil, hufu.Refuse(oid4vp.RuleDenied, "the wallet shows nothing")
	}
	return a, thumbprint, nil
}

// asked is what presentations are bound to beside the nonce, or nil for what is so by default.
func (g *Gate) asked(s *Session, origin string, thumbprint []byte) *receipt.Asked {
	a := receipt.Asked{Audience: s.Settings.ClientID}
	if origin != "" {
		a.Audience = oid4vp.OriginAudience(origin)
	}
	for _, raw := range s.Settings.Transactions {
		if t, err := oid4vp.ParseTransaction(raw); err == nil { // it was made by this package
			a.Transactions = append(a.Transactions, t.Ref())
		}
	}
	if s.Settings.Format == oid4vp.FormatMdoc {
		a.Format, a.Thumbprint = oid4vp.FormatMdoc, jws.EncodeBase64(thumbprint)
		if origin == "" {
			a.ResponseURI = g.ResponseURI
		}
	}
	if a.Audience == "" && a.Format == "" && a.Transactions == nil {
		return nil
	}
	return &a
}

// Judge is the decision in [Gate.Respond] alone: it takes no request from the store, signs nothing and keeps
// nothing. The receipt it returns is not signed yet.
func (g *Gate) Judge(ctx context.Context, s Session, answer oid4vp.VPToken, at time.Time) (receipt.Receipt, error) {
	r, _, err := g.decide(ctx, &s, g.asked(&s, "", nil), answer, at)
	return r, err
}

func (g *Gate) decide(ctx context.Context, s *Session, asked *receipt.Asked, answer oid4vp.VPToken, at time.Time) (receipt.Receipt, decided, error) {
	var r receipt.Receipt
	var d decided
	err := g.Ledger.Read(ctx, func(v client.View) (err error) {
		r = receipt.Receipt{Gate: g.DID, Time: at, Nonce: s.Nonce, Asked: asked}
		d, err = g.judge(v, s, asked, answer, &r)
		return err
	})
	return r, d, err
}

// conclude signs the receipt and stores it, with what the service is to learn of it. What answers no open
// request is answered with a signed refusal that is not kept: it has no nonce, so no wallet keeps it as
// its half, and what anybody can send without being asked must not make the log grow.
func (g *Gate) conclude(ctx context.Context, s *Session, r receipt.Receipt, d decided) (*Outcome, error) {
	token, err := receipt.Make(g.Rand, g.Signer, g.DID.URL(g.Fragment), &r)
	if err != nil {
		return nil, fmt.Errorf("gate: receipt: %w", err)
	}
	o := &Outcome{Decision: r.Decision, Receipt: r, Token: token}
	if r.Decision == hufu.Allow {
		o.Grant = &Grant{Contract: r.Contract, Version: r.Version, From: r.Time, Until: r.Until}
	}
	if r.Nonce == "" {
		g.Decided(r.Decision, r.Rule)
		return o, nil
	}
	e := Entry{Time: r.Time, Decision: r.Decision, Rule: r.Rule, Token: token, Gate: g.DID}
	if r.Contract != (hufu.ContractID{}) {
		e.Contract = r.Contract.String()
	}
	if s.Ticket == (hufu.Digest{}) {
		if _, err := g.Store.Append(ctx, e); err != nil {
			return nil, fmt.Errorf("gate: receipt: %w", err)
		}
		g.Decided(r.Decision, r.Rule)
		return o, nil
	}
	c, err := g.conclusion(s, o, d)
	if err != nil {
		return nil, err
	}
	if _, err := g.Store.Conclude(ctx, s.State, e, c); err != nil {
		return nil, fmt.Errorf("gate: receipt: %w", err)
	}
	g.Decided(r.Decision, r.Rule)
	g.watches.notify(s.Page)
	return o, nil
}

// conclusion is what is kept of an outcome for the service behind the gate.
func (g *Gate) conclusion(s *Session, o *Outcome, d decided) (c Conclusion, err error) {
	raw, err := json.Marshal(resultOf(s, o))
	if err != nil {
		return c, err
	}
	c.Outcome = string(raw)
	if o.Decision == hufu.Allow && s.Settings.ClaimsKey != "" {
		c.Keep = o.Receipt.Time.Add(claimsKept)
		if c.Claims, err = g.vault.sealClaims(s.Settings.ClaimsKey, forService(d.contract, d.facts)); err != nil {
			return c, fmt.Errorf("gate: claims: %w", err)
		}
	}
	var code string
	switch set := &s.Settings; {
	case set.Cross: // the page on the other device gets the code, and the wallet's browser a page to end on
		if code, _, err = newSecret(g.Rand); err == nil {
			o.Redirect = withCode(g.url("vp/done"), code)
		}
	case set.Return != "":
		if code, c.Code, err = newSecret(g.Rand); err == nil {
			o.Redirect = withCode(set.Return, code)
		}
	}
	return c, err
}

// forService is what the service learns of the credentials: the claims that the contract asks for. What an
// issuer left in the clear beside them is no more the service's than the contract's.
func forService(c *contract.Contract, facts contract.Facts) map[string]Credential {
	out := make(map[string]Credential, len(facts.Credentials))
	for id, cred := range facts.Credentials {
		query := c.Query.Find(id)
		if query == nil {
			continue // not reached: the contract admitted the credential
		}
		paths := make([]dcql.Path, len(query.Claims))
		for i := range query.Claims {
			paths[i] = query.Claims[i].Path
		}
		claims, _ := pick(cred.Claims, paths, 0).(map[string]any)
		out[id] = Credential{Type: cred.Type.VCT, Issuer: cred.Issuer, Claims: claims}
	}
	return out
}

// pick is what paths select of a value whose place their first depth components lead to; nil when they
// select nothing of it. Elements of arrays move up.
func pick(value any, paths []dcql.Path, depth int) any {
	for _, p := range paths {
		if len(p) == depth {
			return value
		}
	}
	below := func(step any) []dcql.Path {
		var further []dcql.Path
		for _, p := range paths {
			if _, element := step.(int); p[depth] == step || p[depth] == nil && element {
				further = append(further, p)
			}
		}
		return further
	}
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, member := range v {
			if further := below(name); further != nil {
				if picked := pick(member, further, depth+1); picked != nil {
					out[name] = picked
				}
			}
		}
		if depth == 0 || len(out) > 0 {
			return out
		}
	case []any:
		var out []any
		for i, element := range v {
			if further := below(i); further != nil {
				if picked := pick(element, further, depth+1); picked != nil {
					out = append(out, picked)
				}
			}
		}
		if out != nil {
			return out
		}
	}
	return nil
}

// The codes that a refused answer has (RFC 6749 §4.1.2.1, OpenID4VP 1.0 §8.5).
const (
	codeInvalidRequest = "invalid_request" // not an answer to the request
	codeAccessDenied   = "access_denied"   // an answer to it, and the door stays shut
)

// ErrorCode is the standard's code of a refusal: "" for an open door, "access_denied" where the answer was
// what was asked for and the contract, the issuer or the status of a credential keep the door shut, and
// "invalid_request" where it was not.
func (o *Outcome) ErrorCode() string {
	if o.Decision == hufu.Allow {
		return ""
	}
	switch o.Receipt.Rule {
	case "", RuleRevoked, RuleSuspended, RuleUnknownIssuer, RuleUnknownType, RuleRetired, RuleSuperseded, RuleNotPublished,
		oid4vp.RuleDenied, sdjwt.RuleExpired, sdjwt.RuleNotYetValid, mdoc.RuleExpired, mdoc.RuleNotYetValid:
		return codeAccessDenied
	case dcql.RuleValue: // disclosed as asked for, and another value
		return codeAccessDenied
	}
	area, _, _ := strings.Cut(string(o.Receipt.Rule), ".")
	if slices.Contains([]string{"contract", "trust", "status", "did", "x5c"}, area) {
		return codeAccessDenied
	}
	return codeInvalidRequest
}
