package node_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/store"
)

// peerAddress is where a node may listen for peers. It is on another loopback address than connections come
// from, so that nobody takes it before the node does.
func peerAddress(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

const longAgo = 100 * 365 * 24 * time.Hour // the sample genesis is of a fixed day

// network is several nodes in one process.
type network struct {
	*sample.Network
	t     *testing.T
	nodes []*node.Node
}

// startNetwork starts the nodes of all members, each connected to those before it.
func startNetwork(t *testing.T, members int, set func(*node.Config)) *network {
	t.Helper()
	n, err := sample.New("test", members)
	if err != nil {
		t.Fatal(err)
	}
	running := &network{Network: n, t: t}
	for i := range members {
		running.start(running.config(set), n.Members[i].Keys)
	}
	return running
}

func (n *network) config(set func(*node.Config)) node.Config {
	n.t.Helper()
	cfg := node.Config{Home: n.t.TempDir(), ListenP2P: peerAddress(n.t), BlockInterval: 200 * time.Millisecond}
	for _, other := range n.nodes {
		cfg.Peers = append(cfg.Peers, other.ID()+"@"+other.AddressP2P())
	}
	if set != nil {
		set(&cfg)
	}
	if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
		n.t.Fatal(err)
	}
	return cfg
}

func (n *network) start(cfg node.Config, keys node.Keys) *node.Node {
	n.t.Helper()
	running, err := node.Start(n.t.Context(), cfg, keys)
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			n.t.Error(err)
		}
	})
	n.nodes = append(n.nodes, running)
	return running
}

// joiner is the keys of a node that is no member's.
func (n *network) joiner() node.Keys {
	n.t.Helper()
	var k node.Keys
	var err error
	if k.Validator, err = sample.Key("joiner validator", 0); err != nil {
		n.t.Fatal(err)
	}
	if k.Node, err = sample.Key("joiner node", 0); err != nil {
		n.t.Fatal(err)
	}
	return k
}

// eventually waits for ok, which is cheap.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(2 * time.Minute)
	defer timeout.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-timeout.C:
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// create puts an identifier on the ledger through a node.
func (n *network) create(through *node.Node, number uint64) hufu.ID {
	n.t.Helper()
	raw, id, err := n.CreateDID(number)
	if err != nil {
		n.t.Fatal(err)
	}
	if _, err := connect(n.t, n.Network, through.URL()).Submit(n.t.Context(), raw); err != nil {
		n.t.Fatal(err)
	}
	return id
}

// has checks that a node proves the identifier.
func (n *network) has(at *node.Node, id hufu.ID, least hufu.Height) {
	n.t.Helper()
	c := connect(n.t, n.Network, at.URL())
	if _, err := c.Await(n.t.Context(), least); err != nil {
		n.t.Fatal(err)
	}
	if err := c.Read(n.t.Context(), func(v client.View) error {
		rec, err := did.Get(v, id)
		if err == nil && rec == nil {
			err = errors.New("it does not have the identifier")
		}
		return err
	}); err != nil {
		n.t.Fatal(err)
	}
}

// A node joins from a snapshot: it has the state, the blocks from there on, and the headers before it that
// evidence is judged by. Started again, it goes on from what it has.
func TestStateSync(t *testing.T) {
	t.Parallel() // it waits for the engine
	n := startNetwork(t, 2, func(c *node.Config) { c.SnapshotEvery = 12 })
	var ids []hufu.ID
	for i := range uint64(3) {
		ids = append(ids, n.create(n.nodes[0], i))
	}
	eventually(t, "snapshots", func() bool { return n.nodes[1].Height() > 12 })
	cfg := n.config(func(c *node.Config) { c.StateSync = &node.StateSync{Period: longAgo} })
	joined := n.start(cfg, n.joiner())
	eventually(t, "the new node has followed", func() bool { return joined.Base() > 1 && joined.Height() > joined.Base()+3 })
	synced, err := joined.AwaitSynced(t.Context())
	if err != nil || synced == nil || synced.Height != joined.Base() || synced.Hash == (hufu.Digest{}) {
		t.Fatalf("it began at %+v, and has blocks from %d", synced, joined.Base())
	}
	for _, id := range ids {
		n.has(joined, id, synced.Height)
	}
	ids = append(ids, n.create(joined, 10))
	n.has(n.nodes[0], ids[3], 0)
	if missing := joined.MissingPast(1, synced.Height-1); missing != nil {
		t.Errorf("of the headers before the snapshot: %v", missing)
	}
	if err := joined.Stop(); err != nil {
		t.Fatal(err)
	}
	again := n.start(cfg, n.joiner())
	if again.Base() != synced.Height {
		t.Errorf("started again, it has blocks from %d, not %d", again.Base(), synced.Height)
	}
	n.has(again, ids[3], synced.Height)
}

