package trust

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// publish puts a credential type's next version in place of the last.
func publish(ctx state.Context, o *state.Overlay, author hufu.ID, b *tx.TrustType) error {
	if member, err := gov.IsMember(o, author); err != nil {
		return err
	} else if !member {
		return hufu.Refuse(RuleNotMember, "only members publish credential types")
	}
	last, err := GetType(o, b.VCT)
	if err != nil {
		return err
	}
	version := uint32(1)
	if last != nil {
		if last.Owner != author {
			return hufu.Refuse(RuleTypeOwner, "another member published %s", b.VCT)
		}
		version = last.Version + 1
	}
	if b.Version != version {
		return hufu.Refuse(RuleTypeVersion, "version %d; the next is %d", b.Version, version)
	}
	if last != nil && !extends(&last.TrustType, b) {
		return hufu.Refuse(RuleTypeChanged, "version %d of %s may add claims and displays, and changes or drops what is there", version, b.VCT)
	}
	return state.Save(o, TypeKey(b.VCT), &TypeRecord{TrustType: *b, Owner: author, Height: ctx.Height, Time: ctx.Time, Tx: ctx.TxID})
}

// extends reports whether next has all that last has, unchanged: contracts and credentials rely on it.
func extends(last, next *tx.TrustType) bool {
	if last.Assurance != next.Assurance || !includes(next.Display, last.Display) {
		return false
	}
	for _, c := range last.Claims {
		i := slices.IndexFunc(next.Claims, func(n tx.Claim) bool { return slices.Equal(n.Path, c.Path) })
		if i < 0 {
			return false
		}
		if n := next.Claims[i]; n.Type != c.Type || n.Selective != c.Selective || !includes(n.Display, c.Display) {
			return false
		}
	}
	return true
}

func includes[T comparable](all, some []T) bool {
	return !slices.ContainsFunc(some, func(v T) bool { return !slices.Contains(all, v) })
}
