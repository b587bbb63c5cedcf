package home

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Guardians are whom an identifier trusts to give it new keys.
type Guardians struct {
	DIDs         []hufu.DID
	Threshold    uint8
	DelayBlocks  hufu.Height
	DelaySeconds uint32
}

// Opening is what one guardian keeps: with it, and as itself, it can approve a recovery. It tells its
// reader who is a guardian of whom, which the ledger does not.
type Opening struct {
	Identifier hufu.DID `json:"identifier"`
	Guardian   hufu.DID `json:"guardian"`
	Salt       []byte   `json:"salt"`
}

// RecoveryPlan is what an owner asks its guardians to approve. Digest names it, to be compared by a way
// that is not the file's.
type RecoveryPlan struct {
	Identifier hufu.DID        `json:"identifier"`
	Digest     hufu.Digest     `json:"digest"`
	Plan       tx.RecoveryPlan `json:"plan"`
}

// NewGuard commits to guardians, each under a fresh salt. The openings are in the order of g.DIDs.
func (a *Actor) NewGuard(random io.Reader, g Guardians) (*tx.Guard, []Opening, error) {
	guard := &tx.Guard{Threshold: g.Threshold, DelayBlocks: g.DelayBlocks, DelaySeconds: g.DelaySeconds}
	openings := make([]Opening, 0, len(g.DIDs))
	for i, d := range g.DIDs {
		network, id, err := d.Parse()
		switch {
		case err != nil:
			return nil, nil, err
		case network != a.home.Network():
			return nil, nil, fmt.Errorf("home: %s is of another network than %s", d, a.home.Network())
		case id == a.id:
			return nil, nil, fmt.Errorf("home: %s cannot be a guardian of itself: whoever stole its keys would be one", a.name)
		case slices.Contains(g.DIDs[:i], d):
			return nil, nil, fmt.Errorf("home: %s is named twice as a guardian, and would count once", d)
		}
		salt := make([]byte, tx.SaltLen)
		if _, err := io.ReadFull(random, salt); err != nil {
			return nil, nil, err
		}
		guard.Guardians = append(guard.Guardians, tx.GuardianCommitment(salt, id))
		openings = append(openings, Opening{Identifier: a.did, Guardian: d, Salt: salt})
	}
	slices.SortFunc(guard.Guardians, func(x, y hufu.Digest) int { return bytes.Compare(x[:], y[:]) })
	return guard, openings, guard.Validate()
}

// PlanRecovery makes keys for an identifier whose own are lost and keeps them under name, to be taken by
// [Actor.FinishRecovery] when its guardians have approved the plan. The same plan is returned again as
// long as it fits the ledger's record. With fall, signatures made by the keys replaced no longer stand.
func (h *Home) PlanRecovery(ctx context.Context, l Ledger, name string, d hufu.DID, suite *keys.Suite, fall bool) (RecoveryPlan, error) {
	if err := checkName(name); err != nil {
		return RecoveryPlan{}, err
	}
	_, id, err := d.Parse()
	if err != nil {
		return RecoveryPlan{}, err
	}
	actor := &Actor{home: h, ledger: l, name: name, id: id, did: d}
	s, err := actor.standing(ctx)
	switch {
	case err != nil:
		return RecoveryPlan{}, err
	case s.record == nil:
		return RecoveryPlan{}, hufu.Refuse(did.RuleUnknown, "%s is not on the ledger", d)
	case s.record.IsDeactivated():
		return RecoveryPlan{}, hufu.Refuse(did.RuleDeactivated, "%s was deactivated at height %d", d, s.record.Deactivated)
	case s.record.Guard == nil:
		return RecoveryPlan{}, hufu.Refuse(did.RuleNoGuardians, "%s has named no guardians", d)
	}
	release, err := h.lockBook()
	if err != nil {
		return RecoveryPlan{}, err
	}
	defer release() //nolint:errcheck // closing a file nothing was written to
	if err := h.loadBook(); err != nil {
		return RecoveryPlan{}, err
	}
	e, taken := h.book[name]
	if taken && e.DID != d {
		return RecoveryPlan{}, fmt.Errorf("home: the name %q is that of %s here; take another", name, e.DID)
	}
	first := len(s.record.Keys)
	if p := e.Recovery; p != nil && int(p.First) == first && p.Fall == fall {
		return RecoveryPlan{d, p.Digest(id), *p}, nil
	}
	if _, err := h.keys.Signer(controlKey(name, first)); err == nil && taken && e.Recovery == nil {
		return RecoveryPlan{}, fmt.Errorf("%w %s", ErrNotLost, name)
	}
	p, err := actor.plan(first, suite, fall)
	if err != nil {
		return RecoveryPlan{}, err
	}
	e.DID, e.Recovery = d, p
	return RecoveryPlan{d, p.Digest(id), *p}, h.saveBook(name, e)
}

