package byzantine

import (
	"bytes"
	"fmt"
	"math"
	"time"

	cmtbits "github.com/cometbft/cometbft/proto/tendermint/libs/bits"

	cmtblocksync "github.com/cometbft/cometbft/proto/tendermint/blocksync"
	cmtconsensus "github.com/cometbft/cometbft/proto/tendermint/consensus"
	cmtstatesync "github.com/cometbft/cometbft/proto/tendermint/statesync"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
)

// Garbage is what no honest peer sends. Sending fails when the node has hung up before all of it was sent.
type Garbage struct {
	Name string
	Send func(*Peer) error
}

// AllGarbage is of every kind, on every channel.
func AllGarbage() ([]Garbage, error) {
	bad := bytes.Repeat([]byte{0xff}, 1000)
	big := bytes.Repeat([]byte{0x0a}, 16<<20)
	all := []Garbage{
		{"no packet", func(p *Peer) error { return p.Raw(bad) }},
		{"a length beyond all", func(p *Peer) error {
			return p.Raw([]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f})
		}},
		{"unknown channel", func(p *Peer) error { return p.Send(Peers, []byte{1}) }},
		{"channel 7000", func(p *Peer) error { return p.Send(7000, []byte{1}) }},
		{"channel -1", func(p *Peer) error { return p.Send(-1, []byte{1}) }},
	}
	for _, c := range []struct {
		name   string
		number int32
	}{
		{"state", State},
		{"data", Data},
		{"votes", Votes},
		{"vote bits", VoteBits},
		{"mempool", Mempool},
		{"evidence", Evidence},
		{"blocks", Blocks},
		{"snapshots", Snapshots},
		{"chunks", Chunks},
	} {
		all = append(all,
			Garbage{"no protobuf on " + c.name, func(p *Peer) error { return p.Send(c.number, bad) }},
			Garbage{"too large on " + c.name, func(p *Peer) error { return p.Send(c.number, big) }},
			Garbage{"no end on " + c.name, func(p *Peer) error {
				for range 4096 {
					if err := p.Part(c.number, bad); err != nil {
						return err
					}
				}
				return p.Send(c.number, big)
			}})
		if c.number != Evidence { // where nothing is a list of none
			all = append(all, Garbage{"nothing on " + c.name, func(p *Peer) error { return p.Send(c.number, nil) }})
		}
	}
	absurd, err := absurd()
	return append(all, absurd...), err
}

// absurd is messages that read well and say what cannot be.
func absurd() ([]Garbage, error) {
	id := cmtproto.BlockID{Hash: make([]byte, 32), PartSetHeader: cmtproto.PartSetHeader{Total: math.MaxUint32, Hash: make([]byte, 32)}}
	var all []Garbage
	for _, m := range []struct {
		name    string
		channel int32
		message interface{ Marshal() ([]byte, error) }
	}{
		{"a step below all", State, &cmtconsensus.Message{Sum: &cmtconsensus.Message_NewRoundStep{
			NewRoundStep: &cmtconsensus.NewRoundStep{Height: -5, Round: 0, Step: 1},
		}}},
		{"a round below all", State, &cmtconsensus.Message{Sum: &cmtconsensus.Message_NewRoundStep{
			NewRoundStep: &cmtconsensus.NewRoundStep{Height: math.MaxInt64, Round: -1, Step: 1},
		}}},
		{"more parts than there can be", Data, &cmtconsensus.Message{Sum: &cmtconsensus.Message_Proposal{
			Proposal: &cmtconsensus.Proposal{Proposal: cmtproto.Proposal{
				Type: cmtproto.ProposalType, Height: 3, Round: 0, PolRound: -1, BlockID: id, Timestamp: time.Now(), Signature: make([]byte, 64),
			}},
		}}},
		{"a vote of no height", Votes, &cmtconsensus.Message{Sum: &cmtconsensus.Message_Vote{
			Vote: &cmtconsensus.Vote{Vote: &cmtproto.Vote{Type: cmtproto.PrevoteType, Height: -1, BlockID: id}},
		}}},
		{"more bits than validators", State, &cmtconsensus.Message{Sum: &cmtconsensus.Message_NewValidBlock{
			NewValidBlock: &cmtconsensus.NewValidBlock{Height: 5, BlockPartSetHeader: id.PartSetHeader, BlockParts: &cmtbits.BitArray{Bits: math.MaxInt64}},
		}}},
		{"a height below all", Blocks, &cmtblocksync.Message{Sum: &cmtblocksync.Message_StatusResponse{
			StatusResponse: &cmtblocksync.StatusResponse{Height: -7, Base: 1},
		}}},
		{"a snapshot of height 0", Snapshots, &cmtstatesync.Message{Sum: &cmtstatesync.Message_SnapshotsResponse{
			SnapshotsResponse: &cmtstatesync.SnapshotsResponse{Height: 0},
		}}},
	} {
		raw, err := m.message.Marshal()
		if err != nil {
			return nil, fmt.Errorf("byzantine: %s: %w", m.name, err)
		}
		all = append(all, Garbage{m.name, func(p *Peer) error { return p.Send(m.channel, raw) }})
	}
	return all, nil
}
