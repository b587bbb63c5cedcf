package machine_test

import (
	"bytes"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

const (
	recoveryFloor = 100 // seconds
	delayBlocks   = tx.MinRecoveryBlocks
	delaySeconds  = 150
	circle        = 5 // identifiers that may be guardians
	ownerSeed     = 9
	thiefSeed     = 66
)

// village is a ledger with a member, five people who may be guardians, and an owner and a thief at work
// on the owner's identifier.
type village struct {
	*chain
	friends []*actor
	guard   *tx.Guard
	salts   [][]byte // of friends that are guardians, in their order

	id                   hufu.ID
	present, next, fresh int // turns of the owner's keys; fresh was never used
	honest               map[string]bool
	stolen               []int // turns of the owner's keys that the thief has
	plot                 tx.RecoveryPlan
	plotKey              int // turn of the thief's key in plot
	sent                 []*tx.Tx
}

// square is what every village begins with, made once: its blocks are not undone.
func square(t testing.TB) (*chain, []*actor) {
	g := doc(t, 1)
	g.Params.RecoveryMinSeconds = recoveryFloor
	g.Members[0].Quota = tx.MaxQuota
	c := &chain{t: t, o: state.NewOverlay(state.Empty{}), now: state.Context{Network: network, Time: 10_000}}
	if _, err := machine.Genesis(c.now, g, c.o); err != nil {
		t.Fatal(err)
	}
	friends := make([]*actor, circle)
	for i := range friends {
		friends[i] = c.born(byte(20+i), false)
	}
	c.born(thiefSeed, false)
	return c, friends
}

// settle puts the owner's identifier on a copy of the square, with the first n friends as its guardians.
func settle(base *chain, friends []*actor, threshold uint8, n int) *village {
	c := &chain{t: base.t, o: state.NewOverlay(base.o), now: base.now}
	v := &village{chain: c, present: 0, next: 1, fresh: 2, honest: map[string]bool{}}
	v.guard = &tx.Guard{Threshold: threshold, DelayBlocks: delayBlocks, DelaySeconds: delaySeconds}
	for i, f := range friends {
		v.friends = append(v.friends, &actor{c: c, seed: f.seed, id: f.id})
		salt := bytes.Repeat([]byte{byte(i)}, tx.SaltLen)
		v.salts = append(v.salts, salt)
		if i < n {
			v.guard.Guardians = append(v.guard.Guardians, tx.GuardianCommitment(salt, f.id))
		}
	}
	slices.SortFunc(v.guard.Guardians, func(a, b hufu.Digest) int { return bytes.Compare(a[:], b[:]) })
	b := inception(c.t, ownerSeed)
	b.Guard = v.guard
	v.id = tx.InceptionID(network, b)
	member := c.actor(0)
	v.honest[string(b.Keys[0])] = true
	c.must(c.sign(tx.Payload{Network: network, Expires: c.now.Height + 10, Sponsor: &member.id}, b,
		tx.SignerRef{Signer: secret(c.t, ownerSeed, 0)}, member.ref(0)))
	return v
}

func (v *village) record() *did.Record {
	rec, err := did.Get(v.o, v.id)
	if err != nil {
		v.t.Fatal(err)
	}
	return rec
}

// try sends body for the owner's identifier, signed by a key under an index.
func (v *village) try(body tx.Body, index int, key keys.Signer) error {
	p := tx.Payload{Network: network, Author: v.id, Sequence: v.record().Sequence, Expires: v.now.Height + 10}
	return v.send(v.sign(p, body, tx.SignerRef{KeyIndex: uint8(index), Signer: key}))
}

func (v *village) send(t *tx.Tx) error {
	v.sent = append(v.sent, t)
	return v.run(t)
}

func (v *village) mine(turn int) keys.Signer { return secret(v.t, ownerSeed, turn) }

// hold is the owner sending body under its present key.
func (v *village) hold(body tx.Body) error {
	return v.try(body, len(v.record().Keys)-1, v.mine(v.present))
}

func (v *village) rotate() error {
	b := &tx.DIDRotate{
		Keys: [][]byte{v.mine(v.next).Public().Multikey()}, Threshold: 1,
		Next: []hufu.Digest{v.mine(v.fresh).Public().Digest()}, NextThreshold: 1,
	}
	err := v.try(b, len(v.record().Keys), v.mine(v.next))
	if err == nil {
		v.honest[string(b.Keys[0])] = true
		v.present, v.next, v.fresh = v.next, v.fresh, v.fresh+1
	}
	return err
}

// lost is a plan of the owner with new keys, of turns that nobody has seen.
func (v *village) lost() (tx.RecoveryPlan, int) {
	turn := v.fresh
	v.fresh += 2
	p := tx.RecoveryPlan{
		First: uint16(len(v.record().Keys)), Keys: [][]byte{v.mine(turn).Public().Multikey()}, Threshold: 1,
		Next: []hufu.Digest{v.mine(turn + 1).Public().Digest()}, NextThreshold: 1, Fall: true,
	}
	v.honest[string(p.Keys[0])] = true
	return p, turn
}

func (v *village) approve(i int, p tx.RecoveryPlan) error {
	f := v.friends[i]
	return v.send(f.tx(&tx.DIDRecover{Subject: v.id, Salt: v.salts[i], Plan: p}))
}

// robbery is the plan of the thief and its accomplices: one, as long as it fits the present keys.
func (v *village) robbery() tx.RecoveryPlan {
	if first := uint16(len(v.record().Keys)); v.plot.First != first {
		v.anotherPlot(first)
	}
	return v.plot
}

func (v *village) anotherPlot(first uint16) {
	v.plotKey = (v.plotKey + 1) % 100
	v.plot = tx.RecoveryPlan{
		First: first, Keys: [][]byte{v.robber().Public().Multikey()}, Threshold: 1,
		Next: []hufu.Digest{secret(v.t, thiefSeed, 101+v.plotKey).Public().Digest()}, NextThreshold: 1,
	}
}

// robber is the thief's key in its plan.
func (v *village) robber() keys.Signer { return secret(v.t, thiefSeed, 1+v.plotKey) }

// grab is the thief trying to finish its plan.
func (v *village) grab() { _ = v.try(&tx.DIDFinish{}, len(v.record().Keys), v.robber()) }

// safe says why the identifier is not the owner's alone any more.
func (v *village) safe() string {
	rec := v.record()
	for _, i := range rec.CurrentKeys() {
		if !v.honest[string(rec.Keys[i].Multikey)] {
			return "a key of the thief's controls the identifier"
		}
	}
	for _, d := range rec.Next {
		if d != v.mine(v.next).Public().Digest() {
			return "the thief's keys come next"
		}
	}
	if rec.Guard == nil || rec.Guard.Threshold != v.guard.Threshold || !slices.Equal(rec.Guard.Guardians, v.guard.Guardians) ||
		rec.Guard.DelayBlocks != v.guard.DelayBlocks || rec.Guard.DelaySeconds != v.guard.DelaySeconds {
		return "the guardians changed"
	}
	return ""
}

func (v *village) pass(blocks hufu.Height, seconds int64) {
	v.now.Height += blocks
	v.now.Time += seconds
}

// finish takes the owner's keys of a plan.
func (v *village) finish(turn int) error {
	err := v.try(&tx.DIDFinish{}, len(v.record().Keys), v.mine(turn))
	if err == nil {
		v.present, v.next = turn, turn+1
	}
	return err
}

// recovers is the quorum giving the identifier back to its owner, whatever was under way before.
func (v *village) recovers(guardians []int) (string, error) {
	v.pass(delayBlocks, delaySeconds) // a bar
	p, turn := v.lost()
	for _, i := range guardians {
		if err := v.approve(i, p); err != nil {
			return "approving", err
		}
	}
	before := len(v.record().Keys)
	if err := v.finish(turn); hufu.RuleOf(err) != did.RuleRecoveryEarly {
		return "finishing at once", err
	}
	v.pass(delayBlocks, delaySeconds)
	if err := v.finish(turn); err != nil {
		return "finishing", err
	}
	if rec := v.record(); len(rec.Keys) != before+1 || !bytes.Equal(rec.Keys[before].Multikey, p.Keys[0]) {
		return "the keys are others", nil
	}
	return "", v.hold(services("back"))
}

// However an owner, a thief of the present key and guardians fewer than the quorum interleave, the keys
// of the identifier, those that come next and its guardians are the owner's. And when it was not ended,
// the quorum gives it back to an owner who lost all keys.
func TestNoTakeover(t *testing.T) {
	base, friends := square(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, circle).Draw(rt, "guardians")
		threshold := rapid.IntRange(1, n).Draw(rt, "threshold")
		v := settle(base, friends, uint8(threshold), n)
		colluding := rapid.Permutation([]int{0, 1, 2, 3, 4}[:n]).Draw(rt, "guardians, the colluding first")[:threshold-1]
		rt.Repeat(v.moves(colluding))
		if v.record().IsDeactivated() {
			wantRule(t, v.hold(services("s")), did.RuleDeactivated)
			return
		}
		quorum := rapid.Permutation([]int{0, 1, 2, 3, 4}[:n]).Draw(rt, "quorum")[:threshold]
		if what, err := v.recovers(quorum); what != "" || err != nil {
			rt.Fatalf("%s: %v", what, err)
		}
		if why := v.safe(); why != "" {
			rt.Fatal(why)
		}
		for _, turn := range v.stolen { // the keys that were stolen are of no use any more
			if v.try(services("t"), len(v.record().Keys)-1, v.mine(turn)) == nil {
				rt.Fatal("a stolen key still speaks for the identifier")
			}
		}
	})
}

