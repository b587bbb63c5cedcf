package main

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
)

// evidenceBlocks is for how many blocks evidence counts in the network whose nodes prune. By real networks' genesis,
// nothing goes of the last hundred thousand.
const evidenceBlocks = 5

// pruning is a network in this process, of an archive and two nodes that keep no more than they must.
type pruning struct {
	*sample.Network
	t       *testing.T
	dir     string // of the homes
	genesis string // file
	nodes   []*node.Node
}

// foundPruning writes the genesis of three members, by which evidence is soon too old.
func foundPruning(t *testing.T) *pruning {
	t.Helper()
	n, err := sample.New("harbour", 3)
	if err != nil {
		t.Fatal(err)
	}
	if n.Genesis, err = node.NewGenesis(n.Doc, time.Now().Add(-time.Minute)); err != nil {
		t.Fatal(err)
	}
	if err := n.CountEvidence(evidenceBlocks, time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	p := &pruning{Network: n, t: t, dir: t.TempDir()}
	p.genesis = filepath.Join(p.dir, "genesis.json")
	if err := os.WriteFile(p.genesis, n.Genesis, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

// start runs a node whose peers are those named.
func (p *pruning) start(name string, k node.Keys, retain time.Duration, sync *node.StateSync, peers ...*node.Node) *node.Node {
	p.t.Helper()
	cfg := node.Config{
		Home: filepath.Join(p.dir, name), ListenP2P: "127.0.0.1:0", BlockInterval: 10 * time.Millisecond,
		Retain: retain, StateSync: sync, SnapshotEvery: 108,
	}
	for _, peer := range peers {
		cfg.Peers = append(cfg.Peers, peer.ID()+"@"+peer.AddressP2P())
	}
	if err := node.InitHome(cfg.Home, p.Genesis); err != nil {
		p.t.Fatal(err)
	}
	n, err := node.Start(p.t.Context(), cfg, k)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			p.t.Error(err)
		}
	})
	p.nodes = append(p.nodes, n)
	return n
}

// client verifies from trust, and keeps its headers in store.
func (p *pruning) client(n *node.Node, trust client.Trust, store string) *client.Client {
	p.t.Helper()
	transport := p.dial(n)
	c, err := client.New(trust, transport, client.Options{Store: store})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (p *pruning) dial(n *node.Node) *client.HTTP {
	p.t.Helper()
	transport, err := client.Dial(n.URL())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = transport.Close() })
	return transport
}

// hufu runs a command of the auditor, who has the genesis and a node.
func (p *pruning) hufu(args ...string) (status int, out, errOut string) {
	p.t.Helper()
	var o, e bytes.Buffer
	status = run(args, strings.NewReader(""), &o, &e)
	return status, o.String(), e.String()
}

