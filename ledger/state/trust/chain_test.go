package trust_test

import (
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
)

// The cast: two members, an agency the members accredit, an office the agency accredits, a desk the
// office accredits, and somebody whom nobody does.
var (
	north, south  = hufu.ID{1}, hufu.ID{2}
	agency        = hufu.ID{3}
	office, desk  = hufu.ID{4}, hufu.ID{5}
	stranger      = hufu.ID{6}
	gone, unknown = hufu.ID{7}, hufu.ID{8}
	decision      = hufu.Digest{0xd}
)

const (
	resident = "https://types.example/resident"
	guardian = "https://types.example/guardian"
	start    = int64(1_000_000) // time of block 1; a block each 10 s
)

// world is a ledger that moves block by block.
type world struct {
	*testing.T
	o   *state.Overlay
	ctx state.Context
}

func newWorld(t *testing.T) *world {
	w := &world{T: t, o: state.NewOverlay(state.Empty{}), ctx: state.Context{Network: "test", Height: 1, Time: start}}
	for _, id := range []hufu.ID{north, south, agency, office, desk, stranger, gone} {
		w.must(did.Create(w.ctx, w.o, id, &tx.DIDCreate{}, id, false))
	}
	w.must(did.Apply(w.ctx, w.o, &tx.Tx{Payload: tx.Payload{Author: gone}, Body: &tx.DIDDeactivate{}}))
	for _, id := range []hufu.ID{north, south} {
		w.must(gov.Admit(w.ctx, w.o, hufu.Digest{}, &tx.MemberTerms{Member: id, Name: "member"}))
	}
	w.must(w.publish(north, residentType(1)))
	other := residentType(1)
	other.VCT = guardian
	w.must(w.publish(south, other))
	return w
}

func residentType(version uint32) *tx.TrustType {
	return &tx.TrustType{
		VCT: resident, Version: version, Assurance: tx.AssuranceHigh,
		Display: []tx.TypeDisplay{{Lang: "en", Name: "Resident"}},
		Claims: []tx.Claim{
			{Path: []string{"birth_date"}, Type: tx.ClaimDate, Selective: tx.SelectiveAlways, Display: []tx.ClaimDisplay{{Lang: "en", Label: "Born"}}},
			{Path: []string{"languages"}, Type: tx.ClaimStrings, Selective: tx.SelectiveAllowed},
		},
	}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) want(err error, rule hufu.Rule) {
	w.Helper()
	if hufu.RuleOf(err) != rule || (rule == "" && err != nil) {
		w.Errorf("got %v, want a refusal by %q", err, rule)
	}
}

// next ends the block and begins another, n times.
func (w *world) next(n int) {
	w.Helper()
	for range n {
		w.must(trust.EndBlock(w.ctx, w.o))
		w.ctx.Height++
		w.ctx.Time += 10
	}
}

// timeOf is the time of the block at a height.
func timeOf(h hufu.Height) int64 { return start + 10*int64(h-1) }

func (w *world) apply(author hufu.ID, b tx.Body) error {
	w.ctx.TxID[0]++
	before := w.o.Changes()
	err := trust.Apply(w.ctx, w.o, &tx.Tx{Payload: tx.Payload{Author: author, Kind: b.Kind()}, Body: b})
	if err != nil && !equalChanges(before, w.o.Changes()) {
		w.Error("a refused transaction left something behind")
	}
	return err
}

func (w *world) publish(by hufu.ID, b *tx.TrustType) error { return w.apply(by, b) }

// grant is an accreditation over a time, by default of one type and not to be passed on.
func grant(to hufu.ID, from, until int64, delegate uint8, types ...string) *tx.TrustAccredit {
	if types == nil {
		types = []string{resident}
	}
	return &tx.TrustAccredit{Subject: to, Grant: tx.Grant{Types: types, Delegate: delegate, NotBefore: from, NotAfter: until}}
}

func (w *world) decide(a *tx.TrustAccredit) error { return trust.Accredit(w.ctx, w.o, decision, a) }

// counts asks whether a credential issued at a time counts now.
func (w *world) counts(issuer hufu.ID, issued int64, rule hufu.Rule) []trust.Link {
	w.Helper()
	chain, err := trust.Chain(w.o, issuer, resident, issued, w.now())
	w.want(err, rule)
	return chain
}

