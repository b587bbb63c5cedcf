package client_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

func (p *person) updates(n int) (raws [][]byte) {
	for i := range n {
		raws = append(raws, p.update(fmt.Sprintf("m%d", i)))
	}
	return raws
}

// All that follow one another are offered before the first is in a block, and end up in blocks in their order.
func TestSubmitAll(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	raws := p.updates(12)
	before := s.liar.Calls(broadcast)
	s.liar.Lie(to(broadcast, swallow))
	given := make(chan []client.Outcome, 1)
	go func() {
		told := 0
		given <- c.SubmitAll(s.ctx, raws, func(o client.Outcome) {
			if o.Err != nil || o.Receipt.TxID != idOf(t, s, raws[told]) {
				t.Errorf("told of number %d: %+v", told, o)
			}
			told++
		})
		if told != len(raws) {
			t.Errorf("told of %d", told)
		}
	}()
	s.until("all are offered, none is in a block", func() bool {
		return s.liar.Calls(broadcast) == before+len(raws) && client.Waiting(c) == len(raws)
	})
	for _, raw := range raws {
		if err := s.node.Broadcast(s.ctx, raw); err != nil {
			t.Fatal(err)
		}
	}
	last := client.Receipt{}
	for i, o := range <-given {
		r := o.Receipt
		if o.Err != nil || r.Height < last.Height || r.Height == last.Height && i > 0 && r.Index <= last.Index {
			t.Errorf("number %d: %+v after %+v", i, o, last)
		}
		last = r
	}
	if rec, _, err := record(s.ctx, c, p.id); err != nil || len(rec.Methods) != len(raws) {
		t.Errorf("%+v, %v", rec, err)
	}
	if client.Waiting(c) != 0 {
		t.Error("somebody still waits")
	}
}

func idOf(t *testing.T, s *scene, raw []byte) hufu.Digest {
	t.Helper()
	parsed, err := tx.Parse(raw, s.net.Name)
	if err != nil {
		t.Fatal(err)
	}
	return parsed.ID()
}

// What comes after one that is refused at admission stays here, and that is said of it.
func TestSubmitAllRefused(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	good := p.update("good")
	p.sequence += 5
	ahead, after := p.update("ahead"), p.update("after")
	for name, x := range map[string]struct {
		bad  []byte
		rule hufu.Rule
	}{
		"unreadable":     {[]byte("nothing"), tx.RuleMalformed},
		"ahead of a gap": {ahead, machine.RuleSequence},
	} {
		p := s.person(c)
		before := s.liar.Calls(broadcast)
		got := c.SubmitAll(s.ctx, [][]byte{p.update("good"), x.bad, after}, nil)
		if len(got) != 3 || got[0].Err != nil || got[0].Receipt.Height == 0 {
			t.Fatalf("%s: %+v", name, got)
		}
		wantRule(t, got[1].Err, x.rule)
		if !errors.Is(got[2].Err, client.ErrNotOffered) || s.liar.Calls(broadcast) > before+2 {
			t.Errorf("%s: %+v after %d offers", name, got, s.liar.Calls(broadcast)-before)
		}
	}
	if got := c.SubmitAll(s.ctx, [][]byte{[]byte("nothing"), good}, nil); hufu.RuleOf(got[0].Err) != tx.RuleMalformed || !errors.Is(got[1].Err, client.ErrNotOffered) {
		t.Errorf("%+v", got)
	}
	if got := c.SubmitAll(s.ctx, nil, nil); len(got) != 0 {
		t.Error(got)
	}
	s.liar.Lie(to(broadcast, func(e *clienttest.Exchange) { e.Drop() }))
	got := c.SubmitAll(s.ctx, [][]byte{good, p.update("never")}, nil)
	if !errors.Is(got[0].Err, client.ErrUnknownOutcome) || !errors.Is(got[1].Err, client.ErrNotOffered) {
		t.Errorf("the node is away: %+v", got)
	}
}

// One that is refused in its block does not keep the others from theirs.
func TestSubmitAllRefusedInABlock(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	for range 50 {
		p := s.person(c)
		got := c.SubmitAll(s.ctx, [][]byte{p.update("same"), p.update("same"), p.update("other")}, nil)
		if got[0].Err != nil || hufu.RuleOf(got[1].Err) != did.RuleMethod {
			t.Fatalf("%+v", got)
		}
		if got[1].Receipt.Height == 0 {
			continue // the first was in a block already: refused at admission
		}
		if got[2].Err != nil || got[2].Receipt.Height < got[1].Receipt.Height {
			t.Errorf("%+v", got)
		}
		return
	}
	t.Fatal("no two transactions met in the mempool")
}

// Another node is offered all of them again, in their order, whatever the first one made of them.
func TestSubmitAllToAnotherNode(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	w := s.watched(client.Options{}, s.trust(), s.liar.URL(), s.node.URL())
	if _, err := w.Head(s.ctx); err != nil {
		t.Fatal(err)
	}
	raws := p.updates(6)
	offered := 0
	s.liar.Lie(func(e *clienttest.Exchange) {
		if e.Method != broadcast {
			return
		}
		// It has two of them, keeps quiet about a third, and is gone.
		switch offered++; offered {
		case 3:
			swallow(e)
			s.liar.Lie(func(e *clienttest.Exchange) { e.Drop() })
		}
	})
	for i, o := range w.SubmitAll(s.ctx, raws, nil) {
		if o.Err != nil {
			t.Errorf("number %d: %+v", i, o)
		}
	}
}

// What a node took before one that it refused is offered to another node all the same, when that takes the lead.
func TestSubmitAllRefusedThenToAnotherNode(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	w := s.watched(client.Options{}, s.trust(), s.liar.URL(), s.node.URL())
	if _, err := w.Head(s.ctx); err != nil {
		t.Fatal(err)
	}
	raws := p.updates(2)
	p.sequence += 5
	raws = append(raws, p.update("ahead"), p.update("after"))
	offered := 0
	s.liar.Lie(func(e *clienttest.Exchange) {
		if e.Method != broadcast {
			return
		}
		// It takes two, and has them in no block; refuses the third; and is gone.
		if offered++; offered < 3 {
			swallow(e)
			return
		}
		s.liar.Lie(func(e *clienttest.Exchange) { e.Drop() })
	})
	got := w.SubmitAll(s.ctx, raws, nil)
	for i, o := range got[:2] {
		if o.Err != nil {
			t.Errorf("number %d: %+v", i, o)
		}
	}
	wantRule(t, got[2].Err, machine.RuleSequence)
	if !errors.Is(got[3].Err, client.ErrNotOffered) {
		t.Errorf("%+v", got[3])
	}
}

// Busy nodes are waited for, without another one's being offered first.
func TestSubmitAllToABusyNode(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	refusals := 0
	s.liar.Lie(to(broadcast, func(e *clienttest.Exchange) {
		if refusals++; refusals == 2 || refusals == 3 {
			e.Answer(map[string]any{"code": 1, "codespace": string(proof.RuleBusy), "log": "later"})
		}
	}))
	for i, o := range c.SubmitAll(s.ctx, p.updates(3), nil) {
		if o.Err != nil {
			t.Errorf("number %d: %+v", i, o)
		}
	}
	if refusals != 5 {
		t.Errorf("%d offers", refusals)
	}
}
