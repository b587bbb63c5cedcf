package gov_test

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// council is a ledger with members 0, 1, …, each with an identifier; further identifiers are not
// members. Each thing done to it happens in a block of its own, 10 s after the last.
type council struct {
	t        testing.TB
	o        *state.Overlay
	now      state.Context
	executed []string // what the other rooms were asked to do
}

func params() *tx.Params {
	return &tx.Params{EpochSeconds: 100, VotingSeconds: 100, ThresholdNum: 2, ThresholdDen: 3}
}

func found(t testing.TB, members int) *council {
	c := &council{t: t, o: state.NewOverlay(state.Empty{}), now: state.Context{Network: "demo", Time: 1000}}
	c.check(gov.SetParams(c.now, c.o, hufu.Digest{}, params()))
	for i := range byte(members) {
		c.check(gov.Admit(c.now, c.o, hufu.Digest{}, c.terms(i)))
	}
	return c
}

func (c *council) check(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

var cached [256]keys.PublicKey

func key(t testing.TB, n byte) keys.PublicKey {
	if cached[n].IsZero() {
		k, err := keys.Ed25519.Load(bytes.Repeat([]byte{n + 1}, 32))
		if err != nil {
			t.Fatal(err)
		}
		cached[n] = k.Public()
	}
	return cached[n]
}

// id is the identifier of a number, created when it is first asked for.
func (c *council) id(n byte) hufu.ID {
	b := &tx.DIDCreate{Keys: [][]byte{key(c.t, n).Multikey()}, Threshold: 1, Next: []hufu.Digest{{n}}, NextThreshold: 1}
	id := tx.InceptionID("demo", b)
	if rec, err := did.Get(c.o, id); err != nil {
		c.t.Fatal(err)
	} else if rec == nil {
		c.check(did.Create(c.now, c.o, id, b, id, false))
	}
	return id
}

// terms are those of number n: power 10 with a validator key of its own.
func (c *council) terms(n byte) *tx.MemberTerms {
	return &tx.MemberTerms{
		Member: c.id(n), Name: string('A' + rune(n)), ValidatorKey: key(c.t, 100+n).Raw(), Power: 10, Quota: 1000, OpenQuota: 100,
	}
}

func (c *council) apply(author byte, body tx.Body) (hufu.Digest, error) {
	c.now.Height++
	c.now.Time += 10
	c.now.TxID = hufu.Digest{byte(c.now.Height), byte(c.now.Height >> 8), 1}
	t := &tx.Tx{Payload: tx.Payload{Author: c.id(author)}, Body: body}
	c.o.Nested()
	err := gov.Apply(c.now, c.o, t, gov.Executor{
		Accredit: func(_ state.Context, _ *state.Overlay, p hufu.Digest, _ *tx.TrustAccredit) error {
			c.executed = append(c.executed, "accredit by "+p.String()[:6])
			return nil
		},
		Withdraw: func(_ state.Context, _ *state.Overlay, p hufu.Digest, _ *tx.TrustWithdraw) error {
			c.executed = append(c.executed, "withdraw by "+p.String()[:6])
			return nil
		},
	})
	if err != nil {
		c.o.Discard()
	} else {
		c.o.Commit()
	}
	return c.now.TxID, err
}

func (c *council) propose(author byte, actions ...tx.Action) hufu.Digest {
	c.t.Helper()
	id, err := c.apply(author, &tx.GovPropose{Title: "t", Actions: actions})
	c.check(err)
	return id
}

func (c *council) vote(author byte, proposal hufu.Digest, approve bool) error {
	_, err := c.apply(author, &tx.GovVote{Proposal: proposal, Approve: approve})
	return err
}

func (c *council) proposal(id hufu.Digest) *gov.Proposal {
	c.t.Helper()
	p, err := gov.GetProposal(c.o, id)
	c.check(err)
	return p
}

func (c *council) members() []gov.Member {
	c.t.Helper()
	m, err := gov.Members(c.o)
	c.check(err)
	return m
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}

func TestVoting(t *testing.T) {
	c := found(t, 4)
	p := c.propose(0, tx.Action{AdmitMember: c.terms(4)})
	if got := c.proposal(p); got.Executed != 0 || len(got.Votes) != 1 || got.By != c.id(0) || got.Ends != got.Time+100 {
		t.Fatalf("%+v", got)
	}
	c.check(c.vote(1, p, true))
	c.check(c.vote(2, p, false))
	if c.proposal(p).Executed != 0 || len(c.members()) != 4 {
		t.Fatal("two of four is less than two thirds")
	}
	wantRule(t, c.vote(1, p, true), gov.RuleVotedAlready)
	wantRule(t, c.vote(0, p, true), gov.RuleVotedAlready)
	wantRule(t, c.vote(4, p, true), gov.RuleNotMember)
	wantRule(t, c.vote(3, hufu.Digest{9}, true), gov.RuleUnknownProposal)
	c.check(c.vote(3, p, true))
	got := c.proposal(p)
	if got.Executed != c.now.Height || got.ExecutedTime != c.now.Time {
		t.Fatalf("not executed in the block of the deciding vote: %+v", got)
	}
	m, err := gov.GetMember(c.o, c.id(4))
	if err != nil || m == nil || m.AdmittedBy != p || m.SetBy != p || m.Admitted != c.now.Height {
		t.Fatalf("the member does not name its proposal: %+v, %v", m, err)
	}
	wantRule(t, c.vote(4, p, true), gov.RuleVotingClosed)
}

func TestVotingEnds(t *testing.T) {
	c := found(t, 2)
	p := c.propose(0, tx.Action{AdmitMember: c.terms(4)})
	c.now.Time += 90 // with the 10 s of the vote's block: the last second
	q := *c
	c.check(q.vote(1, p, true))
	c = found(t, 2)
	p = c.propose(0, tx.Action{AdmitMember: c.terms(4)})
	c.now.Time += 91
	wantRule(t, c.vote(1, p, true), gov.RuleVotingClosed)
}

// Votes of those who have left do not count, and the threshold follows the membership.
func TestThresholdOfPresentMembers(t *testing.T) {
	c := found(t, 4)
	waiting := c.propose(0, tx.Action{SetParams: &tx.Params{EpochSeconds: 7, VotingSeconds: 9, ThresholdNum: 1, ThresholdDen: 1}})
	c.check(c.vote(1, waiting, true))
	out := c.propose(1, tx.Action{RemoveMember: &tx.MemberRemoval{Member: c.id(0)}})
	c.check(c.vote(2, out, true))
	c.check(c.vote(3, out, true))
	wantRule(t, c.vote(0, out, true), gov.RuleNotMember)
	c.check(c.vote(2, waiting, false))
	if c.proposal(waiting).Executed != 0 {
		t.Fatal("a removed member's vote counted, or a no decided")
	}
	c.check(c.vote(3, waiting, true))
	if p, err := gov.GetParams(c.o); err != nil || p.Params.EpochSeconds != 7 || p.SetBy != waiting {
		t.Fatalf("two of three: %+v, %v", p, err)
	}
}

func TestPasses(t *testing.T) {
	for _, c := range []struct {
		num, den           uint32
		approvals, members int
		want               bool
	}{
		{2, 3, 1, 1, true},
		{2, 3, 1, 2, false},
		{2, 3, 2, 3, true},
		{2, 3, 2, 4, false},
		{2, 3, 3, 4, true},
		{1, 1, 3, 4, false},
		{1, 1, 4, 4, true},
		{501, 1000, 1, 2, false},
		{2, 3, 0, 0, false},
	} {
		p := tx.Params{ThresholdNum: c.num, ThresholdDen: c.den}
		if gov.Passes(p, c.approvals, c.members) != c.want {
			t.Errorf("%+v", c)
		}
	}
}

func TestActions(t *testing.T) {
	c := found(t, 1)
	terms := c.terms(0)
	terms.Name, terms.Power, terms.Quota, terms.OpenQuota = "Renamed", 11, 5, 6
	p := c.propose(0,
		tx.Action{SetMember: terms}, tx.Action{Accredit: &tx.TrustAccredit{}}, tx.Action{Withdraw: &tx.TrustWithdraw{}},
		tx.Action{Upgrade: &tx.Upgrade{Height: 50, Name: "v2"}}, tx.Action{AdmitMember: c.terms(1)},
	)
	m := c.members()
	if len(m) != 2 {
		t.Fatalf("%+v", m)
	}
	set, err := gov.GetMember(c.o, c.id(0))
	if err != nil || set.Name != "Renamed" || set.Power != 11 || set.Quota != 5 || set.OpenQuota != 6 || set.SetBy != p || !bytes.Equal(set.AdmittedBy[:], make([]byte, 32)) {
		t.Errorf("%+v, %v", set, err)
	}
	if u, err := gov.GetUpgrade(c.o); err != nil || u.Upgrade.Height != 50 || u.SetBy != p {
		t.Errorf("%+v, %v", u, err)
	}
	if len(c.executed) != 2 || c.executed[0] != "accredit by "+p.String()[:6] || c.executed[1] != "withdraw by "+p.String()[:6] {
		t.Errorf("%v", c.executed)
	}
}

func TestActionsRefuse(t *testing.T) {
	without := func(m *tx.MemberTerms) *tx.MemberTerms {
		m.ValidatorKey, m.Power = nil, 0
		return m
	}
	c := found(t, 2)
	c.check(c.vote(1, c.propose(0, tx.Action{SetMember: without(c.terms(1))}), true)) // only 0 validates now
	gone := c.id(9)
	rec, err := did.Get(c.o, gone)
	c.check(err)
	rec.Deactivated = 1
	c.check(state.Save(c.o, did.StateKey(gone), rec))
	same := c.terms(3)
	same.ValidatorKey = c.terms(0).ValidatorKey
	for name, x := range map[string]struct {
		rule    hufu.Rule
		actions []tx.Action
	}{
		"admits a member":        {gov.RuleMemberExists, []tx.Action{{AdmitMember: without(c.terms(1))}}},
		"admits nobody":          {did.RuleUnknown, []tx.Action{{AdmitMember: &tx.MemberTerms{Member: hufu.ID{1}}}}},
		"admits the deactivated": {did.RuleDeactivated, []tx.Action{{AdmitMember: without(c.terms(9))}}},
		"removes a stranger":     {gov.RuleNotMember, []tx.Action{{RemoveMember: &tx.MemberRemoval{Member: c.id(5)}}}},
		"sets a stranger":        {gov.RuleNotMember, []tx.Action{{SetMember: c.terms(5)}}},
		"takes the last power":   {gov.RuleLastValidator, []tx.Action{{SetMember: without(c.terms(0))}}},
		"removes the validator":  {gov.RuleLastValidator, []tx.Action{{RemoveMember: &tx.MemberRemoval{Member: c.id(0)}}}},
		"one key for two":        {gov.RuleValidatorKey, []tx.Action{{AdmitMember: same}}},
		"a past upgrade":         {gov.RuleUpgradeHeight, []tx.Action{{Upgrade: &tx.Upgrade{Height: 3, Name: "v"}}}},
		"nothing":                {tx.RuleBody, []tx.Action{{}}},
		"all or none":            {gov.RuleNotMember, []tx.Action{{AdmitMember: c.terms(3)}, {RemoveMember: &tx.MemberRemoval{Member: c.id(5)}}}},
	} {
		t.Run(name, func(t *testing.T) {
			p := c.propose(0, x.actions...)
			before := c.o.Changes()
			wantRule(t, c.vote(1, p, true), x.rule)
			if !equalChanges(before, c.o.Changes()) || c.proposal(p).Executed != 0 {
				t.Error("a refused vote left something")
			}
		})
	}
	one := found(t, 1)
	_, err = one.apply(0, &tx.GovPropose{Title: "t", Actions: []tx.Action{{RemoveMember: &tx.MemberRemoval{Member: one.id(0)}}}})
	wantRule(t, err, gov.RuleLastMember)
	_, err = one.apply(3, &tx.GovPropose{Title: "t", Actions: []tx.Action{{SetParams: params()}}})
	wantRule(t, err, gov.RuleNotMember)
	_, err = one.apply(0, &tx.DIDDeactivate{})
	wantRule(t, err, tx.RuleKind)
}

func equalChanges(a, b []state.Change) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].Key, b[i].Key) || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