// Nodes that prune lose the blocks below what they keep, and say so; they still serve clients that trust an older header,
// nodes that join, and audits that begin with a snapshot. For the rest there is an archive.
func TestPrunedNode(t *testing.T) {
	p := foundPruning(t)
	archive := p.start("archive", p.Members[0].Keys, 0, nil)
	for i, name := range []string{"second", "pruned"} {
		p.start(name, p.Members[i+1].Keys, time.Nanosecond, nil, p.nodes...)
	}
	pruned := p.nodes[2]
	ctx, transport := t.Context(), p.dial(pruned)

	trust, err := client.ParseGenesis(p.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	early := p.client(pruned, trust, "")
	if _, err := early.Await(ctx, 3); err != nil {
		t.Fatal(err)
	}
	point, err := early.Checkpoint(ctx)
	if err != nil {
		t.Fatal(err)
	}
	old := trust
	old.Checkpoint = &point
	store := filepath.Join(p.dir, "headers")
	keeper := p.client(pruned, old, store)
	if _, err := keeper.Await(ctx, point.Height+1); err != nil {
		t.Fatal(err)
	}
	if err := keeper.Close(); err != nil {
		t.Fatal(err)
	}

	waiting, cancel := context.WithTimeout(ctx, 4*readyTimeout)
	defer cancel()
	// One step of pruning and, after it, the snapshot whose blocks stay.
	if _, err := early.Await(waiting, 110); err != nil {
		t.Fatal(err)
	}
	base, err := transport.First(ctx)
	if err != nil || base <= point.Height {
		t.Fatalf("it has blocks from %d on, %v", base, err)
	}
	t.Run("blocks are gone", func(t *testing.T) {
		for _, height := range []hufu.Height{1, point.Height, base - 1} {
			if _, err := transport.Block(ctx, height); !errors.Is(err, client.ErrNotKept) || !strings.Contains(err.Error(), "it keeps blocks from ") {
				t.Errorf("block %d: %v", height, err)
			}
			if _, err := pruned.Block(height); err == nil {
				t.Errorf("block %d is in the store", height)
			}
			if _, err := archive.Block(height); err != nil {
				t.Errorf("the archive: %v", err)
			}
		}
		if _, err := transport.Block(ctx, base); err != nil {
			t.Error(err)
		}
		if first, err := p.dial(archive).First(ctx); first != 1 || err != nil {
			t.Errorf("the archive has blocks from %d on, %v", first, err)
		}
	})
	t.Run("clients that trust an older header", func(t *testing.T) {
		for name, c := range map[string]*client.Client{"the genesis": p.client(pruned, trust, ""), "a header it has": p.client(pruned, old, store)} {
			if _, err := c.Await(ctx, base+1); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := p.client(pruned, old, "").Head(ctx); !errors.Is(err, client.ErrNotKept) {
			t.Errorf("a header whose hash alone is known: %v", err)
		}
		if _, err := p.client(archive, old, "").Head(ctx); err != nil {
			t.Errorf("the same at the archive: %v", err)
		}
	})
	t.Run("another node joins", func(t *testing.T) {
		var k node.Keys
		for use, key := range map[string]*keys.Signer{"validator": &k.Validator, "node": &k.Node} {
			if *key, err = sample.Key("joiner's "+use, 0); err != nil {
				t.Fatal(err)
			}
		}
		joined := p.start("joined", k, time.Nanosecond, &node.StateSync{Period: time.Hour}, p.nodes[1:]...)
		synced, err := joined.AwaitSynced(ctx)
		if err != nil || synced.Height <= base || synced.Missing != 0 {
			t.Fatalf("%+v, %v", synced, err)
		}
		if _, err := p.client(joined, trust, "").Await(ctx, synced.Height+3); err != nil {
			t.Error(err)
		}
	})
	t.Run("audits", func(t *testing.T) {
		snapshot := filepath.Join(p.dir, "ledger.snapshot")
		at := []string{"--genesis", p.genesis, "--node", pruned.URL()}
		if status, _, errOut := p.hufu(append([]string{"audit", "snapshot", "--out", snapshot}, at...)...); status != 0 {
			t.Fatal(errOut)
		}
		if status, out, errOut := p.hufu(append([]string{"audit", "--from", snapshot}, at...)...); status != 0 || !strings.Contains(out, "the same as signed") {
			t.Error(out, errOut)
		}
		if status, out, errOut := p.hufu(append([]string{"audit"}, at...)...); status != 1 || !strings.Contains(errOut, "it keeps blocks from ") || !strings.Contains(errOut, "ask an archive") {
			t.Error(status, out, errOut)
		}
		if status, out, errOut := p.hufu("audit", "--genesis", p.genesis, "--node", archive.URL()); status != 0 || !strings.Contains(out, "replayed from genesis") {
			t.Error(out, errOut)
		}
	})
	t.Run("status", func(t *testing.T) {
		h, err := home.Create(filepath.Join(p.dir, "auditor"), keystore.PassphraseWorkFactor("auditor", 1), p.Name)
		if err == nil {
			err = h.SetGenesis(p.Genesis)
		}
		if err != nil {
			t.Fatal(err)
		}
		status, out, errOut := p.hufu("net", "status", "--home", filepath.Join(p.dir, "auditor"), archive.URL(), pruned.URL())
		if status != 0 || !strings.Contains(out, "all blocks") || !strings.Contains(out, "blocks from ") {
			t.Error(out, errOut)
		}
		if strings.Contains(out, "without headers") {
			t.Error("what is too old for evidence is said to be missing:", out)
		}
	})
	t.Run("a stopped home", func(t *testing.T) {
		if err := pruned.Stop(); err != nil {
			t.Fatal(err)
		}
		h, err := node.OpenHistory(filepath.Join(p.dir, "pruned"), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		if first, _ := h.Heights(); first < base {
			t.Errorf("it has blocks from %d on", first)
		}
		if _, err := h.Block(ctx, base-1); !errors.Is(err, node.ErrNotKept) {
			t.Error(err)
		}
		if err := h.Close(); err != nil {
			t.Fatal(err)
		}
		status, out, errOut := p.hufu("audit", "--genesis", p.genesis, "--disk", filepath.Join(p.dir, "pruned"))
		if status != 1 || !strings.Contains(errOut, "it has blocks from ") || !strings.Contains(errOut, "the home of an archive") {
			t.Error(status, out, errOut)
		}
	})
}
