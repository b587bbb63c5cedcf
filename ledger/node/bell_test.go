package node_test

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/store"
)

// tower is a chain whose engine's mempool is there as far as the bell is concerned: an entry, and the lock.
type tower struct {
	*chain
	mu   sync.RWMutex
	hung atomic.Bool   // whether the bell is in the mempool
	rung chan bool     // gets what the application said to each ring
	wait chan struct{} // unless nil, who rings says so and waits
}

func newTower(t *testing.T, st store.Store) *tower {
	t.Helper()
	w := &tower{chain: newChain(t, st), rung: make(chan bool, 1<<16)}
	w.app.Bell(func() {
		if w.wait != nil {
			w.wait <- struct{}{}
			<-w.wait
		}
		w.mu.RLock()
		defer w.mu.RUnlock()
		taken := w.asks(node.BellTx())
		if taken {
			w.hung.Store(true)
		}
		w.rung <- taken
	}, func() { w.hung.Store(false) })
	return w
}

func (w *tower) asks(raw []byte) bool {
	r, err := w.app.CheckTx(context.Background(), &abci.RequestCheckTx{Tx: raw})
	if err != nil {
		w.t.Error(err)
	}
	return r.GetCode() == 0
}

// commit decides a block and begins to commit it, with the mempool held as the engine does.
func (w *tower) commit(txs [][]byte) {
	w.t.Helper()
	if _, err := w.finalize(txs); err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := w.app.Commit(context.Background(), &abci.RequestCommit{}); err != nil {
		w.t.Fatal(err)
	}
	w.height++
	w.time = w.time.Add(time.Second)
}

// rings waits until the bell is rung.
func (w *tower) rings(want bool) {
	w.t.Helper()
	if got := <-w.rung; got != want || w.hung.Load() != want {
		w.t.Fatalf("the bell is rung: %v, and hangs: %v", got, w.hung.Load())
	}
}

// hangs checks that the bell hangs or not, and that nobody rang it.
func (w *tower) hangs(want bool) {
	w.t.Helper()
	if w.hung.Load() != want || len(w.rung) > 0 {
		w.t.Fatalf("the bell hangs: %v, and was rung %d times", w.hung.Load(), len(w.rung))
	}
}

// The engine knows whether something waits, and is told once.
func TestBell(t *testing.T) {
	w := newTower(t, store.NewMemory())
	if w.asks(node.BellTx()) {
		t.Error("the bell is taken for nothing")
	}
	one, two := w.create(1), w.create(2)
	w.admitted(one)
	w.rings(true)
	if w.asks(one) || w.asks([]byte("bells")) {
		t.Error("what is no bell is taken")
	}
	w.admitted(two)
	if block := w.prepareUpTo(int64(len(one) + len(two))); len(block) != 1 || !bytes.Equal(block[0], one) {
		t.Fatalf("%d in a block that has room for one", len(block))
	}
	w.commit([][]byte{one})
	w.hangs(true) // for the other
	w.commit(w.prepare())
	w.hangs(false)
	w.admitted(w.create(3))
	w.rings(true)
	w.commit([][]byte{w.create(4)}) // another's block
	w.hangs(true)
	w.commit(w.prepare())
	w.hangs(false)
	// What is let go of is not waited for, and what comes then is told of.
	w.admitted(w.own(1, "x"))
	w.rings(true)
	w.commit([][]byte{w.own(1, "y")}) // by the same number
	w.hangs(true)
	if block := w.prepare(); len(block) != 0 {
		t.Errorf("%d in the block", len(block))
	}
	w.commit(nil)
	w.hangs(false)
	w.admitted(w.create(5))
	w.rings(true)
}

// A ring that comes when the block with the transaction is committed says nothing, and the next one does.
func TestBellRungLate(t *testing.T) {
	w := newTower(t, store.NewMemory())
	w.wait = make(chan struct{})
	w.admitted(w.create(1))
	<-w.wait
	w.commit(w.prepare())
	w.wait <- struct{}{}
	w.rings(false)
	if err := w.app.Settled(); err != nil {
		t.Fatal(err)
	}
	w.admitted(w.create(2))
	<-w.wait
	w.wait <- struct{}{}
	w.rings(true)
}

