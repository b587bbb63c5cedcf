package wallet

import (
	"context"
	"fmt"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/protocol/oid4vp"
)

// StapleFresh is how old the state may be that a gate staples to its request for the wallet to ask no node: so long can a gate pass
// for what it was before its contract was retired or its key replaced. Nobody but the gate learns of the visit then.
const StapleFresh = 30 * time.Second

// read runs f on a state that a request can be judged by: on what is stapled to it if that is fresh, else on the ledger or, when
// no node can be reached, on what is stapled, as far as the contract allows. What is stapled and does not hold is as good as nothing.
func read(ctx context.Context, l Ledger, r *oid4vp.Request, now time.Time, f func(client.View) error) error {
	stapled, bad := open(l, r)
	if hufu.RuleOf(bad) == client.RuleConflict {
		return bad // there is no ledger to believe
	}
	if stapled != nil && now.Sub(stapled.AsOf().Time) <= StapleFresh {
		if err := f(stapled); !stapled.Missed() && hufu.RuleOf(err) != RuleStale {
			return err
		}
	}
	live := l.Read(ctx, f)
	switch {
	case !client.IsAway(live) || ctx.Err() != nil:
		return live
	case bad != nil:
		return fmt.Errorf("%w; what the gate shows of the ledger does not hold: %s", live, bad.Error()) // no refusal of the request
	case stapled == nil:
		return fmt.Errorf("%w; and the gate shows nothing of the ledger", live)
	}
	err := f(stapled)
	if stapled.Missed() {
		return fmt.Errorf("%w; what the gate shows of the ledger is not all that is needed", live)
	}
	return err
}

// open verifies what is stapled to a request: nil when nothing is.
func open(l Ledger, r *oid4vp.Request) (*client.Stapled, error) {
	o, ok := l.(Opener)
	if r.Staple == nil || !ok {
		return nil, nil //nolint:nilnil // nothing is an answer
	}
	return o.OpenStaple(r.Staple)
}

// within refuses a stapled state that is older than the contract lets a decision rest on: the gate could only deny.
func (q *Inquiry) within(s *client.Stapled, now time.Time) error {
	q.stapled = s
	if q.Contract == nil {
		return nil
	}
	if age := now.Sub(s.AsOf().Time); age > q.Contract.MaxStaleness {
		return hufu.Refuse(RuleStale, "what the gate shows of the ledger is %s old, more than its contract's %s", age.Round(time.Second), q.Contract.MaxStaleness)
	}
	return nil
}
