package home

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Ledger is what an actor needs of the ledger; a client is one.
type Ledger interface {
	Submit(ctx context.Context, raw []byte) (client.Receipt, error)
	Read(ctx context.Context, f func(client.View) error) error
}

// lifetime is for how many blocks a transaction stays valid: long enough for a busy ledger, short
// enough that nobody wonders about it an hour later.
const lifetime = 1000

// Actor speaks on the ledger for one of the home's identities. It holds no state: which keys are
// current and which sequence number is next is read from the ledger, proven, each time.
type Actor struct {
	home   *Home
	ledger Ledger
	name   string
	id     hufu.ID
	did    hufu.DID
}

// Actor is the voice of the identity called name.
func (h *Home) Actor(name string, l Ledger) (*Actor, error) {
	d, err := h.Identity(name)
	if err != nil {
		return nil, err
	}
	_, id, err := d.Parse()
	if err != nil {
		return nil, err
	}
	return &Actor{home: h, ledger: l, name: name, id: id, did: d}, nil
}

// DID is the actor's identifier.
func (a *Actor) DID() hufu.DID { return a.did }

// ID is the identifier's ledger form.
func (a *Actor) ID() hufu.ID { return a.id }

// standing is what the ledger says of the actor now.
type standing struct {
	record *did.Record
	height hufu.Height
}

func (a *Actor) standing(ctx context.Context) (s standing, err error) {
	err = a.ledger.Read(ctx, func(v client.View) error {
		s.height = v.AsOf().Height
		s.record, err = did.Get(v, a.id)
		return err
	})
	return s, err
}

// Submit signs body as the actor's next transaction and awaits its inclusion. With a sponsor, a
// member of this home, the sponsor co-signs and is charged.
func (a *Actor) Submit(ctx context.Context, body tx.Body, sponsor *Actor) (client.Receipt, error) {
	raws, err := a.sign(ctx, sponsor, body)
	if err != nil {
		return client.Receipt{}, err
	}
	return a.ledger.Submit(ctx, raws[0])
}

// Sign makes bodies the actor's next transactions, in this order.
func (a *Actor) Sign(ctx context.Context, bodies ...tx.Body) ([][]byte, error) {
	return a.sign(ctx, nil, bodies...)
}

func (a *Actor) sign(ctx context.Context, sponsor *Actor, bodies ...tx.Body) ([][]byte, error) {
	s, err := a.standing(ctx)
	if err != nil {
		return nil, err
	}
	if s.record == nil {
		return nil, fmt.Errorf("home: %s (%s) is not on the ledger yet", a.name, a.did)
	}
	signers, err := a.signers(s.record)
	if err != nil {
		return nil, err
	}
	raws := make([][]byte, len(bodies))
	for i, body := range bodies {
		turn := *s.record
		turn.Sequence += uint64(i)
		if raws[i], err = a.build(ctx, standing{&turn, s.height}, body, sponsor, slices.Clone(signers)); err != nil {
			return nil, err
		}
	}
	return raws, nil
}

// ErrNoCheckpointKey means that an identity has no present Ed25519 control key here, the only kind that signs
// logs' checkpoints.
var ErrNoCheckpointKey = errors.New("home: no Ed25519 control key")

// CheckpointSigner is the key that the actor's logs are signed with.
func (a *Actor) CheckpointSigner(ctx context.Context) (keys.Signer, error) {
	s, err := a.standing(ctx)
	if err != nil {
		return nil, err
	}
	if s.record == nil {
		return nil, ErrNoCheckpointKey
	}
	for _, e := range a.home.keys.List() {
		if !strings.HasPrefix(e.Name, a.name+"/control/") || e.Public.Suite() != keys.Ed25519 {
			continue
		}
		for i := range s.record.Keys {
			if k := &s.record.Keys[i]; k.Current() && string(k.Multikey) == string(e.Public.Multikey()) {
				return a.home.keys.Signer(e.Name)
			}
		}
	}
	return nil, fmt.Errorf("%w of %s", ErrNoCheckpointKey, a.name)
}

// Create puts the actor's identifier on the ledger, charged to a sponsor of this home or, with open
// set, to the open quota of the member it names. It is done already when the ledger has it.
func (a *Actor) Create(ctx context.Context, sponsor *Actor, open *hufu.ID) error {
	s, err := a.standing(ctx)
	if err != nil || s.record != nil {
		return err
	}
	inception := a.home.book[a.name].Inception
	if inception == nil {
		return fmt.Errorf("home: %s (%s) was recovered into this home, which did not make it", a.name, a.did)
	}
	k, err := a.home.keys.Signer(controlKey(a.name, 0))
	if err != nil {
		return err
	}
	signers := []tx.SignerRef{{ID: a.id, KeyIndex: 0, Signer: k}}
	s.record = &did.Record{}
	var raw []byte
	if sponsor != nil {
		raw, err = a.build(ctx, s, inception, sponsor, signers)
	} else {
		raw, err = tx.Build(rand.Reader, tx.Payload{
			Network: a.home.Network(), Author: a.id, Expires: s.height + lifetime, Sponsor: open,
		}, inception, signers...)
	}
	if err != nil {
		return err
	}
	_, err = a.ledger.Submit(ctx, raw)
	return err
}

