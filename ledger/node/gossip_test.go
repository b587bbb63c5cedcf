package node_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
)

// row starts validators each of which is connected with the one before it only.
func row(t *testing.T, count int) (*sample.Network, []*node.Node) {
	t.Helper()
	n, err := sample.New("row", count)
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*node.Node
	for i, m := range n.Members {
		cfg := node.Config{Home: t.TempDir(), ListenP2P: "127.0.0.1:0"}
		if i > 0 {
			cfg.Peers = []string{fmt.Sprintf("%s@%s", nodes[i-1].ID(), nodes[i-1].AddressP2P())}
		}
		if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
			t.Fatal(err)
		}
		x, err := node.Start(context.Background(), cfg, m.Keys)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := x.Stop(); err != nil {
				t.Error(err)
			}
		})
		nodes = append(nodes, x)
	}
	return n, nodes
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// Transactions of one author, sent one after the other to the first of three in a row, reach the last, which
// checks no signature more often than needed.
func TestGossip(t *testing.T) {
	n, nodes := row(t, 3)
	for _, x := range nodes {
		await(t, "no block", func() bool { return x.Height() > 0 })
	}
	const count = 200
	for i := range uint64(count) {
		raw, _, err := n.CreateDID(i)
		if err != nil {
			t.Fatal(err)
		}
		if err := nodes[0].Broadcast(t.Context(), raw); err != nil {
			t.Fatal(err)
		}
	}
	for i, x := range nodes {
		await(t, fmt.Sprintf("node %d lacks transactions", i), func() bool { return x.Transactions() == count })
		// A block may come while what is in it is being checked; nothing else makes anybody check twice.
		if got := node.VerifiedBy(x); got < count || got > 2*count {
			t.Errorf("node %d checked %d signatures of %d", i, got, count)
		}
	}
}