func (v *village) moves(colluding []int) map[string]func(*rapid.T) {
	moves := map[string]func(*rapid.T){
		"time passes": func(rt *rapid.T) {
			v.pass(hufu.Height(rapid.IntRange(0, 2*delayBlocks).Draw(rt, "blocks")), rapid.Int64Range(0, 2*delaySeconds).Draw(rt, "seconds"))
		},
		"owner rotates": func(*rapid.T) { _ = v.rotate() },
		"owner updates": func(*rapid.T) { _ = v.hold(services("s")) },
		"owner vetoes":  func(*rapid.T) { _ = v.hold(&tx.DIDVeto{}) },
		"owner asks the guardians": func(rt *rapid.T) {
			p, turn := v.lost()
			for _, i := range rapid.Permutation([]int{0, 1, 2, 3, 4}).Draw(rt, "approving")[:rapid.IntRange(0, circle).Draw(rt, "how many")] {
				_ = v.approve(i, p)
			}
			v.pass(rapid.SampledFrom([]hufu.Height{0, delayBlocks}).Draw(rt, "blocks"), rapid.SampledFrom([]int64{0, delaySeconds}).Draw(rt, "seconds"))
			_ = v.finish(turn)
		},
		"present key is stolen": func(*rapid.T) { v.stolen = append(v.stolen, v.present) },
		"thief finishes": func(*rapid.T) {
			v.pass(delayBlocks, delaySeconds)
			v.grab()
		},
		"thief recovers without being a guardian": func(*rapid.T) {
			thief := v.actor(thiefSeed)
			for _, salt := range v.salts {
				_ = v.send(thief.tx(&tx.DIDRecover{Subject: v.id, Salt: salt, Plan: v.robbery()}))
			}
		},
		"somebody sends again what was sent": func(rt *rapid.T) {
			if len(v.sent) > 0 {
				_ = v.run(rapid.SampledFrom(v.sent).Draw(rt, "transaction"))
			}
		},
		"": func(rt *rapid.T) {
			if why := v.safe(); why != "" {
				rt.Fatal(why)
			}
		},
	}
	if len(colluding) > 0 {
		moves["guardians collude"] = func(*rapid.T) {
			p := v.robbery()
			for _, i := range append(colluding, colluding...) {
				_ = v.approve(i, p)
			}
		}
	}
	v.thefts(moves)
	return moves
}

