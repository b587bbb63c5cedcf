package did

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Get reads the record of id, or nil when there is no such identifier.
func Get(r state.Reader, id hufu.ID) (*Record, error) {
	return state.Load[Record](r, StateKey(id))
}

// Active reads the record of an identifier that must exist and not be deactivated.
func Active(r state.Reader, id hufu.ID) (*Record, error) {
	rec, err := Get(r, id)
	switch {
	case err != nil:
		return nil, err
	case rec == nil:
		return nil, hufu.Refuse(RuleUnknown, "no such identifier")
	case rec.IsDeactivated():
		return nil, hufu.Refuse(RuleDeactivated, "the identifier was deactivated at height %d", rec.Deactivated)
	}
	return rec, nil
}

// controlPurposes are what control keys may be used for.
const controlPurposes = tx.PurposeAuthentication | tx.PurposeAssertion | tx.PurposeInvocation

// KeyAt is the key under fragment for one purpose (a bit, see tx.PurposeAuthentication) as of a time
// in unix seconds. It refuses a fragment that never was, a key that did not hold then, a key whose
// signatures no longer stand whenever they were made, and times from deactivation on.
func (r *Record) KeyAt(fragment string, purpose uint8, at int64) (keys.PublicKey, error) {
	if r.IsDeactivated() && at >= r.DeactivatedTime {
		return keys.PublicKey{}, hufu.Refuse(RuleDeactivated, "the identifier was deactivated at height %d", r.Deactivated)
	}
	multikey, purposes, span := r.find(fragment, at)
	switch {
	case span == nil:
		return keys.PublicKey{}, hufu.Refuse(RuleUnknownKey, "the identifier has no such key")
	case !span.holds(at):
		return keys.PublicKey{}, hufu.Refuse(RuleKeyNotValidThen, "the key did not hold at that time")
	case span.Fallen:
		return keys.PublicKey{}, hufu.Refuse(RuleKeyFallen, "signatures with the key no longer stand")
	case purposes&purpose == 0:
		return keys.PublicKey{}, hufu.Refuse(RuleKeyPurpose, "the key is for other purposes")
	}
	return keys.ParseMultikey(multikey)
}

// find looks for the method under fragment that held at a time, else for the last one of that name.
func (r *Record) find(fragment string, at int64) (multikey []byte, purposes uint8, span *Span) {
	if i, ok := controlIndex(fragment); ok && i < len(r.Keys) {
		return r.Keys[i].Multikey, controlPurposes, &r.Keys[i].Span
	}
	for i := range r.Methods {
		if m := &r.Methods[i]; m.Fragment == fragment {
			multikey, purposes, span = m.Multikey, m.Purposes, &m.Span
			if span.holds(at) {
				break
			}
		}
	}
	return multikey, purposes, span
}