func (w *world) now() hufu.AsOf {
	return hufu.AsOf{Height: w.ctx.Height, Time: time.Unix(w.ctx.Time, 0)}
}

// hierarchy accredits agency, office and desk, each for a little less than the one above.
func (w *world) hierarchy() {
	w.Helper()
	w.must(w.decide(grant(agency, start-300, start+9000, 2)))
	w.must(w.apply(agency, grant(office, start-200, start+8000, 1)))
	w.must(w.apply(office, grant(desk, start-100, start+7000, 0)))
}

func TestChain(t *testing.T) {
	w := newWorld(t)
	w.hierarchy()
	w.counts(stranger, start+500, trust.RuleNotAccredited)
	for _, c := range []struct {
		issuer hufu.ID
		links  []hufu.ID
		from   int64
		until  int64
	}{
		{agency, []hufu.ID{agency}, start - 300, start + 9000},
		{office, []hufu.ID{office, agency}, start - 200, start + 8000},
		{desk, []hufu.ID{desk, office, agency}, start - 100, start + 7000},
	} {
		w.counts(c.issuer, c.from-1, trust.RuleNotYetValid)
		w.counts(c.issuer, c.until+1, trust.RuleLapsed)
		w.counts(c.issuer, c.until, "")
		chain := w.counts(c.issuer, c.from, "")
		if len(chain) != len(c.links) {
			t.Fatalf("a chain of %d links, want %d", len(chain), len(c.links))
		}
		for i, l := range chain {
			last := i == len(chain)-1
			if l.Subject != c.links[i] || l.Grant.Root() != last || (!last && l.Grant.By != c.links[i+1]) {
				t.Errorf("link %d: %+v", i, l)
			}
			if last != (l.Grant.Proposal == decision) || l.Grant.Height != 1 || l.Grant.Time != start {
				t.Errorf("link %d does not say whence it is: %+v", i, l.Grant)
			}
		}
	}
	// Another type is another accreditation.
	_, err := trust.Chain(w.o, agency, guardian, start+500, w.now())
	w.want(err, trust.RuleNotAccredited)
}

// Time passing ends nothing that was issued in time.
func TestLapseLetsStand(t *testing.T) {
	w := newWorld(t)
	w.hierarchy()
	w.next(2000)
	w.counts(desk, start+7000, "")
	w.counts(desk, start+7001, trust.RuleLapsed)
}

func TestPassingOn(t *testing.T) {
	for name, c := range map[string]struct {
		by   hufu.ID
		a    *tx.TrustAccredit
		rule hufu.Rule
	}{
		"as it should be":        {agency, grant(office, start-300, start+9000, 1), ""},
		"without passing on":     {agency, grant(office, start, start+9000, 0), ""},
		"nobody accredited it":   {stranger, grant(office, start, start+9000, 0), trust.RuleNotAccredited},
		"a member alone":         {north, grant(office, start, start+9000, 0), trust.RuleNotAccredited},
		"as many levels":         {agency, grant(office, start, start+9000, 2), trust.RuleNoDelegation},
		"more levels":            {agency, grant(office, start, start+9000, 3), trust.RuleNoDelegation},
		"begins earlier":         {agency, grant(office, start-301, start+9000, 1), trust.RuleWider},
		"ends later":             {agency, grant(office, start, start+9001, 1), trust.RuleWider},
		"another type":           {agency, grant(office, start, start+9000, 1, guardian), trust.RuleNotAccredited},
		"another type among all": {agency, grant(office, start, start+9000, 1, guardian, resident), trust.RuleNotAccredited},
		"type nobody published":  {agency, grant(office, start, start+9000, 1, "x"), trust.RuleUnknownType},
		"itself":                 {agency, grant(agency, start, start+9000, 1), trust.RuleSelf},
		"unknown subject":        {agency, grant(unknown, start, start+9000, 1), did.RuleUnknown},
		"deactivated subject":    {agency, grant(gone, start, start+9000, 1), did.RuleDeactivated},
		"lapsed already":         {agency, grant(office, start, start+9, 1), trust.RuleLapsed},
		"from one without":       {desk, grant(stranger, start-100, start+7000, 0), trust.RuleNoDelegation},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.hierarchy()
			w.next(1)
			w.want(w.apply(c.by, c.a), c.rule)
		})
	}
}

