package client

import (
	"encoding/hex"
	"fmt"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// The JSON forms of CometBFT's RPC and genesis: 64-bit numbers are strings, hashes upper-case
// hexadecimal, signatures and keys base64.

type hexBytes []byte

func (b *hexBytes) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

type blockIDJSON struct {
	Hash  hexBytes `json:"hash"`
	Parts struct {
		Total uint32   `json:"total"`
		Hash  hexBytes `json:"hash"`
	} `json:"parts"`
}

func (b *blockIDJSON) blockID() proof.BlockID {
	return proof.BlockID{Hash: b.Hash, PartsTotal: b.Parts.Total, PartsHash: b.Parts.Hash}
}

type headerJSON struct {
	Version struct {
		Block uint64 `json:"block,string"`
		App   uint64 `json:"app,string"`
	} `json:"version"`
	Network            hufu.Network `json:"chain_id"`
	Height             hufu.Height  `json:"height,string"`
	Time               time.Time    `json:"time"`
	LastBlockID        blockIDJSON  `json:"last_block_id"`
	LastCommitHash     hexBytes     `json:"last_commit_hash"`
	DataHash           hexBytes     `json:"data_hash"`
	ValidatorsHash     hexBytes     `json:"validators_hash"`
	NextValidatorsHash hexBytes     `json:"next_validators_hash"`
	ConsensusHash      hexBytes     `json:"consensus_hash"`
	AppHash            hexBytes     `json:"app_hash"`
	LastResultsHash    hexBytes     `json:"last_results_hash"`
	EvidenceHash       hexBytes     `json:"evidence_hash"`
	ProposerAddress    hexBytes     `json:"proposer_address"`
}

func (h *headerJSON) header() proof.Header {
	return proof.Header{
		BlockVersion: h.Version.Block, AppVersion: h.Version.App,
		Network: h.Network, Height: h.Height, Time: h.Time, LastBlockID: h.LastBlockID.blockID(),
		LastCommitHash: h.LastCommitHash, DataHash: h.DataHash,
		ValidatorsHash: h.ValidatorsHash, NextValidatorsHash: h.NextValidatorsHash,
		ConsensusHash: h.ConsensusHash, AppHash: h.AppHash,
		LastResultsHash: h.LastResultsHash, EvidenceHash: h.EvidenceHash,
		ProposerAddress: h.ProposerAddress,
	}
}

type commitJSON struct {
	Height     hufu.Height `json:"height,string"`
	Round      int32       `json:"round"`
	BlockID    blockIDJSON `json:"block_id"`
	Signatures []struct {
		Flag      proof.Flag `json:"block_id_flag"`
		Address   hexBytes   `json:"validator_address"`
		Time      time.Time  `json:"timestamp"`
		Signature []byte     `json:"signature"`
	} `json:"signatures"`
}

func (c *commitJSON) commit() proof.Commit {
	out := proof.Commit{Height: c.Height, Round: c.Round, BlockID: c.BlockID.blockID()}
	for _, s := range c.Signatures {
		out.Votes = append(out.Votes, proof.Vote{Flag: s.Flag, Address: s.Address, Time: s.Time, Signature: s.Signature})
	}
	return out
}

// validatorJSON is a validator of the RPC ("voting_power") or of a genesis file ("power").
type validatorJSON struct {
	Key struct {
		Type  string `json:"type"`
		Value []byte `json:"value"`
	} `json:"pub_key"`
	VotingPower int64 `json:"voting_power,string"`
	Power       int64 `json:"power,string"`
}

func (v *validatorJSON) validator() (proof.Validator, error) {
	if v.Key.Type != "tendermint/PubKeyEd25519" || len(v.Key.Value) != 32 {
		return proof.Validator{}, fmt.Errorf("a validator without an Ed25519 key")
	}
	return proof.Validator{Key: [32]byte(v.Key.Value), Power: max(v.VotingPower, v.Power)}, nil
}
