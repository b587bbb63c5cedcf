package world

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Network is the world's network.
const Network hufu.Network = "test"

// BlockTime is the time between two blocks.
const BlockTime = time.Second

// Actor is an organisation with an identifier on the ledger.
type Actor struct {
	ID     hufu.ID
	DID    hufu.DID
	Signer keys.Signer // present control key
	Index  int         // of that key in the identifier's history

	next     keys.Signer
	sequence uint64
}

// Fragment is that of the actor's present control key.
func (a *Actor) Fragment() string { return fmt.Sprintf("key-%d", a.Index) }

// KeyID is the DID URL of the actor's present control key.
func (a *Actor) KeyID() string { return a.DID.URL(a.Fragment()) }

// World is the ledger and its clock. Views and Now may be used concurrently with one writer.
type World struct {
	Member *Actor // the one founding member
	Rand   io.Reader

	validator keys.Signer // its, Ed25519

	mu     sync.Mutex
	height hufu.Height
	now    time.Time
	values map[string][]byte // never changed in place: views keep it
	view   *View             // of this height, once somebody wanted it
}

// New makes a world with one founding member, at a fixed time.
func New() (*World, error) {
	w := &World{Rand: rand.NewChaCha8([32]byte{1}), now: began, values: map[string][]byte{}}
	a, create, err := w.inception(keys.Ed25519)
	if err != nil {
		return nil, err
	}
	w.Member = a
	a.sequence = 1
	validator, err := keys.Ed25519.Generate(w.Rand)
	if err != nil {
		return nil, err
	}
	w.validator = validator
	doc := &machine.GenesisDoc{
		Network: Network,
		Params:  tx.Params{EpochSeconds: 3600, VotingSeconds: 3600, ThresholdNum: 2, ThresholdDen: 3},
		Members: []machine.Founder{{
			Name: "Member", Inception: *create, ValidatorKey: validator.Public().Raw(), Power: 10, Quota: tx.MaxQuota, OpenQuota: tx.MaxQuota,
		}},
	}
	return w, w.block(func(ctx state.Context, o *state.Overlay) error {
		ctx.Height = 0
		_, err := machine.Genesis(ctx, doc, o)
		return err
	})
}

func (w *World) inception(suite *keys.Suite) (*Actor, *tx.DIDCreate, error) {
	signer, err := suite.Generate(w.Rand)
	if err != nil {
		return nil, nil, err
	}
	next, err := suite.Generate(w.Rand)
	if err != nil {
		return nil, nil, err
	}
	create := &tx.DIDCreate{
		Keys: [][]byte{signer.Public().Multikey()}, Threshold: 1, Next: []hufu.Digest{next.Public().Digest()}, NextThreshold: 1,
	}
	id := tx.InceptionID(Network, create)
	return &Actor{ID: id, DID: id.DID(Network), Signer: signer, next: next}, create, nil
}

// Actor makes a new identifier, which the member sponsors.
func (w *World) Actor(suite *keys.Suite) (*Actor, error) {
	a, create, err := w.inception(suite)
	if err != nil {
		return nil, err
	}
	p := tx.Payload{Network: Network, Sponsor: &w.Member.ID}
	err = w.submit(p, create,
		tx.SignerRef{ID: a.ID, Signer: a.Signer}, tx.SignerRef{ID: w.Member.ID, Signer: w.Member.Signer, KeyIndex: uint8(w.Member.Index)})
	a.sequence = 1
	return a, err
}

// Rotate replaces a's key by the one it committed to.
func (w *World) Rotate(a *Actor, fall bool) error { return w.rotate(a, fall, nil) }

// Guard rotates a's key and names its guardians by that.
func (w *World) Guard(a *Actor, guard *tx.Guard) error { return w.rotate(a, false, guard) }