func TestTooManyMembers(t *testing.T) {
	c := found(t, 1)
	roster, err := gov.GetRoster(c.o)
	c.check(err)
	for i := len(roster.Seats); i < gov.MaxMembers; i++ {
		roster.Seats = append(roster.Seats, gov.Seat{Member: hufu.ID{0xff, byte(i >> 8), byte(i)}})
	}
	c.check(state.Save(c.o, gov.RosterKey(), roster))
	wantRule(t, gov.Admit(c.now, c.o, hufu.Digest{}, c.terms(5)), gov.RuleTooManyMembers)
	if _, err := gov.Members(c.o); err == nil || hufu.RuleOf(err) != "" {
		t.Errorf("a roster of members without records: %v", err)
	}
}

// A removed member has no vote and no quota, and what it was is kept until it comes back.
func TestRemoval(t *testing.T) {
	c := found(t, 3)
	c.check(c.charge(c.id(2), false, 10))
	p := c.propose(0, tx.Action{RemoveMember: &tx.MemberRemoval{Member: c.id(2)}})
	c.check(c.vote(1, p, true))
	wantRule(t, c.charge(c.id(2), false, 1), gov.RuleNoQuota)
	_, err := c.apply(2, &tx.GovPropose{Title: "t", Actions: []tx.Action{{SetParams: params()}}})
	wantRule(t, err, gov.RuleNotMember)
	former, err := gov.GetFormer(c.o, c.id(2))
	if err != nil || former == nil || former.RemovedBy != p || former.Removed != c.now.Height-1 || former.Member.Name != "C" {
		t.Fatalf("%+v, %v", former, err)
	}
	c.check(c.vote(1, c.propose(0, tx.Action{AdmitMember: c.terms(2)}), true))
	if former, err := gov.GetFormer(c.o, c.id(2)); former != nil || err != nil || len(c.members()) != 3 {
		t.Errorf("%+v, %v", former, err)
	}
}