// thefts are the moves of whoever has stolen present keys, of before or of now.
func (v *village) thefts(moves map[string]func(*rapid.T)) {
	stolen := func(name string, move func(rt *rapid.T, key keys.Signer, index int)) {
		moves[name] = func(rt *rapid.T) {
			if len(v.stolen) == 0 {
				rt.Skip("nothing is stolen")
			}
			rec := v.record()
			index := len(rec.Keys) - 1 + rapid.IntRange(-1, 1).Draw(rt, "index")
			move(rt, v.mine(rapid.SampledFrom(v.stolen).Draw(rt, "key")), max(index, 0))
		}
	}
	stolen("thief updates", func(_ *rapid.T, key keys.Signer, index int) { _ = v.try(services("t"), index, key) })
	stolen("thief vetoes", func(_ *rapid.T, key keys.Signer, index int) { _ = v.try(&tx.DIDVeto{}, index, key) })
	stolen("thief finishes with the stolen key", func(_ *rapid.T, key keys.Signer, index int) { _ = v.try(&tx.DIDFinish{}, index, key) })
	stolen("thief approves in the owner's name", func(rt *rapid.T, key keys.Signer, index int) {
		_ = v.try(&tx.DIDRecover{Subject: v.id, Salt: rapid.SampledFrom(v.salts).Draw(rt, "salt"), Plan: v.robbery()}, index, key)
	})
	stolen("thief rotates", func(rt *rapid.T, key keys.Signer, index int) {
		p := v.robbery()
		b := &tx.DIDRotate{Keys: p.Keys, Threshold: 1, Next: p.Next, NextThreshold: 1}
		if rapid.Bool().Draw(rt, "to the stolen key") {
			b.Keys = [][]byte{key.Public().Multikey()}
		}
		b.Guard = rapid.SampledFrom([]*tx.Guard{nil, {}, {
			Threshold: 1, Guardians: []hufu.Digest{tx.GuardianCommitment(v.salts[0], v.actor(thiefSeed).id)},
			DelayBlocks: delayBlocks, DelaySeconds: delaySeconds,
		}}).Draw(rt, "guard")
		_ = v.try(b, index, key)
	})
	stolen("thief deactivates", func(rt *rapid.T, key keys.Signer, index int) {
		if rapid.IntRange(0, 9).Draw(rt, "how angry") == 9 {
			_ = v.try(&tx.DIDDeactivate{}, index, key)
		}
	})
}

