package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Whatever is examined together, each transaction has its own answer, a transaction from a peer among them, and
// nobody waits for ever.
func TestIntakeAnswersEach(t *testing.T) {
	c := newChain(t, store.NewMemory())
	const offered = 400
	raws, want, got := make([][]byte, offered), make([]hufu.Rule, offered), make([]error, offered)
	for i := range raws {
		raws[i] = c.create(uint64(i))
		switch i % 8 {
		case 3:
			raws[i], want[i] = altered(t, raws[i], func(m *message) { m.Signatures[0].Sig[3] ^= 1 }), machine.RuleSignature
		case 5:
			raws[i], want[i] = raws[i][1:], tx.RuleMalformed
		case 6:
			raws[i], _ = c.noPoint(uint64(i))
			want[i] = tx.RuleBody
		case 7:
			raws[i], want[i] = bytes.Repeat([]byte{1}, tx.MaxSize+1), tx.RuleTooLarge
		}
	}
	var group sync.WaitGroup
	for i, raw := range raws {
		group.Go(func() {
			if i%8 == 1 {
				got[i] = c.app.OfferFromPeer(raw, "peer")
				return
			}
			got[i] = c.app.Offer(raw, fmt.Sprint("source ", i))
		})
	}
	group.Wait()
	waiting := 0
	for i, err := range got {
		if rule := hufu.RuleOf(err); rule != want[i] || (rule == "") != (err == nil) {
			t.Errorf("%d: %v, not %q", i, err, want[i])
		}
		if err == nil {
			waiting++
		}
	}
	if waiting != offered/2 || c.app.Waiting() != waiting {
		t.Errorf("%d taken, %d wait", waiting, c.app.Waiting())
	}
	if err := c.check(raws[0]); hufu.RuleOf(err) != proof.RuleKnown {
		t.Errorf("offered again: %v", err)
	}
	c.app.Close()
	if err := c.check(c.create(offered)); hufu.RuleOf(err) != proof.RuleBusy {
		t.Errorf("after close: %v", err)
	}
}

// Whoever no longer waits for an answer is let go. What was offered is judged all the same.
func TestOfferThatIsNotWaitedFor(t *testing.T) {
	c := newChain(t, store.NewMemory())
	release := c.app.HoldWorkers()
	const offered = 30
	ctx, leave := context.WithCancel(t.Context())
	var group sync.WaitGroup
	size := 0
	for i := range uint64(offered) {
		raw := c.create(i)
		size += len(raw)
		group.Go(func() {
			if err := c.app.OfferUntil(ctx, raw, "local"); !errors.Is(err, context.Canceled) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	for c.app.Offered() < size {
		runtime.Gosched()
	}
	leave()
	group.Wait()
	release()
	c.app.Close()
	if c.app.Waiting() != offered {
		t.Errorf("%d wait", c.app.Waiting())
	}
}
