package node

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	"github.com/cometbft/cometbft/p2p/mock"
	gogotypes "github.com/cosmos/gogoproto/types"
)

// quietPeer has said nothing for a time.
type quietPeer struct {
	*mock.Peer
	idle time.Duration
	told int // how often it was told that the node is there
	then func(told int)
}

func (p *quietPeer) Status() (s conn.ConnectionStatus) {
	s.RecvMonitor.Idle = p.idle
	return s
}

func (p *quietPeer) TrySend(e p2p.Envelope) bool {
	if v, ok := e.Message.(*gogotypes.BytesValue); ok && e.ChannelID == noticeChannel && len(v.Value) == 0 {
		p.told++
		p.then(p.told)
	}
	return true
}

// A peer is told at each beat that the node is there, and dropped when it says nothing for too long.
func TestSilentPeerIsDropped(t *testing.T) {
	dropped := make(chan any, 1)
	g := &gossip{stopPeer: func(_ p2p.Peer, reason any) { dropped <- reason }}
	const times = 3
	beats := make(chan time.Time, times)
	for range times {
		beats <- time.Time{}
	}
	ctx, cancel := context.WithCancel(t.Context())
	g.watch(ctx, &quietPeer{Peer: mock.NewPeer(nil), idle: silence, then: func(told int) {
		if told == times {
			cancel()
		}
	}}, beats)
	if len(dropped) > 0 {
		t.Error("a peer is dropped that was heard of just now")
	}
	quiet := &quietPeer{Peer: mock.NewPeer(nil), idle: silence + 1}
	beats <- time.Time{}
	g.watch(t.Context(), quiet, beats)
	if reason := <-dropped; reason != any(errSilent) {
		t.Errorf("dropped for %v", reason)
	}
	if quiet.told > 0 {
		t.Error("it is told something still")
	}
}

// Peers that are not connected are called again and again; the others are left alone.
func TestLostPeersAreCalled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var called [][]string
	here := map[p2p.ID]bool{"a": true}
	g := &gossip{
		always:    []string{"a@192.0.2.1:1", "b@192.0.2.2:1", "c@192.0.2.3:1"},
		connected: func(id p2p.ID) bool { return here[id] },
	}
	g.dial = func(peers []string) {
		called = append(called, peers)
		if len(called) == 1 {
			here["b"] = true
		}
		if len(called) == 2 {
			here["c"] = true
		}
	}
	times := make(chan time.Time)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.call(ctx, times)
	}()
	for range 4 {
		times <- time.Time{}
	}
	cancel()
	<-ended
	want := [][]string{{"b@192.0.2.2:1", "c@192.0.2.3:1"}, {"c@192.0.2.3:1"}}
	if !slices.EqualFunc(called, want, slices.Equal) {
		t.Errorf("%v", called)
	}
}