// Even the quorum, when it colludes, takes nothing over from an owner who looks once in a delay; and an
// owner who has to veto every attempt has to do so at most once in two delays.
func TestWatchfulOwner(t *testing.T) {
	base, friends := square(t)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, circle).Draw(rt, "guardians")
		v := settle(base, friends, uint8(rapid.IntRange(1, n).Draw(rt, "threshold")), n)
		looked := v.now
		lastVeto := state.Context{}
		look := func() {
			looked = v.now
			if v.record().Recovery == nil || v.record().Recovery.Pending == nil {
				return
			}
			if err := v.hold(&tx.DIDVeto{}); err != nil {
				rt.Fatal(err)
			}
			if lastVeto.Height != 0 && (v.now.Height < lastVeto.Height+delayBlocks || v.now.Time < lastVeto.Time+delaySeconds) {
				rt.Fatalf("vetoed at %+v and again at %+v", lastVeto, v.now)
			}
			lastVeto = v.now
		}
		// Each move of the quorum is of so many blocks that the owner may have to look before it.
		inTime := func(blocks hufu.Height, seconds int64) {
			if v.now.Height+blocks >= looked.Height+delayBlocks && v.now.Time+seconds >= looked.Time+delaySeconds {
				look()
			}
		}
		rt.Repeat(map[string]func(*rapid.T){
			"quorum approves": func(rt *rapid.T) {
				inTime(1, 10)
				if rapid.IntRange(0, 9).Draw(rt, "another plan") == 9 {
					v.anotherPlot(uint16(len(v.record().Keys)))
				}
				_ = v.approve(rapid.IntRange(0, n-1).Draw(rt, "guardian"), v.robbery())
			},
			"quorum finishes": func(*rapid.T) {
				inTime(1, 10)
				v.grab()
			},
			"time passes": func(rt *rapid.T) {
				blocks, seconds := hufu.Height(rapid.IntRange(0, delayBlocks/2).Draw(rt, "blocks")), rapid.Int64Range(0, delaySeconds/2).Draw(rt, "seconds")
				inTime(blocks, seconds)
				v.pass(blocks, seconds)
			},
			"": func(rt *rapid.T) {
				if why := v.safe(); why != "" {
					rt.Fatal(why)
				}
			},
		})
	})
}
