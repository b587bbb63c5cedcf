package client_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

const broadcast = "broadcast_tx_sync"

// swallow answers that a transaction waits for a block, and forgets it.
func swallow(e *clienttest.Exchange) { e.Answer(map[string]any{"code": 0}) }

// What the node refuses before a block has the rule it was refused by, and no height.
func TestRefusedAtAdmission(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	p := s.person(c)
	if _, err := c.Submit(s.ctx, p.update("first")); err != nil {
		t.Fatal(err)
	}
	payload := func(f func(*tx.Payload)) func() []byte {
		return func() []byte {
			before := p.sequence
			defer func() { p.sequence = before }()
			return p.update("other", f)
		}
	}
	signedBy := func(signer keys.Signer, keyIndex uint8) func() []byte {
		return func() []byte {
			raw, err := tx.Build(nil, tx.Payload{Network: s.net.Name, Author: p.id, Sequence: p.sequence, Expires: sample.Lifetime},
				&tx.DIDDeactivate{}, tx.SignerRef{Signer: signer, KeyIndex: keyIndex})
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
	}
	stranger, err := sample.Key("stranger", 1)
	if err != nil {
		t.Fatal(err)
	}
	head, err := c.Await(s.ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	for name, r := range map[string]struct {
		raw  func() []byte
		rule hufu.Rule
	}{
		"used sequence":    {payload(func(p *tx.Payload) { p.Sequence = 1 }), machine.RuleSequence},
		"future sequence":  {payload(func(p *tx.Payload) { p.Sequence = 9 }), machine.RuleSequence},
		"expired":          {payload(func(p *tx.Payload) { p.Expires = head.Height - 1 }), machine.RuleExpired},
		"expires too late": {payload(func(p *tx.Payload) { p.Expires = head.Height + 2*machine.MaxLifetime }), machine.RuleLifetime},
		"unknown author":   {payload(func(p *tx.Payload) { p.Author = hufu.ID{1} }), did.RuleUnknown},
		"other network":    {payload(func(p *tx.Payload) { p.Network = "other" }), tx.RuleNetwork},
		"wrong signature":  {signedBy(stranger, 0), machine.RuleSignature},
		"wrong key":        {signedBy(p.signer, 1), machine.RuleKey},
		"not a member": {func() []byte {
			raw, err := tx.Build(nil, tx.Payload{Network: s.net.Name, Author: p.id, Sequence: p.sequence, Expires: sample.Lifetime},
				&tx.GovVote{Proposal: hufu.Digest{1}}, tx.SignerRef{Signer: p.signer})
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}, gov.RuleNotMember},
		"not a transaction": {func() []byte { return []byte("not a transaction") }, tx.RuleMalformed},
		"too large":         {func() []byte { return make([]byte, tx.MaxSize+1) }, tx.RuleTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 {
				receipt, err := c.Submit(s.ctx, r.raw())
				wantRule(t, err, r.rule)
				if receipt != (client.Receipt{}) {
					t.Errorf("refused, with the receipt %+v", receipt)
				}
			}
		})
	}
	if rec, _, err := record(s.ctx, c, p.id); err != nil || rec.Sequence != 2 {
		t.Errorf("refusals changed the record: %+v, %v", rec, err)
	}
}

// A transaction whose turn comes after one that makes it impossible is in a block, refused, and the
// refusal is proven.
func TestRefusedInABlock(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	for range 50 {
		p := s.person(c)
		first, second := p.update("same"), p.update("same")
		if err := s.node.Broadcast(s.ctx, first); err != nil {
			t.Fatal(err)
		}
		receipt, err := c.Submit(s.ctx, second)
		wantRule(t, err, did.RuleMethod)
		if receipt.Height == 0 {
			continue // the first was in a block already: refused at admission
		}
		if !strings.Contains(err.Error(), "did.method") || receipt.TxID == (hufu.Digest{}) || receipt.Time.IsZero() {
			t.Errorf("receipt %+v, error %v", receipt, err)
		}
		rec, asOf, err := record(s.ctx, c, p.id)
		if err != nil || rec.Sequence != 3 || len(rec.Methods) != 1 || asOf.Height < receipt.Height {
			t.Errorf("record %+v at %+v, %v", rec, asOf, err)
		}
		return
	}
	t.Fatal("no two transactions met in the mempool")
}

func TestSubmittedTwice(t *testing.T) {
	s := newScene(t)
	c, other := s.honest(), s.honest()
	if _, err := other.Head(s.ctx); err != nil {
		t.Fatal(err)
	}
	p := s.person(c)
	raw := p.update("m")
	var group sync.WaitGroup
	receipts, errs := make([]client.Receipt, 20), make([]error, 20)
	for i := range receipts {
		group.Go(func() { receipts[i], errs[i] = c.Submit(s.ctx, raw) })
	}
	group.Wait()
	for i := range receipts {
		// One that came after the block is told that its sequence number is used.
		if hufu.RuleOf(errs[i]) == machine.RuleSequence {
			continue
		}
		if errs[i] != nil || receipts[i].Height == 0 {
			t.Errorf("%+v, %v", receipts[i], errs[i])
		}
	}
	if _, err := other.Submit(s.ctx, raw); hufu.RuleOf(err) != machine.RuleSequence {
		t.Errorf("once more: %v", err)
	}
	if rec, _, err := record(s.ctx, c, p.id); err != nil || rec.Sequence != 2 || rec.Version != 2 {
		t.Errorf("the record is %+v, %v", rec, err)
	}
}

// When the first of two who wait for one transaction gives up, the other still learns the outcome.
func TestSharedWait(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	raw := p.update("m")
	held, offered := make(chan struct{}), make(chan struct{})
	s.liar.Lie(to(broadcast, func(e *clienttest.Exchange) {
		close(offered)
		e.Hold(held)
	}))
	first, cancel := context.WithCancel(s.ctx)
	outcome := make(chan error, 2)
	go func() {
		_, err := c.Submit(first, raw)
		outcome <- err
	}()
	<-offered
	joined := make(chan error, 1)
	second, inside := context.WithCancel(s.ctx)
	defer inside()
	go func() {
		_, err := c.Submit(second, raw)
		joined <- err
	}()
	s.until("the second waits too", func() bool { return client.Waiting(c) == 2 })
	cancel()
	if err := <-outcome; !errors.Is(err, client.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("the first: %v", err)
	}
	close(held)
	if err := <-joined; err != nil {
		t.Errorf("the second: %v", err)
	}
}

// Who joins others that wait for a transaction leaves nothing behind, also where there is another node to offer to.
func TestJoiningOffersNothing(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	w := s.watched(client.Options{}, s.trust(), s.liar.URL(), s.node.URL())
	if _, err := w.Head(s.ctx); err != nil {
		t.Fatal(err)
	}
	held, offered := make(chan struct{}), make(chan struct{})
	s.liar.Lie(to(broadcast, func(e *clienttest.Exchange) {
		close(offered)
		e.Hold(held)
	}))
	raw := p.update("m")
	outcome := make(chan error, 1)
	go func() {
		_, err := w.Submit(s.ctx, raw)
		outcome <- err
	}()
	<-offered
	for range 20 {
		joined, leave := context.WithCancel(s.ctx)
		told := make(chan error, 1)
		go func() {
			_, err := w.Submit(joined, raw)
			told <- err
		}()
		s.until("another waits too", func() bool { return client.Waiting(w.Client) == 2 })
		leave()
		if err := <-told; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if n := strings.Count(string(stacks), "client.(*Client).awaitTurn("); n != 0 {
		t.Errorf("%d offer nothing and wait for another node", n)
	}
	close(held)
	if err := <-outcome; err != nil {
		t.Error(err)
	}
}

func TestExpiredWhileWaiting(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	head, err := c.Head(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.liar.Lie(to(broadcast, swallow))
	receipt, err := c.Submit(s.ctx, p.update("m", func(p *tx.Payload) { p.Expires = head.Height + 3 }))
	if !errors.Is(err, client.ErrNotCommitted) || receipt != (client.Receipt{}) {
		t.Errorf("%+v, %v", receipt, err)
	}
	if want := fmt.Sprintf("height %d", head.Height+3); !strings.Contains(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
}

func TestBusyNode(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	refusals := 0
	s.liar.Lie(to(broadcast, func(e *clienttest.Exchange) {
		if refusals++; refusals <= 2 {
			e.Answer(map[string]any{"code": 1, "codespace": string(proof.RuleBusy), "log": "later"})
		}
	}))
	if _, err := c.Submit(s.ctx, p.update("m")); err != nil || refusals != 3 {
		t.Errorf("%d tries, %v", refusals, err)
	}

	tried := make(chan struct{}, 1000)
	s.liar.Lie(to(broadcast, func(e *clienttest.Exchange) {
		e.Answer(map[string]any{"code": 1, "codespace": string(proof.RuleBusy), "log": "never"})
		tried <- struct{}{}
	}))
	ctx, cancel := context.WithCancel(s.ctx)
	go func() {
		<-tried
		<-tried
		cancel()
	}()
	_, err := c.Submit(ctx, p.update("n"))
	if hufu.RuleOf(err) != client.RuleBusy || !errors.Is(err, context.Canceled) {
		t.Errorf("a node that is always busy: %v", err)
	}
}

func TestRefusedWithoutARule(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	s.liar.Lie(to(broadcast, func(e *clienttest.Exchange) { e.Answer(map[string]any{"code": 1, "log": "no"}) }))
	_, err := c.Submit(s.ctx, p.update("m"))
	if !errors.Is(err, client.ErrUnreachable) || !errors.Is(err, client.ErrUnknownOutcome) {
		t.Error(err)
	}
}

// A wait outlasts a node that is gone and comes back with the transaction.
func TestNodeGoneWhileWaiting(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	raw := p.update("m")
	offered := make(chan struct{})
	s.liar.Lie(to(broadcast, func(e *clienttest.Exchange) {
		swallow(e)
		close(offered)
	}))
	outcome := make(chan error, 1)
	var receipt client.Receipt
	go func() {
		var err error
		receipt, err = c.Submit(s.ctx, raw)
		outcome <- err
	}()
	<-offered
	s.liar.Lie(nil)
	if err := s.node.Stop(); err != nil {
		t.Fatal(err)
	}
	s.until("the client knows that the node is gone", func() bool {
		_, err := c.Head(s.ctx)
		return errors.Is(err, client.ErrUnreachable)
	})
	_, err := c.Submit(s.ctx, p.update("n"))
	if !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("offered to a node that is gone: %v", err)
	}
	p.sequence--
	if err := c.Read(s.ctx, func(client.View) error { return nil }); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("read from a node that is gone: %v", err)
	}
	s.start(s.net.Members[0].Keys)
	if err := s.node.Broadcast(s.ctx, raw); err != nil {
		t.Fatal(err)
	}
	if err := <-outcome; err != nil || receipt.Height == 0 {
		t.Errorf("%+v, %v", receipt, err)
	}
}

func TestWaitEndedByTheCaller(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	s.liar.Lie(to(broadcast, swallow))
	ctx, cancel := context.WithCancel(s.ctx)
	outcome := make(chan error, 1)
	submit := func(ctx context.Context) {
		_, err := c.Submit(ctx, p.update("m"))
		outcome <- err
	}
	go submit(ctx)
	s.until("somebody waits", func() bool { return client.Waiting(c) == 1 })
	cancel()
	if err := <-outcome; !errors.Is(err, client.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if n := client.Waiting(c); n != 0 {
		t.Errorf("%d still wait", n)
	}
	go submit(s.ctx)
	s.until("somebody waits", func() bool { return client.Waiting(c) == 1 })
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if err := <-outcome; !errors.Is(err, client.ErrUnknownOutcome) || !errors.Is(err, client.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	if _, err := c.Submit(s.ctx, p.update("m")); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
}
