package node

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cometbft/cometbft/p2p"
	gogotypes "github.com/cosmos/gogoproto/types"
)

// A line that is cut without a word leaves a connection that both ends hold for a good one: whoever writes to it
// waits, and the peer cannot connect again, since it is connected. The engine asks after a minute whether the peer
// is there, waits for most of another, and does neither while it is stuck in writing; then the system's patience
// decides, which is a quarter of an hour. And after two minutes of trying the engine calls a lost peer less and
// less often, and in the end never. So nodes tell one another that they are there, drop who is silent,
// and call those they are to be connected with for good.
const (
	// beat is how often a node says that it is there.
	beat = time.Second
	// silence is after how long a peer that says nothing is dropped: longer than a busy machine or a full disk
	// keeps a node from running, and not longer than a line may be cut without anybody noticing much.
	silence = 15 * time.Second
	// recall is how often a peer that is not connected is called.
	recall = 10 * time.Second
)

var errSilent = errors.New("node: nothing was heard of it")

// watch tells p at each beat that this node is there, and drops it when it has been silent.
func (g *gossip) watch(ctx context.Context, p p2p.Peer, beats <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-beats:
		}
		if p.Status().RecvMonitor.Idle > silence {
			go g.stopPeer(p, errSilent) // it waits for this work to end
			return
		}
		// No identifiers: whatever else is being sent says the same.
		p.TrySend(p2p.Envelope{ChannelID: noticeChannel, Message: &gogotypes.BytesValue{}})
	}
}

// call calls, at each of the times, those of the node's peers that are not connected.
func (g *gossip) call(ctx context.Context, times <-chan time.Time) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-times:
		}
		var away []string
		for _, peer := range g.always {
			if id, _, _ := strings.Cut(peer, "@"); !g.connected(p2p.ID(id)) {
				away = append(away, peer)
			}
		}
		if len(away) > 0 {
			g.dial(away)
		}
	}
}