// Whoever is not accredited now cannot pass anything on, though what it issued still counts.
func TestPassingOnNeedsAPresentChain(t *testing.T) {
	w := newWorld(t)
	w.must(w.decide(grant(agency, start+20, start+50, 2)))
	early := grant(office, start+20, start+50, 1)
	w.want(w.apply(agency, early), trust.RuleNotYetValid)
	w.next(2)
	w.must(w.apply(agency, early))
	w.next(4) // 60 s after the start
	w.want(w.apply(agency, grant(office, start+20, start+60, 1)), trust.RuleLapsed)
	w.counts(agency, start+50, "")

	w = newWorld(t)
	w.hierarchy()
	w.next(30)
	w.must(trust.Withdraw(w.ctx, w.o, decision, &tx.TrustWithdraw{Subject: agency, Type: resident, Stand: true}))
	w.want(w.apply(agency, grant(stranger, start-200, start+8000, 1)), trust.RuleWithdrawn)
	w.want(w.apply(office, grant(stranger, start-100, start+7000, 0)), trust.RuleWithdrawn)
}

// The members' own word needs nothing above it, but a subject and a type.
func TestMembersAccredit(t *testing.T) {
	w := newWorld(t)
	w.must(w.decide(grant(agency, 0, start+9000, 3, guardian, resident)))
	w.want(w.decide(grant(unknown, 0, start+9000, 3)), did.RuleUnknown)
	w.want(w.decide(grant(agency, 0, start+9000, 3, "x")), trust.RuleUnknownType)
	w.want(w.decide(grant(agency, 0, start-1, 3)), trust.RuleLapsed)
	w.must(w.decide(grant(desk, 0, start, 3)))
	for _, vct := range []string{guardian, resident} {
		acc, err := trust.GetAccreditation(w.o, agency, vct)
		if err != nil || acc.Subject != agency || acc.Type != vct || len(acc.Grants) != 1 {
			t.Errorf("%+v %v", acc, err)
		}
	}
	if acc, err := trust.GetAccreditation(w.o, stranger, resident); acc != nil || err != nil {
		t.Errorf("%+v %v", acc, err)
	}
}

// The newest grant that covers an issuance is the one that counts; of those that do not, the one that
// came closest is named.
func TestSeveralGrants(t *testing.T) {
	w := newWorld(t)
	w.must(w.decide(grant(agency, start, start+100, 0)))
	w.must(w.decide(grant(agency, start+50, start+200, 1)))
	w.must(w.decide(grant(agency, start+300, start+400, 0)))
	for at, number := range map[int64]uint32{start: 0, start + 60: 1, start + 150: 1, start + 300: 2} {
		if chain := w.counts(agency, at, ""); chain[0].Number != number {
			t.Errorf("at %d by grant %d, want %d", at-start, chain[0].Number, number)
		}
	}
	w.counts(agency, start+250, trust.RuleLapsed)
	w.counts(agency, start-1, trust.RuleNotYetValid)
	// To pass on, the one grant that allows it is found.
	w.next(6)
	w.must(w.apply(agency, grant(office, start+50, start+200, 0)))
	if chain := w.counts(office, start+60, ""); chain[1].Number != 1 {
		t.Errorf("passed on from grant %d", chain[1].Number)
	}
}

func TestTooManyGrants(t *testing.T) {
	w := newWorld(t)
	w.hierarchy()
	for range trust.MaxGrantsBy - 1 {
		w.must(w.apply(agency, grant(office, start-200, start+8000, 1)))
	}
	w.want(w.apply(agency, grant(office, start-200, start+8000, 1)), trust.RuleTooMany)
	w.must(w.decide(grant(office, start, start+9000, 2))) // the members still can
	// Grants by many grantors to one subject.
	w = newWorld(t)
	for i := range trust.MaxGrants + 1 {
		by := hufu.ID{0x80, byte(i)}
		w.must(did.Create(w.ctx, w.o, by, &tx.DIDCreate{}, by, false))
		w.must(w.decide(grant(by, start, start+9000, 1)))
		rule := hufu.Rule("")
		if i == trust.MaxGrants {
			rule = trust.RuleTooMany
		}
		w.want(w.apply(by, grant(desk, start, start+9000, 0)), rule)
	}
	w.must(w.decide(grant(desk, start, start+9000, 2)))
}
