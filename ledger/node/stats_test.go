package node_test

import (
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

func TestStats(t *testing.T) {
	network, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	cfg := node.Config{Home: t.TempDir()}
	if err := node.InitHome(cfg.Home, network.Genesis); err != nil {
		t.Fatal(err)
	}
	n, err := node.Start(t.Context(), cfg, network.Members[0].Keys)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for number := range uint64(3) {
		raw, _, err := network.CreateDID(number)
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Broadcast(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "the transactions are not committed", func() bool { return n.Transactions() == 3 && n.Stats().Blocks > 1 })
	early, err := network.Transaction(9, &tx.DIDDeactivate{})
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []struct {
		raw  []byte
		rule hufu.Rule
	}{{[]byte("nothing"), tx.RuleMalformed}, {[]byte("nothing"), tx.RuleMalformed}, {early, machine.RuleSequence}} {
		if err := n.Broadcast(t.Context(), bad.raw); hufu.RuleOf(err) != bad.rule {
			t.Fatal(err)
		}
	}
	s := n.Stats()
	if s.Height < 1 || s.Peers != 0 || s.Waiting != 0 || s.WaitingBytes != 0 || s.Transactions != 3 || s.Between <= 0 || s.Committing <= 0 ||
		len(s.Refused) != 2 || s.Refused[tx.RuleMalformed] != 2 || s.Refused[machine.RuleSequence] != 1 {
		t.Errorf("%+v", s)
	}
}
