package trust

import (
	"errors"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/ledger/state"
)

// The rules by which an issuer is refused for a type.
const (
	RuleNotAccredited hufu.Rule = "trust.not-accredited"
	RuleNotYetValid   hufu.Rule = "trust.not-yet-valid" // issued before the accreditation began
	RuleLapsed        hufu.Rule = "trust.lapsed"        // issued after the accreditation ended
	RuleWithdrawn     hufu.Rule = "trust.withdrawn"
)

// GetType reads the latest version of a credential type, or nil.
func GetType(r state.Reader, vct string) (*TypeRecord, error) {
	return state.Load[TypeRecord](r, TypeKey(vct))
}

// GetAccreditation reads the grants to one subject for one type, or nil.
func GetAccreditation(r state.Reader, subject hufu.ID, vct string) (*Accreditation, error) {
	return state.Load[Accreditation](r, AccreditationKey(subject, vct))
}

// ContractTypes looks credential types up for [contract.Check].
func ContractTypes(r state.Reader) func(vct string) (*contract.Type, error) {
	return func(vct string) (*contract.Type, error) {
		rec, err := GetType(r, vct)
		if err != nil || rec == nil {
			return nil, err
		}
		out := &contract.Type{VCT: rec.VCT, Assurance: rec.Assurance, Claims: make([]contract.Claim, len(rec.Claims))}
		for i, c := range rec.Claims {
			out.Claims[i] = contract.Claim{Path: c.Path, Type: c.Type}
		}
		return out, nil
	}
}

// Chain returns the grants under which issuer's credential of type vct, issued at a time in unix
// seconds, counts as of a state: from the issuer's own grant up to the members'. Of several chains it
// is the one with the newest grant to the issuer.
//
// It refuses with [RuleNotAccredited] when there is no grant, else with what came closest: issued
// before or after all links were valid, or under a link that is withdrawn and does not let it stand.
func Chain(r state.Reader, issuer hufu.ID, vct string, issuedAt int64, now hufu.AsOf) ([]Link, error) {
	return search(r, issuer, vct, issuedAt, now.Height, func(*Grant) error { return nil })
}

// search finds the newest grant to subject that has a whole chain and that want accepts.
func search(r state.Reader, subject hufu.ID, vct string, at int64, height hufu.Height, want func(*Grant) error) ([]Link, error) {
	acc, err := GetAccreditation(r, subject, vct)
	if err != nil {
		return nil, err
	}
	refusal := hufu.Refuse(RuleNotAccredited, "no accreditation for %s", vct)
	if acc == nil {
		return nil, refusal
	}
	for i := range slices.Backward(acc.Grants) {
		chain, err := climb(r, acc, uint32(i), at, height)
		if err == nil {
			if err = want(&acc.Grants[i]); err == nil {
				return chain, nil
			}
		}
		if hufu.RuleOf(err) == "" {
			return nil, err
		}
		if closeness(err) > closeness(refusal) {
			refusal = err
		}
	}
	return nil, refusal
}

// closeness orders refusals by how near the subject came to being accredited, so that of many grants
// the most telling one is named.
func closeness(err error) int {
	return slices.Index([]hufu.Rule{RuleNotAccredited, RuleNotYetValid, RuleLapsed, RuleWithdrawn, RuleWider, RuleNoDelegation}, hufu.RuleOf(err))
}

var errChain = errors.New("trust: a grant in the state does not follow from the one above it")

// climb walks from one grant to the members' own. Every link must hold by itself; that it is not
// wider than the one above was checked when it was made, and is checked again.
func climb(r state.Reader, acc *Accreditation, number uint32, at int64, height hufu.Height) ([]Link, error) {
	var chain []Link
	for {
		if int(number) >= len(acc.Grants) {
			return nil, errChain
		}
		g := &acc.Grants[number]
		if err := holds(g, at, height); err != nil {
			return nil, err
		}
		if n := len(chain); n > 0 {
			if below := &chain[n-1].Grant; g.Delegate <= below.Delegate || !within(below.NotBefore, below.NotAfter, g) {
				return nil, errChain
			}
		}
		chain = append(chain, Link{Subject: acc.Subject, Number: number, Grant: *g})
		if g.Root() {
			return chain, nil
		}
		above, err := GetAccreditation(r, g.By, acc.Type)
		if err != nil {
			return nil, err
		}
		if above == nil {
			return nil, errChain
		}
		acc, number = above, g.Parent
	}
}

// holds reports whether a grant by itself covers an issuance, as of a height.
func holds(g *Grant, at int64, height hufu.Height) error {
	w := g.Withdrawal
	switch {
	case w != nil && w.From <= height && (!w.Stand || w.FromTime == 0 || at >= w.FromTime):
		return hufu.Refuse(RuleWithdrawn, "the accreditation was withdrawn from height %d", w.From)
	case at < g.NotBefore:
		return hufu.Refuse(RuleNotYetValid, "issued at %d, accredited from %d", at, g.NotBefore)
	case at > g.NotAfter:
		return hufu.Refuse(RuleLapsed, "issued at %d, accredited until %d", at, g.NotAfter)
	}
	return nil
}

// within reports whether a validity lies inside a grant's.
func within(notBefore, notAfter int64, g *Grant) bool {
	return g.NotBefore <= notBefore && notAfter <= g.NotAfter
}
