package node

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	protomem "github.com/cometbft/cometbft/proto/tendermint/mempool"

	"github.com/hufu-id/hufu"
)

// web is nodes that gossip over connections of which each message takes a while, and every message that crosses
// one is counted. Its time is the test's.
type web struct {
	nodes []*webNode
	late  time.Duration
	deaf  bool // to what peers say they have

	mu      sync.Mutex
	crossed map[hufu.Digest]map[[2]int]int // how often, by connection, whichever way
}

// webNode is a node, and the pool of its mempool.
type webNode struct {
	*gossip
	mu   sync.Mutex
	held map[hufu.Digest][]byte
}

func (n *webNode) has(id hufu.Digest) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.held[id] != nil
}

func (n *webNode) all() [][]byte {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.held))
}

func (n *webNode) barred(source) bool { return false }

func (n *webNode) take(raw []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.held[sha256.Sum256(raw)] = raw
}

// webPeer is node to as node from sees it.
type webPeer struct {
	p2p.Peer
	web      *web
	from, to int
	under    chan webMessage // way to the other end
}

type webMessage struct {
	p2p.Envelope
	due time.Time
}

func (p *webPeer) ID() p2p.ID       { return p2p.ID(strconv.Itoa(p.to)) }
func (p *webPeer) Get(string) any   { return p }
func (p *webPeer) GetHeight() int64 { return 1 }

// Status is of a connection on which something comes all the time.
func (p *webPeer) Status() (s conn.ConnectionStatus) { return s }

// TrySend is of what a node says of being there.
func (p *webPeer) TrySend(p2p.Envelope) bool { return true }

// Send counts the message and puts it on its way.
func (p *webPeer) Send(e p2p.Envelope) bool {
	if txs, ok := e.Message.(*protomem.Txs); ok {
		p.web.mu.Lock()
		for _, raw := range txs.Txs {
			of := p.web.crossed[sha256.Sum256(raw)]
			of[[2]int{min(p.from, p.to), max(p.from, p.to)}]++
		}
		p.web.mu.Unlock()
	}
	e.Src = &webPeer{from: p.to, to: p.from}
	p.under <- webMessage{e, time.Now().Add(p.web.late)}
	return true
}

// carry brings what is sent to the other end.
func (p *webPeer) carry(done <-chan struct{}) {
	for {
		select {
		case <-done:
			return
		case m := <-p.under:
			time.Sleep(time.Until(m.due))
			if m.ChannelID == mempool.MempoolChannel || !p.web.deaf {
				p.web.nodes[p.to].Receive(m.Envelope)
			}
		}
	}
}

// connect lets node from send to node to.
func (w *web) connect(from, to int) {
	p := &webPeer{web: w, from: from, to: to, under: make(chan webMessage, 1000)}
	go p.carry(w.nodes[from].ctx.Done())
	w.nodes[from].AddPeer(p)
}

func newWeb(nodes int, late time.Duration, connected func(i, j int) bool) *web {
	w := &web{late: late, crossed: map[hufu.Digest]map[[2]int]int{}}
	for range nodes {
		n := &webNode{held: map[hufu.Digest][]byte{}}
		n.gossip = &gossip{
			pool: n, peers: map[p2p.ID]*gossipPeer{}, height: func() int64 { return 1 },
			offer: func(_ context.Context, txs []passed, _ source) []error {
				for _, t := range txs {
					n.take(t.raw)
				}
				return make([]error, len(txs))
			},
		}
		n.ctx, n.end = context.WithCancel(context.Background())
		w.nodes = append(w.nodes, n)
	}
	for i := range nodes {
		for j := range i {
			if connected(i, j) {
				w.connect(i, j)
				w.connect(j, i)
			}
		}
	}
	return w
}

// crossings brings transactions to each node, and returns of every transaction how often it crossed each connection,
// once all nodes have all of them and nothing moves any more.
func (w *web) crossings(t *testing.T) (all []map[[2]int]int, at []int) {
	t.Helper()
	const each = 100
	for i := range each * len(w.nodes) {
		n := i % len(w.nodes)
		raw := binary.BigEndian.AppendUint64(nil, uint64(i))
		id := hufu.Digest(sha256.Sum256(raw))
		of := map[[2]int]int{}
		w.mu.Lock()
		w.crossed[id] = of
		w.mu.Unlock()
		w.nodes[n].take(raw)
		w.nodes[n].entered([]passed{{id: id, raw: raw}}, "")
		all, at = append(all, of), append(at, n)
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Minute)
	for i, n := range w.nodes {
		if got := len(n.all()); got != len(all) {
			t.Errorf("node %d has %d transactions of %d", i, got, len(all))
		}
		n.OnStop()
	}
	return all, at
}

func everyTwo(int, int) bool   { return true }
func neighbours(i, j int) bool { return i == j+1 }

// Where all are connected with all, a transaction crosses each connection of the node that it came to once, and no
// other.
func TestGossipCrossesOnceInAMesh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, at := newWeb(4, 30*time.Millisecond, everyTwo).crossings(t)
		for i, crossed := range all {
			for a := range 4 {
				for b := a + 1; b < 4; b++ {
					want := 0
					if a == at[i] || b == at[i] {
						want = 1
					}
					if got := crossed[[2]int{a, b}]; got != want {
						t.Fatalf("transaction %d, of node %d, crossed the connection of %d and %d %d times", i, at[i], a, b, got)
					}
				}
			}
		}
	})
}

// In a row it crosses every connection once.
func TestGossipCrossesOnceInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all, at := newWeb(4, 30*time.Millisecond, neighbours).crossings(t)
		for i, crossed := range all {
			if want := map[[2]int]int{{0, 1}: 1, {1, 2}: 1, {2, 3}: 1}; !maps.Equal(crossed, want) {
				t.Fatalf("transaction %d, of node %d, crossed %v", i, at[i], crossed)
			}
		}
	})
}

// It is what nodes tell each other that keeps a transaction from crossing twice: it comes too late where a message
// takes longer than passAfter, and has no effect on who does not listen.
func TestGossipCrossesMoreOftenUntold(t *testing.T) {
	for name, w := range map[string]func() *web{
		"deaf": func() *web { w := newWeb(4, 30*time.Millisecond, everyTwo); w.deaf = true; return w },
		"far":  func() *web { return newWeb(4, 2*passAfter, everyTwo) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				all, _ := w().crossings(t)
				more := 0
				for _, crossed := range all {
					if len(crossed) > 3 {
						more++
					}
				}
				if more != len(all) {
					t.Errorf("%d of %d transactions crossed more connections than those of the node they came to", more, len(all))
				}
			})
		})
	}
}
