package gov

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

func execute(ctx state.Context, o *state.Overlay, proposal hufu.Digest, a *tx.Action, e Executor) error {
	switch {
	case a.AdmitMember != nil:
		return Admit(ctx, o, proposal, a.AdmitMember)
	case a.RemoveMember != nil:
		return remove(ctx, o, proposal, a.RemoveMember.Member)
	case a.SetMember != nil:
		return set(ctx, o, proposal, a.SetMember)
	case a.SetParams != nil:
		return SetParams(ctx, o, proposal, a.SetParams)
	case a.Accredit != nil:
		return e.Accredit(ctx, o, proposal, a.Accredit)
	case a.Withdraw != nil:
		return e.Withdraw(ctx, o, proposal, a.Withdraw)
	case a.Upgrade != nil:
		return upgrade(ctx, o, proposal, a.Upgrade)
	}
	return hufu.Refuse(tx.RuleBody, "an action that says nothing")
}

// Admit makes an identifier a member. The zero proposal is genesis.
func Admit(ctx state.Context, o *state.Overlay, proposal hufu.Digest, m *tx.MemberTerms) error {
	if _, err := did.Active(o, m.Member); err != nil {
		return err
	}
	roster, err := state.Load[Roster](o, RosterKey())
	if err != nil {
		return err
	}
	if roster == nil {
		roster = new(Roster) // the first founder
	}
	at, taken := roster.find(m.Member)
	if taken {
		return hufu.Refuse(RuleMemberExists, "a member already")
	}
	if len(roster.Seats) == MaxMembers {
		return hufu.Refuse(RuleTooManyMembers, "there are %d members, the most there can be", MaxMembers)
	}
	roster.Seats = slices.Insert(roster.Seats, at, seat(m))
	if err := hold(ctx, o, m); err != nil {
		return err
	}
	if former, err := o.Get(FormerKey(m.Member)); err != nil {
		return err
	} else if former != nil {
		o.Delete(FormerKey(m.Member))
	}
	return save(o, roster, &Member{
		ID: m.Member, Name: m.Name, ValidatorKey: m.ValidatorKey, Power: m.Power, Quota: m.Quota, OpenQuota: m.OpenQuota,
		Admitted: ctx.Height, AdmittedTime: ctx.Time, AdmittedBy: proposal, Set: ctx.Height, SetBy: proposal,
	})
}

// present reads the roster, the member's place in it and its record.
func present(o *state.Overlay, id hufu.ID) (*Roster, int, *Member, error) {
	roster, err := GetRoster(o)
	if err != nil {
		return nil, 0, nil, err
	}
	at, ok := roster.find(id)
	if !ok {
		return nil, 0, nil, hufu.Refuse(RuleNotMember, "the action's member is none")
	}
	m, err := GetMember(o, id)
	if err == nil && m == nil {
		err = errNoGenesis
	}
	return roster, at, m, err
}

func set(ctx state.Context, o *state.Overlay, proposal hufu.Digest, terms *tx.MemberTerms) error {
	roster, at, m, err := present(o, terms.Member)
	if err != nil {
		return err
	}
	if err := hold(ctx, o, terms); err != nil {
		return err
	}
	roster.Seats[at] = seat(terms)
	if terms.Power > 0 {
		m.Convicted = 0
	}
	m.Name, m.ValidatorKey, m.Power, m.Quota, m.OpenQuota = terms.Name, terms.ValidatorKey, terms.Power, terms.Quota, terms.OpenQuota
	m.Set, m.SetBy = ctx.Height, proposal
	return save(o, roster, m)
}

func remove(ctx state.Context, o *state.Overlay, proposal hufu.Digest, id hufu.ID) error {
	roster, at, m, err := present(o, id)
	if err != nil {
		return err
	}
	if len(roster.Seats) == 1 {
		return hufu.Refuse(RuleLastMember, "without members nobody could decide anything")
	}
	roster.Seats = slices.Delete(roster.Seats, at, at+1)
	if err := disown(ctx, o, id); err != nil {
		return err
	}
	o.Delete(MemberKey(id))
	o.Delete(UsageKey(id))
	former := &FormerMember{Member: *m, Removed: ctx.Height, RemovedTime: ctx.Time, RemovedBy: proposal}
	if err := state.Save(o, FormerKey(id), former); err != nil {
		return err
	}
	return state.Save(o, RosterKey(), roster)
}

// SetParams replaces the parameters. The zero proposal is genesis.
func SetParams(ctx state.Context, o *state.Overlay, proposal hufu.Digest, p *tx.Params) error {
	return state.Save(o, ParamsKey(), &ParamsRecord{Params: *p, Set: ctx.Height, SetBy: proposal})
}

func upgrade(ctx state.Context, o *state.Overlay, proposal hufu.Digest, u *tx.Upgrade) error {
	if u.Height <= ctx.Height {
		return hufu.Refuse(RuleUpgradeHeight, "height %d is past", u.Height)
	}
	return state.Save(o, UpgradeKey(), &PlannedUpgrade{Upgrade: *u, SetBy: proposal})
}

func seat(m *tx.MemberTerms) Seat {
	return Seat{Member: m.Member, ValidatorKey: m.ValidatorKey, Power: m.Power}
}

func save(o *state.Overlay, roster *Roster, m *Member) error {
	if err := state.Save(o, MemberKey(m.ID), m); err != nil {
		return err
	}
	return state.Save(o, RosterKey(), roster)
}

// CheckValidators refuses a membership that the engine could not run with. It looks at the result of
// a whole proposal, so that power may move between members within one.
func CheckValidators(o *state.Overlay) error {
	roster, err := GetRoster(o)
	if err != nil {
		return err
	}
	if roster.power() == 0 {
		return hufu.Refuse(RuleLastValidator, "no validator with voting power would remain")
	}
	return nil
}
