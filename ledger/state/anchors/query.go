package anchors

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tlog"
)

// Get reads the newest checkpoint of a log, or nil when none was anchored.
func Get(r state.Reader, owner hufu.ID, name string) (*Log, error) {
	return state.Load[Log](r, LogKey(owner, name))
}

// GetFork reads the evidence against a log, or nil when there is none.
func GetFork(r state.Reader, owner hufu.ID, name string) (*Fork, error) {
	return state.Load[Fork](r, ForkKey(owner, name))
}

// Signed tells for clients whether a checkpoint is signed by its log's owner, with any key that would do for
// a report.
func Signed(r state.Reader, network hufu.Network, s *tlog.Signed) error {
	_, _, err := ownerOf(r, network, s, false)
	return err
}

// ownerOf reads whose log a checkpoint is of and what it is called, and refuses checkpoints that its owner
// did not sign, with a present key or with any.
func ownerOf(r state.Reader, network hufu.Network, s *tlog.Signed, present bool) (hufu.ID, string, error) {
	owner, name, err := tlog.SplitOrigin(s.Origin)
	if err != nil {
		return hufu.ID{}, "", err
	}
	on, id, err := owner.Parse()
	if err != nil || on != network {
		return hufu.ID{}, "", hufu.Refuse(RuleOwner, "a log of another network")
	}
	rec, err := did.Get(r, id)
	if err != nil {
		return hufu.ID{}, "", err
	}
	if rec == nil {
		return hufu.ID{}, "", hufu.Refuse(did.RuleUnknown, "the log's owner is no identifier of this ledger")
	}
	signed, err := isSigned(rec, s, present)
	if err == nil && !signed {
		err = hufu.Refuse(RuleSignature, "the checkpoint is not signed with a key that its log's owner has for assertions")
	}
	return id, name, err
}

// isSigned looks for the owner's key. A record may name hundreds, so a key is parsed only when the
// checkpoint names it.
func isSigned(rec *did.Record, s *tlog.Signed, present bool) (bool, error) {
	holds := func(multikey []byte, span *did.Span) (bool, error) {
		if span.Fallen || (present && !span.Current()) || !s.MayBeBy(multikey[min(2, len(multikey)):]) {
			return false, nil
		}
		key, err := keys.ParseMultikey(multikey)
		return err == nil && s.IsBy(key), err
	}
	for i := range rec.Keys {
		if ok, err := holds(rec.Keys[i].Multikey, &rec.Keys[i].Span); ok || err != nil {
			return ok, err
		}
	}
	for i := range rec.Methods {
		if rec.Methods[i].Purposes&tx.PurposeAssertion == 0 {
			continue
		}
		if ok, err := holds(rec.Methods[i].Multikey, &rec.Methods[i].Span); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
