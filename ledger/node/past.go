package node

import (
	"bytes"
	"fmt"

	"github.com/cometbft/cometbft/evidence"
	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	"github.com/cometbft/cometbft/types"
	gogotypes "github.com/cosmos/gogoproto/types"

	"github.com/hufu-id/hufu"
)

// pastWriter writes headers, commits, validators and evidence of heights before a node's first block where the engine
// looks for them (CometBFT v0.40.0 store/store.go and state/store.go, which write no other way than a block at
// a time, upwards; TestStateSync reads them back through the engine). They come from high to low.
type pastWriter struct {
	blocks, state, evidence *database
	set                     *types.ValidatorSet // of the heights from low to high that are not written yet
	low, high               int64
}

// pastBlock is what is kept of a block before a node's first.
type pastBlock struct {
	*types.LightBlock
	evidence types.EvidenceList // in it
}

// validatorsInterval is the engine's valSetCheckpointInterval: at its multiples a set is always written whole.
const validatorsInterval = 100_000

func (w *pastWriter) add(b pastBlock) error {
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
	if err := w.commit(b); err != nil {
		return err
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

// commit tells the engine which evidence the block holds (evidence/pool.go, markEvidenceAsCommitted). It would
// take what somebody sends it again for new, and have it in every block it proposes, which all who have seen it
// before refuse.
func (w *pastWriter) commit(b pastBlock) error {
	if len(b.evidence) == 0 {
		return nil
	}
	pb, err := (&types.EvidenceData{Evidence: b.evidence}).ToProto()
	if err != nil {
		return err
	}
	raw, err := pb.Marshal()
	if err != nil {
		return err
	}
	if err := w.blocks.Set(evidenceKey(b.Height), raw); err != nil { // for those who ask this node
		return diskError(err)
	}
	for _, e := range b.evidence {
		at, err := (&gogotypes.Int64Value{Value: e.Height()}).Marshal()
		if err != nil {
			return err
		}
		if err := w.evidence.Set(committedKey(e), at); err != nil {
			return diskError(err)
		}
	}
	return nil
}

// committedKey is where the engine looks whether evidence is in a block (evidence/pool.go, keyCommitted).
func committedKey(e types.Evidence) []byte {
	return fmt.Appendf([]byte{0}, "%0.16X/%X", e.Height(), e.Hash())
}

// missingKey is where the height is kept up to which a node that began with a snapshot lacks headers, among the engine's
// blocks.
func missingKey() []byte { return []byte("hufu missing headers") }

// lacks notes up to which height headers are missing, 0 when none are.
func (w *pastWriter) lacks(height int64) error {
	raw, err := (&gogotypes.Int64Value{Value: height}).Marshal()
	if err != nil {
		return err
	}
	return diskError(w.blocks.Set(missingKey(), raw))
}

// missing is up to which height headers are missing of which evidence still counts: see [Synced].
func (h *history) missing() (hufu.Height, error) {
	raw, err := h.db.Get(missingKey())
	if err != nil {
		return 0, diskError(err)
	}
	var up gogotypes.Int64Value
	if err := up.Unmarshal(raw); err != nil || up.Value == 0 {
		return 0, err
	}
	state, err := h.state.Load()
	if err != nil {
		return 0, fmt.Errorf("node: %w", err)
	}
	// The missing header is older than the next.
	switch next := h.blocks.LoadBlockMeta(up.Value + 1); {
	case next == nil && up.Value+1 < h.blocks.Base(): // pruned: too old itself
		return 0, nil
	case next != nil && evidence.IsEvidenceExpired(state.LastBlockHeight, state.LastBlockTime, up.Value, next.Header.Time, state.ConsensusParams.Evidence):
		return 0, nil
	}
	return hufu.Height(up.Value), nil
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
