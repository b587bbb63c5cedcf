package node_test

import (
	"context"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/tx"
)

// assembly is a network of three members, the first with the one validator.
type assembly struct {
	t *testing.T
	*sample.Network
	running  *node.Node
	client   *client.Client
	sequence [3]uint64
}

func assemble(t *testing.T) (*assembly, node.Config) {
	n, err := sample.New("test", 3)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n.Doc.Members[1:] {
		n.Doc.Members[i+1].ValidatorKey, n.Doc.Members[i+1].Power = nil, 0
	}
	if n.Genesis, err = node.NewGenesis(n.Doc, time.Unix(1_760_000_000, 0)); err != nil {
		t.Fatal(err)
	}
	cfg := node.Config{Home: t.TempDir()}
	if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
		t.Fatal(err)
	}
	return &assembly{t: t, Network: n}, cfg
}

func (a *assembly) start(cfg node.Config) {
	a.running = start(a.t, a.Network, cfg)
	a.client = connect(a.t, a.Network, a.running.URL())
}

// says sends a member's transaction, and returns its identifier once it is proven to be in a block.
func (a *assembly) says(member int, body tx.Body) hufu.Digest {
	a.t.Helper()
	m := &a.Members[member]
	a.sequence[member]++
	p := tx.Payload{Network: a.Name, Author: m.ID, Sequence: a.sequence[member], Expires: sample.Lifetime}
	raw, err := tx.Build(nil, p, body, tx.SignerRef{Signer: m.Control})
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.client.Submit(a.t.Context(), raw); err != nil {
		a.t.Fatal(err)
	}
	t, err := tx.Parse(raw, a.Name)
	if err != nil {
		a.t.Fatal(err)
	}
	return t.ID()
}

// decide has the first member propose and the second agree. It returns the proposal as it is on the ledger.
func (a *assembly) decide(action tx.Action) *gov.Proposal {
	a.t.Helper()
	id := a.says(0, &tx.GovPropose{Title: "Parameters", Actions: []tx.Action{action}})
	a.says(1, &tx.GovVote{Proposal: id, Approve: true})
	var p *gov.Proposal
	if err := a.client.Read(a.t.Context(), func(v client.View) (err error) {
		p, err = gov.GetProposal(v, id)
		return err
	}); err != nil || p == nil || p.Executed == 0 {
		a.t.Fatalf("not decided: %+v (%v)", p, err)
	}
	return p
}

// kept checks the times of the blocks from one to the last.
func (a *assembly) kept(floor time.Duration, from hufu.Height) {
	a.t.Helper()
	last, err := a.running.Block(from)
	if err != nil {
		a.t.Fatal(err)
	}
	for h := from + 1; h <= a.running.Height(); h++ {
		b, err := a.running.Block(h)
		if err != nil {
			a.t.Fatal(err)
		}
		if between := b.Time.Sub(last.Time); between < floor {
			a.t.Errorf("block %d is %v after the one before it, less than %v", h, between, floor)
		}
		last = b
	}
}

// What the members decide about parameters and quotas takes effect at once at a running node, and at one that
// is started again.
func TestParametersByVote(t *testing.T) {
	const floor = 120 * time.Millisecond
	a, cfg := assemble(t)
	a.start(cfg)
	params := a.Doc.Params
	params.BlockFloorMillis, params.VotingSeconds = uint32(floor.Milliseconds()), 3600
	decided := a.decide(tx.Action{SetParams: &params})
	if got := decided.Ends - decided.Time; got != int64(a.Doc.Params.VotingSeconds) {
		t.Errorf("the proposal was open for %d s, not by the old parameters", got)
	}
	// A block's time is when the one before it was voted on, which for the one of the decision was before it.
	for i := range 3 {
		submit(t, a.Network, a.client, uint64(i))
	}
	a.kept(floor, decided.Executed+1)

	if err := a.running.Stop(); err != nil {
		t.Fatal(err)
	}
	a.start(cfg)
	again := a.running.Height()
	for i := range 2 {
		submit(t, a.Network, a.client, uint64(10+i))
	}
	a.kept(floor, again+1)

	m := a.Doc.Members[0]
	decided = a.decide(tx.Action{SetMember: &tx.MemberTerms{
		Member: a.Members[0].ID, Name: m.Name, ValidatorKey: m.ValidatorKey, Power: m.Power, Quota: m.Quota, OpenQuota: 1,
	}})
	if got := decided.Ends - decided.Time; got != 3600 {
		t.Errorf("the proposal is open for %d s, not by the new parameters", got)
	}
	raw, _, err := a.CreateDID(20)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.running.Broadcast(context.Background(), raw); hufu.RuleOf(err) != gov.RuleQuotaExhausted {
		t.Errorf("beyond the new quota: %v", err)
	}
}
