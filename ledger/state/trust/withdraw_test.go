package trust_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/trust"
	"github.com/hufu-id/hufu/ledger/tx"
	"pgregory.net/rapid"
)

func equalChanges(a, b []state.Change) bool {
	return slices.EqualFunc(a, b, func(a, b state.Change) bool {
		return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value)
	})
}

func withdrawal(from hufu.ID, at hufu.Height, stand bool) *tx.TrustWithdraw {
	return &tx.TrustWithdraw{Subject: from, Type: resident, From: at, Stand: stand}
}

// Withdrawn at once: by whom and whether earlier credentials stand, for the subject and all below it.
func TestWithdraw(t *testing.T) {
	const issued = start + 250 // before
	for name, c := range map[string]struct {
		withdraw func(*world) error
		fallen   []hufu.ID
		stand    bool
	}{
		"desk, by its office": {func(w *world) error { return w.apply(office, withdrawal(desk, 0, false)) }, []hufu.ID{desk}, false},
		"desk, stands":        {func(w *world) error { return w.apply(office, withdrawal(desk, 0, true)) }, []hufu.ID{desk}, true},
		"office, by agency":   {func(w *world) error { return w.apply(agency, withdrawal(office, 0, false)) }, []hufu.ID{office, desk}, false},
		"office, stands":      {func(w *world) error { return w.apply(agency, withdrawal(office, 0, true)) }, []hufu.ID{office, desk}, true},
		"agency, by members": {func(w *world) error {
			return trust.Withdraw(w.ctx, w.o, decision, withdrawal(agency, 0, false))
		}, []hufu.ID{agency, office, desk}, false},
		"agency, stands": {func(w *world) error {
			return trust.Withdraw(w.ctx, w.o, decision, withdrawal(agency, 0, true))
		}, []hufu.ID{agency, office, desk}, true},
		"desk, by members": {func(w *world) error {
			return trust.Withdraw(w.ctx, w.o, decision, withdrawal(desk, 3, false))
		}, []hufu.ID{desk}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.hierarchy()
			w.next(30)
			for _, id := range []hufu.ID{agency, office, desk} {
				w.counts(id, issued, "")
			}
			w.must(c.withdraw(w))
			w.next(1)
			for _, id := range []hufu.ID{agency, office, desk} {
				before, after := hufu.Rule(""), hufu.Rule("")
				if slices.Contains(c.fallen, id) {
					after = trust.RuleWithdrawn
					if !c.stand {
						before = trust.RuleWithdrawn
					}
				}
				w.counts(id, issued, before)
				w.counts(id, timeOf(31)-1, before)
				w.counts(id, timeOf(31), after)
				w.counts(id, timeOf(31)+100, after)
			}
		})
	}
}

// Announced for a later height: nothing changes until then, and then the block's own time divides
// what stands from what does not.
func TestWithdrawFromAHeight(t *testing.T) {
	w := newWorld(t)
	w.hierarchy()
	w.next(30)
	w.must(w.apply(agency, withdrawal(office, 40, true)))
	w.must(w.apply(office, grant(desk, start-100, start+7000, 0))) // the office is still accredited
	w.counts(office, timeOf(39), "")
	w.next(8)
	w.counts(office, timeOf(39), "")
	w.next(1) // in block 40, before its end
	w.counts(office, timeOf(40), trust.RuleWithdrawn)
	w.want(w.apply(office, grant(desk, start-100, start+7000, 0)), trust.RuleWithdrawn)
	w.next(5)
	w.counts(office, timeOf(40)-1, "")
	w.counts(desk, timeOf(40)-1, "")
	w.counts(office, timeOf(40), trust.RuleWithdrawn)
	w.counts(desk, timeOf(40), trust.RuleWithdrawn)
	for _, c := range w.o.Changes() {
		if bytes.HasPrefix(c.Key, []byte("trust/due/")) && c.Value != nil {
			t.Errorf("%q is left", c.Key)
		}
	}
	acc, err := trust.GetAccreditation(w.o, office, resident)
	if err != nil {
		t.Fatal(err)
	}
	if got := acc.Grants[0].Withdrawal; got.From != 40 || got.FromTime != timeOf(40) || got.By != agency || !got.Stand {
		t.Errorf("%+v", got)
	}
}

