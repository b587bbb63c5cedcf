package gate

import (
	"errors"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// Tolerances of a decision. They are constants so that a replay decides by the same.
const (
	ClockSkew   = 30 * time.Second      // between the gate's clock and those of issuers and holders
	MaxAnswer   = sdjwt.DefaultMaxKBAge // oldest key binding that counts as fresh
	maxDistance = 10 * 365 * 24 * time.Hour
)

// question is one answer to be judged. A judgement is a pure function of it and the ledger's view.
type question struct {
	contract *contract.Contract
	gate     hufu.DID
	nonce    string
	answer   oid4vp.VPToken
	now      time.Time // whole seconds
}

// judge decides. The error is infrastructure's; everything that can be held against the answer is a result.
func (c *cache) judge(v client.View, q *question) (contract.Result, error) {
	facts, err := c.facts(v, q)
	if err == nil {
		return contract.Decide(q.contract, facts, q.now), nil
	}
	var refusal *hufu.Refusal
	if !errors.As(err, &refusal) || isOutage(refusal.Rule) {
		return contract.Result{}, err
	}
	r := contract.Result{Rule: refusal.Rule, Reason: refusal.Detail}
	if strings.HasPrefix(string(r.Rule), "credential.") {
		r.Reason = "" // it may say when a credential expires, which is a claim
	}
	return r, nil
}

// isOutage tells a refusal of the ledger's node, which could not show the state, from one of the answer.
func isOutage(rule hufu.Rule) bool {
	return strings.HasPrefix(string(rule), "client.") || strings.HasPrefix(string(rule), "proof.")
}

// staleness is the age of a view in whole seconds.
func staleness(v client.View, now time.Time) time.Duration {
	return max(0, min(now.Sub(v.AsOf().Time.Truncate(time.Second)), maxDistance))
}

func (c *cache) facts(v client.View, q *question) (contract.Facts, error) {
	f := contract.Facts{Credentials: make(map[string]contract.Credential, len(q.answer)), Staleness: staleness(v, q.now)}
	for _, id := range q.answer.IDs() {
		if q.contract.Query.Find(id) == nil {
			return f, hufu.Refuse(dcql.RuleUnrequested, "a credential is presented under an id that the contract does not have")
		}
		if len(q.answer[id]) != 1 {
			return f, hufu.Refuse(dcql.RuleUnrequested, "credential %s: one is asked for, several were presented", id)
		}
	}
	g := c.at(v.AsOf())
	for i := range q.contract.Query.Credentials {
		query := &q.contract.Query.Credentials[i]
		list, ok := q.answer[query.ID]
		if !ok {
			continue
		}
		cred, err := g.verify(v, q, query, list[0])
		if err != nil {
			return f, err
		}
		f.Credentials[query.ID] = cred
	}
	return f, nil
}

// verify checks one presentation in the order of the package's documentation.
func (g *generation) verify(v client.View, q *question, query *dcql.CredentialQuery, presentation string) (contract.Credential, error) {
	var none contract.Credential
	got, err := sdjwt.Verify(presentation, sdjwt.VerifyParams{
		Now: q.now, ClockSkew: ClockSkew, RequireKeyBinding: true, Audience: oid4vp.ClientID(q.gate), Nonce: q.nonce, MaxKBAge: MaxAnswer,
		ResolveKey: func(iss, kid, _ string, iat int64) (keys.PublicKey, error) { return g.issuerKey(v, iss, kid, iat) },
	})
	if err != nil {
		return none, err
	}
	issuer := hufu.DID(got.Issuer)
	if err := g.accredited(v, issuer, got.Type, got.IssuedAt.Unix()); err != nil {
		return none, err
	}
	typ, err := g.credentialType(v, got.Type)
	if err != nil {
		return none, err
	}
	if got.Status != nil {
		if err := g.checkStatus(v, issuer, got.Status); err != nil {
			return none, err
		}
	}
	if err := onlyAsked(query, got, presentation); err != nil {
		return none, err
	}
	return contract.Credential{
		Type: typ, Issuer: issuer, Accredited: true, Holder: string(got.HolderKey.Multikey()), Claims: got.Claims,
	}, nil
}
