package gov

import (
	"errors"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
)

// Bill is what a transaction will use of a member's quota, on one state.
type Bill struct {
	usage         []byte // key
	before, after Usage  // before is zero when there is none
}

// CheckQuota refuses when member is none or has fewer than cost units left in the epoch of ctx, of
// its open quota or of its quota. queued is what other transactions not yet in a block will use.
func CheckQuota(ctx state.Context, r state.Reader, member hufu.ID, open bool, cost, queued uint64) (Bill, error) {
	m, err := state.Peek[Member](r, MemberKey(member))
	if err != nil {
		return Bill{}, err
	}
	if m == nil {
		return Bill{}, hufu.Refuse(RuleNoQuota, "no member takes this transaction on its quota")
	}
	b := Bill{usage: UsageKey(member)}
	if b.before, err = usage(r, b.usage); err != nil {
		return Bill{}, err
	}
	if b.after, err = inEpoch(ctx, r, b.before); err != nil {
		return Bill{}, err
	}
	used, quota, name := &b.after.Used, m.Quota, "quota"
	if open {
		used, quota, name = &b.after.OpenUsed, m.OpenQuota, "open quota"
	}
	if *used > quota || queued > quota-*used || cost > quota-*used-queued {
		return Bill{}, hufu.Refuse(RuleQuotaExhausted, "%d units, and of the member's %s of %d an epoch %d are used", cost, name, quota, *used+queued)
	}
	*used += cost
	return b, nil
}

// ErrUsage is that of a quota whose usage is no longer what it was when it was checked.
var ErrUsage = errors.New("gov: a quota to be charged is not that of the state it was checked on")

// Charge uses what b says, and fails with [ErrUsage] on another state than that of [CheckQuota].
func (b Bill) Charge(o *state.Overlay) error {
	now, err := usage(o, b.usage)
	if err != nil {
		return err
	}
	if b.usage == nil || now != b.before {
		return ErrUsage
	}
	return state.SaveKept(o, b.usage, &b.after)
}

// usage is the record at key, zero when there is none.
func usage(r state.Reader, key []byte) (Usage, error) {
	u, err := state.Peek[Usage](r, key)
	if err != nil || u == nil {
		return Usage{}, err
	}
	return *u, nil
}

// CurrentUsage is what member used in the epoch of ctx so far.
func CurrentUsage(ctx state.Context, r state.Reader, member hufu.ID) (Usage, error) {
	last, err := usage(r, UsageKey(member))
	if err != nil {
		return last, err
	}
	return inEpoch(ctx, r, last)
}

// inEpoch is last, or nothing used yet when it is of another epoch than ctx's.
func inEpoch(ctx state.Context, r state.Reader, last Usage) (Usage, error) {
	p, err := Params(r)
	if err != nil {
		return Usage{}, err
	}
	if epoch := ctx.Time / int64(p.EpochSeconds); last.Epoch != epoch {
		return Usage{Epoch: epoch}, nil
	}
	return last, nil
}
