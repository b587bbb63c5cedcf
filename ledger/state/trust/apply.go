package trust

import (
	"fmt"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// The rules by which a change of trust is refused.
const (
	RuleNotMember    hufu.Rule = "trust.not-a-member"       // only members publish types
	RuleTypeOwner    hufu.Rule = "trust.type-owner"         // another member published the type
	RuleTypeVersion  hufu.Rule = "trust.type-version"       // not the next version
	RuleTypeChanged  hufu.Rule = "trust.type-changed"       // a version may only add
	RuleUnknownType  hufu.Rule = "trust.unknown-type"       // nobody published it
	RuleSelf         hufu.Rule = "trust.self-accreditation" // the author accredits itself
	RuleNoDelegation hufu.Rule = "trust.no-delegation"      // may not be passed on, or not over that many levels
	RuleWider        hufu.Rule = "trust.wider-than-own"     // valid outside the time of the grant it comes from
	RuleTooMany      hufu.Rule = "trust.too-many-grants"
	RuleNothing      hufu.Rule = "trust.nothing-to-withdraw"
	RulePast         hufu.Rule = "trust.withdrawal-in-the-past"
	RuleTooManyDue   hufu.Rule = "trust.too-many-withdrawals" // for one height
)

// Apply applies a trust transaction: all of it, or, with an error, nothing.
func Apply(ctx state.Context, o *state.Overlay, t *tx.Tx) error {
	author := t.Payload.Author
	switch b := t.Body.(type) {
	case *tx.TrustType:
		return publish(ctx, o, author, b)
	case *tx.TrustAccredit:
		return passOn(ctx, o, author, b)
	case *tx.TrustWithdraw:
		return takeBack(ctx, o, author, b)
	}
	return fmt.Errorf("trust: a transaction of kind %q", t.Payload.Kind)
}

// Accredit executes the members' decision to accredit: the root of chains. The zero proposal is
// genesis.
func Accredit(ctx state.Context, o *state.Overlay, proposal hufu.Digest, a *tx.TrustAccredit) error {
	return accredit(ctx, o, a, func(string) (Grant, error) { return Grant{Proposal: proposal}, nil })
}

// passOn accredits by the author's own accreditation, which must hold now, allow passing on over more
// levels than it gives away, and last longer.
func passOn(ctx state.Context, o *state.Overlay, author hufu.ID, a *tx.TrustAccredit) error {
	if a.Subject == author {
		return hufu.Refuse(RuleSelf, "nobody accredits itself")
	}
	want := func(g *Grant) error {
		if g.Delegate <= a.Grant.Delegate {
			return hufu.Refuse(RuleNoDelegation, "the author may pass on over %d levels, and gives away %d", g.Delegate, a.Grant.Delegate)
		}
		if !within(a.Grant.NotBefore, a.Grant.NotAfter, g) {
			return hufu.Refuse(RuleWider, "the author is accredited from %d to %d", g.NotBefore, g.NotAfter)
		}
		return nil
	}
	return accredit(ctx, o, a, func(vct string) (Grant, error) {
		chain, err := search(o, author, vct, ctx.Time, ctx.Height, want)
		if err != nil {
			return Grant{}, err
		}
		return Grant{By: author, Parent: chain[0].Number}, nil
	})
}

// accredit adds a grant for each type. from says whom the grant for a type is by.
func accredit(ctx state.Context, o *state.Overlay, a *tx.TrustAccredit, from func(vct string) (Grant, error)) error {
	if _, err := did.Active(o, a.Subject); err != nil {
		return err
	}
	if a.Grant.NotAfter < ctx.Time {
		return hufu.Refuse(RuleLapsed, "a grant until %d, and it is %d", a.Grant.NotAfter, ctx.Time)
	}
	records := make([]*Accreditation, len(a.Grant.Types))
	for i, vct := range a.Grant.Types {
		if known, err := GetType(o, vct); err != nil {
			return err
		} else if known == nil {
			return hufu.Refuse(RuleUnknownType, "nobody has published %s", vct)
		}
		g, err := from(vct)
		if err != nil {
			return err
		}
		g.Tx, g.Height, g.Time = ctx.TxID, ctx.Height, ctx.Time
		g.Delegate, g.NotBefore, g.NotAfter = a.Grant.Delegate, a.Grant.NotBefore, a.Grant.NotAfter
		if records[i], err = grow(o, a.Subject, vct, g); err != nil {
			return err
		}
	}
	for _, rec := range records {
		if err := state.Save(o, AccreditationKey(rec.Subject, rec.Type), rec); err != nil {
			return err
		}
	}
	return nil
}

// grow reads a subject's record and adds a grant to it.
func grow(o *state.Overlay, subject hufu.ID, vct string, g Grant) (*Accreditation, error) {
	rec, err := GetAccreditation(o, subject, vct)
	if err != nil {
		return nil, err
	}
	if rec == nil {
		rec = &Accreditation{Subject: subject, Type: vct}
	}
	if !g.Root() {
		same, passed := 0, 0
		for i := range rec.Grants {
			if !rec.Grants[i].Root() {
				passed++
			}
			if rec.Grants[i].By == g.By {
				same++
			}
		}
		if same >= MaxGrantsBy || passed >= MaxGrants {
			return nil, hufu.Refuse(RuleTooMany, "the subject has %d grants for %s by the author, %d by all", same, vct, passed)
		}
	}
	rec.Grants = append(rec.Grants, g)
	return rec, nil
}