// Headers that one peer lacks come from another; what all lack is said to be missing, and the node joins all the same.
func TestStateSyncMissingHeaders(t *testing.T) {
	t.Parallel()
	n := startNetwork(t, 2, func(c *node.Config) { c.SnapshotEvery = 12 })
	eventually(t, "snapshots", func() bool { return n.nodes[0].Height() > 12 && n.nodes[1].Height() > 12 })
	const hole = 3
	for i, missing := range []hufu.Height{0, hole} { // in one of the two, in both
		if err := n.nodes[i].Forget(hole); err != nil {
			t.Fatal(err)
		}
		cfg := node.Config{
			Home: t.TempDir(), ListenP2P: peerAddress(t), BlockInterval: 200 * time.Millisecond, StateSync: &node.StateSync{Period: longAgo},
		}
		for _, other := range n.nodes[:2] {
			cfg.Peers = append(cfg.Peers, other.ID()+"@"+other.AddressP2P())
		}
		if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
			t.Fatal(err)
		}
		k := n.joiner()
		var err error
		if k.Node, err = sample.Key("late node", uint64(i)); err != nil {
			t.Fatal(err)
		}
		joined := n.start(cfg, k)
		synced, err := joined.AwaitSynced(t.Context())
		if err != nil || synced == nil || synced.Missing != missing {
			t.Fatalf("%+v, %v; headers up to %d are missing", synced, err, missing)
		}
		if said := saysMissing(t, joined); said != missing {
			t.Errorf("it says that headers up to %d are missing", said)
		}
		if lacks := joined.MissingPast(missing+1, synced.Height-1); lacks != nil {
			t.Error(lacks)
		}
		if missing == 0 {
			if lacks := joined.MissingPast(1, synced.Height-1); lacks != nil {
				t.Error(lacks)
			}
		}
		eventually(t, "the new home is whole", func() bool { return joined.Height() > synced.Height+2 })
		if err := joined.Stop(); err != nil { // the next learns from the founders alone
			t.Fatal(err)
		}
		if missing == 0 {
			continue
		}
		if said := saysMissing(t, n.start(cfg, k)); said != missing {
			t.Errorf("started again, it says that headers up to %d are missing", said)
		}
	}
}

