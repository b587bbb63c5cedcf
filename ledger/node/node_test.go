package node_test

import (
	"context"
	"testing"
	"time"

	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/did"
)

func found(t *testing.T) (*sample.Network, node.Config) {
	t.Helper()
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := node.InitHome(home, n.Genesis); err != nil {
		t.Fatal(err)
	}
	return n, node.Config{Home: home}
}

func start(t *testing.T, n *sample.Network, cfg node.Config) *node.Node {
	t.Helper()
	running, err := node.Start(context.Background(), cfg, n.Members[0].Keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
	})
	return running
}

func connect(t *testing.T, n *sample.Network, url string) *client.Client {
	t.Helper()
	trust, err := client.ParseGenesis(n.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := client.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	trust.Period = 100 * 365 * 24 * time.Hour // the sample genesis is of a fixed day
	c, err := client.New(trust, transport, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); transport.Close() })
	return c
}

func TestSubmitAndRead(t *testing.T) {
	n, cfg := found(t)
	running := start(t, n, cfg)
	c := connect(t, n, running.URL())
	ctx := context.Background()
	raw, id, err := n.CreateDID(1)
	if err != nil {
		t.Fatal(err)
	}
	receipt, err := c.Submit(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Read(ctx, func(v client.View) error {
		if v.AsOf().Height < receipt.Height {
			t.Errorf("read at %d what was written at %d", v.AsOf().Height, receipt.Height)
		}
		rec, err := did.Get(v, id)
		if err == nil && (rec == nil || rec.Created != receipt.Height) {
			t.Errorf("the record is %+v, created by %+v", rec, receipt)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