// announced lists the heights for which the state names withdrawals to come, with their records.
func (w *world) announced() map[hufu.Height]string {
	out := map[hufu.Height]string{}
	for _, c := range w.o.Changes() {
		if at, ok := bytes.CutPrefix(c.Key, []byte("trust/due/")); ok && c.Value != nil {
			out[hufu.Height(binary.BigEndian.Uint64(at))] = string(c.Value)
		}
	}
	return out
}

// Each grant gets the time of its own height, and one that is not withdrawn none; what is known at
// once is not announced, and nothing is announced twice.
func TestAnnouncements(t *testing.T) {
	w := newWorld(t)
	w.hierarchy()
	w.must(w.decide(grant(stranger, start-300, start+9000, 2)))
	w.must(w.apply(stranger, grant(office, start-200, start+8000, 1)))
	w.next(30)
	w.must(w.apply(stranger, withdrawal(office, 50, true)))
	w.must(w.apply(agency, withdrawal(office, 40, true)))
	w.must(w.decide(grant(office, start-300, start+9000, 1)))
	w.next(9)
	w.must(trust.EndBlock(w.ctx, w.o))
	acc, err := trust.GetAccreditation(w.o, office, resident)
	w.must(err)
	if acc.Grants[0].Withdrawal.FromTime != timeOf(40) || acc.Grants[1].Withdrawal.FromTime != 0 || acc.Grants[2].Withdrawal != nil {
		t.Errorf("%+v", acc.Grants)
	}
	before := w.announced()
	w.must(trust.Withdraw(w.ctx, w.o, decision, withdrawal(office, 50, false)))
	if after := w.announced(); len(before) != 1 || after[50] != before[50] || len(after) != 1 {
		t.Errorf("announced %v, then %v", before, after)
	}
	// Stricter, from a later height, about what is announced already: still nothing new.
	w = newWorld(t)
	w.hierarchy()
	w.must(w.apply(agency, withdrawal(office, 50, true)))
	w.must(w.apply(agency, withdrawal(office, 60, false)))
	if got := w.announced(); len(got) != 1 || got[50] == "" {
		t.Errorf("announced %v", got)
	}
}

// What holds from this very block has its time at once.
func TestWithdrawnNow(t *testing.T) {
	w := newWorld(t)
	w.hierarchy()
	w.next(30)
	w.must(w.apply(agency, withdrawal(office, 0, true)))
	acc, err := trust.GetAccreditation(w.o, office, resident)
	if err != nil || acc.Grants[0].Withdrawal.FromTime != timeOf(31) || len(w.announced()) != 0 {
		t.Errorf("%+v %v, announced %v", acc, err, w.announced())
	}
}

// A withdrawal may become earlier and stricter, and never the opposite.
func TestWithdrawalOnlyTightens(t *testing.T) {
	for name, c := range map[string]struct {
		first, second *tx.TrustWithdraw
		rule          hufu.Rule
		from          hufu.Height
		stand         bool
	}{
		"again":              {withdrawal(office, 0, false), withdrawal(office, 0, false), trust.RuleNothing, 31, false},
		"softer":             {withdrawal(office, 0, false), withdrawal(office, 0, true), trust.RuleNothing, 31, false},
		"later":              {withdrawal(office, 0, true), withdrawal(office, 50, true), trust.RuleNothing, 31, true},
		"later and stricter": {withdrawal(office, 0, true), withdrawal(office, 50, false), "", 31, false},
		"stricter":           {withdrawal(office, 0, true), withdrawal(office, 0, false), "", 31, false},
		"earlier":            {withdrawal(office, 50, true), withdrawal(office, 40, true), "", 40, true},
		"earlier but softer": {withdrawal(office, 50, false), withdrawal(office, 0, true), "", 31, false},
		"pending, stricter":  {withdrawal(office, 50, true), withdrawal(office, 60, false), "", 50, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.hierarchy()
			w.next(30)
			w.must(w.apply(agency, c.first))
			w.want(w.apply(agency, c.second), c.rule)
			w.next(40)
			acc, err := trust.GetAccreditation(w.o, office, resident)
			if err != nil {
				t.Fatal(err)
			}
			got := acc.Grants[0].Withdrawal
			if got.From != c.from || got.Stand != c.stand || got.FromTime != timeOf(c.from) {
				t.Errorf("from %d (%d), stand %v", got.From, got.FromTime, got.Stand)
			}
		})
	}
}

func TestWithdrawRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		by   hufu.ID
		w    *tx.TrustWithdraw
		rule hufu.Rule
	}{
		"by a stranger":     {stranger, withdrawal(office, 0, false), trust.RuleNothing},
		"by the subject":    {office, withdrawal(office, 0, false), trust.RuleNothing},
		"by a grandparent":  {agency, withdrawal(desk, 0, false), trust.RuleNothing},
		"the members' own":  {north, withdrawal(agency, 0, false), trust.RuleNothing},
		"of a stranger":     {agency, withdrawal(stranger, 0, false), trust.RuleNothing},
		"of another type":   {agency, &tx.TrustWithdraw{Subject: office, Type: guardian}, trust.RuleNothing},
		"in the past":       {agency, withdrawal(office, 30, false), trust.RulePast},
		"from this height":  {agency, withdrawal(office, 31, false), ""},
		"from the next one": {agency, withdrawal(office, 32, false), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.hierarchy()
			w.next(30)
			w.want(w.apply(c.by, c.w), c.rule)
		})
	}
	w := newWorld(t)
	w.want(trust.Withdraw(w.ctx, w.o, decision, withdrawal(stranger, 0, false)), trust.RuleNothing)
	if err := w.apply(north, &tx.DIDDeactivate{}); err == nil || hufu.RuleOf(err) != "" {
		t.Errorf("another module's transaction: %v", err)
	}
}

// A withdrawn subject can be accredited anew: the old grant stays withdrawn.
func TestAccreditedAgain(t *testing.T) {
	w := newWorld(t)
	w.hierarchy()
	w.next(30)
	w.must(w.apply(agency, withdrawal(office, 0, false)))
	w.next(1)
	w.must(w.apply(agency, grant(office, timeOf(32), start+8000, 1)))
	w.counts(office, timeOf(32), "")
	w.counts(office, timeOf(31), trust.RuleWithdrawn)
	w.counts(desk, timeOf(32), trust.RuleWithdrawn) // its grant came from the old one
}

func TestTooManyDue(t *testing.T) {
	w := newWorld(t)
	w.must(w.decide(grant(agency, start-300, start+9000, 2)))
	for i := range trust.MaxDue + 1 {
		to := hufu.ID{0x80, byte(i), byte(i >> 8)}
		acc := &trust.Accreditation{Subject: to, Type: resident, Grants: []trust.Grant{{By: agency}}}
		w.must(state.Save(w.o, trust.AccreditationKey(to, resident), acc))
		rule := hufu.Rule("")
		if i == trust.MaxDue {
			rule = trust.RuleTooManyDue
		}
		w.want(w.apply(agency, withdrawal(to, 9, false)), rule)
	}
}

