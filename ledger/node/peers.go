package node

import (
	"errors"

	"github.com/cometbft/cometbft/p2p"
	protomem "github.com/cometbft/cometbft/proto/tendermint/mempool"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// mempoolReactor is the name under which the engine's switch has what takes transactions from peers.
const mempoolReactor = "MEMPOOL"

// examiner stands before the engine's mempool: what peers send is examined before the engine takes the lock
// that commits wait for, and a peer that sends what no honest one does is dropped.
type examiner struct {
	p2p.Reactor
	app  *app
	drop func(p2p.Peer, any)
}

// examinePeers puts an examiner before the mempool of a switch that has not started.
func examinePeers(sw *p2p.Switch, a *app) error {
	pool, ok := sw.Reactor(mempoolReactor)
	if !ok {
		return errors.New("node: the engine has no mempool to stand before")
	}
	sw.RemoveReactor(mempoolReactor, pool)
	sw.AddReactor(mempoolReactor, &examiner{Reactor: pool, app: a, drop: sw.StopPeerForError})
	return nil
}

// errBadTransactions is why a peer is dropped.
var errBadTransactions = errors.New("it sends transactions that are none")

// Receive passes on those of a peer's transactions that the application admits.
func (x *examiner) Receive(e p2p.Envelope) {
	msg, ok := e.Message.(*protomem.Txs)
	if !ok {
		x.Reactor.Receive(e)
		return
	}
	from := source(e.Src.ID())
	var good [][]byte
	for _, raw := range msg.Txs {
		_, err := x.app.intake.examine(raw, from)
		switch rule := hufu.RuleOf(err); {
		case err == nil:
			good = append(good, raw)
		case rule == proof.RuleBusy && x.app.sources.barred(from):
			x.app.refused.peers.Add(1)
			x.drop(e.Src, errBadTransactions)
			return
		}
	}
	if len(good) > 0 {
		e.Message = &protomem.Txs{Txs: good}
		x.Reactor.Receive(e)
	}
}
