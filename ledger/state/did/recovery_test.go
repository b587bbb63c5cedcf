package did_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

const (
	delayBlocks  = tx.MinRecoveryBlocks
	delaySeconds = 1000
)

func guardian(n byte) hufu.ID { return hufu.ID(bytes.Repeat([]byte{n}, len(hufu.ID{}))) }
func saltOf(n byte) []byte    { return bytes.Repeat([]byte{n}, tx.SaltLen) }

// guardOf commits to guardians 1 to n, each under the salt of its number.
func guardOf(threshold uint8, n byte) *tx.Guard {
	g := &tx.Guard{Threshold: threshold, DelayBlocks: delayBlocks, DelaySeconds: delaySeconds}
	for i := byte(1); i <= n; i++ {
		g.Guardians = append(g.Guardians, tx.GuardianCommitment(saltOf(i), guardian(i)))
	}
	slices.SortFunc(g.Guardians, func(a, b hufu.Digest) int { return bytes.Compare(a[:], b[:]) })
	return g
}

// guarded is an owner at turn 1 with three guardians, two of whom are wanted.
func guarded(t testing.TB) *owner {
	w := born(t)
	b := w.rotation(false)
	b.Guard = guardOf(2, 3)
	w.must(1, b)
	w.turns++
	return w
}

// plan gives the identifier keys of a fresh seed.
func (w *owner) plan(seed byte) tx.RecoveryPlan {
	fresh := &owner{t: w.t, seed: seed}
	return tx.RecoveryPlan{
		First: uint16(w.turns + 1), Keys: [][]byte{fresh.multikey(0)}, Threshold: 1, Next: []hufu.Digest{fresh.digest(1)}, NextThreshold: 1,
	}
}

// passes makes an empty block of a later time.
func (w *owner) passes(blocks hufu.Height, seconds int64) {
	w.now.Height += blocks
	w.now.Time += seconds
}

func (w *owner) approveAs(author hufu.ID, salt []byte, p tx.RecoveryPlan) error {
	w.passes(1, 10)
	return did.Apply(w.now, w.o, &tx.Tx{Payload: tx.Payload{Author: author}, Body: &tx.DIDRecover{Subject: w.id, Salt: salt, Plan: p}})
}

func (w *owner) approved(n byte, p tx.RecoveryPlan) error {
	return w.approveAs(guardian(n), saltOf(n), p)
}

func (w *owner) quorum(p tx.RecoveryPlan) {
	w.t.Helper()
	for n := byte(1); n <= 2; n++ {
		if err := w.approved(n, p); err != nil {
			w.t.Fatal(err)
		}
	}
}

func (w *owner) finish() error {
	w.passes(1, 10)
	return did.Apply(w.now, w.o, &tx.Tx{Payload: tx.Payload{Author: w.id}, Body: &tx.DIDFinish{}})
}

func TestRecovery(t *testing.T) {
	w := guarded(t)
	p := w.plan(50)
	p.Fall = true
	if err := w.approved(2, p); err != nil {
		t.Fatal(err)
	}
	rec := w.record()
	if rec.Recovery.Pending != nil || len(rec.Recovery.Approvals) != 1 || rec.Recovery.Approvals[0].Guardian != guardian(2) ||
		rec.Guard.Guardians[rec.Recovery.Approvals[0].Commitment] != tx.GuardianCommitment(saltOf(2), guardian(2)) {
		t.Fatalf("%+v", rec.Recovery)
	}
	wantRule(t, w.finish(), did.RuleNoRecovery)
	version := rec.Version
	if err := w.approved(1, p); err != nil {
		t.Fatal(err)
	}
	pending, err := w.record().PendingRecovery()
	if err != nil || pending.Digest != p.Digest(w.id) || pending.Ripe != w.now.Height+delayBlocks || pending.RipeTime != w.now.Time+delaySeconds ||
		!slices.Equal(pending.Guardians, []hufu.ID{guardian(1), guardian(2)}) {
		t.Fatalf("%+v, %v", pending, err)
	}
	if rec = w.record(); rec.Version != version || len(rec.CurrentKeys()) != 1 || rec.CurrentKeys()[0] != 1 {
		t.Fatalf("the document changed before the end of the delay: %+v", rec)
	}
	wantRule(t, w.approved(3, p), did.RuleRecoveryPending)

	w.now.Height, w.now.Time = pending.Ripe+5, pending.RipeTime-11 // time has not come
	wantRule(t, w.finish(), did.RuleRecoveryEarly)
	w.now.Height, w.now.Time = pending.Ripe-2, pending.RipeTime+100 // the height has not
	wantRule(t, w.finish(), did.RuleRecoveryEarly)
	if err := w.finish(); err != nil { // the first block that has both
		t.Fatal(err)
	}
	rec = w.record()
	if len(rec.Keys) != 3 || !slices.Equal(rec.CurrentKeys(), []int{2}) || !bytes.Equal(rec.Keys[2].Multikey, p.Keys[0]) || !rec.Keys[1].Fallen ||
		rec.Next[0] != p.Next[0] || rec.Recovery != nil || rec.Guard == nil || rec.Version != version+1 || rec.Updated != w.now.Height {
		t.Fatalf("%+v", rec)
	}
	wantRule(t, w.finish(), did.RuleNoRecovery)
	wantRule(t, w.approved(1, p), did.RuleRecoveryStale)
}

