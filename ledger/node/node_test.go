package node_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/cometbft/cometbft/types"

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

// TestStoppedIsLetGo stops a node in a process that goes on: nothing keeps its memory.
func TestStoppedIsLetGo(t *testing.T) {
	network, cfg := found(t)
	n, err := node.Start(t.Context(), cfg, network.Members[0].Keys)
	if err != nil {
		t.Fatal(err)
	}
	raw, _, err := network.CreateDID(0)
	if err == nil {
		err = n.Broadcast(t.Context(), raw)
	}
	kept := n.Kept()
	if !kept() {
		t.Error("a running node has no memory")
	}
	if err := errors.Join(err, n.Stop()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the memory is let go", func() bool { return !kept() })
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

// A clock before the network's beginning is told of, and the wait for it ends when the node is told to.
func TestBeforeGenesis(t *testing.T) {
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(n.Genesis, &doc); err != nil {
		t.Fatal(err)
	}
	doc["genesis_time"] = time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	genesis, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := node.InitHome(home, genesis); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	said := make(chan string, 1)
	log := slog.New(slog.NewTextHandler(writer(func(line string) {
		if strings.Contains(line, "before the network's beginning") {
			said <- line
			cancel()
		}
	}), nil))
	if _, err := node.Start(ctx, node.Config{Home: home, Log: log}, n.Members[0].Keys); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if line := <-said; !strings.Contains(line, doc["genesis_time"].(string)) {
		t.Error(line)
	}
}

type writer func(line string)

func (w writer) Write(p []byte) (int, error) { w(string(p)); return len(p), nil }

// otherConsensus takes a bus for events, and executes blocks in some other way than is known.
type otherConsensus struct{ blockExec *int }

func (otherConsensus) SetEventBus(*types.EventBus) {}

// An engine whose events cannot be taken away, as it is another than is known, is not run.
func TestHushKnowsTheEngine(t *testing.T) {
	for _, other := range []any{struct{}{}, &otherConsensus{new(int)}, &struct{ otherConsensus }{}} {
		if err := node.Hush(other); err == nil {
			t.Errorf("%T is taken for the engine's consensus", other)
		}
	}
}
