package byzantine_test

import (
	"math"
	"testing"
	"time"

	cmtbits "github.com/cometbft/cometbft/proto/tendermint/libs/bits"

	cmtblocksync "github.com/cometbft/cometbft/proto/tendermint/blocksync"
	cmtconsensus "github.com/cometbft/cometbft/proto/tendermint/consensus"
	cmtstatesync "github.com/cometbft/cometbft/proto/tendermint/statesync"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/hufu-id/hufu/internal/byzantine"
)

type message struct {
	channel int32
	message []byte
}

// absurd are messages that read well and say what cannot be.
func absurd(t *testing.T) map[string]message {
	t.Helper()
	out := map[string]message{}
	add := func(name string, channel int32, m interface{ Marshal() ([]byte, error) }) {
		raw, err := m.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		out[name] = message{channel, raw}
	}
	id := cmtproto.BlockID{Hash: make([]byte, 32), PartSetHeader: cmtproto.PartSetHeader{Total: math.MaxUint32, Hash: make([]byte, 32)}}
	add("a step below all", byzantine.State, &cmtconsensus.Message{Sum: &cmtconsensus.Message_NewRoundStep{
		NewRoundStep: &cmtconsensus.NewRoundStep{Height: -5, Round: 0, Step: 1},
	}})
	add("a round below all", byzantine.State, &cmtconsensus.Message{Sum: &cmtconsensus.Message_NewRoundStep{
		NewRoundStep: &cmtconsensus.NewRoundStep{Height: math.MaxInt64, Round: -1, Step: 1},
	}})
	add("more parts than there can be", byzantine.Data, &cmtconsensus.Message{Sum: &cmtconsensus.Message_Proposal{
		Proposal: &cmtconsensus.Proposal{Proposal: cmtproto.Proposal{
			Type: cmtproto.ProposalType, Height: 3, Round: 0, PolRound: -1, BlockID: id, Timestamp: time.Now(), Signature: make([]byte, 64),
		}},
	}})
	add("a vote of no height", byzantine.Votes, &cmtconsensus.Message{Sum: &cmtconsensus.Message_Vote{
		Vote: &cmtconsensus.Vote{Vote: &cmtproto.Vote{Type: cmtproto.PrevoteType, Height: -1, BlockID: id}},
	}})
	add("more bits than validators", byzantine.State, &cmtconsensus.Message{Sum: &cmtconsensus.Message_NewValidBlock{
		NewValidBlock: &cmtconsensus.NewValidBlock{Height: 5, BlockPartSetHeader: id.PartSetHeader, BlockParts: &cmtbits.BitArray{Bits: math.MaxInt64}},
	}})
	add("a height below all", byzantine.Blocks, &cmtblocksync.Message{Sum: &cmtblocksync.Message_StatusResponse{
		StatusResponse: &cmtblocksync.StatusResponse{Height: -7, Base: 1},
	}})
	add("a snapshot of height 0", byzantine.Snapshots, &cmtstatesync.Message{Sum: &cmtstatesync.Message_SnapshotsResponse{
		SnapshotsResponse: &cmtstatesync.SnapshotsResponse{Height: 0},
	}})
	return out
}
