package did

import (
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Get reads the record of id, or nil when there is no such identifier.
func Get(r state.Reader, id hufu.ID) (*Record, error) {
	return state.Load[Record](r, StateKey(id))
}

// Peek is [Get] for a record that is only looked at: it may be shared, and must not be changed.
func Peek(r state.Reader, id hufu.ID) (*Record, error) {
	return state.Peek[Record](r, StateKey(id))
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

// KeysAt lists the keys of a suite that held at a time for one purpose and whose signatures stand: the
// control keys and then the others, the oldest first. It refuses times from deactivation on.
func (r *Record) KeysAt(suite *keys.Suite, purpose uint8, at int64) ([]keys.PublicKey, error) {
	if r.IsDeactivated() && at >= r.DeactivatedTime {
		return nil, hufu.Refuse(RuleDeactivated, "the identifier was deactivated at height %d", r.Deactivated)
	}
	var out []keys.PublicKey
	add := func(multikey []byte, purposes uint8, span *Span) error {
		if !span.holds(at) || span.Fallen || purposes&purpose == 0 {
			return nil
		}
		key, err := keys.ParseMultikey(multikey)
		if err == nil && key.Suite() == suite {
			out = append(out, key)
		}
		return err
	}
	for i := range r.Keys {
		if err := add(r.Keys[i].Multikey, controlPurposes, &r.Keys[i].Span); err != nil {
			return nil, err
		}
	}
	for i := range r.Methods {
		if err := add(r.Methods[i].Multikey, r.Methods[i].Purposes, &r.Methods[i].Span); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Authorities says which keys of an identifier can be those of a certification authority at a time: its
// P-256 keys for assertions. It is what package x5c asks for. It refuses identifiers that are not of this
// network or not on the ledger with [RuleUnknown].
func Authorities(r state.Reader, network hufu.Network) func(hufu.DID, time.Time) ([]keys.PublicKey, error) {
	return func(did hufu.DID, at time.Time) ([]keys.PublicKey, error) {
		n, id, err := did.Parse()
		if err != nil || n != network {
			return nil, hufu.Refuse(RuleUnknown, "no identifier of this ledger")
		}
		rec, err := Get(r, id)
		if err != nil {
			return nil, err
		}
		if rec == nil {
			return nil, hufu.Refuse(RuleUnknown, "no such identifier")
		}
		return rec.KeysAt(keys.P256, tx.PurposeAssertion, at.Unix())
	}
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
