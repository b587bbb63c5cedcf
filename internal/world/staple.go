package world

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"time"

	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/proof"
)

// began is the time of the genesis.
var began = time.Unix(1_790_000_000, 0).UTC()

const power = 10 // of the one validator

// Trust is what clients of the world trust to begin with.
func (w *World) Trust() client.Trust {
	return client.Trust{Network: Network, GenesisTime: began, Validators: w.validators()}
}

func (w *World) validators() proof.ValidatorSet {
	return proof.NewValidatorSet([]proof.Validator{{Key: [32]byte(w.validator.Public().Raw()), Power: power}})
}

// Staple makes proofs of what read reads of the newest state, whose header the validator signs.
func (w *World) Staple(_ context.Context, read func(client.View) error) (*client.Staple, error) {
	file, err := w.snapshot()
	if err != nil {
		return nil, err
	}
	snap, err := client.OpenSnapshot(bytes.NewReader(file), w.Trust(), w.Now(), 0)
	if err != nil {
		return nil, err
	}
	return snap.Staple(read)
}

// snapshot is the newest state as a snapshot file.
func (w *World) snapshot() ([]byte, error) {
	v, err := w.View()
	if err != nil {
		return nil, err
	}
	set := w.validators()
	hash := set.Hash()
	b := &proof.LightBlock{Validators: set}
	b.Header = proof.Header{
		BlockVersion: 11, AppVersion: 1, Network: Network, Height: v.asOf.Height + 1, Time: v.asOf.Time, ValidatorsHash: hash[:], NextValidatorsHash: hash[:],
		ConsensusHash: make([]byte, 32), AppHash: v.asOf.AppHash[:], ProposerAddress: set[0].Address(),
	}
	id := b.Header.Hash()
	b.Commit = proof.Commit{Height: b.Header.Height, BlockID: proof.BlockID{Hash: id[:], PartsTotal: 1, PartsHash: make([]byte, 32)}}
	b.Commit.Votes = []proof.Vote{{Flag: proof.FlagCommit, Address: set[0].Address(), Time: v.asOf.Time}}
	if b.Commit.Votes[0].Signature, err = w.validator.Sign(nil, b.Commit.SignBytes(Network, 0)); err != nil {
		return nil, err
	}
	block, err := b.Encode()
	if err != nil {
		return nil, err
	}
	path, err := encoding.Marshal([][]byte{block})
	if err != nil {
		return nil, err
	}
	var records []proof.Record
	for key, value := range v.reader {
		records = append(records, proof.Record{Key: []byte(key), Value: value})
	}
	slices.SortFunc(records, func(a, b proof.Record) int {
		x, y := proof.HashKey(a.Key), proof.HashKey(b.Key)
		return bytes.Compare(x[:], y[:])
	})
	page, err := encoding.Marshal(records)
	if err != nil {
		return nil, err
	}
	file := []byte("hufu-snapshot/1\n")
	for _, part := range [][]byte{path, page, nil} {
		file = append(binary.BigEndian.AppendUint32(file, uint32(len(part))), part...)
	}
	return file, nil
}