func (c *council) charge(member hufu.ID, open bool, cost uint64) error {
	bill, err := gov.CheckQuota(c.now, c.o, member, open, cost, 0)
	if err != nil {
		return err
	}
	return bill.Charge(c.o)
}

func (c *council) quota(member hufu.ID, cost, queued uint64) error {
	_, err := gov.CheckQuota(c.now, c.o, member, false, cost, queued)
	return err
}

// A quota is charged once for each time that it was checked, on the state that it was checked on.
func TestBillOfAnotherState(t *testing.T) {
	c := found(t, 1)
	bill, err := gov.CheckQuota(c.now, c.o, c.id(0), false, 10, 0)
	c.check(err)
	c.check(bill.Charge(c.o))
	for name, b := range map[string]gov.Bill{"charged already": bill, "of nobody": {}} {
		if err := b.Charge(c.o); !errors.Is(err, gov.ErrUsage) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if u, err := gov.CurrentUsage(c.now, c.o, c.id(0)); err != nil || u.Used != 10 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestQuota(t *testing.T) {
	c := found(t, 1)
	c.now.Time = 1000 // epoch 10 of 100 s
	m := c.id(0)
	c.check(c.charge(m, false, 600))
	c.check(c.charge(m, true, 100))
	wantRule(t, c.charge(m, false, 401), gov.RuleQuotaExhausted)
	wantRule(t, c.charge(m, true, 1), gov.RuleQuotaExhausted)
	wantRule(t, c.quota(m, 300, 101), gov.RuleQuotaExhausted)
	wantRule(t, c.quota(m, 300, ^uint64(0)), gov.RuleQuotaExhausted)
	wantRule(t, c.quota(m, ^uint64(0), 1), gov.RuleQuotaExhausted)
	c.check(c.quota(m, 300, 100))
	c.check(c.charge(m, false, 400))
	wantRule(t, c.charge(c.id(4), false, 1), gov.RuleNoQuota)
	c.now.Time = 1099
	wantRule(t, c.charge(m, false, 1), gov.RuleQuotaExhausted)
	c.now.Time = 1100
	c.check(c.charge(m, false, 1000))
	if u, err := gov.CurrentUsage(c.now, c.o, m); err != nil || u.Epoch != 11 || u.Used != 1000 || u.OpenUsed != 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestWithoutGenesis(t *testing.T) {
	o := state.NewOverlay(state.Empty{})
	if _, err := gov.Params(o); err == nil || hufu.RuleOf(err) != "" {
		t.Error(err)
	}
	if _, err := gov.EndBlock(o); err == nil || hufu.RuleOf(err) != "" {
		t.Error(err)
	}
}

// The engine, applying every block's updates, has exactly the roster's validators.
func TestValidatorsFollowTheRoster(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := found(t, 1)
		engine := map[string]uint64{}
		rt.Repeat(map[string]func(*rapid.T){
			"decide": func(rt *rapid.T) {
				var actions []tx.Action
				for range rapid.IntRange(1, 3).Draw(rt, "actions") {
					n := rapid.ByteRange(0, 3).Draw(rt, "member")
					terms := c.terms(n)
					terms.ValidatorKey = key(t, 100+rapid.ByteRange(0, 4).Draw(rt, "key")).Raw()
					terms.Power = rapid.Uint64Range(0, 3).Draw(rt, "power")
					actions = append(actions, rapid.SampledFrom([]tx.Action{
						{AdmitMember: terms}, {SetMember: terms}, {RemoveMember: &tx.MemberRemoval{Member: c.id(n)}},
					}).Draw(rt, "action"))
				}
				p := hufu.Digest{}
				for i := range byte(4) {
					if p == (hufu.Digest{}) {
						if id, err := c.apply(i, &tx.GovPropose{Title: "t", Actions: actions}); err == nil {
							p = id
						}
					} else {
						_ = c.vote(i, p, true)
					}
				}
			},
			"misbehave": func(*rapid.T) {
				c.block(c.twice(rapid.ByteRange(0, 4).Draw(rt, "key"), 1), c.twice(rapid.ByteRange(0, 4).Draw(rt, "key"), 1))
			},
			"": func(rt *rapid.T) {
				updates, err := gov.EndBlock(c.o)
				if err != nil {
					rt.Fatal(err)
				}
				for _, u := range updates {
					if _, known := engine[string(u.PubKey)]; u.Power == 0 && !known {
						rt.Fatal("removes a validator that the engine does not have")
					}
					if u.Power == 0 {
						delete(engine, string(u.PubKey))
					} else {
						engine[string(u.PubKey)] = u.Power
					}
				}
				want, total := 0, uint64(0)
				for _, m := range c.members() {
					if m.Power > 0 {
						want++
						total += m.Power
						if engine[string(m.ValidatorKey)] != m.Power {
							rt.Fatalf("power %d, want %d", engine[string(m.ValidatorKey)], m.Power)
						}
					}
				}
				if want != len(engine) || total == 0 {
					rt.Fatalf("%d validators, want %d", len(engine), want)
				}
				if again, err := gov.EndBlock(c.o); err != nil || again != nil {
					rt.Fatalf("told the engine twice: %v, %v", again, err)
				}
			},
		})
	})
}
