package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/p2p/conn"
	sm "github.com/cometbft/cometbft/state"
	cmtstore "github.com/cometbft/cometbft/store"
	"github.com/cometbft/cometbft/types"
	gogotypes "github.com/cosmos/gogoproto/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// Nodes give each other signed headers over the connections that they have anyway, so that one that joins
// needs no more than the addresses of its peers. Nothing that arrives is believed here.
const (
	headersName    = "HEADERS"
	headersChannel = byte(0x70) // of none of the engine's reactors

	maxHeaders      = 256     // in one answer
	maxHeadersBytes = 2 << 20 // of one answer, which is one block more at most
	maxHeadersTotal = 8 << 20 // of a message: validators are at most some 100 bytes each
)

// headersMessage is a question or an answer, as CBOR.
type headersMessage struct {
	Ask    *headersRequest `cbor:"1,keyasint,omitempty"`
	Answer *headersAnswer  `cbor:"2,keyasint,omitempty"`
}

// headersRequest asks for the header of a height and those before it.
type headersRequest struct {
	Height hufu.Height `cbor:"1,keyasint"`
	Count  uint64      `cbor:"2,keyasint"`
}

// headersAnswer is as many as there are, from the height down; none says that there is none of the height.
type headersAnswer struct {
	Height hufu.Height `cbor:"1,keyasint"`
	Base   hufu.Height `cbor:"2,keyasint"` // of the whole blocks that are kept
	Tip    hufu.Height `cbor:"3,keyasint"`
	Blocks [][]byte    `cbor:"4,keyasint"` // CometBFT's protobuf LightBlock
	// Evidence is that in those of the blocks that hold any, in their order: CometBFT's protobuf EvidenceList.
	Evidence [][]byte `cbor:"5,keyasint,omitempty"`
}

// history is what the engine has written.
type history struct {
	blocks *cmtstore.BlockStore
	db     *database // of blocks
	state  sm.Store
}

// lightBlock is the signed header of a height with its validators, nil when it is not there.
func (h *history) lightBlock(height int64) *types.LightBlock {
	m := h.blocks.LoadBlockMeta(height)
	if m == nil {
		return nil
	}
	commit := h.blocks.LoadBlockCommit(height)
	if commit == nil {
		commit = h.blocks.LoadSeenCommit(height) // the next block has not come yet
	}
	vals, err := h.state.LoadValidators(height)
	if err != nil || commit == nil {
		return nil
	}
	return &types.LightBlock{SignedHeader: &types.SignedHeader{Header: &m.Header, Commit: commit}, ValidatorSet: vals}
}

// encodeLightBlock is b as peers send it: CometBFT's protobuf LightBlock.
func encodeLightBlock(b *types.LightBlock) ([]byte, error) {
	pb, err := b.ToProto()
	if err != nil {
		return nil, err
	}
	return pb.Marshal()
}

// noEvidence is the evidence hash of a block that holds none.
var noEvidence = types.EvidenceList{}.Hash()

// evidenceKey is where the evidence of a block is kept that is not here itself, among the engine's blocks.
func evidenceKey(height int64) []byte { return fmt.Appendf(nil, "hufu evidence:%v", height) }

// evidence is what the block of a header holds as protobuf, nil when it is not there.
func (h *history) evidence(height int64) []byte {
	if b := h.blocks.LoadBlock(height); b != nil {
		pb, err := b.Evidence.ToProto()
		if err != nil {
			return nil
		}
		raw, err := pb.Marshal()
		if err != nil {
			return nil
		}
		return raw
	}
	raw, err := h.db.Get(evidenceKey(height))
	if err != nil {
		return nil
	}
	return raw
}

// headers is the reactor: it answers peers, and asks them.
type headers struct {
	p2p.BaseReactor
	from atomic.Pointer[history] // nil until the engine has been made

	mu    sync.Mutex
	peers map[p2p.ID]*headersPeer
}

type headersPeer struct {
	p2p.Peer
	one     sync.Mutex // question at a time
	answers chan *headersAnswer
}

