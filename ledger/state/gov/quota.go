package gov

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
)

// CheckQuota refuses when member is none or has fewer than cost units left in the epoch of ctx, of
// its open quota or of its quota. queued is what other transactions not yet in a block will use.
func CheckQuota(ctx state.Context, r state.Reader, member hufu.ID, open bool, cost, queued uint64) error {
	_, err := charge(ctx, r, member, open, cost, queued)
	return err
}

// Charge uses cost units of a member's quota.
func Charge(ctx state.Context, o *state.Overlay, member hufu.ID, open bool, cost uint64) error {
	u, err := charge(ctx, o, member, open, cost, 0)
	if err != nil {
		return err
	}
	return state.SaveKept(o, UsageKey(member), u)
}

func charge(ctx state.Context, r state.Reader, member hufu.ID, open bool, cost, queued uint64) (*Usage, error) {
	m, err := state.Peek[Member](r, MemberKey(member))
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, hufu.Refuse(RuleNoQuota, "no member takes this transaction on its quota")
	}
	u, err := CurrentUsage(ctx, r, member)
	if err != nil {
		return nil, err
	}
	used, quota, name := &u.Used, m.Quota, "quota"
	if open {
		used, quota, name = &u.OpenUsed, m.OpenQuota, "open quota"
	}
	if *used > quota || queued > quota-*used || cost > quota-*used-queued {
		return nil, hufu.Refuse(RuleQuotaExhausted, "%d units, and of the member's %s of %d an epoch %d are used", cost, name, quota, *used+queued)
	}
	*used += cost
	return u, nil
}

// CurrentUsage is what member used in the epoch of ctx so far.
func CurrentUsage(ctx state.Context, r state.Reader, member hufu.ID) (*Usage, error) {
	p, err := Params(r)
	if err != nil {
		return nil, err
	}
	epoch := ctx.Time / int64(p.EpochSeconds)
	last, err := state.Peek[Usage](r, UsageKey(member))
	if err != nil {
		return nil, err
	}
	u := Usage{Epoch: epoch}
	if last != nil && last.Epoch == epoch {
		u = *last
	}
	return &u, nil
}
