package node_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/tx"
)

// upgradeTimeout bounds the wait for a node to stop.
const upgradeTimeout = 30 * time.Second

// The members agree on an upgrade: the node that does not have it stops before its height and says so, also
// when it is started again. The one that has it goes on, under the next version.
func TestUpgradeHeight(t *testing.T) {
	n, cfg := found(t)
	cfg.BlockInterval = 50 * time.Millisecond
	running := start(t, n, cfg)
	c := connect(t, n, running.URL())
	ctx, cancel := context.WithTimeout(t.Context(), upgradeTimeout)
	defer cancel()
	at := running.Height() + 10
	raw, err := n.Transaction(1, &tx.GovPropose{Title: "Winter", Actions: []tx.Action{{Upgrade: &tx.Upgrade{Height: at, Name: "winter"}}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(ctx, raw); err != nil {
		t.Fatal(err)
	}
	select {
	case <-running.Done():
	case <-ctx.Done():
		t.Fatalf("the node goes on at height %d past %d", running.Height(), at)
	}
	if err := running.Err(); !errors.Is(err, node.ErrUpgrade) || !strings.Contains(err.Error(), `"winter" from height`) {
		t.Fatal(err)
	}
	if err := running.Stop(); err != nil || running.Height() >= at {
		t.Fatalf("it stopped at height %d: %v", running.Height(), err)
	}
	for _, have := range [][]string{nil, {"spring", "summer"}} {
		cfg.Upgrades = have
		if _, err := node.Start(ctx, cfg, n.Members[0].Keys); !errors.Is(err, node.ErrUpgrade) {
			t.Fatalf("with %v it starts: %v", have, err)
		}
	}

	cfg.Upgrades = []string{"autumn", "winter"}
	running = start(t, n, cfg)
	c = connect(t, n, running.URL())
	if _, err := c.Await(ctx, at+2); err != nil {
		t.Fatal(err)
	}
	for height, want := range map[hufu.Height]uint64{at - 1: 1, at + 1: 3} { // of the headers after them
		if s, err := c.SignedAt(ctx, height); err != nil || s.AppVersion != want {
			t.Errorf("the header after height %d is of version %d, not %d: %v", height, s.AppVersion, want, err)
		}
	}
	submit(t, n, c, 1)
	// Started again after the upgrade it goes on too, and without it, it does not.
	if err := running.Stop(); err != nil {
		t.Fatal(err)
	}
	cfg.Upgrades = nil
	if _, err := node.Start(ctx, cfg, n.Members[0].Keys); !errors.Is(err, node.ErrUpgrade) {
		t.Fatalf("it starts under rules that it does not have: %v", err)
	}
	cfg.Upgrades = []string{"autumn", "winter"}
	running = start(t, n, cfg)
	submit(t, n, connect(t, n, running.URL()), 2)
}

func submit(t *testing.T, n *sample.Network, c *client.Client, number uint64) {
	t.Helper()
	raw, _, err := n.CreateDID(number)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Submit(t.Context(), raw); err != nil {
		t.Fatal(err)
	}
}
