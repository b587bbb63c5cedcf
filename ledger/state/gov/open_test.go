package gov_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// scanned are the proposals that a scan of all there are finds to be open.
func (c *council) scanned(all []hufu.Digest) (out []gov.Proposal) {
	c.t.Helper()
	for _, id := range all {
		if p := c.proposal(id); p.Executed == 0 && p.Ends >= c.now.Time {
			out = append(out, *p)
		}
	}
	slices.SortFunc(out, func(a, b gov.Proposal) int {
		return cmp.Or(cmp.Compare(a.Height, b.Height), bytes.Compare(a.ID[:], b.ID[:]))
	})
	return out
}

func (c *council) open() []gov.Proposal {
	c.t.Helper()
	list, err := gov.OpenProposals(c.o, c.now.Time)
	c.check(err)
	return list
}

func describe(list []gov.Proposal) string {
	raw, err := json.Marshal(list)
	if err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(raw), "null", "[]")
}

// The index is what a scan finds, whatever members do: propose, vote, let time pass, leave and come back.
func TestOpenProposalsAreWhatAScanFinds(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		c := found(t, rapid.IntRange(1, 4).Draw(r, "founders"))
		var all []hufu.Digest
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			member := byte(rapid.IntRange(0, 4).Draw(r, "member"))
			switch rapid.IntRange(0, 5).Draw(r, "what") {
			case 0, 1:
				other := byte(rapid.IntRange(0, 4).Draw(r, "other"))
				action := rapid.SampledFrom([]tx.Action{
					{AdmitMember: c.terms(other)},
					{RemoveMember: &tx.MemberRemoval{Member: c.id(other)}},
					{Accredit: &tx.TrustAccredit{}},
					{SetParams: &tx.Params{EpochSeconds: 100, VotingSeconds: rapid.Uint32Range(1, 300).Draw(r, "voting"), ThresholdNum: 1, ThresholdDen: 2}},
				}).Draw(r, "action")
				if id, err := c.apply(member, &tx.GovPropose{Title: "t", Actions: []tx.Action{action}}); err == nil {
					all = append(all, id)
				} else if hufu.RuleOf(err) == "" {
					r.Fatal(err)
				}
			case 2, 3, 4:
				if len(all) > 0 {
					err := c.vote(member, rapid.SampledFrom(all).Draw(r, "proposal"), rapid.Bool().Draw(r, "approve"))
					if err != nil && hufu.RuleOf(err) == "" {
						r.Fatal(err)
					}
				}
			case 5:
				c.now.Time += rapid.Int64Range(0, 120).Draw(r, "pass")
			}
			if got, want := describe(c.open()), describe(c.scanned(all)); got != want {
				r.Fatalf("listed:\n%s\nfound:\n%s", got, want)
			}
		}
	})
}

func TestOpenProposalsAreBounded(t *testing.T) {
	c := found(t, 3)
	action := tx.Action{Accredit: &tx.TrustAccredit{}}
	c.now.Time = 0
	fill := func(author byte) {
		t.Helper()
		for range gov.MaxOpenProposals {
			c.now.Time -= 10 // all at one time
			c.propose(author, action)
		}
	}
	fill(0)
	_, err := c.apply(0, &tx.GovPropose{Title: "t", Actions: []tx.Action{action}})
	wantRule(t, err, gov.RuleTooManyOpen)
	fill(1) // a member's do not count against another
	// One that is decided makes room, as does time.
	first := c.open()[0]
	c.check(c.vote(1, first.ID, true))
	c.propose(0, action)
	_, err = c.apply(0, &tx.GovPropose{Title: "t", Actions: []tx.Action{action}})
	wantRule(t, err, gov.RuleTooManyOpen)
	c.now.Time += 200
	c.propose(0, action)
	if got := c.open(); len(got) != 1 {
		t.Errorf("%d are open", len(got))
	}
}

// Those who left have room together for the proposals of some, whom nobody can follow before time has passed.
func TestOpenOfFormerIsBounded(t *testing.T) {
	leaving := gov.MaxOpenOfFormer / gov.MaxOpenProposals
	c := found(t, leaving+4)
	c.check(gov.SetParams(c.now, c.o, hufu.Digest{}, &tx.Params{EpochSeconds: 100, VotingSeconds: 1 << 20, ThresholdNum: 1, ThresholdDen: 1000}))
	out := func(n int) error {
		_, err := c.apply(byte(leaving+1), &tx.GovPropose{Title: "out", Actions: []tx.Action{{RemoveMember: &tx.MemberRemoval{Member: c.id(byte(n))}}}})
		return err
	}
	// One vote decides; what is to stay open is made while more are wanted.
	lax := state.Context{Network: "demo"}
	for n := range leaving + 1 {
		c.check(gov.SetParams(lax, c.o, hufu.Digest{}, &tx.Params{EpochSeconds: 100, VotingSeconds: 1 << 20, ThresholdNum: 1, ThresholdDen: 1}))
		for range gov.MaxOpenProposals {
			c.propose(byte(n), tx.Action{Accredit: &tx.TrustAccredit{}})
		}
		c.check(gov.SetParams(lax, c.o, hufu.Digest{}, &tx.Params{EpochSeconds: 100, VotingSeconds: 1 << 20, ThresholdNum: 1, ThresholdDen: 1000}))
		err := out(n)
		if n < leaving {
			c.check(err)
			continue
		}
		wantRule(t, err, gov.RuleTooManyOpen)
	}
	if got := c.open(); len(got) != gov.MaxOpenOfFormer+gov.MaxOpenProposals {
		t.Errorf("%d are open", len(got))
	}
	c.now.Time += 1 << 21
	c.check(out(leaving))
}

func TestNeeded(t *testing.T) {
	for den := uint32(1); den <= 7; den++ {
		for num := uint32(1); num <= den; num++ {
			for members := 1; members <= 20; members++ {
				p := tx.Params{ThresholdNum: num, ThresholdDen: den}
				n := gov.Needed(p, members)
				if !gov.Passes(p, n, members) || gov.Passes(p, n-1, members) {
					t.Fatalf("%d/%d of %d members is said to be %d", num, den, members, n)
				}
			}
		}
	}
}
