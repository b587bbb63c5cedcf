package contract

import (
	"iter"
	"slices"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
)

// Rules a door stays shut by. The rules of package dcql stand beside them.
const (
	RuleStale         hufu.Rule = "contract.stale"          // the ledger state relied upon is too old
	RuleFact          hufu.Rule = "contract.fact"           // a claim is not what its published type says
	RuleNotAccredited hufu.Rule = "contract.not-accredited" // the issuer is not accredited for the type
	RuleIssuer        hufu.Rule = "contract.issuer"         // the issuer is none of those the contract names
	RuleAssurance     hufu.Rule = "contract.assurance"      // the type's assurance is below what the contract demands
	RuleHolder        hufu.Rule = "contract.holder"         // the credentials are bound to different keys
	RuleForbidden     hufu.Rule = "contract.forbidden"      // a policy forbids
	RulePolicyError   hufu.Rule = "contract.policy-error"   // a forbid policy could not be evaluated
	RuleNoPermit      hufu.Rule = "contract.no-permit"      // no policy permits
)

// Facts are what the caller has verified about a presentation.
type Facts struct {
	Credentials map[string]Credential // by id of the credential query each answers
	Staleness   time.Duration         // age of the ledger state that was relied upon
}

// Credential is one verified credential of a presentation: signatures, times, key binding and status
// have been checked.
type Credential struct {
	Type       *Type          // the published type it is an instance of
	Issuer     hufu.DID       // who signed it
	Accredited bool           // the issuer was accredited for the type when it signed
	Holder     string         // names the key its holder proved, one name for one key
	Claims     map[string]any // what it discloses, as encoding/json decodes it with UseNumber
}

// Result is the answer of a contract. It holds no claim values.
type Result struct {
	Decision hufu.Decision
	Policies []string  // sorted ids of the policies that decided; none when no policy did
	Rule     hufu.Rule // why it is deny; empty when it is allow
	Reason   string    // the same for people
}

// Decide judges facts at a time by a contract: the bounds, the query, the requirements and then the
// policies, of which a matching forbid wins and none that permits means deny. Nothing is believed
// that was not asked for: policies see the requested claims and no others.
//
// It is a pure function of its arguments: neither the order of the policies nor that of any map
// changes the result.
func Decide(c *Contract, f Facts, now time.Time) Result {
	if err := c.admit(f); err != nil {
		return denied(err)
	}
	context, err := c.context(f, now)
	if err != nil {
		return denied(err)
	}
	decision, diagnostic := cedar.Authorize(policySet(c.Policies), nil, cedar.Request{
		Principal: cedar.NewEntityUID(personType, personID),
		Action:    cedar.NewEntityUID(actionType, actionID),
		Resource:  c.resource,
		Context:   context,
	})
	var broken []string
	for _, e := range diagnostic.Errors {
		if c.forbids(string(e.PolicyID)) {
			broken = append(broken, string(e.PolicyID))
		}
	}
	decided := make([]string, 0, len(diagnostic.Reasons))
	for _, r := range diagnostic.Reasons {
		decided = append(decided, string(r.PolicyID))
	}
	slices.Sort(decided)
	slices.Sort(broken)
	switch {
	case decision == cedar.Deny && len(decided) > 0:
		return Result{Policies: decided, Rule: RuleForbidden, Reason: "a policy forbids"}
	case len(broken) > 0:
		return Result{Policies: broken, Rule: RulePolicyError, Reason: "a policy that may forbid could not be evaluated"}
	case decision == cedar.Allow && len(decided) > 0:
		return Result{Decision: hufu.Allow, Policies: decided}
	}
	return Result{Rule: RuleNoPermit, Reason: "no policy permits"}
}

func denied(err error) Result {
	r := Result{Rule: hufu.RuleOf(err), Reason: err.Error()}
	if refusal, ok := err.(*hufu.Refusal); ok { //nolint:errorlint // made here and in dcql, never wrapped
		r.Reason = refusal.Detail
	}
	return r
}

// policySet gives the evaluator the policies in the order of the text.
type policySet []Policy

func (s policySet) All() iter.Seq2[cedar.PolicyID, *cedar.Policy] {
	return func(yield func(cedar.PolicyID, *cedar.Policy) bool) {
		for i := range s {
			if !yield(cedar.PolicyID(s[i].ID), s[i].compiled) {
				return
			}
		}
	}
}

func (c *Contract) forbids(id string) bool {
	for i := range c.Policies {
		if c.Policies[i].ID == id {
			return c.Policies[i].Forbid
		}
	}
	return true
}

// admit checks everything that is not a policy's business.
func (c *Contract) admit(f Facts) error {
	if f.Staleness < 0 {
		return hufu.Refuse(RuleFact, "a negative staleness")
	}
	if f.Staleness > c.MaxStaleness {
		return hufu.Refuse(RuleStale, "the ledger state is %s old, more than %s", f.Staleness.Round(time.Second), c.MaxStaleness)
	}
	presented := make([]dcql.Presented, 0, len(f.Credentials))
	holder := ""
	for i := range c.Query.Credentials {
		id := c.Query.Credentials[i].ID
		cred, ok := f.Credentials[id]
		if !ok {
			continue
		}
		if cred.Type == nil {
			return hufu.Refuse(RuleFact, "credential %s has no published type", id)
		}
		if c.SameHolder && len(presented) > 0 && cred.Holder != holder {
			return hufu.Refuse(RuleHolder, "credential %s is bound to another key than the one before", id)
		}
		holder = cred.Holder
		presented = append(presented, dcql.Presented{
			Query: id, Format: dcql.FormatSDJWT, Type: cred.Type.VCT, Claims: cred.Claims, Bound: cred.Holder != "",
		})
		if err := c.Requirements[i].meets(&cred); err != nil {
			return err
		}
	}
	if len(presented) != len(f.Credentials) {
		return hufu.Refuse(dcql.RuleUnrequested, "a credential was presented that the contract does not ask for")
	}
	return dcql.Satisfies(c.Query, presented)
}

func (r *Requirement) meets(c *Credential) error {
	switch {
	case !c.Accredited:
		return hufu.Refuse(RuleNotAccredited, "credential %s: its issuer is not accredited for its type", r.Credential)
	case len(r.Issuers) > 0 && !slices.Contains(r.Issuers, c.Issuer):
		return hufu.Refuse(RuleIssuer, "credential %s: its issuer is none of those the contract names", r.Credential)
	case assuranceRank(c.Type.Assurance) < assuranceRank(r.Assurance):
		return hufu.Refuse(RuleAssurance, "credential %s: the assurance of its type is below %s", r.Credential, r.Assurance)
	}
	return nil
}
