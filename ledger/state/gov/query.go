package gov

import (
	"bytes"
	"errors"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// GetMember reads a present member, or nil when id is no member.
func GetMember(r state.Reader, id hufu.ID) (*Member, error) {
	return state.Load[Member](r, MemberKey(id))
}

// IsMember reports whether id is a present member.
func IsMember(r state.Reader, id hufu.ID) (bool, error) {
	raw, err := r.Get(MemberKey(id))
	return raw != nil, err
}

// GetFormer reads the last record of a removed member, or nil.
func GetFormer(r state.Reader, id hufu.ID) (*FormerMember, error) {
	return state.Load[FormerMember](r, FormerKey(id))
}

// Members reads all present members, ascending by identifier.
func Members(r state.Reader) ([]Member, error) {
	roster, err := GetRoster(r)
	if err != nil {
		return nil, err
	}
	out := make([]Member, 0, len(roster.Seats))
	for _, s := range roster.Seats {
		m, err := GetMember(r, s.Member)
		if err != nil {
			return nil, err
		}
		if m == nil {
			return nil, errors.New("gov: the roster names a member without a record")
		}
		out = append(out, *m)
	}
	return out, nil
}

// errNoGenesis is for a state that genesis did not make.
var errNoGenesis = errors.New("gov: the state has no parameters or members")

// GetRoster reads the list of present members.
func GetRoster(r state.Reader) (*Roster, error) {
	roster, err := state.Load[Roster](r, RosterKey())
	if err == nil && roster == nil {
		err = errNoGenesis
	}
	return roster, err
}

// Params reads the parameters.
func Params(r state.Reader) (tx.Params, error) {
	rec, err := state.Peek[ParamsRecord](r, ParamsKey())
	if err == nil && rec == nil {
		err = errNoGenesis
	}
	if err != nil {
		return tx.Params{}, err
	}
	return rec.Params, nil
}

// GetParams reads the parameters with where they are from.
func GetParams(r state.Reader) (*ParamsRecord, error) {
	rec, err := state.Load[ParamsRecord](r, ParamsKey())
	if err == nil && rec == nil {
		err = errNoGenesis
	}
	return rec, err
}

// GetValidatorKey reads the record of a validator key by its address, or nil when no member ever had it.
func GetValidatorKey(r state.Reader, a Address) (*ValidatorKey, error) {
	return state.Load[ValidatorKey](r, ValidatorKeyKey(a))
}

// Convicted reads the records of the keys that were convicted, the newest first, at most limit of them,
// and how many there are.
func Convicted(r state.Reader, limit int) (keys []ValidatorKey, all uint64, err error) {
	list, err := state.Load[convictions](r, ConvictionsKey())
	if err != nil || list == nil {
		return nil, 0, err
	}
	for at := list.Last; at != nil && len(keys) < limit; {
		rec, err := GetValidatorKey(r, *at)
		if err != nil {
			return nil, 0, err
		}
		if rec == nil || rec.Conviction == nil {
			return nil, 0, errors.New("gov: the list of convictions names a key without one")
		}
		keys = append(keys, *rec)
		at = rec.Conviction.Before
	}
	return keys, list.Count, nil
}

// GetProposal reads a proposal, or nil.
func GetProposal(r state.Reader, id hufu.Digest) (*Proposal, error) {
	return state.Load[Proposal](r, ProposalKey(id))
}

// GetUpgrade reads the next upgrade, or nil.
func GetUpgrade(r state.Reader) (*PlannedUpgrade, error) {
	return state.Load[PlannedUpgrade](r, UpgradeKey())
}

// find is where id's seat is, or would be.
func (r *Roster) find(id hufu.ID) (int, bool) {
	return slices.BinarySearchFunc(r.Seats, id, func(s Seat, id hufu.ID) int { return bytes.Compare(s.Member[:], id[:]) })
}

// Has reports whether id has a seat.
func (r *Roster) Has(id hufu.ID) bool {
	_, ok := r.find(id)
	return ok
}

// power is the sum of all voting power.
func (r *Roster) power() (sum uint64) {
	for _, s := range r.Seats {
		sum += s.Power
	}
	return sum
}

// Validators are the seats with voting power, ascending by key.
func (r *Roster) Validators() []Validator {
	out := make([]Validator, 0, len(r.Seats))
	for _, s := range r.Seats {
		if s.Power > 0 {
			out = append(out, Validator{PubKey: s.ValidatorKey, Power: s.Power})
		}
	}
	slices.SortFunc(out, func(a, b Validator) int { return bytes.Compare(a.PubKey, b.PubKey) })
	return out
}

// Approvals counts the yes votes of members that are in the roster.
func (p *Proposal) Approvals(r *Roster) int {
	n := 0
	for _, v := range p.Votes {
		if v.Approve && r.Has(v.Member) {
			n++
		}
	}
	return n
}

// Passes reports whether approvals reach the threshold among members.
func Passes(p tx.Params, approvals, members int) bool {
	return approvals > 0 && uint64(approvals)*uint64(p.ThresholdDen) >= uint64(members)*uint64(p.ThresholdNum)
}

// Needed is the least number of approvals that reach the threshold among members.
func Needed(p tx.Params, members int) int {
	return int((uint64(members)*uint64(p.ThresholdNum) + uint64(p.ThresholdDen) - 1) / uint64(p.ThresholdDen))
}
