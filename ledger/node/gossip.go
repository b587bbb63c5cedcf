package node

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cometbft/cometbft/mempool"
	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	protomem "github.com/cometbft/cometbft/proto/tendermint/mempool"
	"github.com/cometbft/cometbft/types"
	gogotypes "github.com/cosmos/gogoproto/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// gossip passes transactions on between nodes, in the place of the engine's reactor, on its channel and in its
// message. It differs in three ways. What a peer sends is checked beside the connection, many at a time: their
// signatures form batches, and the votes that come after them wait for no check. Transactions are sent many at
// a time. And each crosses a connection once: a node tells its peers at once, by a second channel, which
// transactions of others it has, and passes those on itself only to peers who do not have them after a while.
type gossip struct {
	p2p.BaseReactor
	pool    gossipPool
	offer   func(ctx context.Context, txs []passed, from source) []error // of each; a refusal is a *hufu.Refusal
	height  func() int64
	always  []string    // peers to be connected with, each ID@HOST:PORT
	syncing atomic.Bool // while blocks are caught up with, transactions can be neither judged nor passed on

	ctx     context.Context // of the work of all peers; ended by OnStop
	end     context.CancelFunc
	working sync.WaitGroup

	// The engine's switch, as far as it is used by who watches over peers.
	connected func(p2p.ID) bool
	dial      func(peers []string)
	stopPeer  func(p p2p.Peer, reason any)

	mu    sync.Mutex
	peers map[p2p.ID]*gossipPeer
}

// gossipPool is what waits for a block.
type gossipPool interface {
	has(id hufu.Digest) bool
	all() [][]byte      // each author's in order
	barred(source) bool // whether too much that is bad came from there; it is counted
}

// errBadTransactions is why a peer is dropped.
var errBadTransactions = errors.New("it sends transactions that are none")

const (
	// noticeChannel is that of the identifiers of transactions that the sender has. The engine's own are below.
	noticeChannel = byte(0x68)
	noticeMax     = 1024 // identifiers in a notice

	gossipBatch   = tx.MaxSize     // bytes of transactions sent together, if there is more than one
	gossipMax     = 1024           // transactions sent together
	gossipMessage = 2 * tx.MaxSize // bytes of a message: the largest, and the form around each
	gossipInbox   = 16             // messages that wait to be checked; what comes then stays with who sent it

	// passAfter is when a transaction of another node is passed on to who has not told of it. Those
	// connected with the node that it came to have told by then.
	passAfter = 100 * time.Millisecond
	// laggardWait is how long transactions for a peer wait that is behind in blocks.
	laggardWait = 100 * time.Millisecond
)

// gossipPeer is what is known of a peer and to be sent to it.
type gossipPeer struct {
	p2p.Peer
	inbox chan [][]byte
	wake  chan struct{} // holds one
	ended context.CancelFunc

	mu      sync.Mutex
	has     seen
	now     []passed // to be sent
	later   []passed // to be sent if need be, earliest first
	notices []byte   // identifiers
}

// passed is a transaction on its way.
type passed struct {
	id  hufu.Digest
	raw []byte
	due time.Time
}

// seen is a set of the newest identifiers.
type seen struct{ young, old map[hufu.Digest]struct{} }

// maxSeen bounds one of its two generations, for each peer: both together hold as many as can wait.
const maxSeen = maxPending / 2

func (s *seen) add(id hufu.Digest) {
	if s.young == nil || len(s.young) >= maxSeen {
		s.young, s.old = map[hufu.Digest]struct{}{}, s.young
	}
	s.young[id] = struct{}{}
}

func (s *seen) has(id hufu.Digest) bool {
	_, young := s.young[id]
	_, old := s.old[id]
	return young || old
}

// gossiping puts a gossip in the place of the engine's reactor. It is an option of the engine.
func (n *Node) gossiping(pool gossipPool, always []string) cmtnode.Option {
	return func(e *cmtnode.Node) {
		g := &gossip{
			pool: pool, always: always, peers: map[p2p.ID]*gossipPeer{},
			offer:  n.submitAll,
			height: func() int64 { return n.engine.BlockStore().Height() },
		}
		g.BaseReactor = *p2p.NewBaseReactor("Mempool", g)
		g.connected = func(id p2p.ID) bool { return g.Switch.Peers().Has(id) }
		g.dial = func(peers []string) { _ = g.Switch.DialPeersAsync(peers) } // the engine says why it cannot
		g.stopPeer = func(p p2p.Peer, reason any) { g.Switch.StopPeerForError(p, reason) }
		g.ctx, g.end = context.WithCancel(context.Background())
		if stock, ok := e.MempoolReactor().(interface{ WaitSync() bool }); ok {
			g.syncing.Store(stock.WaitSync())
		}
		n.gossip = g
		cmtnode.CustomReactors(map[string]p2p.Reactor{"MEMPOOL": g})(e)
	}
}

