package node

import (
	"bytes"
	"fmt"

	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	"github.com/cometbft/cometbft/types"
)

// pastWriter writes headers, commits and validators of heights before a node's first block where the engine
// looks for them (CometBFT v0.40.0 store/store.go and state/store.go, which write no other way than a block at
// a time, upwards; TestStateSync reads them back through the engine). They come from high to low.
type pastWriter struct {
	blocks, state *database
	set           *types.ValidatorSet // of the heights from low to high that are not written yet
	low, high     int64
}

// validatorsInterval is the engine's valSetCheckpointInterval: at its multiples a set is always written whole.
const validatorsInterval = 100_000

func (w *pastWriter) add(b *types.LightBlock) error {
	m := types.BlockMeta{BlockID: b.Commit.BlockID, Header: *b.Header}
	pb := m.ToProto()
	meta, err := pb.Marshal()
	if err != nil {
		return err
	}
	commit, err := b.Commit.ToProto().Marshal()
	if err != nil {
		return err
	}
	if err := w.blocks.Set(fmt.Appendf(nil, "H:%v", b.Height), meta); err != nil {
		return diskError(err)
	}
	if err := w.blocks.Set(fmt.Appendf(nil, "C:%v", b.Height), commit); err != nil {
		return diskError(err)
	}
	if w.set == nil || !bytes.Equal(w.set.Hash(), b.ValidatorSet.Hash()) {
		if err := w.run(); err != nil {
			return err
		}
		w.high = b.Height
	}
	w.set, w.low = b.ValidatorSet, b.Height
	return nil
}

// run writes the validators of the last run of heights that have the same: whole at its first, elsewhere the
// height where they are. Nothing need be synced: what is synced after it, the engine's state and blocks, is in
// the same databases.
func (w *pastWriter) run() error {
	if w.set == nil {
		return nil
	}
	set, err := w.set.ToProto()
	if err != nil {
		return err
	}
	for h := w.high; h >= w.low; h-- {
		info := cmtstate.ValidatorsInfo{LastHeightChanged: w.low}
		if h == w.low || h%validatorsInterval == 0 {
			info.ValidatorSet = set
		}
		raw, err := info.Marshal()
		if err != nil {
			return err
		}
		if err := w.state.Set(fmt.Appendf(nil, "validatorsKey:%v", h), raw); err != nil {
			return diskError(err)
		}
	}
	w.set = nil
	return nil
}
