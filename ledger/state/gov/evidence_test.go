package gov_test

import (
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// twice is a proof that the validator key of number n voted twice at a height.
func (c *council) twice(n byte, height hufu.Height) gov.Misbehaviour {
	return gov.Misbehaviour{
		Address: gov.AddressOf(key(c.t, 100+n).Raw()), Offence: gov.DuplicateVote, Height: height, Time: int64(1000 + 10*height), Power: 10, TotalPower: 40,
	}
}

// block is a block that carries evidence and nothing else.
func (c *council) block(proven ...gov.Misbehaviour) {
	c.t.Helper()
	c.now.Height++
	c.now.Time += 10
	c.check(gov.Convict(c.now, c.o, proven))
}

func (c *council) key(n byte) *gov.ValidatorKey {
	c.t.Helper()
	rec, err := gov.GetValidatorKey(c.o, gov.AddressOf(key(c.t, 100+n).Raw()))
	c.check(err)
	return rec
}

func (c *council) power(n byte) uint64 {
	c.t.Helper()
	m, err := gov.GetMember(c.o, c.id(n))
	c.check(err)
	roster, err := gov.GetRoster(c.o)
	c.check(err)
	for _, s := range roster.Seats {
		if s.Member == c.id(n) && s.Power != m.Power {
			c.t.Fatalf("the seat has power %d, the record %d", s.Power, m.Power)
		}
	}
	return m.Power
}

func TestConviction(t *testing.T) {
	c := found(t, 4)
	if _, err := gov.EndBlock(c.o); err != nil {
		t.Fatal(err)
	}
	c.block(c.twice(2, 1))
	if c.power(2) != 0 || c.power(0) != 10 || c.power(1) != 10 || c.power(3) != 10 {
		t.Fatal("not just the convicted lost its power")
	}
	updates, err := gov.EndBlock(c.o)
	if err != nil || len(updates) != 1 || updates[0].Power != 0 || string(updates[0].PubKey) != string(key(t, 102).Raw()) {
		t.Fatalf("the engine is told %+v, %v", updates, err)
	}
	m, err := gov.GetMember(c.o, c.id(2))
	if err != nil || m.Convicted != 1 {
		t.Fatalf("%+v, %v", m, err)
	}
	rec := c.key(2)
	if rec.Member != c.id(2) || rec.Conviction == nil || rec.Conviction.Height != 1 || rec.Conviction.Time != c.now.Time || rec.Conviction.Took != 10 || rec.Conviction.Kept {
		t.Fatalf("%+v", rec)
	}
	if p := rec.Conviction.Proofs; len(p) != 1 || p[0].Misbehaviour != c.twice(2, 1) || p[0].Recorded != 1 {
		t.Fatalf("%+v", p)
	}
	// It is a member still, and votes.
	p := c.propose(0, tx.Action{SetMember: c.terms(0)})
	c.check(c.vote(1, p, true))
	c.check(c.vote(2, p, true))
	if c.proposal(p).Executed == 0 {
		t.Fatal("the convicted member's vote did not count")
	}
}

// More evidence is recorded and takes nothing more; of very much, the first are kept and the rest counted.
func TestConvictedOnce(t *testing.T) {
	c := found(t, 4)
	c.block(c.twice(2, 1), c.twice(2, 1), c.twice(2, 2))
	c.block(c.twice(2, 1))
	fresh := c.terms(2)
	fresh.ValidatorKey = key(t, 120).Raw()
	p := c.propose(0, tx.Action{SetMember: fresh})
	c.check(c.vote(1, p, true))
	c.check(c.vote(3, p, true))
	if m, err := gov.GetMember(c.o, c.id(2)); err != nil || m.Power != 10 || m.Convicted != 0 || m.SetBy != p {
		t.Fatalf("the members' vote gave power to a new key, and: %+v, %v", m, err)
	}
	for h := range hufu.Height(gov.MaxProofs) {
		c.block(c.twice(2, h))
	}
	if c.power(2) != 10 {
		t.Error("what was known when the members gave power again took it again")
	}
	rec := c.key(2)
	if rec.Conviction.Height != 1 || rec.Conviction.Took != 10 || len(rec.Conviction.Proofs) != gov.MaxProofs || rec.Conviction.More != 4 {
		t.Errorf("%+v", rec.Conviction)
	}
	if _, all, err := gov.Convicted(c.o, 9); err != nil || all != 1 {
		t.Errorf("%d convictions, %v", all, err)
	}
}

// The way back is a vote, and a key that was never convicted.
func TestConvictedKeyIsNeverUsedAgain(t *testing.T) {
	c := found(t, 4)
	c.block(c.twice(2, 1))
	back := c.propose(0, tx.Action{SetMember: c.terms(2)})
	c.check(c.vote(1, back, true))
	wantRule(t, c.vote(3, back, true), gov.RuleKeyConvicted)
	powerless := c.terms(2)
	powerless.Power = 0
	p := c.propose(0, tx.Action{SetMember: powerless})
	c.check(c.vote(1, p, true))
	c.check(c.vote(3, p, true))
	if m, err := gov.GetMember(c.o, c.id(2)); err != nil || m.Convicted != 1 {
		t.Errorf("a change of other terms wiped the conviction: %+v, %v", m, err)
	}
	// Neither by leaving and coming back, nor in another member's hands.
	p = c.propose(0, tx.Action{RemoveMember: &tx.MemberRemoval{Member: c.id(2)}})
	c.check(c.vote(1, p, true))
	c.check(c.vote(3, p, true))
	again := c.propose(0, tx.Action{AdmitMember: c.terms(2)})
	wantRule(t, c.vote(1, again, true), gov.RuleKeyConvicted)
	other := c.terms(3)
	other.ValidatorKey = c.terms(2).ValidatorKey
	taken := c.propose(0, tx.Action{SetMember: other})
	wantRule(t, c.vote(1, taken, true), gov.RuleValidatorKey)
}

// A key is one member's also after that member has another, or has left.
func TestKeysStayTheirMembers(t *testing.T) {
	c := found(t, 3)
	fresh := c.terms(2)
	fresh.ValidatorKey = key(t, 120).Raw()
	p := c.propose(0, tx.Action{SetMember: fresh}, tx.Action{RemoveMember: &tx.MemberRemoval{Member: c.id(1)}})
	c.check(c.vote(1, p, true))
	for _, old := range []byte{1, 2} {
		terms := c.terms(5)
		terms.ValidatorKey = c.terms(old).ValidatorKey
		p := c.propose(0, tx.Action{AdmitMember: terms})
		wantRule(t, c.vote(2, p, true), gov.RuleValidatorKey)
	}
	if rec := c.key(2); rec.Member != c.id(2) || rec.Conviction != nil {
		t.Errorf("%+v", rec)
	}
}

// The member answers for a key that it has replaced since; of one that has left, the record alone is left.
func TestEvidenceComesLate(t *testing.T) {
	c := found(t, 4)
	fresh := c.terms(2)
	fresh.ValidatorKey = key(t, 120).Raw()
	p := c.propose(0, tx.Action{SetMember: fresh}, tx.Action{RemoveMember: &tx.MemberRemoval{Member: c.id(3)}})
	c.check(c.vote(1, p, true))
	c.check(c.vote(2, p, true))
	c.block(c.twice(2, 1), c.twice(3, 1))
	if c.power(2) != 0 || c.key(2).Conviction.Took != 10 {
		t.Error("a replaced key's offence took no power")
	}
	if rec := c.key(3); rec.Member != c.id(3) || rec.Conviction == nil || rec.Conviction.Took != 0 {
		t.Errorf("%+v", rec)
	}
	list, all, err := gov.Convicted(c.o, 9)
	if err != nil || all != 2 || len(list) != 2 || list[0].Member != c.id(3) || list[1].Member != c.id(2) {
		t.Errorf("%+v, %d, %v", list, all, err)
	}
	if list, all, err := gov.Convicted(c.o, 1); err != nil || all != 2 || len(list) != 1 {
		t.Errorf("%+v, %d, %v", list, all, err)
	}
	// The key that it has now was not convicted: a vote gives power to it.
	p = c.propose(0, tx.Action{SetMember: fresh})
	c.check(c.vote(1, p, true))
	if c.power(2) != 10 {
		t.Error("no way back")
	}
	// A key of nobody is no reason to stop.
	c.block(gov.Misbehaviour{Address: gov.Address{1}, Offence: 9})
	if _, all, err := gov.Convicted(c.o, 9); err != nil || all != 3 {
		t.Error(all, err)
	}
}

// The last power is never taken: neither from one alone, nor from all at once.
func TestLastPowerIsKept(t *testing.T) {
	c := found(t, 3)
	c.block(c.twice(0, 1), c.twice(1, 1))
	if c.power(0) != 0 || c.power(1) != 0 || c.power(2) != 10 {
		t.Fatal("two of three")
	}
	c.block(c.twice(2, 2))
	if rec := c.key(2); c.power(2) != 10 || !rec.Conviction.Kept || rec.Conviction.Took != 0 {
		t.Fatalf("%+v", rec)
	}
	c = found(t, 3)
	c.block(c.twice(0, 1), c.twice(1, 1), c.twice(2, 1))
	for i := range byte(3) {
		if c.power(i) != 10 || !c.key(i).Conviction.Kept {
			t.Errorf("member %d: %+v", i, c.key(i).Conviction)
		}
	}
	// The members decide all else as ever.
	p := c.propose(0, tx.Action{AdmitMember: c.terms(4)})
	c.check(c.vote(1, p, true))
	if c.proposal(p).Executed == 0 || c.power(4) != 10 {
		t.Error("the members cannot decide")
	}
	// Now there is another.
	c.block(c.twice(0, 7))
	if c.power(0) != 10 {
		t.Error("a known conviction took power")
	}
}

func TestConvictWithoutGenesis(t *testing.T) {
	o := state.NewOverlay(state.Empty{})
	if err := gov.Convict(state.Context{}, o, []gov.Misbehaviour{{}}); err == nil || hufu.RuleOf(err) != "" {
		t.Error(err)
	}
	if err := gov.Convict(state.Context{}, o, nil); err != nil || o.Len() != 2 {
		t.Error(err, o.Len())
	}
	if list, all, err := gov.Convicted(state.Empty{}, 1); list != nil || all != 0 || err != nil {
		t.Error(list, all, err)
	}
}
