package did

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Rules of recovery.
const (
	RuleGuardDelay      hufu.Rule = "did.guard-delay"      // shorter than the network allows
	RuleNoGuardians     hufu.Rule = "did.no-guardians"     // the identifier named none
	RuleNotGuardian     hufu.Rule = "did.not-guardian"     // no commitment opens to the author
	RuleRecoveryBarred  hufu.Rule = "did.recovery-barred"  // for a time after one that was ended
	RuleRecoveryStale   hufu.Rule = "did.recovery-stale"   // made for other present keys
	RuleRecoveryPending hufu.Rule = "did.recovery-pending" // that plan is pending already
	RuleNoRecovery      hufu.Rule = "did.no-recovery"      // nothing to end or to finish
	RuleRecoveryEarly   hufu.Rule = "did.recovery-early"   // its delay has not passed
)

// MaxApprovalAge is for how long, in seconds, an approval counts: guardians are reached one by one, and
// none should be bound by what it signed long ago for people it has forgotten.
const MaxApprovalAge = 30 * 86400

// Recovery is what is under way to recover an identifier, and when the last attempt was ended.
type Recovery struct {
	Approvals       []Approval  `cbor:"1,keyasint,omitempty"` // the last of each guardian, ascending by guardian
	Pending         *Pending    `cbor:"2,keyasint,omitempty"`
	BarredUntil     hufu.Height `cbor:"3,keyasint,omitempty"` // approvals are refused before this height, and
	BarredUntilTime int64       `cbor:"4,keyasint,omitempty"` // before this time
}

// Approval is one guardian's, of a plan that is not pending.
type Approval struct {
	Guardian   hufu.ID     `cbor:"1,keyasint"`
	Commitment uint8       `cbor:"2,keyasint"` // its place in the guard
	Plan       hufu.Digest `cbor:"3,keyasint"` // [tx.RecoveryPlan.Digest]
	Height     hufu.Height `cbor:"4,keyasint"`
	Time       int64       `cbor:"5,keyasint"`
}

// Pending is a plan that enough guardians approved. It may be finished in the first block that has both
// the height and the time, and vetoed until it is finished.
type Pending struct {
	Plan      tx.RecoveryPlan `cbor:"1,keyasint"`
	Digest    hufu.Digest     `cbor:"2,keyasint"`
	Guardians []hufu.ID       `cbor:"3,keyasint"` // who approved it, ascending
	Since     hufu.Height     `cbor:"4,keyasint"`
	SinceTime int64           `cbor:"5,keyasint"`
	Ripe      hufu.Height     `cbor:"6,keyasint"`
	RipeTime  int64           `cbor:"7,keyasint"`
}

// IsRipe reports whether the delay has passed in a block of that height and time.
func (p *Pending) IsRipe(height hufu.Height, at int64) bool {
	return height >= p.Ripe && at >= p.RipeTime
}

// ControlKeys are the plan's keys, parsed.
func (p *Pending) ControlKeys() ([]keys.PublicKey, error) {
	out := make([]keys.PublicKey, len(p.Plan.Keys))
	for i, raw := range p.Plan.Keys {
		k, err := keys.ParseMultikey(raw)
		if err != nil {
			return nil, err
		}
		out[i] = k
	}
	return out, nil
}

// PendingRecovery is what is pending, or a refusal by [RuleNoRecovery].
func (r *Record) PendingRecovery() (*Pending, error) {
	if r.Recovery == nil || r.Recovery.Pending == nil {
		return nil, hufu.Refuse(RuleNoRecovery, "no recovery of the identifier is pending")
	}
	return r.Recovery.Pending, nil
}

// CheckGuard refuses a guard whose delay is below floor, the least of the network in seconds.
func CheckGuard(g *tx.Guard, floor uint32) error {
	if g != nil && !g.IsNone() && g.DelaySeconds < floor {
		return hufu.Refuse(RuleGuardDelay, "a delay of %d s, and the network wants at least %d", g.DelaySeconds, floor)
	}
	return nil
}

// setGuard follows a rotation: nil leaves the guardians as they are.
func (r *Record) setGuard(ctx state.Context, g *tx.Guard) {
	switch {
	case g == nil:
		r.endRecovery(ctx)
	case g.IsNone():
		r.Guard, r.Recovery = nil, nil
	default:
		r.Guard, r.Recovery = g, nil
	}
}

// endRecovery ends what is under way, and bars further attempts for as long as a recovery is pending:
// whoever looks once in two delays sees each of them, and no quorum can wear an owner out faster.
func (r *Record) endRecovery(ctx state.Context) {
	if !r.Recovering() {
		return
	}
	r.Recovery = &Recovery{
		BarredUntil: ctx.Height + r.Guard.DelayBlocks, BarredUntilTime: ctx.Time + int64(r.Guard.DelaySeconds),
	}
}

// Recovering reports whether a recovery is pending or at least one guardian approved one.
func (r *Record) Recovering() bool {
	return r.Recovery != nil && (r.Recovery.Pending != nil || len(r.Recovery.Approvals) > 0)
}