// Rotate replaces the actor's control keys by the ones committed to. With fall, signatures made by
// the old keys no longer stand.
func (a *Actor) Rotate(ctx context.Context, fall bool) (client.Receipt, error) {
	return a.rotate(ctx, fall, nil)
}

// rotate also changes the guardians, unless guard is nil.
func (a *Actor) rotate(ctx context.Context, fall bool, guard *tx.Guard) (client.Receipt, error) {
	s, err := a.standing(ctx)
	if err != nil {
		return client.Receipt{}, err
	}
	if s.record == nil {
		return client.Receipt{}, fmt.Errorf("home: %s is not on the ledger yet", a.name)
	}
	n := len(s.record.Keys)
	next, err := a.home.keys.Signer(controlKey(a.name, n))
	if err != nil {
		return client.Receipt{}, fmt.Errorf("home: the key that %s committed to: %w", a.name, err)
	}
	after, err := a.ensureKey(controlKey(a.name, n+1), next.Public().Suite())
	if err != nil {
		return client.Receipt{}, err
	}
	raw, err := a.build(ctx, s, &tx.DIDRotate{
		Keys: [][]byte{next.Public().Multikey()}, Threshold: 1,
		Next: []hufu.Digest{after.Digest()}, NextThreshold: 1, Fall: fall, Guard: guard,
	}, nil, []tx.SignerRef{{ID: a.id, KeyIndex: uint8(n), Signer: next}})
	if err != nil {
		return client.Receipt{}, err
	}
	return a.ledger.Submit(ctx, raw)
}

// ReplaceMethod gives a verification method a new key under a new fragment and ends the old one. The
// old key stays in the store; with fall, what it signed no longer stands.
func (a *Actor) ReplaceMethod(ctx context.Context, old, fragment string, suite *keys.Suite, purposes uint8, fall bool) (client.Receipt, error) {
	pub, err := a.ensureKey(methodKey(a.name, fragment), suite)
	if err != nil {
		return client.Receipt{}, err
	}
	body := &tx.DIDUpdate{AddMethods: []tx.Method{{Fragment: fragment, Key: pub.Multikey(), Purposes: purposes}}}
	if old != "" {
		body.RemoveMethods = []tx.MethodRemoval{{Fragment: old, Fall: fall}}
	}
	return a.Submit(ctx, body, nil)
}

func (a *Actor) ensureKey(name string, suite *keys.Suite) (keys.PublicKey, error) {
	k, err := a.home.keys.Signer(name)
	if err != nil {
		k, err = a.home.keys.Generate(rand.Reader, name, suite)
	}
	if err != nil {
		return keys.PublicKey{}, diskError(err)
	}
	return k.Public(), nil
}

func (a *Actor) build(ctx context.Context, s standing, body tx.Body, sponsor *Actor, signers []tx.SignerRef) ([]byte, error) {
	p := tx.Payload{Network: a.home.Network(), Author: a.id, Sequence: s.record.Sequence, Expires: s.height + lifetime}
	if sponsor != nil {
		ss, err := sponsor.standing(ctx)
		if err != nil {
			return nil, err
		}
		if ss.record == nil {
			return nil, fmt.Errorf("home: the sponsor %s is not on the ledger", sponsor.name)
		}
		more, err := sponsor.signers(ss.record)
		if err != nil {
			return nil, err
		}
		p.Sponsor = &sponsor.id
		signers = append(signers, more...)
	}
	return tx.Build(rand.Reader, p, body, signers...)
}

// errNoKey means that the ledger has keys for an identity which this home does not hold.
var errNoKey = errors.New("home: the key store does not hold enough of the current control keys")

// signers finds, among the keys kept for the actor, those that the ledger has as current.
func (a *Actor) signers(r *did.Record) ([]tx.SignerRef, error) {
	var out []tx.SignerRef
	for _, e := range a.home.keys.List() {
		if !strings.HasPrefix(e.Name, a.name+"/control/") {
			continue
		}
		for i := range r.Keys {
			if !r.Keys[i].Current() || string(r.Keys[i].Multikey) != string(e.Public.Multikey()) {
				continue
			}
			k, err := a.home.keys.Signer(e.Name)
			if err != nil {
				return nil, err
			}
			out = append(out, tx.SignerRef{ID: a.id, KeyIndex: uint8(i), Signer: k})
		}
	}
	if len(out) < int(r.Threshold) {
		return nil, fmt.Errorf("%w of %s", errNoKey, a.name)
	}
	return out[:max(int(r.Threshold), 1)], nil
}
