package machine_test

import (
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// A recovery is finished under the keys it names, as many as it says, and by nothing else.
func TestFinishSigners(t *testing.T) {
	base, friends := square(t)
	v := settle(base, friends, 1, 2)
	one, other := secret(t, 80, 0), secret(t, 80, 1)
	first := len(v.record().Keys)
	p := tx.RecoveryPlan{
		First: uint16(first), Keys: [][]byte{one.Public().Multikey(), other.Public().Multikey()}, Threshold: 2,
		Next: []hufu.Digest{secret(t, 80, 2).Public().Digest()}, NextThreshold: 1,
	}
	ref := func(index int, k keys.Signer) tx.SignerRef { return tx.SignerRef{KeyIndex: uint8(index), Signer: k} }
	signed := func(signers ...tx.SignerRef) *tx.Tx {
		q := tx.Payload{Network: network, Author: v.id, Sequence: v.record().Sequence, Expires: v.now.Height + 100}
		return v.sign(q, &tx.DIDFinish{}, signers...)
	}
	_, err := v.admit(signed(ref(first, one), ref(first+1, other)))
	wantRule(t, err, did.RuleNoRecovery)
	if err := v.approve(0, p); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		rule    hufu.Rule
		signers []tx.SignerRef
	}{
		"one of two":           {machine.RuleThreshold, []tx.SignerRef{ref(first, one)}},
		"the present key":      {machine.RuleThreshold, []tx.SignerRef{ref(0, v.mine(v.present))}},
		"the present key, too": {machine.RuleKey, []tx.SignerRef{ref(0, v.mine(v.present)), ref(first, one)}},
		"a key beyond":         {machine.RuleKey, []tx.SignerRef{ref(first, one), ref(first+2, other)}},
		"another suite's":      {machine.RuleKey, []tx.SignerRef{ref(first, one), ref(first+1, one)}},
		"all":                  {"", []tx.SignerRef{ref(first, one), ref(first+1, other)}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := v.admit(signed(c.signers...))
			wantRule(t, err, c.rule)
		})
	}
	wantRule(t, v.run(signed(ref(first, one), ref(first+1, other))), did.RuleRecoveryEarly)
	v.pass(delayBlocks, delaySeconds)
	once := signed(ref(first, one), ref(first+1, other))
	v.must(once)
	wantRule(t, v.run(once), machine.RuleSequence)
	if rec := v.record(); rec.Threshold != 2 || len(rec.CurrentKeys()) != 2 {
		t.Errorf("%+v", rec)
	}
}

// An approval is its guardian's transaction: its sequence, its quota or its sponsor's, and its signature.
func TestApprovalIsTheGuardians(t *testing.T) {
	base, friends := square(t)
	v := settle(base, friends, 2, 3)
	p, _ := v.lost()
	f, sponsor := v.friends[0], v.actor(0)
	body := &tx.DIDRecover{Subject: v.id, Salt: v.salts[0], Plan: p}
	_, err := v.admit(v.sign(f.payload(), body, v.friends[1].refAs(f)))
	wantRule(t, v.run(v.sign(f.payload(), body, v.friends[1].refAs(f))), machine.RuleSignature)
	if err != nil {
		t.Errorf("admission looks at no signature: %v", err)
	}
	q := f.payload()
	q.Sponsor = &sponsor.id
	approval := v.sign(q, body, f.ref(0), sponsor.ref(0))
	before, sequence, used := v.record().Sequence, f.record().Sequence, sponsor.usage().Used
	v.must(approval)
	if f.record().Sequence != sequence+1 || v.record().Sequence != before || sponsor.usage().Used != used+machine.Cost(approval) {
		t.Error("an approval uses its guardian's sequence and the sponsor's quota")
	}
	wantRule(t, v.run(approval), machine.RuleSequence)
	wantRule(t, v.approve(3, p), did.RuleNotGuardian) // a friend whom the owner did not name
}

// refAs is a's key under another's name.
func (a *actor) refAs(other *actor) tx.SignerRef {
	r := other.ref(0)
	r.Signer = secret(a.c.t, a.seed, 0)
	return r
}

// The members say how short a delay may be: at genesis, at an inception and in a rotation.
func TestLeastDelay(t *testing.T) {
	short := &tx.Guard{Threshold: 1, Guardians: []hufu.Digest{{1}}, DelayBlocks: delayBlocks, DelaySeconds: recoveryFloor - 1}
	base, friends := square(t)
	v := settle(base, friends, 1, 1)
	p := v.robbery()
	p.Keys[0] = v.mine(v.next).Public().Multikey()
	rotation := &tx.DIDRotate{Keys: p.Keys, Threshold: 1, Next: p.Next, NextThreshold: 1, Guard: short}
	wantRule(t, v.try(rotation, 1, v.mine(v.next)), did.RuleGuardDelay)
	if why := v.safe(); why != "" {
		t.Error(why)
	}
	b := inception(t, 81)
	b.Guard = short
	member := v.actor(0)
	create := v.sign(tx.Payload{Network: network, Expires: v.now.Height + 10, Sponsor: &member.id}, b, tx.SignerRef{Signer: secret(t, 81, 0)}, member.ref(0))
	wantRule(t, v.run(create), did.RuleGuardDelay)
	g := doc(t, 1)
	g.Members[0].Inception.Guard = short // of less than a day
	wantRule(t, g.Validate(), gov.RuleGenesis)
	g.Params.RecoveryMinSeconds = 1
	if err := g.Validate(); err != nil {
		t.Error(err)
	}
}