// saysMissing is up to which height a node says that headers are missing.
func saysMissing(t *testing.T, n *node.Node) hufu.Height {
	t.Helper()
	transport, err := client.Dial(n.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	height, err := transport.Missing(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return height
}

// Headers are missing for as long as evidence of their heights counts.
func TestMissingUntilTooOld(t *testing.T) {
	t.Parallel()
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.CountEvidence(50, time.Nanosecond); err != nil {
		t.Fatal(err)
	}
	running := &network{Network: n, t: t}
	one := running.start(running.config(func(c *node.Config) { c.BlockInterval = 20 * time.Millisecond }), n.Members[0].Keys)
	eventually(t, "blocks", func() bool { return one.Height() > 3 })
	if err := one.Lacks(2); err != nil {
		t.Fatal(err)
	}
	if said := saysMissing(t, one); said != 2 {
		t.Errorf("it says that headers up to %d are missing", said)
	}
	eventually(t, "they are too old", func() bool { return saysMissing(t, one) == 0 })
	if h := one.Height(); h < 52 {
		t.Errorf("it was said at height %d that evidence of 2 counts no more", h)
	}
}

// A node that began with a snapshot judges evidence of before as all others do: what is in a block already is not
// new, and what is not in one yet can be verified. So does one that has nobody to learn it from but such a node.
func TestEvidenceOfBefore(t *testing.T) {
	t.Parallel()
	n := startNetwork(t, 3, func(c *node.Config) { c.SnapshotEvery = 12 })
	eventually(t, "blocks", func() bool { return n.nodes[0].Height() > 3 })
	var evidence [2]types.Evidence
	for i := range evidence {
		var err error
		if evidence[i], err = node.TwoVotes(n.nodes[0], hufu.Height(2+i), n.Members[2].Keys.Validator); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.nodes[0].Accuse(evidence[0]); err != nil || n.nodes[0].Accusations() != 1 {
		t.Fatalf("evidence is not taken: %v", err)
	}
	eventually(t, "the evidence is in a block", func() bool { return n.nodes[0].Accusations() == 0 })
	recorded := n.nodes[0].Height()
	for which, from := range []*node.Node{n.nodes[0], nil} {
		if from == nil {
			from = n.nodes[3] // the one that joined before
		}
		eventually(t, "a snapshot of after it", func() bool { return from.Height() > (max(recorded, from.Base())/12+1)*12+3 })
		cfg := node.Config{
			Home: t.TempDir(), ListenP2P: peerAddress(t), BlockInterval: 200 * time.Millisecond, SnapshotEvery: 12,
			Peers: []string{from.ID() + "@" + from.AddressP2P()}, StateSync: &node.StateSync{Period: longAgo},
		}
		if err := node.InitHome(cfg.Home, n.Genesis); err != nil {
			t.Fatal(err)
		}
		k := n.joiner()
		var err error
		if k.Node, err = sample.Key("late node", uint64(which)); err != nil {
			t.Fatal(err)
		}
		joined := n.start(cfg, k)
		eventually(t, "the new node has followed", func() bool { return joined.Base() > recorded && joined.Height() > joined.Base()+1 })
		if err := joined.Accuse(evidence[0]); err != nil || joined.Accusations() != 0 {
			t.Errorf("what is in a block already is taken for new: %d, %v", joined.Accusations(), err)
		}
		if which == 0 {
			continue
		}
		if err := joined.Accuse(evidence[1]); err != nil || joined.Accusations() != 1 {
			t.Errorf("evidence of before its first block is not taken: %v", err)
		}
		eventually(t, "it comes into a block", func() bool { return joined.Accusations() == 0 })
	}
}

// A home that was cut off while it began with a snapshot begins anew, and a network without a snapshot takes
// one for whoever asks.
func TestStateSyncCutOff(t *testing.T) {
	t.Parallel()
	n := startNetwork(t, 2, nil)
	id := n.create(n.nodes[0], 1)
	cfg := n.config(func(c *node.Config) { c.StateSync = &node.StateSync{Period: longAgo} })
	if err := os.WriteFile(filepath.Join(cfg.Home, node.SyncingFile), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	// A state, and no blocks to it.
	st, err := store.Open(filepath.Join(cfg.Home, node.StateDir), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	chain := newChain(t, st)
	chain.commit(nil)
	if err := chain.store.Close(); err != nil {
		t.Fatal(err)
	}
	joined := n.start(cfg, n.joiner())
	eventually(t, "the new node has followed", func() bool { return joined.Base() > 1 && joined.Height() > joined.Base()+3 })
	n.has(joined, id, joined.Base())
	if _, err := os.Stat(filepath.Join(cfg.Home, node.SyncingFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the mark of a home that is not whole is still there: %v", err)
	}
}

// What is trusted may be too old to judge by.
func TestStateSyncTrust(t *testing.T) {
	t.Parallel()
	n := startNetwork(t, 1, nil)
	eventually(t, "blocks", func() bool { return n.nodes[0].Height() > 4 })
	cfg := n.config(func(cfg *node.Config) { cfg.StateSync = &node.StateSync{Period: time.Hour} })
	joined := n.start(cfg, n.joiner())
	<-joined.Done()
	if !errors.Is(joined.Err(), node.ErrTrustExpired) {
		t.Error(joined.Err())
	}
}
