package gate

import (
	"errors"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
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
	asked    *receipt.Asked // nil: in the default way
	answer   oid4vp.VPToken
	now      time.Time // whole seconds
}

// audience is what presentations have to be made for.
func (q *question) audience() string {
	if q.asked != nil && q.asked.Audience != "" {
		return q.asked.Audience
	}
	return oid4vp.ClientID(q.gate)
}

// transcript is the session that mdocs have to be signed for (OpenID4VP 1.0 §B.2.6).
func (q *question) transcript() (mdoc.Transcript, error) {
	thumbprint, err := jws.DecodeBase64(q.asked.Thumbprint)
	if err != nil {
		return nil, err
	}
	if len(thumbprint) == 0 {
		thumbprint = nil
	}
	audience := q.audience()
	if origin, ok := strings.CutPrefix(audience, oid4vp.OriginAudience("")); ok {
		return mdoc.DCAPITranscript(origin, q.nonce, thumbprint)
	}
	return mdoc.RedirectTranscript(audience, q.nonce, thumbprint, q.asked.ResponseURI)
}

// judge decides. The error is infrastructure's; everything that can be held against the answer is a result.
func (c *cache) judge(v client.View, q *question) (contract.Result, contract.Facts, error) {
	facts, err := c.facts(v, q)
	if err == nil {
		return contract.Decide(q.contract, facts, q.now), facts, nil
	}
	var refusal *hufu.Refusal
	if !errors.As(err, &refusal) || isOutage(refusal.Rule) {
		return contract.Result{}, contract.Facts{}, err
	}
	r := contract.Result{Rule: refusal.Rule, Reason: refusal.Detail}
	for _, private := range []string{"credential.", "mdoc."} {
		if strings.HasPrefix(string(r.Rule), private) {
			r.Reason = "" // it may say when a credential expires, which is a claim
		}
	}
	return r, contract.Facts{}, nil
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
	consent := map[string]oid4vp.Consent{}
	for i := range q.contract.Query.Credentials {
		query := &q.contract.Query.Credentials[i]
		list, ok := q.answer[query.ID]
		if !ok {
			continue
		}
		s, err := g.verify(v, q, query, list[0])
		if err != nil {
			return f, err
		}
		f.Credentials[query.ID] = s.credential
		consent[query.ID] = s.consent
	}
	if q.asked != nil && len(q.asked.Transactions) > 0 {
		return f, oid4vp.CheckConsent(q.asked.Transactions, consent)
	}
	return f, nil
}

// shown is one presentation that was verified.
type shown struct {
	credential contract.Credential
	consent    oid4vp.Consent
	issuedAt   time.Time
	status     *sdjwt.StatusRef
	vct        string
}

// verify checks one presentation in the order of the package's documentation.
func (g *generation) verify(v client.View, q *question, query *dcql.CredentialQuery, presentation string) (shown, error) {
	format := g.verifySDJWT
	if q.asked != nil && q.asked.Format == oid4vp.FormatMdoc {
		format = g.verifyMdoc
	}
	s, extra, err := format(v, q, query, presentation)
	if err != nil {
		return s, err
	}
	c := &s.credential
	if err := g.accredited(v, c.Issuer, s.vct, s.issuedAt.Unix()); err != nil {
		return s, err
	}
	c.Accredited = true
	if c.Type, err = g.credentialType(v, s.vct); err != nil {
		return s, err
	}
	if s.status != nil {
		if err := g.checkStatus(v, c.Issuer, s.status); err != nil {
			return s, err
		}
	}
	return s, extra()
}

func (g *generation) verifySDJWT(v client.View, q *question, query *dcql.CredentialQuery, presentation string) (shown, func() error, error) {
	got, err := sdjwt.Verify(presentation, sdjwt.VerifyParams{
		Now: q.now, ClockSkew: ClockSkew, RequireKeyBinding: true, Audience: q.audience(), Nonce: q.nonce, MaxKBAge: MaxAnswer,
		ResolveKey:  func(iss, kid, _ string, iat int64) (keys.PublicKey, error) { return g.issuerKey(v, iss, kid, iat) },
		Authorities: did.Authorities(v, v.Network()),
	})
	if err != nil {
		return shown{}, nil, err
	}
	return shown{
		credential: contract.Credential{Issuer: hufu.DID(got.Issuer), Holder: string(got.HolderKey.Multikey()), Claims: got.Claims},
		consent:    oid4vp.Consent{Hashes: got.TransactionHashes, Alg: got.TransactionHashAlg},
		issuedAt:   got.IssuedAt, status: got.Status, vct: got.Type,
	}, func() error { return onlyAsked(query, got, presentation) }, nil
}

// verifyMdoc reads a document of the type that the contract asks for in JSON, whose document type and
// namespace are the type's name. What it says is put in the form of the other format, so that the
// contract sees no difference.
func (g *generation) verifyMdoc(v client.View, q *question, query *dcql.CredentialQuery, presentation string) (shown, func() error, error) {
	if len(query.Types) != 1 {
		return shown{}, nil, hufu.Refuse(dcql.RuleUntranslatable, "credential %s: may be of several types, an mdoc is of exactly one", query.ID)
	}
	session, err := q.transcript()
	if err != nil {
		return shown{}, nil, err
	}
	got, err := mdoc.Verify(presentation, mdoc.VerifyParams{
		Now: q.now, ClockSkew: ClockSkew, Session: session, DocType: query.Types[0], Authorities: did.Authorities(v, v.Network()),
	})
	if err != nil {
		return shown{}, nil, err
	}
	s := shown{issuedAt: got.Signed, vct: got.DocType}
	s.credential.Issuer, s.credential.Holder = got.Issuer, string(got.DeviceKey.Multikey())
	if got.Status != nil {
		s.status = &sdjwt.StatusRef{URI: got.Status.URI, Index: got.Status.Index}
	}
	if s.credential.Claims, err = got.Claims(); err != nil {
		return s, nil, err
	}
	return s, func() error { return onlyAskedElements(query, got) }, nil
}
