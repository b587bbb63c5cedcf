package trust

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Withdraw executes the members' decision to withdraw every grant to a subject for a type, whoever
// made it. A height that passed while they voted means now.
func Withdraw(ctx state.Context, o *state.Overlay, proposal hufu.Digest, w *tx.TrustWithdraw) error {
	with := Withdrawal{From: max(w.From, ctx.Height), Stand: w.Stand, Proposal: proposal, Tx: ctx.TxID}
	return withdraw(ctx, o, w, with, func(*Grant) bool { return true })
}

// takeBack withdraws the author's own grants. It needs no accreditation any more: taking back can only
// make trust less.
func takeBack(ctx state.Context, o *state.Overlay, author hufu.ID, w *tx.TrustWithdraw) error {
	if w.From != 0 && w.From < ctx.Height {
		return hufu.Refuse(RulePast, "from height %d, and it is %d", w.From, ctx.Height)
	}
	with := Withdrawal{From: max(w.From, ctx.Height), Stand: w.Stand, By: author, Tx: ctx.TxID}
	return withdraw(ctx, o, w, with, func(g *Grant) bool { return g.By == author })
}

func withdraw(ctx state.Context, o *state.Overlay, w *tx.TrustWithdraw, with Withdrawal, mine func(*Grant) bool) error {
	if with.From == ctx.Height {
		with.FromTime = ctx.Time
	}
	rec, err := GetAccreditation(o, w.Subject, w.Type)
	if err != nil {
		return err
	}
	if rec == nil {
		return hufu.Refuse(RuleNothing, "the subject has no accreditation for %s", w.Type)
	}
	changed, later := false, false
	for i := range rec.Grants {
		g := &rec.Grants[i]
		if !mine(g) {
			continue
		}
		if next, stricter := tighten(g.Withdrawal, with); stricter {
			g.Withdrawal, changed = next, true
			later = later || next.FromTime == 0 && next.From == with.From
		}
	}
	if !changed {
		return hufu.Refuse(RuleNothing, "every such grant is withdrawn already, as early and as strictly")
	}
	if later {
		if err := announce(o, with.From, dueItem{Subject: w.Subject, Type: w.Type}); err != nil {
			return err
		}
	}
	return state.Save(o, AccreditationKey(w.Subject, w.Type), rec)
}

// tighten joins two withdrawals of one grant: the earlier height, and standing only if both let it. It
// reports whether that is more than the old one said; a withdrawal is never undone or softened.
func tighten(old *Withdrawal, with Withdrawal) (*Withdrawal, bool) {
	if old == nil {
		return &with, true
	}
	if old.From <= with.From {
		if with.Stand || !old.Stand {
			return old, false
		}
		with.From, with.FromTime = old.From, old.FromTime
		return &with, true
	}
	with.Stand = with.Stand && old.Stand
	return &with, true
}

// announce has [EndBlock] note the time of the block from which a withdrawal holds.
func announce(o *state.Overlay, from hufu.Height, item dueItem) error {
	list, err := state.Load[due](o, dueKey(from))
	if err != nil {
		return err
	}
	if list == nil {
		list = new(due)
	}
	if slices.Contains(list.Items, item) {
		return nil
	}
	if len(list.Items) >= MaxDue {
		return hufu.Refuse(RuleTooManyDue, "%d withdrawals are announced for height %d", len(list.Items), from)
	}
	list.Items = append(list.Items, item)
	return state.Save(o, dueKey(from), list)
}

// EndBlock gives withdrawals that were announced for this height the time of its block, by which
// earlier credentials are told from later ones.
func EndBlock(ctx state.Context, o *state.Overlay) error {
	list, err := state.Load[due](o, dueKey(ctx.Height))
	if err != nil || list == nil {
		return err
	}
	for _, item := range list.Items {
		rec, err := GetAccreditation(o, item.Subject, item.Type)
		if err != nil {
			return err
		}
		if rec == nil {
			return errChain
		}
		for i := range rec.Grants {
			if w := rec.Grants[i].Withdrawal; w != nil && w.From == ctx.Height {
				w.FromTime = ctx.Time
			}
		}
		if err := state.Save(o, AccreditationKey(item.Subject, item.Type), rec); err != nil {
			return err
		}
	}
	o.Delete(dueKey(ctx.Height))
	return nil
}
