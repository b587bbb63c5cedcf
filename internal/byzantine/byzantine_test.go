package byzantine_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/internal/byzantine"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// timeout bounds each scenario: rounds whose proposer is refused take a second or two.
const timeout = 2 * time.Minute

// network is four validators, the last of which may be played by somebody else.
type network struct {
	t     *testing.T
	ctx   context.Context
	net   *sample.Network
	addr  []string // "<id>@host:port" of each
	nodes []*node.Node
	next  uint64 // number of the next person
}

func found(t *testing.T) *network {
	t.Helper()
	n, err := sample.New("byzantine", 4)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	t.Cleanup(cancel)
	w := &network{t: t, ctx: ctx, net: n, nodes: make([]*node.Node, 4)}
	for i := range n.Members {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		w.addr = append(w.addr, nodeID(n.Members[i].Keys)+"@"+l.Addr().String())
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// nodeID is the engine's name for a node: its address.
func nodeID(k node.Keys) string {
	a := gov.AddressOf(k.Node.Public().Raw())
	return fmt.Sprintf("%x", a[:])
}

func (w *network) others(i int) []string {
	return slices.Delete(slices.Clone(w.addr), i, i+1)
}

func (w *network) listen(i int) string { return w.addr[i][41:] }

// start runs honest node i, with its own keys or others.
func (w *network) start(i int, k node.Keys) {
	w.t.Helper()
	home := w.t.TempDir()
	if err := node.InitHome(home, w.net.Genesis); err != nil {
		w.t.Fatal(err)
	}
	running, err := node.Start(w.ctx, node.Config{
		Home: home, ListenP2P: w.listen(i), Peers: w.others(i), BlockInterval: 100 * time.Millisecond,
	}, k)
	if err != nil {
		w.t.Fatal(err)
	}
	w.nodes[i] = running
	w.t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			w.t.Error(err)
		}
	})
}

func (w *network) startHonest(numbers ...int) {
	for _, i := range numbers {
		w.start(i, w.net.Members[i].Keys)
	}
}

func (w *network) client(i int) *client.Client {
	w.t.Helper()
	trust, err := client.ParseGenesis(w.net.Genesis)
	if err != nil {
		w.t.Fatal(err)
	}
	transport, err := client.Dial(w.nodes[i].URL())
	if err != nil {
		w.t.Fatal(err)
	}
	trust.Period = 100 * 365 * 24 * time.Hour // the sample genesis is of a fixed day
	c, err := client.New(trust, transport, client.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close(); transport.Close() })
	return c
}

