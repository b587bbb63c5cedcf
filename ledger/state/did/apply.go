package did

import (
	"crypto/sha256"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Rules of identifiers.
const (
	RuleExists       hufu.Rule = "did.exists"
	RuleUnknown      hufu.Rule = "did.unknown"
	RuleDeactivated  hufu.Rule = "did.deactivated"
	RuleNextMismatch hufu.Rule = "did.next-mismatch" // a rotation to keys that were not committed to
	RuleKeyReused    hufu.Rule = "did.key-reused"    // a commitment to a key that was used before
	RuleHistoryFull  hufu.Rule = "did.history-full"
	RuleMethod       hufu.Rule = "did.method"  // removes a method that is not there, or adds one that is
	RuleService      hufu.Rule = "did.service" // a service with a method's fragment

	RuleUnknownKey      hufu.Rule = "did.unknown-key"
	RuleKeyNotValidThen hufu.Rule = "did.key-not-valid-then"
	RuleKeyFallen       hufu.Rule = "did.key-fallen"
	RuleKeyPurpose      hufu.Rule = "did.key-purpose"
)

// Apply executes a transaction of kind did.*.
func Apply(ctx state.Context, o *state.Overlay, t *tx.Tx) error {
	if b, ok := t.Body.(*tx.DIDCreate); ok {
		member, open := hufu.ID{}, false
		if t.Payload.Sponsor != nil {
			member = *t.Payload.Sponsor
			open = t.Signatures[len(t.Signatures)-1].Signer != member
		}
		return Create(ctx, o, t.Payload.Author, b, member, open)
	}
	if b, ok := t.Body.(*tx.DIDRecover); ok {
		return approve(ctx, o, t.Payload.Author, b)
	}
	rec, err := Active(o, t.Payload.Author)
	if err != nil {
		return err
	}
	switch b := t.Body.(type) {
	case *tx.DIDVeto: // changes nothing that a DID document says
		if err = rec.veto(ctx); err != nil {
			return err
		}
		return state.Save(o, StateKey(rec.ID), rec)
	case *tx.DIDFinish:
		err = rec.finish(ctx)
	case *tx.DIDRotate:
		err = rec.rotate(ctx, b)
	case *tx.DIDUpdate:
		err = rec.update(ctx, b)
	case *tx.DIDDeactivate:
		rec.Deactivated, rec.DeactivatedTime, rec.Recovery = ctx.Height, ctx.Time, nil
	default:
		return hufu.Refuse(tx.RuleKind, "not a transaction about identifiers")
	}
	if err != nil {
		return err
	}
	rec.Updated, rec.UpdatedTime = ctx.Height, ctx.Time
	rec.Version++
	return state.Save(o, StateKey(rec.ID), rec)
}

// Create writes the record of an identifier for which [CheckNew] has nothing to say. Member is charged for what it does later; open says that
// the member did not sign for it.
func Create(ctx state.Context, o *state.Overlay, id hufu.ID, b *tx.DIDCreate, member hufu.ID, open bool) error {
	rec := &Record{
		ID: id, Sequence: 1, Member: member, Open: open,
		Threshold: b.Threshold, Next: b.Next, NextThreshold: b.NextThreshold, Services: b.Services, Guard: b.Guard,
		Created: ctx.Height, CreatedTime: ctx.Time, Updated: ctx.Height, UpdatedTime: ctx.Time, Version: 1,
	}
	if err := checkServices(b.Services, b.Methods, nil); err != nil {
		return err
	}
	rec.addKeys(ctx, b.Keys)
	rec.addMethods(ctx, b.Methods)
	return state.Save(o, StateKey(id), rec)
}

// CheckNew refuses an identifier that exists.
func CheckNew(r state.Reader, id hufu.ID) error {
	has, err := state.Has(r, StateKey(id))
	if err == nil && has {
		err = hufu.Refuse(RuleExists, "the identifier exists")
	}
	return err
}

// Bump counts one transaction of the author: its sequence number is used up.
func Bump(o *state.Overlay, author hufu.ID) error {
	rec, err := Active(o, author)
	if err != nil {
		return err
	}
	rec.Sequence++
	return state.Save(o, StateKey(author), rec)
}

func (r *Record) addKeys(ctx state.Context, control [][]byte) {
	r.Keys = slices.Grow(r.Keys, len(control))
	for _, k := range control {
		r.Keys = append(r.Keys, Key{Multikey: k, Span: begin(ctx)})
	}
}

func (r *Record) addMethods(ctx state.Context, methods []tx.Method) {
	for _, m := range methods {
		r.Methods = append(r.Methods, MethodRecord{Fragment: m.Fragment, Multikey: m.Key, Purposes: m.Purposes, Span: begin(ctx)})
	}
}

func begin(ctx state.Context) Span { return Span{From: ctx.Height, FromTime: ctx.Time} }

func (s *Span) end(ctx state.Context, fall bool) {
	s.Until, s.UntilTime, s.Fallen = ctx.Height, ctx.Time, fall
}

// CheckRotation refuses a rotation to other keys than the record committed to. next are b's keys.
func (r *Record) CheckRotation(next []keys.PublicKey) error {
	if len(next) != len(r.Next) {
		return hufu.Refuse(RuleNextMismatch, "%d keys, where %d were committed to", len(next), len(r.Next))
	}
	for i, k := range next {
		if k.Digest() != r.Next[i] {
			return hufu.Refuse(RuleNextMismatch, "key %d is not the one committed to", i)
		}
	}
	if len(r.Keys)+len(next) > MaxHistory {
		return hufu.Refuse(RuleHistoryFull, "an identifier has at most %d control keys in its life", MaxHistory)
	}
	return nil
}

// RotationThreshold is how many of the new keys must sign a rotation: what was committed to, and no
// fewer than may act afterwards.
func (r *Record) RotationThreshold(b *tx.DIDRotate) int {
	return int(max(r.NextThreshold, b.Threshold))
}

func (r *Record) rotate(ctx state.Context, b *tx.DIDRotate) error {
	next := make([]keys.PublicKey, len(b.Keys))
	for i, raw := range b.Keys {
		k, err := keys.ParseMultikey(raw)
		if err != nil {
			return hufu.Refuse(RuleNextMismatch, "key %d: %v", i, err)
		}
		next[i] = k
	}
	if err := r.CheckRotation(next); err != nil {
		return err
	}
	// A key that was in use may be stolen; committing to it would give the thief the next rotation.
	for i := range r.Keys {
		if slices.Contains(b.Next, sha256.Sum256(r.Keys[i].Multikey)) { // its keys.PublicKey.Digest
			return hufu.Refuse(RuleKeyReused, "key %d of the identifier cannot come again", i)
		}
	}
	r.replaceKeys(ctx, b.Keys, b.Fall)
	r.Threshold, r.Next, r.NextThreshold = b.Threshold, b.Next, b.NextThreshold
	r.setGuard(ctx, b.Guard)
	return nil
}

func (r *Record) replaceKeys(ctx state.Context, fresh [][]byte, fall bool) {
	for i := range r.Keys {
		if r.Keys[i].Current() {
			r.Keys[i].end(ctx, fall)
		}
	}
	r.addKeys(ctx, fresh)
}

func (r *Record) update(ctx state.Context, b *tx.DIDUpdate) error {
	for _, gone := range b.RemoveMethods {
		m := r.currentMethod(gone.Fragment)
		if m == nil {
			return hufu.Refuse(RuleMethod, "no method of that fragment to remove")
		}
		m.end(ctx, gone.Fall)
	}
	for _, m := range b.AddMethods {
		if r.currentMethod(m.Fragment) != nil {
			return hufu.Refuse(RuleMethod, "a method of that fragment is there already")
		}
	}
	if len(r.Methods)+len(b.AddMethods) > MaxHistory {
		return hufu.Refuse(RuleHistoryFull, "an identifier has at most %d methods in its life", MaxHistory)
	}
	r.addMethods(ctx, b.AddMethods)
	if b.SetServices != nil {
		r.Services = *b.SetServices
	}
	return checkServices(r.Services, nil, r.Methods)
}

func (r *Record) currentMethod(fragment string) *MethodRecord {
	for i := range r.Methods {
		if m := &r.Methods[i]; m.Fragment == fragment && m.Current() {
			return m
		}
	}
	return nil
}

// checkServices keeps DID URLs unambiguous: no service has the fragment of a method, past or present.
func checkServices(services []tx.Service, fresh []tx.Method, known []MethodRecord) error {
	for _, s := range services {
		if slices.ContainsFunc(fresh, func(m tx.Method) bool { return m.Fragment == s.Fragment }) ||
			slices.ContainsFunc(known, func(m MethodRecord) bool { return m.Fragment == s.Fragment }) {
			return hufu.Refuse(RuleService, "a service with the fragment of a method")
		}
	}
	return nil
}