// ErrNotLost is wrapped when an identifier whose next key is here is to be recovered.
var ErrNotLost = errors.New("home: this home has the next key of")

func (a *Actor) plan(first int, suite *keys.Suite, fall bool) (*tx.RecoveryPlan, error) {
	key, err := a.ensureKey(controlKey(a.name, first), suite)
	if err != nil {
		return nil, err
	}
	next, err := a.ensureKey(controlKey(a.name, first+1), suite)
	if err != nil {
		return nil, err
	}
	p := &tx.RecoveryPlan{
		First: uint16(first), Keys: [][]byte{key.Multikey()}, Threshold: 1, Next: []hufu.Digest{next.Digest()}, NextThreshold: 1, Fall: fall,
	}
	return p, p.Validate()
}

// ApproveRecovery approves a plan as one of the identifier's guardians.
func (a *Actor) ApproveRecovery(ctx context.Context, p RecoveryPlan, o Opening, sponsor *Actor) (client.Receipt, error) {
	_, subject, err := p.Identifier.Parse()
	switch {
	case err != nil:
		return client.Receipt{}, err
	case o.Identifier != p.Identifier:
		return client.Receipt{}, fmt.Errorf("home: the opening is for %s, and the plan for %s", o.Identifier, p.Identifier)
	case o.Guardian != a.did:
		return client.Receipt{}, fmt.Errorf("home: the opening is of the guardian %s, and %s is %s", o.Guardian, a.name, a.did)
	case p.Plan.Digest(subject) != p.Digest:
		return client.Receipt{}, errors.New("home: the plan is not the one that its digest names")
	}
	return a.Submit(ctx, &tx.DIDRecover{Subject: subject, Salt: o.Salt, Plan: p.Plan}, sponsor)
}

// FinishRecovery takes the keys of the actor's pending recovery.
func (a *Actor) FinishRecovery(ctx context.Context, sponsor *Actor) (client.Receipt, error) {
	s, err := a.standing(ctx)
	if err != nil {
		return client.Receipt{}, err
	}
	if s.record == nil {
		return client.Receipt{}, fmt.Errorf("home: %s is not on the ledger", a.name)
	}
	p, err := s.record.PendingRecovery()
	if err != nil {
		return client.Receipt{}, err
	}
	var signers []tx.SignerRef
	for i, key := range p.Plan.Keys {
		k, err := a.home.keys.Signer(controlKey(a.name, len(s.record.Keys)+i))
		if err == nil && len(signers) < int(p.Plan.Threshold) && bytes.Equal(k.Public().Multikey(), key) {
			signers = append(signers, tx.SignerRef{ID: a.id, KeyIndex: uint8(len(s.record.Keys) + i), Signer: k})
		}
	}
	if len(signers) < int(p.Plan.Threshold) {
		return client.Receipt{}, fmt.Errorf("home: the keys kept here are not those of the pending recovery of %s", a.name)
	}
	raw, err := a.build(ctx, s, &tx.DIDFinish{}, sponsor, signers)
	if err != nil {
		return client.Receipt{}, err
	}
	return a.ledger.Submit(ctx, raw)
}

// Guard rotates the actor's keys and names new guardians with that, or none when guard is empty.
func (a *Actor) Guard(ctx context.Context, guard *tx.Guard) (client.Receipt, error) {
	return a.rotate(ctx, false, guard)
}

// ErrUnknownGuardian is wrapped when a guardian cannot speak on the ledger.
var ErrUnknownGuardian = errors.New("home: no living identifier of this ledger")

// CheckGuardians refuses guardians that are not on the ledger, or ended.
func (a *Actor) CheckGuardians(ctx context.Context, dids []hufu.DID) error {
	return a.ledger.Read(ctx, func(v client.View) error {
		for _, d := range dids {
			_, id, err := d.Parse()
			if err != nil {
				return err
			}
			rec, err := did.Get(v, id)
			if err != nil {
				return err
			}
			if rec == nil || rec.IsDeactivated() {
				return fmt.Errorf("%w: the guardian %s", ErrUnknownGuardian, d)
			}
		}
		return nil
	})
}
