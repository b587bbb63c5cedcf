package machine_test

import (
	"bytes"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

func TestAdmission(t *testing.T) {
	c := start(t, 2)
	a, stranger := c.actor(0), c.actor(50)
	for name, x := range map[string]struct {
		rule   hufu.Rule
		change func(p *tx.Payload, s *[]tx.SignerRef)
	}{
		"good":                 {"", func(*tx.Payload, *[]tx.SignerRef) {}},
		"in its last block":    {"", func(p *tx.Payload, _ *[]tx.SignerRef) { p.Expires = 1 }},
		"expired":              {machine.RuleExpired, func(p *tx.Payload, _ *[]tx.SignerRef) { p.Expires = 0 }},
		"longest life":         {"", func(p *tx.Payload, _ *[]tx.SignerRef) { p.Expires = 1 + machine.MaxLifetime }},
		"too long a life":      {machine.RuleLifetime, func(p *tx.Payload, _ *[]tx.SignerRef) { p.Expires = 2 + machine.MaxLifetime }},
		"future sequence":      {machine.RuleSequence, func(p *tx.Payload, _ *[]tx.SignerRef) { p.Sequence++ }},
		"unknown author":       {did.RuleUnknown, func(p *tx.Payload, s *[]tx.SignerRef) { p.Author, *s = stranger.id, []tx.SignerRef{stranger.ref(0)} }},
		"a key that never was": {machine.RuleKey, func(_ *tx.Payload, s *[]tx.SignerRef) { (*s)[0].KeyIndex = 1 }},
		"another suite's alg":  {machine.RuleKey, func(_ *tx.Payload, s *[]tx.SignerRef) { (*s)[0].Signer = secret(t, 0, 1) }},
		"one signature too many": {machine.RuleThreshold, func(_ *tx.Payload, s *[]tx.SignerRef) {
			*s = append(*s, tx.SignerRef{ID: a.id, KeyIndex: 1, Signer: secret(t, 0, 1)})
		}},
		"sponsor that did not sign": {machine.RuleThreshold, func(p *tx.Payload, _ *[]tx.SignerRef) { p.Sponsor = &c.actor(1).id }},
		"sponsor with a wrong key": {machine.RuleKey, func(p *tx.Payload, s *[]tx.SignerRef) {
			b := c.actor(1)
			p.Sponsor, *s = &b.id, append(*s, tx.SignerRef{ID: b.id, KeyIndex: 3, Signer: secret(t, 1, 0)})
		}},
		"unknown sponsor": {did.RuleUnknown, func(p *tx.Payload, s *[]tx.SignerRef) {
			p.Sponsor, *s = &stranger.id, append(*s, stranger.ref(0))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			p, signers := a.payload(), []tx.SignerRef{a.ref(0)}
			x.change(&p, &signers)
			_, err := c.admit(c.sign(p, services("s"), signers...))
			wantRule(t, err, x.rule)
		})
	}
}

func TestReplay(t *testing.T) {
	c := start(t, 1)
	a := c.actor(0)
	once := a.tx(services("s"))
	c.must(once)
	wantRule(t, c.run(once), machine.RuleSequence)
	b := c.actor(9)
	p := b.payload()
	p.Sponsor = &a.id
	create := c.sign(p, inception(t, 9), b.ref(0))
	c.must(create)
	wantRule(t, c.run(create), did.RuleExists)
	gone := b.tx(services("s"))
	c.must(b.tx(&tx.DIDDeactivate{}))
	wantRule(t, c.run(gone), did.RuleDeactivated)
}

func TestAdmitAfter(t *testing.T) {
	c := start(t, 1)
	a := c.actor(0)
	p := a.payload()
	p.Sequence = 3
	third := c.sign(p, services("s"), a.ref(0))
	for next, rule := range map[uint64]hufu.Rule{0: machine.RuleSequence, 2: machine.RuleSequence, 3: "", 4: machine.RuleSequence} {
		_, err := machine.AdmitAfter(c.next(), c.o, third, next)
		wantRule(t, err, rule)
	}
}

// A new identifier is signed by the keys it brings, as many as it says.
func TestInceptionSigners(t *testing.T) {
	c := start(t, 1)
	member := c.actor(0)
	b := inception(t, 9)
	b.Keys = append(b.Keys, secret(t, 10, 0).Public().Multikey())
	b.Threshold = 2
	p := tx.Payload{Network: network, Expires: 5, Sponsor: &member.id}
	first, second := tx.SignerRef{Signer: secret(t, 9, 0)}, tx.SignerRef{KeyIndex: 1, Signer: secret(t, 10, 0)}
	beyond := second
	beyond.KeyIndex = 2
	_, err := c.admit(c.sign(p, b, first))
	wantRule(t, err, machine.RuleThreshold)
	_, err = c.admit(c.sign(p, b, first, beyond))
	wantRule(t, err, machine.RuleKey)
	_, err = c.admit(c.sign(p, b, first, tx.SignerRef{KeyIndex: 1, Signer: secret(t, 9, 1)}))
	wantRule(t, err, machine.RuleKey)
	c.must(c.sign(p, b, first, second))
}

// Pre-rotation, through admission: the present key cannot sign a rotation, only the next one can.
func TestRotation(t *testing.T) {
	c := start(t, 1)
	a := c.born(9, false)
	for range 4 {
		p, body := a.payload(), a.rotation()
		_, err := c.admit(c.sign(p, body, a.ref(a.turn)))
		wantRule(t, err, machine.RuleKey)
		stolen := *body
		stolen.Keys = [][]byte{secret(t, 77, 0).Public().Multikey()}
		_, err = c.admit(c.sign(p, &stolen, tx.SignerRef{KeyIndex: uint8(a.turn + 1), Signer: secret(t, 77, 0)}))
		wantRule(t, err, did.RuleNextMismatch)
		c.must(c.sign(p, body, a.ref(a.turn+1)))
		_, err = c.admit(a.tx(services("s")))
		wantRule(t, err, machine.RuleKey) // with the key rotated away
		a.turn++
		c.must(a.tx(services("s")))
	}
	two := a.rotation()
	two.Keys, two.Threshold = append(two.Keys, secret(t, 78, 0).Public().Multikey()), 2
	_, err := c.admit(c.sign(a.payload(), two, a.ref(a.turn+1)))
	wantRule(t, err, did.RuleNextMismatch)
}

// Who pays: the member that co-signs, the member that is only named from its open quota, the member
// that writes, and for a later transaction the member that brought the author in, in the same way.
func TestWhoIsCharged(t *testing.T) {
	c := start(t, 2)
	zero, one := c.actor(0), c.actor(1)
	spent := func(a *actor, what func()) (used, open uint64) {
		before := a.usage()
		what()
		after := a.usage()
		return after.Used - before.Used, after.OpenUsed - before.OpenUsed
	}
	var signed, open *actor
	if used, o := spent(zero, func() { signed = c.born(9, false) }); used == 0 || o != 0 {
		t.Errorf("co-signed: %d, %d", used, o)
	}
	if used, o := spent(zero, func() { open = c.born(10, true) }); used != 0 || o == 0 {
		t.Errorf("named only: %d, %d", used, o)
	}
	if rec := open.record(); rec.Member != zero.id || !rec.Open || signed.record().Open {
		t.Errorf("%+v", rec)
	}
	if used, o := spent(zero, func() { c.must(signed.tx(services("s"))) }); used == 0 || o != 0 {
		t.Errorf("brought in with a signature: %d, %d", used, o)
	}
	if used, o := spent(zero, func() { c.must(open.tx(services("s"))) }); used != 0 || o == 0 {
		t.Errorf("brought in without: %d, %d", used, o)
	}
	p := open.payload()
	p.Sponsor = &one.id
	sponsored := c.sign(p, services("x"), open.ref(0), one.ref(0))
	if used, o := spent(one, func() { c.must(sponsored) }); used != machine.Cost(sponsored) || o != 0 {
		t.Errorf("sponsored: %d, %d, want %d", used, o, machine.Cost(sponsored))
	}
	if used, _ := spent(one, func() { c.must(one.tx(services("s"))) }); used == 0 {
		t.Errorf("a member's own: %d", used)
	}
}

func TestWithoutQuota(t *testing.T) {
	c := start(t, 1)
	a, b := c.actor(0), c.actor(9)
	p := b.payload()
	_, err := c.admit(c.sign(p, inception(t, 9), b.ref(0)))
	wantRule(t, err, gov.RuleNoQuota)
	p.Sponsor = &hufu.ID{1}
	_, err = c.admit(c.sign(p, inception(t, 9), b.ref(0)))
	wantRule(t, err, gov.RuleNoQuota)
	p.Sponsor = &a.id
	var last machine.Admission
	for seed := byte(20); ; seed++ {
		n := c.actor(seed)
		q := n.payload()
		q.Sponsor = &a.id
		create := c.sign(q, inception(t, seed), n.ref(0))
		if last, err = c.admit(create); err != nil {
			break
		}
		if !last.Open || last.Member != a.id || last.Cost != uint64(len(create.Raw()))+machine.SignatureCost {
			t.Fatalf("%+v", last)
		}
		c.must(create)
	}
	wantRule(t, err, gov.RuleQuotaExhausted)
	c.must(c.sign(p, inception(t, 9), b.ref(0), a.ref(0))) // the member's own quota is untouched
	c.now.Time += 1000                                     // the next epoch
	open := c.actor(60)
	p = open.payload()
	p.Sponsor = &a.id
	c.must(c.sign(p, inception(t, 60), open.ref(0)))
}

// A membership that ends takes the quota of those it brought in with it.
func TestQuotaEndsWithMembership(t *testing.T) {
	c := start(t, 2)
	zero, one := c.actor(0), c.actor(1)
	b := c.actor(9)
	p := b.payload()
	p.Sponsor = &one.id
	c.must(c.sign(p, inception(t, 9), b.ref(0), one.ref(0)))
	propose := zero.tx(&tx.GovPropose{Title: "t", Actions: []tx.Action{{RemoveMember: &tx.MemberRemoval{Member: one.id}}}})
	c.must(propose)
	c.must(one.tx(&tx.GovVote{Proposal: propose.ID(), Approve: true}))
	_, err := c.admit(b.tx(services("s")))
	wantRule(t, err, gov.RuleNoQuota)
	_, err = c.admit(one.tx(services("s")))
	wantRule(t, err, gov.RuleNoQuota)
	p = b.payload()
	p.Sponsor = &zero.id
	c.must(c.sign(p, services("s"), b.ref(0), zero.ref(0)))
}

func TestContractsCostMore(t *testing.T) {
	c := start(t, 1)
	a := c.actor(0)
	b := a.tx(&tx.ContractPublish{Name: "n", Version: 1, Text: "x"})
	if machine.Cost(b) != machine.ContractWeight*uint64(len(b.Raw()))+machine.SignatureCost {
		t.Error(machine.Cost(b))
	}
}

func TestSignaturesWithinCost(t *testing.T) {
	c := start(t, 1)
	b := c.actor(0).tx(foreignCheckpoint(t))
	if machine.Cost(b) != uint64(len(b.Raw()))+2*machine.SignatureCost {
		t.Error(machine.Cost(b))
	}
}

func TestCheckSignatures(t *testing.T) {
	c := start(t, 1)
	for turn := range keys.Suites() {
		k := secret(t, 9, turn)
		b := inception(t, 9)
		b.Keys = [][]byte{k.Public().Multikey()}
		b.Next[0] = hufu.Digest{1}
		create := c.sign(tx.Payload{Network: network, Expires: 5, Sponsor: &c.actor(0).id}, b, tx.SignerRef{Signer: k}, c.actor(0).ref(0))
		a, err := c.admit(create)
		if err != nil {
			t.Fatal(err)
		}
		if err := machine.CheckSignatures(create, a.Keys); err != nil {
			t.Error(err)
		}
		wantRule(t, machine.CheckSignatures(create, a.Keys[:1]), machine.RuleSignature)
		wantRule(t, machine.CheckSignatures(create, []keys.PublicKey{a.Keys[1], a.Keys[1]}), machine.RuleSignature)
		wantRule(t, machine.CheckSignatures(create, make([]keys.PublicKey, 2)), machine.RuleSignature)
		for i := range create.Signatures {
			raw := bytes.Clone(create.Raw())
			raw[bytes.Index(raw, create.Signatures[i].Sig)+40] ^= 1
			bad, err := tx.Parse(raw, network)
			if err != nil {
				t.Fatal(err)
			}
			wantRule(t, machine.CheckSignatures(bad, a.Keys), machine.RuleSignature)
		}
	}
}

// Someone else's key under the right index is found out by the signature.
func TestForgedSignature(t *testing.T) {
	c := start(t, 1)
	a := c.actor(0)
	forged := c.sign(a.payload(), services("s"), tx.SignerRef{Signer: secret(t, 99, 0)})
	wantRule(t, c.run(forged), machine.RuleSignature)
}

type unreadable struct{}

func (unreadable) Get([]byte) ([]byte, error) { return nil, errUnreadable }

// A state that cannot be read is never a refusal.
func TestUnreadableState(t *testing.T) {
	c := start(t, 1)
	good := c.actor(0).tx(services("s"))
	create := c.sign(tx.Payload{Network: network, Expires: 5, Sponsor: &c.actor(0).id}, inception(t, 9), tx.SignerRef{Signer: secret(t, 9, 0)})
	for _, x := range []*tx.Tx{good, create} {
		if _, err := machine.Admit(c.next(), unreadable{}, x); err == nil || hufu.RuleOf(err) != "" {
			t.Errorf("admit: %v", err)
		}
		if err := machine.Execute(c.next(), state.NewOverlay(unreadable{}), x, machine.Admission{}); err == nil || hufu.RuleOf(err) != "" {
			t.Errorf("execute: %v", err)
		}
	}
	if _, err := machine.EndBlock(c.next(), state.NewOverlay(unreadable{})); err == nil || hufu.RuleOf(err) != "" {
		t.Errorf("end: %v", err)
	}
}