func (w *World) rotate(a *Actor, fall bool, guard *tx.Guard) error {
	following, err := a.next.Public().Suite().Generate(w.Rand)
	if err != nil {
		return err
	}
	body := &tx.DIDRotate{
		Keys: [][]byte{a.next.Public().Multikey()}, Threshold: 1, Next: []hufu.Digest{following.Public().Digest()}, NextThreshold: 1, Fall: fall, Guard: guard,
	}
	p := tx.Payload{Network: Network, Author: a.ID, Sequence: a.sequence}
	if err := w.submit(p, body, tx.SignerRef{Signer: a.next, KeyIndex: uint8(a.Index + 1)}); err != nil {
		return err
	}
	a.Signer, a.next, a.Index = a.next, following, a.Index+1
	a.sequence++
	return nil
}

// Do runs a transaction of a's in a block of its own.
func (w *World) Do(a *Actor, body tx.Body) error {
	p := tx.Payload{Network: Network, Author: a.ID, Sequence: a.sequence}
	err := w.submit(p, body, tx.SignerRef{Signer: a.Signer, KeyIndex: uint8(a.Index)})
	a.sequence++ // a refusal by the state's rules uses it up too
	return err
}

// submit takes a transaction through everything that the ledger does with it.
func (w *World) submit(p tx.Payload, body tx.Body, signers ...tx.SignerRef) error {
	p.Expires = w.expires()
	raw, err := tx.Build(w.Rand, p, body, signers...)
	if err != nil {
		return err
	}
	t, err := tx.Parse(raw, Network)
	if err != nil {
		return err
	}
	_, _, err = w.run(t)
	return err
}

// expires is the last height that a transaction made now may be in.
func (w *World) expires() hufu.Height {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.height + 100
}

// run takes a transaction into the next block, and says which that was.
func (w *World) run(t *tx.Tx) (height hufu.Height, at time.Time, err error) {
	err = w.block(func(ctx state.Context, o *state.Overlay) error {
		height, at = ctx.Height, time.Unix(ctx.Time, 0).UTC()
		admission, err := machine.Admit(ctx, o, t)
		if err != nil {
			return err
		}
		if err := machine.CheckSignatures(t, admission.Keys); err != nil {
			return err
		}
		return machine.Execute(ctx, o, t, admission)
	})
	return height, at, err
}

// block runs f in the next block and keeps what it changed, also when it was refused.
func (w *World) block(f func(state.Context, *state.Overlay) error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.height++
	w.now = w.now.Add(BlockTime)
	o := state.NewOverlay(reader(w.values))
	ctx := state.Context{Network: Network, Height: w.height, Time: w.now.Unix()}
	err := f(ctx, o)
	if _, end := machine.EndBlock(ctx, o); end != nil {
		return errors.Join(err, end)
	}
	w.values, w.view = maps.Clone(w.values), nil
	for _, c := range o.Changes() {
		if c.Value == nil {
			delete(w.values, string(c.Key))
		} else {
			w.values[string(c.Key)] = c.Value
		}
	}
	return err
}

// Pass lets time pass and makes a block at its end.
func (w *World) Pass(d time.Duration) error {
	w.mu.Lock()
	w.now = w.now.Add(d - BlockTime)
	w.mu.Unlock()
	return w.block(func(state.Context, *state.Overlay) error { return nil })
}

// Now is the time of the last block.
func (w *World) Now() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

type reader map[string][]byte

func (r reader) Get(key []byte) ([]byte, error) { return r[string(key)], nil }

// View is the state after the last block. It stays what it is.
func (w *World) View() (*View, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.view != nil {
		return w.view, nil
	}
	records := make([]proof.KV, 0, len(w.values))
	for _, k := range slices.Sorted(maps.Keys(w.values)) {
		records = append(records, proof.KV{Key: []byte(k), Value: w.values[k]})
	}
	root, err := proof.Root(records)
	if err != nil {
		return nil, err
	}
	w.view = &View{reader: w.values, asOf: hufu.AsOf{Height: w.height, Time: w.now, AppHash: root}}
	return w.view, nil
}

// View is the ledger at one height, with its true app hash.
type View struct {
	reader
	asOf hufu.AsOf
}

var _ client.View = (*View)(nil)

// AsOf says which state this is.
func (v *View) AsOf() hufu.AsOf { return v.asOf }

// Network is the world's.
func (v *View) Network() hufu.Network { return Network }