func newHeaders() *headers {
	h := &headers{peers: map[p2p.ID]*headersPeer{}}
	h.BaseReactor = *p2p.NewBaseReactor("Headers", h)
	return h
}

// GetChannels is p2p.Reactor's.
func (h *headers) GetChannels() []*conn.ChannelDescriptor {
	return []*conn.ChannelDescriptor{{
		ID: headersChannel, Priority: 2, SendQueueCapacity: 4, RecvMessageCapacity: maxHeadersTotal,
		MessageType: &gogotypes.BytesValue{},
	}}
}

// AddPeer is p2p.Reactor's.
func (h *headers) AddPeer(p p2p.Peer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.peers[p.ID()] = &headersPeer{Peer: p, answers: make(chan *headersAnswer, 1)}
}

// RemovePeer is p2p.Reactor's.
func (h *headers) RemovePeer(p p2p.Peer, _ any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.peers, p.ID())
}

// connected is the peers there are, in the order of their names.
func (h *headers) connected() []*headersPeer {
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]*headersPeer, 0, len(h.peers))
	for _, p := range h.peers {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *headersPeer) int {
		if a.ID() < b.ID() {
			return -1
		}
		return 1
	})
	return out
}

// Receive is p2p.Reactor's. A peer is answered before its next message is read, so that it cannot ask for
// more than it takes.
func (h *headers) Receive(e p2p.Envelope) {
	var m headersMessage
	wrapped, ok := e.Message.(*gogotypes.BytesValue)
	if !ok || encoding.Unmarshal(wrapped.Value, &m) != nil || (m.Ask == nil) == (m.Answer == nil) {
		h.Switch.StopPeerForError(e.Src, errors.New("neither a question for headers nor an answer"))
		return
	}
	if m.Ask != nil {
		if from := h.from.Load(); from != nil {
			_ = send(e.Src, &headersMessage{Answer: from.answer(m.Ask)}) // it asks again, or is gone
		}
		return
	}
	h.mu.Lock()
	p := h.peers[e.Src.ID()]
	h.mu.Unlock()
	if p != nil {
		select {
		case p.answers <- m.Answer:
		default: // nobody asked
		}
	}
}

func (h *history) answer(ask *headersRequest) *headersAnswer {
	a := &headersAnswer{Height: ask.Height, Base: hufu.Height(h.blocks.Base()), Tip: hufu.Height(h.blocks.Height())}
	for size, i := 0, uint64(0); i < min(ask.Count, maxHeaders) && size < maxHeadersBytes && uint64(ask.Height) > i; i++ {
		b := h.lightBlock(int64(uint64(ask.Height) - i))
		if b == nil {
			break
		}
		raw, err := encodeLightBlock(b)
		if err != nil {
			break
		}
		if !bytes.Equal(b.EvidenceHash, noEvidence) {
			evidence := h.evidence(b.Height)
			if evidence == nil {
				break
			}
			a.Evidence = append(a.Evidence, evidence)
			size += len(evidence)
		}
		a.Blocks = append(a.Blocks, raw)
		size += len(raw)
	}
	return a
}

func send(to p2p.Peer, m *headersMessage) error {
	raw, err := encoding.Marshal(m)
	if err != nil {
		return err
	}
	if !to.Send(p2p.Envelope{ChannelID: headersChannel, Message: &gogotypes.BytesValue{Value: raw}}) {
		return fmt.Errorf("node: peer %s takes no question", to.ID())
	}
	return nil
}

// ask asks the peer and waits for the answer.
func (p *headersPeer) ask(ctx context.Context, height hufu.Height, count uint64) (*headersAnswer, error) {
	p.one.Lock()
	defer p.one.Unlock()
	select {
	case <-p.answers: // to a question that nobody waits for any more
	default:
	}
	if err := send(p, &headersMessage{Ask: &headersRequest{Height: height, Count: count}}); err != nil {
		return nil, err
	}
	for {
		select {
		case a := <-p.answers:
			if a.Height == height {
				return a, nil
			}
		case <-p.Quit():
			return nil, fmt.Errorf("node: peer %s has gone", p.ID())
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