func TestApprovalRefused(t *testing.T) {
	w := guarded(t)
	p := w.plan(50)
	other := w.plan(50)
	other.First++
	reused, next := w.plan(50), w.plan(50)
	reused.Keys = [][]byte{w.multikey(0)}
	next.Next = []hufu.Digest{w.digest(1)}
	for name, c := range map[string]struct {
		author hufu.ID
		salt   []byte
		plan   tx.RecoveryPlan
		rule   hufu.Rule
	}{
		"a stranger":               {guardian(9), saltOf(9), p, did.RuleNotGuardian},
		"a stranger, known salt":   {guardian(9), saltOf(1), p, did.RuleNotGuardian},
		"a guardian, another salt": {guardian(1), saltOf(2), p, did.RuleNotGuardian},
		"other present keys":       {guardian(1), saltOf(1), other, did.RuleRecoveryStale},
		"a key that was in use":    {guardian(1), saltOf(1), reused, did.RuleKeyReused},
		"the present key next":     {guardian(1), saltOf(1), next, did.RuleKeyReused},
	} {
		t.Run(name, func(t *testing.T) { wantRule(t, w.approveAs(c.author, c.salt, c.plan), c.rule) })
	}
	if w.record().Recovery != nil {
		t.Errorf("%+v", w.record().Recovery)
	}
	bare := born(t)
	wantRule(t, bare.approved(1, bare.plan(50)), did.RuleNoGuardians)
	bare.id[0] ^= 1
	wantRule(t, bare.approved(1, bare.plan(50)), did.RuleUnknown)
}

// An identifier is no guardian of itself, and a guardian that was committed to twice counts once.
func TestGuardiansAreDistinct(t *testing.T) {
	w := born(t)
	b := w.rotation(false)
	b.Guard = guardOf(2, 1)
	b.Guard.Guardians = append(b.Guard.Guardians,
		tx.GuardianCommitment(saltOf(8), w.id), tx.GuardianCommitment(saltOf(9), guardian(1)))
	slices.SortFunc(b.Guard.Guardians, func(a, b hufu.Digest) int { return bytes.Compare(a[:], b[:]) })
	w.must(1, b)
	w.turns++
	p := w.plan(50)
	wantRule(t, w.approveAs(w.id, saltOf(8), p), did.RuleNotGuardian)
	for _, n := range []byte{1, 9, 1} {
		if err := w.approveAs(guardian(1), saltOf(n), p); err != nil {
			t.Fatal(err)
		}
	}
	if rec := w.record(); rec.Recovery.Pending != nil || len(rec.Recovery.Approvals) != 1 {
		t.Errorf("%+v", rec.Recovery)
	}
}

// Guardians have to mean the same plan, within a month of each other.
func TestQuorumIsOfOnePlan(t *testing.T) {
	w := guarded(t)
	one, two := w.plan(50), w.plan(51)
	for n, p := range map[byte]tx.RecoveryPlan{1: one, 2: two} {
		if err := w.approved(n, p); err != nil {
			t.Fatal(err)
		}
	}
	if w.record().Recovery.Pending != nil {
		t.Fatal("two plans made one quorum")
	}
	w.passes(1, did.MaxApprovalAge)
	if err := w.approved(3, one); err != nil {
		t.Fatal(err)
	}
	if w.record().Recovery.Pending != nil {
		t.Fatal("an approval counts after a month")
	}
	if err := w.approved(2, one); err != nil { // changes its mind
		t.Fatal(err)
	}
	if p := w.record().Recovery.Pending; p == nil || p.Digest != one.Digest(w.id) {
		t.Fatalf("%+v", w.record().Recovery)
	}
	// Another quorum's plan takes the place of one that is pending, with the whole delay.
	w.passes(delayBlocks, delaySeconds)
	w.quorum(two)
	p := w.record().Recovery.Pending
	if p.Digest != two.Digest(w.id) || p.Ripe != w.now.Height+delayBlocks || p.RipeTime != w.now.Time+delaySeconds {
		t.Fatalf("%+v", p)
	}
}