func (r *Record) veto(ctx state.Context) error {
	if !r.Recovering() {
		return hufu.Refuse(RuleNoRecovery, "there is no recovery of the identifier to veto")
	}
	r.endRecovery(ctx)
	return nil
}

// approve counts one guardian's approval on the subject's record.
func approve(ctx state.Context, o *state.Overlay, guardian hufu.ID, b *tx.DIDRecover) error {
	rec, err := Active(o, b.Subject)
	if err != nil {
		return err
	}
	at, err := rec.opens(guardian, b.Salt)
	if err != nil {
		return err
	}
	if err := rec.checkPlan(&b.Plan); err != nil {
		return err
	}
	if rec.Recovery == nil {
		rec.Recovery = new(Recovery)
	}
	rc := rec.Recovery
	digest := b.Plan.Digest(rec.ID)
	switch {
	case ctx.Height < rc.BarredUntil || ctx.Time < rc.BarredUntilTime:
		return hufu.Refuse(RuleRecoveryBarred, "one was ended, and until block %d and unix time %d none can begin", rc.BarredUntil, rc.BarredUntilTime)
	case rc.Pending != nil && rc.Pending.Digest == digest:
		return hufu.Refuse(RuleRecoveryPending, "that recovery is pending since block %d", rc.Pending.Since)
	}
	rc.count(Approval{Guardian: guardian, Commitment: at, Plan: digest, Height: ctx.Height, Time: ctx.Time})
	if by := rc.approvers(ctx, digest); len(by) >= int(rec.Guard.Threshold) {
		// Another plan that was pending gives way: the delay is the whole one again.
		*rc = Recovery{Pending: &Pending{
			Plan: b.Plan, Digest: digest, Guardians: by, Since: ctx.Height, SinceTime: ctx.Time,
			Ripe: ctx.Height + rec.Guard.DelayBlocks, RipeTime: ctx.Time + int64(rec.Guard.DelaySeconds),
		}}
	}
	return state.Save(o, StateKey(rec.ID), rec)
}

// opens finds the commitment to a guardian. The identifier itself is none: whoever has stolen its keys
// speaks for it.
func (r *Record) opens(guardian hufu.ID, salt []byte) (uint8, error) {
	if r.Guard == nil {
		return 0, hufu.Refuse(RuleNoGuardians, "the identifier has named no guardians")
	}
	at := slices.Index(r.Guard.Guardians, tx.GuardianCommitment(salt, guardian))
	if at < 0 || guardian == r.ID {
		return 0, hufu.Refuse(RuleNotGuardian, "with this salt, the author is none of the identifier's guardians")
	}
	return uint8(at), nil
}

// checkPlan refuses a plan that was made for other keys than the present ones, or brings back a key that
// was in use: it may be stolen.
func (r *Record) checkPlan(p *tx.RecoveryPlan) error {
	if int(p.First) != len(r.Keys) {
		return hufu.Refuse(RuleRecoveryStale, "the plan's first key would be %d, and the identifier has %d", p.First, len(r.Keys))
	}
	if len(r.Keys)+len(p.Keys) > MaxHistory {
		return hufu.Refuse(RuleHistoryFull, "an identifier has at most %d control keys in its life", MaxHistory)
	}
	for i := range r.Keys {
		old := r.Keys[i].Multikey
		if slices.ContainsFunc(p.Keys, func(k []byte) bool { return bytes.Equal(k, old) }) ||
			slices.Contains(p.Next, sha256.Sum256(old)) { // its keys.PublicKey.Digest
			return hufu.Refuse(RuleKeyReused, "key %d of the identifier cannot come again", i)
		}
	}
	return nil
}

// count adds an approval in the place of the same guardian's last. Guardians are told apart by their
// identifiers: one that was committed to twice counts once.
func (rc *Recovery) count(a Approval) {
	at, found := slices.BinarySearchFunc(rc.Approvals, a.Guardian, func(x Approval, id hufu.ID) int {
		return bytes.Compare(x.Guardian[:], id[:])
	})
	if found {
		rc.Approvals[at] = a
		return
	}
	rc.Approvals = slices.Insert(rc.Approvals, at, a)
}

// approvers lists whose approvals of a plan still count.
func (rc *Recovery) approvers(ctx state.Context, plan hufu.Digest) (by []hufu.ID) {
	for _, a := range rc.Approvals {
		if a.Plan == plan && ctx.Time-a.Time <= MaxApprovalAge {
			by = append(by, a.Guardian)
		}
	}
	return by
}

// finish gives the identifier the keys of the pending plan. The guardians stay.
func (r *Record) finish(ctx state.Context) error {
	p, err := r.PendingRecovery()
	if err != nil {
		return err
	}
	if !p.IsRipe(ctx.Height, ctx.Time) {
		return hufu.Refuse(RuleRecoveryEarly, "not before block %d and unix time %d", p.Ripe, p.RipeTime)
	}
	if err := r.checkPlan(&p.Plan); err != nil {
		return err
	}
	r.replaceKeys(ctx, p.Plan.Keys, p.Plan.Fall)
	r.Threshold, r.Next, r.NextThreshold = p.Plan.Threshold, p.Plan.Next, p.Plan.NextThreshold
	r.Recovery = nil
	return nil
}
