package node_test

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// A block leads to one state, whether a node proposed it, judged it or only replays it, and on every
// kind of store.
func TestDeterminism(t *testing.T) {
	disk, err := store.Open(t.TempDir(), store.Options{Reserve: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := disk.Close(); err != nil {
			t.Error(err)
		}
	})
	proposer, judge, replayer := newChain(t, store.NewMemory()), newChain(t, disk), newChain(t, store.NewMemory())
	var sequence uint64
	for block := range uint64(5) {
		var offered [][]byte
		for i := range uint64(40) {
			offered = append(offered, proposer.create(block*100+i))
		}
		for range 3 {
			sequence++
			offered = append(offered, proposer.own(sequence, fmt.Sprintf("s%d", sequence)))
		}
		// In the block, and refused by the rules of execution.
		sequence++
		void, err := proposer.net.Transaction(sequence, &tx.DIDUpdate{RemoveMethods: []tx.MethodRemoval{{Fragment: "none"}}})
		if err != nil {
			t.Fatal(err)
		}
		offered = append(offered, void)
		proposer.app.Hold(offered...)
		txs := proposer.prepare()
		if len(txs) != len(offered) {
			t.Fatalf("%d of %d are in block %d", len(txs), len(offered), block+1)
		}
		if got := judge.process(txs); got.String() != "ACCEPT" {
			t.Fatal(got)
		}
		first, second, third := proposer.commit(txs), judge.commit(txs), replayer.commit(txs)
		for name, other := range map[string][]byte{"judged": second.AppHash, "replayed": third.AppHash} {
			if !bytes.Equal(first.AppHash, other) {
				t.Errorf("block %d: proposed %x, %s %x", block+1, first.AppHash, name, other)
			}
		}
		if last := first.TxResults[len(txs)-1]; last.Code == 0 {
			t.Error("what changes nothing was not refused")
		}
		for i := range first.TxResults {
			a, b := first.TxResults[i], third.TxResults[i]
			if a.Code != b.Code || !bytes.Equal(a.Data, b.Data) {
				t.Errorf("block %d, transaction %d: %v and %v", block+1, i, a, b)
			}
		}
	}
}

// A node verifies a signature once, wherever it first meets it.
func TestEachSignatureIsVerifiedOnce(t *testing.T) {
	const each = 50
	c := newChain(t, store.NewMemory())
	own := func(from uint64) (out [][]byte) {
		for i := range uint64(each) {
			out = append(out, c.create(from+i))
		}
		return out
	}
	heard, foreign := c.admitted(own(0)...), own(1000)
	if got := c.app.Verified(); got != each {
		t.Fatalf("%d verified at admission, not %d", got, each)
	}
	// Offered again, examined again by the RPC, proposed, judged, decided.
	for _, raw := range heard {
		if err := c.check(raw); hufu.RuleOf(err) != proof.RuleKnown {
			t.Fatalf("offered again: %v", err)
		}
	}
	txs := c.prepare()
	c.process(txs)
	c.commit(txs)
	if got := c.app.Verified(); got != each {
		t.Errorf("%d verified after the block, not %d", got, each)
	}
	// What another node proposes is verified with the proposal, and not again in later rounds.
	for range 3 {
		if got := c.process(foreign); got.String() != "ACCEPT" {
			t.Fatal(got)
		}
		c.process(nil) // another proposal between them
	}
	c.commit(foreign)
	if got := c.app.Verified(); got != 2*each {
		t.Errorf("%d verified after the other node's block, not %d", got, 2*each)
	}
	if c.app.Waiting() != 0 {
		t.Errorf("%d wait", c.app.Waiting())
	}
}

// A proposal whose transaction was verified for other keys is not believed.
func TestForgedAfterGood(t *testing.T) {
	c := newChain(t, store.NewMemory())
	good := c.admitted(c.create(1))[0]
	forged := altered(t, good, func(m *message) { m.Signatures[0].Sig[3] ^= 1 })
	if got := c.process([][]byte{forged}); got.String() != "REJECT" {
		t.Error(got)
	}
	if err := c.check(forged); hufu.RuleOf(err) != machine.RuleSignature {
		t.Error(err)
	}
}

// Admission says that it is busy; blocks go on.
func TestAdmissionIsBounded(t *testing.T) {
	for name, fill := range map[string]func(*chain) func(){
		"transactions": func(c *chain) func() { return c.app.FillPending(node.MaxPendingBytes) },
		"signatures":   func(c *chain) func() { return c.app.FillIntake(node.MaxOffered) },
	} {
		t.Run(name, func(t *testing.T) {
			c := newChain(t, store.NewMemory())
			undo := fill(c)
			raw := c.create(1)
			if err := c.check(raw); hufu.RuleOf(err) != proof.RuleBusy {
				t.Fatal(err)
			}
			c.app.Hold(c.create(2))
			c.commit(c.prepare())
			undo()
			c.admitted(raw)
		})
	}
}

// However many offer it at once, one transaction waits once, and one author's wait in their order.
func TestOfferedAtOnce(t *testing.T) {
	c := newChain(t, store.NewMemory())
	raw, sequel := c.create(1), [][]byte{c.own(1, "a"), c.own(2, "b"), c.own(3, "c")}
	var group sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 32 {
		group.Go(func() {
			if err := c.check(raw); err == nil {
				mu.Lock()
				defer mu.Unlock()
				taken++
			} else if rule := hufu.RuleOf(err); rule != proof.RuleKnown && rule != machine.RuleSequence {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if taken != 1 || c.app.Waiting() != 1 {
		t.Errorf("taken %d times, %d wait", taken, c.app.Waiting())
	}
	if err := c.check(sequel[1]); hufu.RuleOf(err) != machine.RuleSequence {
		t.Errorf("the second before the first: %v", err)
	}
	c.admitted(sequel...)
	if got := c.prepare(); len(got) != 4 {
		t.Errorf("%d of 4 are in the block", len(got))
	}
	// Of several quotas they may come in any order.
	c = newChain(t, store.NewMemory())
	c.app.Hold(sequel[2], raw, sequel[1], sequel[0])
	if got := c.prepare(); len(got) != 4 {
		t.Errorf("%d of 4 in disorder are in the block", len(got))
	}
}

// What enters while a block is committed, which used the same quota, is judged anew.
func TestEnterDuringCommit(t *testing.T) {
	c := newChain(t, store.NewMemory())
	b := node.Block{Height: 1, Time: c.time, Txs: [][]byte{c.create(1)}}
	if err := c.app.EnterDuring(c.own(1, "a"), b); err != nil {
		t.Error(err)
	}
	if c.app.Waiting() != 1 {
		t.Errorf("%d wait", c.app.Waiting())
	}
}