func TestVeto(t *testing.T) {
	w := guarded(t)
	wantRule(t, w.apply(1, &tx.DIDVeto{}), did.RuleNoRecovery)
	p := w.plan(50)
	w.quorum(p)
	version := w.record().Version
	w.passes(delayBlocks, delaySeconds) // ripe, and still to be vetoed
	w.must(1, &tx.DIDVeto{})
	rec, ended := w.record(), w.now
	if rec.Recovering() || rec.Version != version || rec.Recovery.BarredUntil != ended.Height+delayBlocks || rec.Recovery.BarredUntilTime != ended.Time+delaySeconds {
		t.Fatalf("%+v", rec.Recovery)
	}
	wantRule(t, w.finish(), did.RuleNoRecovery)
	wantRule(t, w.apply(1, &tx.DIDVeto{}), did.RuleNoRecovery)
	for _, c := range []struct {
		blocks  hufu.Height
		seconds int64
		rule    hufu.Rule
	}{
		{1, 10, did.RuleRecoveryBarred},
		{delayBlocks + 5, delaySeconds - 1, did.RuleRecoveryBarred},
		{delayBlocks - 1, delaySeconds + 5, did.RuleRecoveryBarred},
		{delayBlocks, delaySeconds, ""},
	} {
		w.now.Height, w.now.Time = ended.Height+c.blocks-1, ended.Time+c.seconds-10
		wantRule(t, w.approved(1, p), c.rule)
	}
	if w.record().Recovery.Pending != nil {
		t.Fatal("an approval from before the veto counted")
	}
	// The first approval can be vetoed already.
	w.must(1, &tx.DIDVeto{})
	if w.record().Recovering() {
		t.Fatalf("%+v", w.record().Recovery)
	}
}

// A rotation, which takes the keys committed to before, ends a recovery; so does a deactivation.
func TestRotationEndsRecovery(t *testing.T) {
	w := guarded(t)
	w.quorum(w.plan(50))
	w.rotate(false)
	if rec := w.record(); rec.Recovering() || rec.Recovery.BarredUntil != w.now.Height+delayBlocks || rec.Guard == nil {
		t.Fatalf("%+v", rec)
	}
	w.passes(delayBlocks, delaySeconds)
	w.quorum(w.plan(50))
	w.must(w.turns, &tx.DIDDeactivate{})
	if w.record().Recovery != nil {
		t.Fatal("something is pending")
	}
	wantRule(t, w.finish(), did.RuleDeactivated)
	wantRule(t, w.approved(1, w.plan(50)), did.RuleDeactivated)
}

func TestGuardChanges(t *testing.T) {
	w := guarded(t)
	w.quorum(w.plan(50))
	b := w.rotation(false)
	b.Guard = guardOf(1, 5)
	w.must(w.turns+1, b)
	w.turns++
	if rec := w.record(); rec.Guard.Threshold != 1 || rec.Recovery != nil {
		t.Fatalf("%+v", rec)
	}
	b = w.rotation(false)
	b.Guard = new(tx.Guard)
	w.must(w.turns+1, b)
	w.turns++
	if rec := w.record(); rec.Guard != nil || rec.Recovery != nil {
		t.Fatalf("%+v", rec)
	}
	wantRule(t, w.approved(1, w.plan(50)), did.RuleNoGuardians)
	for delay, rule := range map[uint32]hufu.Rule{delaySeconds: "", delaySeconds + 1: did.RuleGuardDelay} {
		wantRule(t, did.CheckGuard(guardOf(1, 1), delay), rule)
	}
	if did.CheckGuard(nil, 1) != nil || did.CheckGuard(new(tx.Guard), 1) != nil {
		t.Error("no guard has a delay that is too short")
	}
}

func TestRecoveryHistoryFull(t *testing.T) {
	w := guarded(t)
	for w.turns < did.MaxHistory-1 {
		w.rotate(false)
	}
	wantRule(t, w.approved(1, w.plan(50)), did.RuleHistoryFull)
}

func TestPendingKeys(t *testing.T) {
	w := guarded(t)
	p := w.plan(50)
	w.quorum(p)
	pending, err := w.record().PendingRecovery()
	if err != nil {
		t.Fatal(err)
	}
	want, err := keys.ParseMultikey(p.Keys[0])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := pending.ControlKeys(); err != nil || len(got) != 1 || !got[0].Equal(want) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := (&did.Pending{Plan: tx.RecoveryPlan{Keys: [][]byte{{1}}}}).ControlKeys(); err == nil {
		t.Error("no key, and parsed")
	}
}