// Whatever happens: no chain counts in which a link is wider than the one above, and once a credential
// has fallen by withdrawal it stays fallen while nobody is accredited anew.
func TestNeverWiderNeverUndone(t *testing.T) {
	cast := []hufu.ID{agency, office, desk, stranger}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t)
		w.must(w.decide(grant(agency, start, start+900, 3)))
		draw := func(n int, what string) int { return rapid.IntRange(0, n-1).Draw(rt, what) }
		for range draw(14, "grants") {
			by, to := cast[draw(4, "by")], cast[draw(4, "to")]
			from := start + int64(draw(20, "from"))*10
			_ = w.apply(by, grant(to, from, from+int64(draw(90, "length"))*10, uint8(draw(4, "levels"))))
			w.next(draw(2, "blocks"))
		}
		fallen := map[string]bool{}
		for range draw(10, "withdrawals") {
			at := hufu.Height(0)
			if draw(2, "later") == 1 {
				at = w.ctx.Height + hufu.Height(draw(5, "from"))
			}
			_ = w.apply(cast[draw(4, "by")], withdrawal(cast[draw(4, "to")], at, draw(2, "stand") == 1))
			w.next(draw(4, "blocks"))
			w.must(trust.EndBlock(w.ctx, w.o)) // only ended blocks are read
			for _, id := range cast {
				for at := start; at < start+1000; at += 50 {
					w.check(fallen, id, at)
				}
			}
		}
	})
}

func (w *world) check(fallen map[string]bool, issuer hufu.ID, at int64) {
	w.Helper()
	name := fmt.Sprint(issuer[0], at)
	chain, err := trust.Chain(w.o, issuer, resident, at, w.now())
	switch {
	case err != nil && hufu.RuleOf(err) == "":
		w.Fatal(err)
	case err != nil:
		if hufu.RuleOf(err) == trust.RuleWithdrawn {
			fallen[name] = true
		}
		return
	case fallen[name]:
		w.Fatalf("issued by %d at %d: fallen, and counts again", issuer[0], at-start)
	}
	for i := 1; i < len(chain); i++ {
		below, above := chain[i-1].Grant, chain[i].Grant
		if below.By != chain[i].Subject || below.Delegate >= above.Delegate || below.NotBefore < above.NotBefore || below.NotAfter > above.NotAfter {
			w.Fatalf("link %d is wider than the one above", i-1)
		}
	}
	if !chain[len(chain)-1].Grant.Root() || len(chain) > tx.MaxDelegate+1 {
		w.Fatalf("a chain of %d links that does not end at the members", len(chain))
	}
}

// damaged is a state in which a record is not what this package wrote.
type damaged struct {
	state.Reader
	key, value []byte
	err        error
}

func (d damaged) Get(key []byte) ([]byte, error) {
	if bytes.Equal(key, d.key) {
		return d.value, d.err
	}
	return d.Reader.Get(key)
}

// A state that cannot be read or does not fit together is an error and never an accreditation.
func TestDamagedState(t *testing.T) {
	w := newWorld(t)
	w.hierarchy()
	encode := func(acc *trust.Accreditation) []byte {
		o := state.NewOverlay(state.Empty{})
		w.must(state.Save(o, []byte("k"), acc))
		raw, err := o.Get([]byte("k"))
		w.must(err)
		return raw
	}
	agencys := trust.AccreditationKey(agency, resident)
	above := trust.Grant{Delegate: 2, NotBefore: start - 300, NotAfter: start + 9000}
	short, shallow := above, above
	short.NotAfter, shallow.Delegate = start+7999, 1
	for name, d := range map[string]damaged{
		"unreadable":     {w.o, agencys, nil, errors.New("unreadable")},
		"no record":      {w.o, agencys, []byte{0xff}, nil},
		"parent gone":    {w.o, agencys, nil, nil},
		"grant gone":     {w.o, agencys, encode(&trust.Accreditation{Subject: agency, Type: resident}), nil},
		"parent shorter": {w.o, agencys, encode(&trust.Accreditation{Subject: agency, Type: resident, Grants: []trust.Grant{short}}), nil},
		"parent flatter": {w.o, agencys, encode(&trust.Accreditation{Subject: agency, Type: resident, Grants: []trust.Grant{shallow}}), nil},
	} {
		if _, err := trust.Chain(d, office, resident, start+500, w.now()); err == nil || hufu.RuleOf(err) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	o := state.NewOverlay(w.o)
	w.must(trust.Withdraw(w.ctx, o, decision, withdrawal(agency, 2, false)))
	o.Delete(agencys)
	later := w.ctx
	later.Height = 2
	if err := trust.EndBlock(later, o); err == nil {
		t.Error("a withdrawal of nothing came into effect")
	}
}
