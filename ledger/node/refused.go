package node

import "sync/atomic"

// Refused counts transactions that were refused before they were looked at in full, since the node started.
type Refused struct {
	Busy   uint64 // the node had too much to do
	Share  uint64 // a member's quota had its share of what may wait
	Checks uint64 // a source had its share of the signatures that wait to be checked
	Bad    uint64 // unreadable, or a signature did not hold
	Barred uint64 // from a source of too many bad ones
	Peers  uint64 // peers that were dropped for bad ones
}

// refusals are the counters behind [Refused].
type refusals struct {
	busy, share, checks, bad, barred, peers atomic.Uint64
}

// Refused is what the node refused so far.
func (n *Node) Refused() Refused {
	if n.app == nil {
		return Refused{}
	}
	r := &n.app.refused
	return Refused{
		Busy: r.busy.Load(), Share: r.share.Load(), Checks: r.checks.Load(),
		Bad: r.bad.Load(), Barred: r.barred.Load(), Peers: r.peers.Load(),
	}
}
