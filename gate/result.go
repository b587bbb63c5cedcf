package gate

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/hufu-id/hufu"
)

// resultOf is what the service learns of an outcome, without claims.
func resultOf(s *Session, o *Outcome) *SessionResult {
	r := &o.Receipt
	return &SessionResult{
		Status: StatusAnswered, Contract: s.Contract, Version: s.Version, Decision: &o.Decision, Rule: r.Rule, Reason: r.Reason,
		Policies: r.Policies, Grant: o.Grant, Receipt: o.Token,
	}
}

func (g *Gate) byTicket(ctx context.Context, id string) (Progress, error) {
	p, err := g.Store.ByTicket(ctx, digestOf(id))
	if errors.Is(err, ErrUnknownSession) {
		return p, hufu.Refuse(RuleNoSession, "no such session")
	}
	if err != nil {
		return p, fmt.Errorf("gate: %w", err)
	}
	return p, nil
}

// Result is what came of the session that the service knows as id. A session with a return URI is over
// once the person's browser came back: then, and for its result, code is the response_code that the browser
// brought, which nobody has but who answered (OpenID4VP 1.0 §13.3). Claims are in the first result that is
// fetched, and in no later one.
func (g *Gate) Result(ctx context.Context, id, code string) (*SessionResult, error) {
	p, err := g.byTicket(ctx, id)
	if err != nil {
		return nil, err
	}
	r, err := g.result(&p)
	if err != nil || r.Status != StatusAnswered {
		return r, err
	}
	if p.Settings.Return != "" {
		given := digestOf(code)
		if p.Code == (hufu.Digest{}) || subtle.ConstantTimeCompare(given[:], p.Code[:]) != 1 {
			return nil, hufu.Refuse(RuleResponseCode, "the result is for whoever comes back with the response_code")
		}
	}
	if p.Claims == nil {
		return r, nil
	}
	sealed, err := g.Store.TakeClaims(ctx, p.Ticket, g.now())
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	if sealed != nil {
		if r.Claims, err = openClaims(id, sealed); err != nil {
			return nil, fmt.Errorf("gate: claims: %w", err)
		}
	}
	return r, nil
}

// ResultByState is what came of a session, without claims, for who runs the gate.
func (g *Gate) ResultByState(ctx context.Context, state string) (*SessionResult, error) {
	p, err := g.Store.ByState(ctx, state)
	if errors.Is(err, ErrUnknownSession) {
		return nil, hufu.Refuse(RuleNoSession, "no such session")
	}
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	return g.result(&p)
}

func (g *Gate) result(p *Progress) (*SessionResult, error) {
	r := &SessionResult{Status: StatusOpen, Contract: p.Contract, Version: p.Version}
	late := !g.now().Before(p.Expires)
	switch {
	case p.Outcome != "":
		return r, json.Unmarshal([]byte(p.Outcome), r)
	case p.Taken && late: // whoever took it has long given up
		r.Status = StatusFailed
	case late:
		r.Status = StatusExpired
	}
	return r, nil
}
