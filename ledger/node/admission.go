package node

import (
	"cmp"
	"errors"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Admission has two halves. Examining does the work that may wait for others: it reads the transaction and
// verifies its signatures in a batch with whatever else came in. enter is quick: it gives the transaction its place
// in its author's queue.

// judge reads the transaction with this id, if by the present state and what waits it may be in the next block, and where it
// came from and whose quota it uses have not had their share. Its signatures are left to verify, unless the
// result says that they hold.
func (a *app) judge(id hufu.Digest, raw []byte, from source, now time.Time) (*parsed, error) {
	waits, full := a.pending.look(id)
	if waits {
		return nil, errWaits
	}
	if p := a.exec.known.seen(id); p != nil && p.holds != nil {
		return p, nil
	}
	switch {
	case a.sources.barred(from):
		a.refused.barred.Add(1)
		return nil, hufu.Refuse(proof.RuleBusy, "too many bad transactions came from this address; it has to wait")
	case full:
		a.refused.busy.Add(1)
		return nil, hufu.Refuse(proof.RuleBusy, "too many transactions wait for a block: come again in a second")
	}
	t, err := tx.ParseDeferred(raw, id, a.network)
	if err != nil {
		return nil, a.bad(from, err)
	}
	next := uint64(0)
	if t.Payload.Kind != tx.KindDIDCreate { // of which entering finds out whether another waits
		next, _ = a.pending.next(t.Payload.Author)
	}
	admission, err := a.admit(t, next)
	if err != nil {
		if bad := t.CheckKeys(); bad != nil {
			return nil, a.bad(from, bad)
		}
		return nil, err
	}
	if !a.pending.room(lineOf(admission.Admission), from.client(), now) {
		a.refused.share.Add(1)
		return nil, hufu.Refuse(proof.RuleBusy, "the transactions on this member's %s that wait for a block are its share of what may wait: come again in a second", quotaName(admission.Open))
	}
	return &parsed{Tx: t, admitted: admission}, nil
}

// errWaits refuses what waits.
var errWaits = hufu.Refuse(proof.RuleKnown, "the transaction waits for a block already")

func tooLarge(raw []byte) error {
	return hufu.Refuse(tx.RuleTooLarge, "%d bytes, where %d are the most", len(raw), tx.MaxSize)
}

// verified notes that the signatures of p, which was judged, hold, or says which does not.
func (a *app) verified(p *parsed, checks []check, from source) (*parsed, error) {
	for i := range checks {
		if !checks[i].ok {
			return nil, a.bad(from, cmp.Or(p.CheckKeys(), hufu.Refuse(machine.RuleSignature, "signature %d does not hold", i)))
		}
	}
	p.holds = p.admitted.Keys
	return p, nil
}

func quotaName(open bool) string {
	if open {
		return "open quota"
	}
	return "quota"
}

// bad holds a bad transaction against its source. The refusal is passed on.
func (a *app) bad(from source, refusal error) error {
	a.refused.bad.Add(1)
	a.sources.bad(from)
	return refusal
}

// enter admits p to its author's queue.
func (a *app) enter(p *parsed) error {
	if a.enterNew(p) {
		return nil
	}
	admission := p.admitted
	for {
		next, waiting := a.pending.next(p.Payload.Author)
		if waiting && p.Payload.Kind == tx.KindDIDCreate {
			if a.pending.has(p.ID()) {
				return errWaits
			}
			return hufu.Refuse(machine.RuleSequence, "the identifier's creation waits for a block already")
		}
		if height, _, _ := a.tip.get(); admission == nil || admission.height != height || admission.next != next {
			var err error
			if admission, err = a.admit(p.Tx, next); err != nil {
				return err
			}
		}
		if !p.verifiedBy(admission.Keys) {
			return hufu.Refuse(machine.RuleSignature, "the keys changed meanwhile")
		}
		if !waiting && p.Payload.Kind != tx.KindDIDCreate {
			// With nothing before it, what the state's rules say now is what they will say. A
			// creation is refused by admission alone.
			if err := machine.Execute(a.context(), state.NewOverlay(a.exec.reads), p.Tx, admission.Admission); errors.Is(err, gov.ErrUsage) {
				admission = nil // a block was committed meanwhile: it is judged anew
				continue
			} else if err != nil {
				return err
			}
		}
		if a.pending.add(p, admission) {
			return nil
		}
		if a.pending.has(p.ID()) {
			return errWaits
		}
	}
}

// enterNew is enter for the creation of an identifier, of which nothing waits, on the state on which it was
// examined. With false, nothing is said.
func (a *app) enterNew(p *parsed) bool {
	if p.Payload.Kind != tx.KindDIDCreate || p.admitted == nil || p.admitted.next != 0 {
		return false
	}
	return p.verifiedBy(p.admitted.Keys) && a.pending.add(p, p.admitted)
}

// admit judges t for the next block, after those of its author that wait.
func (a *app) admit(t *tx.Tx, next uint64) (*admitted, error) {
	ctx := a.context()
	admission, err := machine.AdmitAfter(ctx, a.exec.reads, t, next)
	return &admitted{admission, ctx.Height - 1, next}, err
}

// context is that of the next block as far as it is known: its time is not before the last one's.
func (a *app) context() state.Context {
	height, at, _ := a.tip.get()
	return state.Context{Network: a.network, Height: height + 1, Time: at.Unix()}
}

// discard takes out of what waits that which was left out of a block and may be in no later one: expired, replayed,
// or without quota. A transaction stays while one of its author waits that has to come before it.
func (a *app) discard(o *Outcome, left []*tx.Tx) {
	if len(left) == 0 {
		return
	}
	gone := make(map[hufu.Digest]bool, len(left))
	for _, t := range left {
		gone[t.ID()] = true
	}
	for _, t := range o.Txs {
		gone[t.ID()] = true // no longer in the way
	}
	var never []*tx.Tx
	for _, t := range left {
		if !a.pending.behind(t, gone) {
			never = append(never, t)
		}
	}
	a.pending.remove(never)
	a.exec.known.forget(never)
}
