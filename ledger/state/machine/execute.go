package machine

import (
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/anchors"
	"github.com/hufu-id/hufu/ledger/state/contracts"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
)

// ValidatorUpdate is a validator's new voting power; 0 removes it.
type ValidatorUpdate struct {
	PubKey []byte // Ed25519
	Power  uint64
}

// Execute runs t, admitted as a on this very state (with another usage of the quota it fails with [gov.ErrUsage]) and with its signatures checked. It charges the
// quota and counts the author's sequence; then it applies t. A refusal by the state's rules comes
// back as a [hufu.Refusal], and then quota and sequence are all that changed.
func Execute(ctx state.Context, o *state.Overlay, t *tx.Tx, a Admission) error {
	ctx.TxID = t.ID()
	if err := a.bill.Charge(o); err != nil {
		return err
	}
	if t.Payload.Kind != tx.KindDIDCreate {
		if err := did.Bump(o, t.Payload.Author); err != nil {
			return err
		}
	}
	o.Nested()
	if err := apply(ctx, o, t); err != nil {
		o.Discard()
		return err
	}
	o.Commit()
	return nil
}

// apply hands t to the room of its kind.
func apply(ctx state.Context, o *state.Overlay, t *tx.Tx) error {
	room, _, _ := strings.Cut(string(t.Payload.Kind), ".")
	switch room {
	case "did":
		if err := checkGuard(o, t.Body); err != nil {
			return err
		}
		return did.Apply(ctx, o, t)
	case "gov":
		return gov.Apply(ctx, o, t, gov.Executor{Accredit: trust.Accredit, Withdraw: trust.Withdraw})
	case "trust":
		return trust.Apply(ctx, o, t)
	case "status":
		return status.Apply(ctx, o, t)
	case "contract":
		return contracts.Apply(ctx, o, t)
	case "anchor":
		return anchors.Apply(ctx, o, t)
	}
	return hufu.Refuse(tx.RuleKind, "a kind that this network's rules do not have")
}

// checkGuard holds the guardians that a transaction names to the members' least delay.
func checkGuard(r state.Reader, body tx.Body) error {
	var g *tx.Guard
	switch b := body.(type) {
	case *tx.DIDCreate:
		g = b.Guard
	case *tx.DIDRotate:
		g = b.Guard
	}
	if g == nil {
		return nil
	}
	p, err := gov.Params(r)
	if err != nil {
		return err
	}
	return did.CheckGuard(g, p.RecoveryFloor())
}

// BeginBlock begins the block of ctx: validators of whom it proves misbehaviour lose their power, before any
// transaction of the block.
func BeginBlock(ctx state.Context, o *state.Overlay, proven []gov.Misbehaviour) error {
	ctx.TxID = hufu.Digest{}
	return gov.Convict(ctx, o, proven)
}

// EndBlock ends the block of ctx: withdrawals announced for it take effect, and it lists, ascending by
// key, how the validators change.
func EndBlock(ctx state.Context, o *state.Overlay) ([]ValidatorUpdate, error) {
	ctx.TxID = hufu.Digest{}
	if err := trust.EndBlock(ctx, o); err != nil {
		return nil, err
	}
	changed, err := gov.EndBlock(o)
	if err != nil || len(changed) == 0 {
		return nil, err
	}
	out := make([]ValidatorUpdate, len(changed))
	for i, v := range changed {
		out[i] = ValidatorUpdate(v)
	}
	return out, nil
}
