package gov

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Rules of governance.
const (
	RuleNotMember       hufu.Rule = "gov.not-member"
	RuleUnknownProposal hufu.Rule = "gov.unknown-proposal"
	RuleVotingClosed    hufu.Rule = "gov.voting-closed" // decided already, or out of time
	RuleVotedAlready    hufu.Rule = "gov.voted-already"
	RuleTooManyOpen     hufu.Rule = "gov.too-many-open"
	RuleMemberExists    hufu.Rule = "gov.member-exists"
	RuleTooManyMembers  hufu.Rule = "gov.too-many-members"
	RuleLastMember      hufu.Rule = "gov.last-member"
	RuleLastValidator   hufu.Rule = "gov.last-validator"      // no voting power would remain
	RuleValidatorKey    hufu.Rule = "gov.validator-key-taken" // is or was another member's
	RuleKeyConvicted    hufu.Rule = "gov.validator-key-convicted"
	RuleUpgradeHeight   hufu.Rule = "gov.upgrade-height"
	RuleNoQuota         hufu.Rule = "gov.no-quota" // no member to charge
	RuleQuotaExhausted  hufu.Rule = "gov.quota-exhausted"
	RuleGenesis         hufu.Rule = "gov.invalid-genesis"
)

// Executor executes the actions that other rooms own. proposal is what their records must name.
type Executor struct {
	Accredit func(ctx state.Context, o *state.Overlay, proposal hufu.Digest, a *tx.TrustAccredit) error
	Withdraw func(ctx state.Context, o *state.Overlay, proposal hufu.Digest, w *tx.TrustWithdraw) error
}

// Apply executes a transaction of kind gov.*.
func Apply(ctx state.Context, o *state.Overlay, t *tx.Tx, e Executor) error {
	author := t.Payload.Author
	if member, err := IsMember(o, author); err != nil {
		return err
	} else if !member {
		return hufu.Refuse(RuleNotMember, "only members propose and vote")
	}
	switch b := t.Body.(type) {
	case *tx.GovPropose:
		return propose(ctx, o, author, b, e)
	case *tx.GovVote:
		return vote(ctx, o, author, b, e)
	}
	return hufu.Refuse(tx.RuleKind, "not a transaction of governance")
}

func propose(ctx state.Context, o *state.Overlay, author hufu.ID, b *tx.GovPropose, e Executor) error {
	params, err := Params(o)
	if err != nil {
		return err
	}
	p := &Proposal{
		ID: ctx.TxID, Title: b.Title, Actions: b.Actions, By: author,
		Height: ctx.Height, Time: ctx.Time, Ends: ctx.Time + int64(params.VotingSeconds),
		Votes: []Vote{{Member: author, Approve: true, Height: ctx.Height}},
	}
	if err := decide(ctx, o, p, params, e); err != nil || p.Executed != 0 {
		return err
	}
	return list(ctx, o, p)
}

func vote(ctx state.Context, o *state.Overlay, author hufu.ID, b *tx.GovVote, e Executor) error {
	p, err := GetProposal(o, b.Proposal)
	switch {
	case err != nil:
		return err
	case p == nil:
		return hufu.Refuse(RuleUnknownProposal, "no such proposal")
	case p.Executed != 0:
		return hufu.Refuse(RuleVotingClosed, "executed at height %d", p.Executed)
	case ctx.Time > p.Ends:
		return hufu.Refuse(RuleVotingClosed, "voting ended at unix time %d", p.Ends)
	case slices.ContainsFunc(p.Votes, func(v Vote) bool { return v.Member == author }):
		return hufu.Refuse(RuleVotedAlready, "the member has voted on this proposal")
	}
	params, err := Params(o)
	if err != nil {
		return err
	}
	p.Votes = append(p.Votes, Vote{Member: author, Approve: b.Approve, Height: ctx.Height})
	if err := decide(ctx, o, p, params, e); err != nil || p.Executed == 0 {
		return err
	}
	return unlist(ctx, o, p)
}

// decide stores p with its newest vote and executes it if that vote carries it.
func decide(ctx state.Context, o *state.Overlay, p *Proposal, params tx.Params, e Executor) error {
	roster, err := GetRoster(o)
	if err != nil {
		return err
	}
	approved := p.Votes[len(p.Votes)-1].Approve
	if approved && Passes(params, p.Approvals(roster), len(roster.Seats)) {
		for i := range p.Actions {
			if err := execute(ctx, o, p.ID, &p.Actions[i], e); err != nil {
				return err
			}
		}
		if err := CheckValidators(o); err != nil {
			return err
		}
		p.Executed, p.ExecutedTime = ctx.Height, ctx.Time
	}
	return state.Save(o, ProposalKey(p.ID), p)
}