// What was let in when nothing else waited, and a block is committed before the engine is told of it, is told of then.
func TestBellToldAfterBlock(t *testing.T) {
	w := newTower(t, store.NewMemory())
	tell := w.app.LetIn(t, w.create(1))
	w.commit(nil)
	w.hangs(false)
	tell()
	w.rings(true)
	tell()
	w.hangs(true) // once is enough
}

// heldStore commits when it is let to.
type heldStore struct {
	store.Store
	let chan struct{}
}

func (s *heldStore) Commit(staged *store.Staged, height hufu.Height, meta []byte) error {
	<-s.let
	return s.Store.Commit(staged, height, meta)
}

// While a block's state goes to disk, its transactions do not count as waiting, and others do.
func TestBellBesideCommit(t *testing.T) {
	let := make(chan struct{}, 1)
	let <- struct{}{} // genesis
	w := newTower(t, &heldStore{store.NewMemory(), let})
	t.Cleanup(func() { close(let) })
	w.admitted(w.create(1))
	w.rings(true)
	w.commit(w.prepare())
	w.hangs(false)
	if w.app.Waiting() != 1 || w.asks(node.BellTx()) {
		t.Errorf("%d wait, and the bell is taken", w.app.Waiting())
	}
	w.admitted(w.create(2))
	w.rings(true)
	let <- struct{}{}
	if err := w.app.Settled(); err != nil {
		t.Fatal(err)
	}
	w.hangs(true)
	if w.app.Waiting() != 1 {
		t.Errorf("%d wait", w.app.Waiting())
	}
}

// An engine that makes blocks only when the bell hangs, and many who offer: all of it is in blocks, none of which is
// empty.
func TestBellUnderLoad(t *testing.T) {
	w := newTower(t, store.NewMemory())
	const offering, each = 8, 60
	raws := make([][]byte, offering*each)
	for i := range raws {
		raws[i] = w.create(uint64(i))
	}
	var group sync.WaitGroup
	for i := range offering {
		group.Go(func() {
			for _, raw := range raws[i*each : (i+1)*each] {
				if err := w.check(raw); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for in := 0; in < len(raws); {
		for !w.hung.Load() {
			<-w.rung
		}
		block := w.prepareUpTo(4000)
		if len(block) == 0 {
			t.Fatalf("an empty block after %d transactions", in)
		}
		in += len(block)
		w.commit(block)
	}
	group.Wait()
	if err := w.app.Settled(); err != nil {
		t.Fatal(err)
	}
	if w.hung.Load() || w.app.Waiting() != 0 {
		t.Errorf("%d wait, and the bell hangs: %v", w.app.Waiting(), w.hung.Load())
	}
}

// With the real engine, a transaction that comes when nothing happens is in a block at once, and so is each of several
// that follow one another.
func TestBlocksWhenSomethingWaits(t *testing.T) {
	n, cfg := found(t)
	cfg.BlockInterval = time.Hour
	running := start(t, n, cfg)
	c := connect(t, n, running.URL())
	for i := range uint64(20) {
		for number := range i { // some at once
			raw, _, err := n.CreateDID(100*i + number)
			if err != nil {
				t.Fatal(err)
			}
			if err := running.Broadcast(t.Context(), raw); err != nil {
				t.Fatal(err)
			}
		}
		last, _, err := n.CreateDID(100*i + i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Submit(t.Context(), last); err != nil {
			t.Fatal(err)
		}
	}
	if waiting := running.Stats().Waiting; waiting != 0 {
		t.Errorf("%d wait", waiting)
	}
}

// When nothing waits any more, there is a block in an interval.
func TestNoBlocksWhenNothingWaits(t *testing.T) {
	n, cfg := found(t)
	cfg.BlockInterval = 200 * time.Millisecond
	running := start(t, n, cfg)
	c := connect(t, n, running.URL())
	raw, _, err := n.CreateDID(1)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Submit(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	idle := receipt.Height + 4 // after the one with the state's root, and one that the engine may come to late
	if _, err := c.Await(t.Context(), idle); err != nil {
		t.Fatal(err)
	}
	var times [2]time.Time
	for i := range times {
		b, err := running.Block(idle - 1 + hufu.Height(i))
		if err != nil {
			t.Fatal(err)
		}
		times[i] = b.Time
	}
	if apart := times[1].Sub(times[0]); apart < cfg.BlockInterval/2 {
		t.Errorf("blocks are made with nothing to do, %v apart", apart)
	}
}
