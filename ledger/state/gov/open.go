package gov

import (
	"bytes"
	"cmp"
	"errors"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
)

// Bounds of what is open at a time, so that everything open can be read, and nobody's proposals keep another's
// from being made.
const (
	MaxOpenProposals = 16  // of one member
	MaxOpenOfFormer  = 256 // of former members together, whose proposals stay open: sixteen that leave at once
)

// openRecord is the open proposals of one member, or of all former ones, in the order they were made. Those whose
// time has passed since it was written are still in it.
type openRecord struct {
	Proposals []openProposal `cbor:"1,keyasint"`
}

type openProposal struct {
	ID   hufu.Digest `cbor:"1,keyasint"`
	Ends int64       `cbor:"2,keyasint"`
}

// current reads the record at key, without proposals whose time has passed.
func current(o *state.Overlay, key []byte, now int64) (*openRecord, error) {
	rec, err := state.Load[openRecord](o, key)
	if err != nil || rec == nil {
		return new(openRecord), err
	}
	rec.Proposals = slices.DeleteFunc(rec.Proposals, func(p openProposal) bool { return p.Ends < now })
	return rec, nil
}

func (r *openRecord) save(o *state.Overlay, key []byte) error {
	if len(r.Proposals) > 0 {
		return state.Save(o, key, r)
	}
	if old, err := o.Get(key); err != nil || old == nil {
		return err
	}
	o.Delete(key)
	return nil
}

// list adds a new proposal to those that are open.
func list(ctx state.Context, o *state.Overlay, p *Proposal) error {
	key := OpenKey(p.By)
	rec, err := current(o, key, ctx.Time)
	if err != nil {
		return err
	}
	if len(rec.Proposals) == MaxOpenProposals {
		return hufu.Refuse(RuleTooManyOpen, "the member has %d open proposals, the most that one may have", MaxOpenProposals)
	}
	rec.Proposals = append(rec.Proposals, openProposal{p.ID, p.Ends})
	return rec.save(o, key)
}

// unlist takes a proposal out that was decided.
func unlist(ctx state.Context, o *state.Overlay, p *Proposal) error {
	for _, key := range [][]byte{OpenKey(p.By), OpenOfFormerKey()} {
		rec, err := current(o, key, ctx.Time)
		if err != nil {
			return err
		}
		rec.Proposals = slices.DeleteFunc(rec.Proposals, func(x openProposal) bool { return x.ID == p.ID })
		if err := rec.save(o, key); err != nil {
			return err
		}
	}
	return nil
}

// disown makes the open proposals of a member who leaves those of a former one.
func disown(ctx state.Context, o *state.Overlay, member hufu.ID) error {
	theirs, err := current(o, OpenKey(member), ctx.Time)
	if err != nil {
		return err
	}
	all, err := current(o, OpenOfFormerKey(), ctx.Time)
	if err != nil {
		return err
	}
	if all.Proposals = append(all.Proposals, theirs.Proposals...); len(all.Proposals) > MaxOpenOfFormer {
		return hufu.Refuse(RuleTooManyOpen, "former members would have more than %d open proposals; some have to end first", MaxOpenOfFormer)
	}
	if err := all.save(o, OpenOfFormerKey()); err != nil {
		return err
	}
	return new(openRecord).save(o, OpenKey(member))
}

// OpenProposals reads all proposals on which votes count in a block of unix time now, the oldest first; those of
// one block by identifier.
func OpenProposals(r state.Reader, now int64) ([]Proposal, error) {
	roster, err := GetRoster(r)
	if err != nil {
		return nil, err
	}
	keys := [][]byte{OpenOfFormerKey()}
	for _, s := range roster.Seats {
		keys = append(keys, OpenKey(s.Member))
	}
	if err := state.Prefetch(r, keys); err != nil {
		return nil, err
	}
	var ids []hufu.Digest
	var wanted [][]byte
	for _, key := range keys {
		rec, err := state.Load[openRecord](r, key)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			continue
		}
		for _, p := range rec.Proposals {
			if p.Ends >= now {
				ids, wanted = append(ids, p.ID), append(wanted, ProposalKey(p.ID))
			}
		}
	}
	if err := state.Prefetch(r, wanted); err != nil {
		return nil, err
	}
	out := make([]Proposal, 0, len(ids))
	for _, id := range ids {
		p, err := GetProposal(r, id)
		if err != nil {
			return nil, err
		}
		if p == nil {
			return nil, errors.New("gov: an open proposal is named and absent in the state")
		}
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Proposal) int {
		return cmp.Or(cmp.Compare(a.Height, b.Height), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out, nil
}
