package node_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Whatever is examined together, each transaction has its own answer, a transaction from a peer among them;
// what may wait is given to the mempool once, and nobody waits for ever.
func TestIntakeAnswersEach(t *testing.T) {
	c := newChain(t, store.NewMemory())
	lost := errors.New("the mempool is lost")
	var given, lostOnes [][]byte
	c.app.Mempool(func(raw []byte, answer func(*abci.ResponseCheckTx)) error {
		given = append(given, raw) // by one goroutine
		if len(given)%50 == 0 {
			lostOnes = append(lostOnes, raw)
			return lost
		}
		r, err := c.app.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: raw})
		answer(r)
		return err
	})
	const offered = 400
	type result struct {
		rule hufu.Rule
		err  error
	}
	raws, want, got := make([][]byte, offered), make([]hufu.Rule, offered), make([]result, offered)
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
			if i%8 == 1 { // from a peer
				got[i].rule = hufu.Rule(c.check(raw).Codespace)
				return
			}
			r, err := c.app.Broadcast(t.Context(), raw, fmt.Sprint("source ", i))
			if got[i].err = err; err == nil {
				got[i].rule = hufu.Rule(r.Codespace)
			}
		})
	}
	group.Wait()
	waiting := 0
	for i, r := range got {
		if r.err != nil {
			if !errors.Is(r.err, lost) || !containsBytes(lostOnes, raws[i]) {
				t.Errorf("%d: %v", i, r.err)
			}
			continue
		}
		if r.rule != want[i] {
			t.Errorf("%d: %q, not %q", i, r.rule, want[i])
		}
		if r.rule == "" {
			waiting++
		}
	}
	if len(given) != offered/2-offered/8 || len(lostOnes) == 0 || c.app.Waiting() != waiting {
		t.Errorf("the mempool was given %d and lost %d; %d taken, %d wait", len(given), len(lostOnes), waiting, c.app.Waiting())
	}
	if r, err := c.app.Broadcast(t.Context(), raws[0], ""); err != nil || hufu.Rule(r.Codespace) != proof.RuleKnown {
		t.Errorf("offered again: %v, %v", r, err)
	}
	c.app.Close()
	if r, err := c.app.Broadcast(t.Context(), c.create(offered), ""); err != nil || hufu.Rule(r.Codespace) != proof.RuleBusy {
		t.Errorf("after close: %v, %v", r, err)
	}
}

func containsBytes(list [][]byte, b []byte) bool {
	for _, o := range list {
		if bytes.Equal(o, b) {
			return true
		}
	}
	return false
}

// The mempool stands still while a block is committed: transactions are examined meanwhile, and whoever
// no longer waits for an answer is let go.
func TestIntakeWhileMempoolStandsStill(t *testing.T) {
	c := newChain(t, store.NewMemory())
	let := make(chan struct{})
	c.app.Mempool(func(raw []byte, answer func(*abci.ResponseCheckTx)) error {
		<-let
		r, err := c.app.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: raw})
		answer(r)
		return err
	})
	const offered = 30
	ctx, leave := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for i := range uint64(offered) {
		group.Go(func() {
			if _, err := c.app.Broadcast(ctx, c.create(i), ""); !errors.Is(err, context.Canceled) {
				t.Errorf("%d: %v", i, err)
			}
		})
	}
	peers := uint64(0)
	for c.app.Verified() < offered+peers {
		c.admitted(c.create(1000 + peers)) // a peer's, too
		peers++
	}
	leave()
	group.Wait()
	close(let)
	c.app.Close()
	if c.app.Waiting() != offered+int(peers) {
		t.Errorf("%d wait, %d of them from peers", c.app.Waiting(), peers)
	}
}