// OnStart begins to call peers.
func (g *gossip) OnStart() error {
	if len(g.always) > 0 {
		g.working.Go(func() { ticking(recall, func(times <-chan time.Time) { g.call(g.ctx, times) }) })
	}
	return nil
}

// ticking does work that has something to do once an interval.
func ticking(interval time.Duration, work func(<-chan time.Time)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	work(t.C)
}

// OnStop ends the work for peers before the application is closed.
func (g *gossip) OnStop() {
	g.mu.Lock()
	g.end() // from now on no peer is added
	g.mu.Unlock()
	g.working.Wait()
}

// EnableInOutTxs is called when the node has caught up with the blocks.
func (g *gossip) EnableInOutTxs() { g.syncing.Store(false) }

// GetChannels implements p2p.Reactor.
func (g *gossip) GetChannels() []*p2p.ChannelDescriptor {
	return []*p2p.ChannelDescriptor{
		{ID: mempool.MempoolChannel, Priority: 5, RecvMessageCapacity: gossipMessage, MessageType: &protomem.Message{}},
		{ID: noticeChannel, Priority: 5, RecvMessageCapacity: noticeMax*sha256.Size + 16, MessageType: &gogotypes.BytesValue{}},
	}
}

// pendingPool is an application's.
type pendingPool struct{ *app }

func (a pendingPool) has(id hufu.Digest) bool { return a.pending.has(id) }

func (a pendingPool) barred(from source) bool {
	if !a.sources.barred(from) {
		return false
	}
	a.refused.peers.Add(1)
	return true
}

func (a pendingPool) all() [][]byte {
	a.pending.mu.Lock()
	all := slices.Collect(maps.Values(a.pending.ids))
	a.pending.mu.Unlock()
	slices.SortFunc(all, func(x, y *waiting) int { return cmp.Compare(x.Payload.Sequence, y.Payload.Sequence) })
	out := make([][]byte, len(all))
	for i, w := range all {
		out[i] = w.Raw()
	}
	return out
}

// AddPeer starts the work for a peer: what waits goes to it first.
func (g *gossip) AddPeer(peer p2p.Peer) {
	ctx, end := context.WithCancel(g.ctx)
	p := &gossipPeer{Peer: peer, inbox: make(chan [][]byte, gossipInbox), wake: make(chan struct{}, 1), ended: end}
	for _, raw := range g.pool.all() {
		p.now = append(p.now, passed{id: sha256.Sum256(raw), raw: raw})
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		end()
		return
	}
	g.peers[peer.ID()] = p
	g.working.Go(func() { g.check(ctx, p) })
	g.working.Go(func() { g.send(ctx, p) })
	g.working.Go(func() { ticking(beat, func(beats <-chan time.Time) { g.watch(ctx, p.Peer, beats) }) })
	p.poke()
}

// RemovePeer ends the work for a peer.
func (g *gossip) RemovePeer(peer p2p.Peer, _ any) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if p := g.peers[peer.ID()]; p != nil && p.Peer == peer {
		p.ended()
		delete(g.peers, peer.ID())
	}
}

func (g *gossip) peer(id p2p.ID) *gossipPeer {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.peers[id]
}

// Receive takes what a peer sends and returns at once.
func (g *gossip) Receive(e p2p.Envelope) {
	p := g.peer(e.Src.ID())
	if p == nil {
		return // it came before its peer was added: whoever sent it has it
	}
	switch msg := e.Message.(type) {
	case *protomem.Txs:
		if len(msg.Txs) == 0 || len(msg.Txs) > gossipMax {
			g.Switch.StopPeerForError(e.Src, fmt.Errorf("node: %d transactions at once", len(msg.Txs)))
			return
		}
		if g.syncing.Load() {
			return
		}
		select {
		case p.inbox <- msg.Txs:
		default:
		}
	case *gogotypes.BytesValue:
		if len(msg.Value)%sha256.Size != 0 || len(msg.Value) > noticeMax*sha256.Size {
			g.Switch.StopPeerForError(e.Src, errors.New("node: a notice that is no list of identifiers"))
			return
		}
		p.mu.Lock()
		for id := range slices.Chunk(msg.Value, sha256.Size) {
			p.has.add(hufu.Digest(id))
		}
		p.mu.Unlock()
	default:
		g.Switch.StopPeerForError(e.Src, fmt.Errorf("node: a message of type %T", e.Message))
	}
}

