package node_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// newCouncil is a chain of several members.
func newCouncil(t *testing.T, members int) *chain {
	t.Helper()
	n, err := sample.New("test", members)
	if err != nil {
		t.Fatal(err)
	}
	st := store.NewMemory()
	return &chain{t: t, net: n, app: node.NewApp(t, n.Genesis, st), store: st, time: time.Unix(1_760_000_000, 0)}
}

// by is a transaction of a member's own.
func (c *chain) by(member int, sequence uint64) []byte {
	c.t.Helper()
	m := &c.net.Members[member]
	raw, err := tx.Build(nil, tx.Payload{Network: c.net.Name, Author: m.ID, Sequence: sequence, Expires: sample.Lifetime}, services("x"), tx.SignerRef{Signer: m.Control})
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}

// What waits on one quota leaves room for the others: for other members, and for the member's own
// transactions beside its open quota, which anybody can use.
func TestShareOfTheQueue(t *testing.T) {
	c := newCouncil(t, 2)
	undo := c.app.FillLine(c.net.Members[0].ID, true, node.LeastPendingBytes/2)
	err := c.app.Offer(c.create(1), "192.0.2.1")
	var r *hufu.Refusal
	if !errors.As(err, &r) || r.Rule != proof.RuleBusy || !strings.Contains(r.Detail, "share") {
		t.Fatalf("a flood goes on: %v", err)
	}
	for member := range 2 {
		if err := c.app.Offer(c.by(member, 1), "192.0.2.1"); err != nil {
			t.Errorf("member %d finds no room beside the flood: %v", member, err)
		}
	}
	if n := c.app.Refusals(); n.Share != 1 || n.Bad != 0 || n.Busy != 0 {
		t.Errorf("%+v", n)
	}
	undo()
	if err := c.app.Offer(c.create(1), "192.0.2.1"); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// A member that has peers pass on more than would be in blocks in time keeps nobody else's clients out: their
// transactions are in blocks before most of its own.
func TestFloodByPeers(t *testing.T) {
	c := newCouncil(t, 3)
	flooder := c.net.Members[0].ID
	for _, open := range []bool{true, false} {
		c.app.FillLine(flooder, open, 4*node.LeastPendingBytes)
	}
	if err := c.app.OfferFromPeer(c.create(1), "peer"); err != nil {
		t.Fatalf("a peer is not bounded by time: %v", err)
	}
	if err := c.app.Offer(c.create(2), "192.0.2.1"); hufu.RuleOf(err) != proof.RuleBusy {
		t.Errorf("the flood goes on here: %v", err)
	}
	for sequence := uint64(1); sequence <= 2; sequence++ {
		if err := c.app.Offer(c.by(1, sequence), "192.0.2.1"); err != nil {
			t.Errorf("number %d of another member finds no room beside the flood: %v", sequence, err)
		}
	}
	// With as much of its own it waits for as much of each of the flood's two lines.
	undo := c.app.FillLine(c.net.Members[1].ID, false, node.LeastPendingBytes/4)
	if err := c.app.Offer(c.by(1, 3), "192.0.2.1"); hufu.RuleOf(err) != proof.RuleBusy {
		t.Errorf("with a third of three lines' room: %v", err)
	}
	undo()
}

// A block has all that those want who want little, and of a flood its share; who is alone has all of it.
func TestBlockIsShared(t *testing.T) {
	c := newCouncil(t, 3)
	var flood [][]byte
	for number, size := uint64(1), 0; size <= 2*node.LineBytes; number++ {
		raw := c.create(number)
		flood = append(flood, raw)
		size += len(raw)
	}
	c.admitted(flood...)
	if got := c.prepare(); len(got) != len(flood) {
		t.Fatalf("alone it has %d of %d", len(got), len(flood))
	}
	var others [][]byte
	for sequence := uint64(1); sequence <= 5; sequence++ {
		others = append(others, c.by(1, sequence), c.by(2, sequence))
	}
	c.admitted(others...)
	block := c.prepare()
	in := map[string]bool{}
	size := 0
	for _, raw := range block {
		in[string(raw)] = true
		size += len(raw)
	}
	for i, raw := range others {
		if !in[string(raw)] {
			t.Errorf("transaction %d of those who want little is not in the block", i)
		}
	}
	if size > node.LineBytes+len(others)*len(others[0])+tx.MaxSize || size < node.LineBytes/2 {
		t.Errorf("the flood has %d bytes of the block", size)
	}
	at := 0
	for _, raw := range block {
		if at < len(flood) && bytes.Equal(raw, flood[at]) {
			at++
		}
	}
	if at != len(block)-len(others) {
		t.Errorf("the flood's are not in the order they came: %d of %d", at, len(block)-len(others))
	}
	if c.process(block).String() != "ACCEPT" {
		t.Error("the block is no good")
	}
	c.commit(block)
	if c.app.Waiting() != len(flood)-at {
		t.Errorf("%d wait", c.app.Waiting())
	}
	// The others may want more at any time, so it stays at its share for a while.
	rest := flood[at:]
	if got := c.prepare(); len(got) >= len(rest) {
		t.Errorf("the flood has the whole next block")
	}
	for range node.ActiveBlocks {
		c.commit(nil)
	}
	if got := c.prepare(); len(got) != len(rest) {
		t.Errorf("alone again it has %d of %d", len(got), len(rest))
	}
}

// A source of signatures that do not hold is not listened to; others are, also with the same transactions.
func TestBadSourceIsBarred(t *testing.T) {
	c := newCouncil(t, 1)
	bad := altered(t, c.create(1), func(m *message) { m.Signatures[0].Sig[3] ^= 1 })
	for i := range node.MaxBad + 1 {
		if err := c.app.Offer(bad, "192.0.2.1"); hufu.RuleOf(err) != machine.RuleSignature {
			t.Fatalf("number %d: %v", i, err)
		}
	}
	verified := c.app.Verified()
	for _, raw := range [][]byte{bad, c.create(1)} {
		if err := c.app.Offer(raw, "192.0.2.1"); hufu.RuleOf(err) != proof.RuleBusy {
			t.Errorf("it is listened to still: %v", err)
		}
	}
	if c.app.Verified() != verified {
		t.Error("signatures of a barred source are verified")
	}
	if err := c.app.Offer(c.create(1), "192.0.2.2"); err != nil {
		t.Errorf("another source: %v", err)
	}
	for range node.MaxBad + 1 {
		if err := c.app.Offer([]byte("nothing"), "192.0.2.3"); hufu.RuleOf(err) != tx.RuleMalformed {
			t.Fatal(err)
		}
	}
	if err := c.app.Offer(c.create(2), "192.0.2.3"); hufu.RuleOf(err) != proof.RuleBusy {
		t.Errorf("a source of what cannot be read: %v", err)
	}
	if n := c.app.Refusals(); n.Bad != 2*(node.MaxBad+1) || n.Barred != 3 {
		t.Errorf("%+v", n)
	}
}

// What the state refuses is held against nobody who passes it on, signed or forged, and no signature of it is verified.
func TestRefusedByTheStateIsNotBad(t *testing.T) {
	c := newCouncil(t, 1)
	before := c.create(1)
	c.commit([][]byte{before})
	c.commit(nil)
	one := key(t, keys.Ed25519, 1)
	poor := createWith(t, c.net, one, one, nil, sample.Lifetime)
	verified := c.app.Verified()
	for name, refused := range map[string]badTx{
		"without quota":            {poor, gov.RuleNoQuota},
		"without quota, forged":    {altered(t, poor, func(m *message) { m.Signatures[0].Sig[3] ^= 1 }), gov.RuleNoQuota},
		"expired":                  {createWith(t, c.net, one, one, &c.net.Members[0].ID, 1), machine.RuleExpired},
		"committed before":         {before, did.RuleExists},
		"committed before, forged": {altered(t, before, func(m *message) { m.Signatures[0].Sig[3] ^= 1 }), did.RuleExists},
	} {
		for range 2 * node.MaxBad {
			if err := c.app.OfferFromPeer(refused.raw, "peer"); hufu.RuleOf(err) != refused.rule {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
	if n := c.app.Refusals(); n.Bad != 0 || n.Barred != 0 || c.app.Verified() != verified {
		t.Errorf("%+v, %d signatures", n, c.app.Verified()-verified)
	}
	if err := c.app.OfferFromPeer(c.create(2), "peer"); err != nil {
		t.Errorf("the peer is not listened to: %v", err)
	}
}