// create makes an identifier, and returns what made it.
func (w *network) create(c *client.Client) (raw []byte, height hufu.Height) {
	w.t.Helper()
	w.next++
	raw, id, err := w.net.CreateDID(w.next)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := c.Submit(w.ctx, raw)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := c.Read(w.ctx, func(v client.View) error {
		rec, err := did.Get(v, id)
		if err == nil && (rec == nil || rec.Created != r.Height) {
			w.t.Errorf("what was acknowledged is %+v", rec)
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return raw, r.Height
}

// agree replays the ledger of every honest node up to a height, and returns the last replay.
func (w *network) agree(height hufu.Height) (last *audit.Replayed) {
	w.t.Helper()
	var hash *hufu.Digest
	for i, n := range w.nodes {
		if n == nil {
			continue
		}
		transport, err := client.Dial(n.URL())
		if err != nil {
			w.t.Fatal(err)
		}
		r, err := audit.Replay(w.ctx, w.net.Genesis, audit.FromNode(transport), audit.Options{Until: height})
		if err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { r.Close(); transport.Close() })
		if !r.AppHashMatch || hash != nil && *hash != r.AppHash {
			w.t.Fatalf("node %d: %+v, %v", i, r.Report, r.Divergence)
		}
		hash, last = &r.AppHash, r
	}
	return last
}

// index is the place of a member's validator in the engine's order.
func (w *network) index(member int) int32 {
	var all []proof.Validator
	for _, m := range w.net.Doc.Members {
		all = append(all, proof.Validator{Key: [32]byte(m.ValidatorKey), Power: int64(m.Power)})
	}
	for i, v := range proof.NewValidatorSet(all) {
		if bytes.Equal(v.Key[:], w.net.Doc.Members[member].ValidatorKey) {
			return int32(i)
		}
	}
	return -1
}

// A validator that votes for two blocks loses its power by rule, on the record of all, and comes back by vote
// under another key alone.
func TestDoubleSigner(t *testing.T) {
	w := found(t)
	evil := w.net.Members[3].Keys
	signer := &byzantine.DoubleSigner{Signer: evil.Validator, Network: w.net.Name, Index: w.index(3), Votes: make(chan *cmtproto.Vote, 100)}
	evil.Validator = signer
	w.startHonest(0, 1, 2)
	w.start(3, evil)
	c := w.client(0)
	w.create(c)
	for i := range 3 {
		p, err := byzantine.Connect(w.ctx, w.net.Name, w.addr[i])
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		if i == 1 { // one who sees both is enough
			go func() {
				for v := range signer.Votes {
					_ = p.Vote(v)
				}
			}()
		}
	}
	address := gov.AddressOf(w.net.Doc.Members[3].ValidatorKey)
	var rec *gov.ValidatorKey
	at := hufu.Height(0)
	for rec == nil || rec.Conviction == nil {
		if err := c.Read(w.ctx, func(v client.View) (err error) {
			rec, err = gov.GetValidatorKey(v, address)
			at = v.AsOf().Height
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Await(w.ctx, at+1); err != nil {
			t.Fatal(err)
		}
	}
	conviction := rec.Conviction
	if m := conviction.Proofs[0].Misbehaviour; m.Offence != gov.DuplicateVote || m.Power != 1 || m.TotalPower != 4 || m.Height >= conviction.Height || conviction.Took != 1 {
		t.Errorf("%+v", conviction)
	}
	// From the next block but one it has no vote, and the others go on.
	_, height := w.create(c)
	height = max(height, conviction.Height+3)
	if _, err := c.Await(w.ctx, height); err != nil {
		t.Fatal(err)
	}
	if s, err := c.SignedAt(w.ctx, height); err != nil || len(s.Validators) != 3 {
		t.Errorf("%d validators, %v", len(s.Validators), err)
	}
	r := w.agree(height)
	if len(r.Convictions) != 1 || r.Convictions[0].Member != w.net.Members[3].ID.DID(w.net.Name) || r.Convictions[0].Offence != "duplicate vote" {
		t.Errorf("the auditor says %+v", r.Convictions)
	}

	// The members may give it back its power: not with that key, whatever they decide, but with one that signed nothing.
	if err := w.nodes[3].Stop(); err != nil {
		t.Fatal(err)
	}
	again := w.net.Members[3].Keys
	next, err := sample.Key("byzantine validator, the next", 3)
	if err != nil {
		t.Fatal(err)
	}
	again.Validator = next
	w.start(3, again)
	terms := tx.MemberTerms{Member: w.net.Members[3].ID, Name: "Member 4", Power: 1, Quota: tx.MaxQuota, ValidatorKey: w.net.Doc.Members[3].ValidatorKey}
	if err := w.decide(c, terms); hufu.RuleOf(err) != gov.RuleKeyConvicted {
		t.Errorf("the convicted key gets power again: %v", err)
	}
	terms.ValidatorKey = next.Public().Raw()
	if err := w.decide(c, terms); err != nil {
		t.Fatal(err)
	}
	for signs := false; !signs; {
		_, height := w.create(c)
		s, err := c.SignedAt(w.ctx, height-1)
		if err != nil {
			t.Fatal(err)
		}
		signs = slices.ContainsFunc(s.Validators, func(v client.Signature) bool { return bytes.Equal(v.Key[:], terms.ValidatorKey) && v.Signed })
	}
}

// decide has the first member propose terms for a member, and two others agree. Its error is of whoever is refused.
func (w *network) decide(c *client.Client, terms tx.MemberTerms) error {
	w.t.Helper()
	says := func(member int, body tx.Body) (client.Receipt, error) {
		m := &w.net.Members[member]
		p := tx.Payload{Network: w.net.Name, Author: m.ID, Expires: sample.Lifetime}
		if err := c.Read(w.ctx, func(v client.View) error {
			rec, err := did.Get(v, m.ID)
			if err == nil {
				p.Sequence = rec.Sequence
			}
			return err
		}); err != nil {
			w.t.Fatal(err)
		}
		raw, err := tx.Build(nil, p, body, tx.SignerRef{ID: m.ID, Signer: m.Control})
		if err != nil {
			w.t.Fatal(err)
		}
		return c.Submit(w.ctx, raw)
	}
	proposed, err := says(0, &tx.GovPropose{Title: "Terms", Actions: []tx.Action{{SetMember: &terms}}})
	for i := 1; err == nil && i < 3; i++ {
		_, err = says(i, &tx.GovVote{Proposal: proposed.TxID, Approve: true})
	}
	return err
}

// live is the heap after a collection, in bytes.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// maxHeld bounds what the heap may grow by in TestGarbagePeer: the peers send twice as much. The engine's routines
// let go of what dropped peers sent, some 10 MiB of each that filled a channel, two seconds later (queryEvery).
const maxHeld = 192 << 20

// A peer that sends garbage is dropped; the node lives, and holds a bounded part of it.
func TestGarbagePeer(t *testing.T) {
	w := found(t)
	w.startHonest(0, 1, 2, 3)
	c := w.client(0)
	w.create(c)
	before := live()
	all, err := byzantine.AllGarbage()
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range all {
		t.Run(g.Name, func(t *testing.T) {
			p, err := byzantine.Connect(w.ctx, w.net.Name, w.addr[0])
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			_ = g.Send(p) // the node may have hung up before the end
			select {
			case <-p.Dropped():
			case <-w.ctx.Done():
				t.Fatal("it is a peer still")
			}
		})
	}
	_, height := w.create(c)
	if after := live(); after > before+maxHeld {
		t.Errorf("%d MiB more are held than before", (after-before)>>20)
	}
	w.agree(height)
	for i, n := range w.nodes {
		if n.Err() != nil {
			t.Errorf("node %d: %v", i, n.Err())
		}
	}
}

// A peer whose transactions are forged is dropped after a few, and others' are taken.
func TestFloodOfForgedTransactions(t *testing.T) {
	w := found(t)
	w.startHonest(0, 1, 2, 3)
	c := w.client(0)
	w.create(c)
	p, err := byzantine.Connect(w.ctx, w.net.Name, w.addr[0])
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for number := uint64(1000); ; number++ {
		raw, _, err := w.net.CreateDID(number)
		if err != nil {
			t.Fatal(err)
		}
		raw[len(raw)-1] ^= 1
		if p.Transactions(raw) != nil {
			break
		}
		select {
		case <-p.Dropped():
		case <-w.ctx.Done():
			t.Fatal("it is a peer still")
		case <-time.After(time.Millisecond):
			continue
		}
		break
	}
	n := w.nodes[0].Refused()
	if n.Peers != 1 || n.Bad == 0 || n.Bad > 100 {
		t.Errorf("%+v", n)
	}
	_, height := w.create(c)
	w.agree(height)
}