// check offers what p sent.
func (g *gossip) check(ctx context.Context, p *gossipPeer) {
	for {
		select {
		case <-ctx.Done():
			return
		case raws := <-p.inbox:
			txs := make([]passed, len(raws))
			for i, raw := range raws {
				txs[i] = passed{id: sha256.Sum256(raw), raw: raw}
			}
			// Those of one author follow one another, and several workers look at them: who came too early is
			// offered again.
			g.take(ctx, p, g.take(ctx, p, txs))
		}
	}
}

// take offers transactions that p sent, and returns those that may have been too early.
func (g *gossip) take(ctx context.Context, p *gossipPeer, txs []passed) (early []passed) {
	from := peerSource(p.ID())
	var known, fresh, entered []passed
	for _, t := range txs {
		if g.pool.has(t.id) {
			known = append(known, t)
		} else {
			fresh = append(fresh, t)
		}
	}
	barred := false
	for i, err := range g.offer(ctx, fresh, from) {
		t := fresh[i]
		switch rule := hufu.RuleOf(err); {
		case err == nil:
			entered = append(entered, t)
		case rule == proof.RuleBusy && ctx.Err() == nil && g.pool.barred(from):
			barred = true
		case g.pool.has(t.id):
			known = append(known, t)
		case rule == machine.RuleSequence:
			early = append(early, t)
		}
	}
	p.mu.Lock()
	for _, t := range append(known, entered...) {
		p.has.add(t.id)
	}
	p.mu.Unlock()
	g.entered(entered, p.ID())
	if barred {
		p.ended()
		go g.stopPeer(p.Peer, errBadTransactions) // it waits for this work to end
		return nil
	}
	return early
}

// entered passes on transactions that wait here from now on. From is the peer that they came from, if any.
func (g *gossip) entered(txs []passed, from p2p.ID) {
	if len(txs) == 0 {
		return
	}
	due := time.Now().Add(passAfter)
	g.mu.Lock()
	defer g.mu.Unlock()
	for name, p := range g.peers {
		if name == from {
			continue
		}
		p.mu.Lock()
		for _, t := range txs {
			if from == "" {
				p.now = append(p.now, t)
				continue
			}
			p.notices = append(p.notices, t.id[:]...)
			if !p.has.has(t.id) {
				p.later = append(p.later, passed{t.id, t.raw, due})
			}
		}
		p.now, p.later = bounded(p.now), bounded(p.later)
		p.mu.Unlock()
		p.poke()
	}
}

// bounded forgets the older half of a list that a peer does not take: most of it is in blocks by now, and the
// node proposes the rest itself.
func bounded(list []passed) []passed {
	if len(list) < 2*maxPending {
		return list
	}
	return slices.Clone(list[maxPending:])
}

func (p *gossipPeer) poke() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// send sends p what there is for it.
func (g *gossip) send(ctx context.Context, p *gossipPeer) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-timer.C:
		}
		for ctx.Err() == nil {
			if g.syncing.Load() || g.behind(p) {
				timer.Reset(laggardWait)
				break
			}
			txs, notices, next := p.next(g.pool)
			if len(notices) > 0 {
				p.Send(p2p.Envelope{ChannelID: noticeChannel, Message: &gogotypes.BytesValue{Value: notices}})
			}
			if len(txs) > 0 {
				p.Send(p2p.Envelope{ChannelID: mempool.MempoolChannel, Message: &protomem.Txs{Txs: txs}})
			}
			if len(txs) == 0 && len(notices) == 0 {
				if !next.IsZero() {
					timer.Reset(time.Until(next))
				}
				break
			}
		}
	}
}

// behind reports whether a peer has not even the block before the last: it could not judge what waits.
func (g *gossip) behind(p *gossipPeer) bool {
	state, ok := p.Get(types.PeerStateKey).(mempool.PeerState)
	return !ok || state.GetHeight() < g.height()-1
}

// next takes what is to be sent to p now out of its lists, and says when more will be.
func (p *gossipPeer) next(pool gossipPool) (txs [][]byte, notices []byte, more time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := min(len(p.notices), noticeMax*sha256.Size)
	notices, p.notices = p.notices[:n:n], p.notices[n:]
	size := 0
	for _, list := range []*[]passed{&p.now, &p.later} {
		for len(*list) > 0 && len(txs) < gossipMax {
			t := (*list)[0]
			if p.has.has(t.id) || !pool.has(t.id) {
				*list = (*list)[1:]
				continue
			}
			if wait := time.Until(t.due); wait > 0 {
				more = t.due
				break
			}
			if size += len(t.raw); size > gossipBatch && len(txs) > 0 {
				return txs, notices, more
			}
			p.has.add(t.id)
			txs = append(txs, t.raw)
			*list = (*list)[1:]
		}
	}
	return txs, notices, more
}
