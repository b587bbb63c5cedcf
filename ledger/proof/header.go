package proof

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	tmcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	tmtypes "github.com/cometbft/cometbft/proto/tendermint/types"
	tmversion "github.com/cometbft/cometbft/proto/tendermint/version"
	gogotypes "github.com/cosmos/gogoproto/types"

	"github.com/hufu-id/hufu"
)

// Limits on what is read from a node.
const (
	MaxValidators = 1000 // more than any network of organisations has; CometBFT allows 10,000
	addressLen    = 20
	blockProtocol = 11 // CometBFT's block protocol, Header.Version.Block
)

// BlockID names a block by the hash of its header and the root of the parts it was gossiped in.
type BlockID struct {
	Hash       []byte
	PartsTotal uint32
	PartsHash  []byte
}

// Header is a CometBFT block header. AppHash is the root of the state after the block before, and
// LastResultsHash the root of that block's results: both are about height-1.
type Header struct {
	BlockVersion, AppVersion uint64

	Network     hufu.Network // chain id
	Height      hufu.Height
	Time        time.Time
	LastBlockID BlockID

	LastCommitHash, DataHash           []byte
	ValidatorsHash, NextValidatorsHash []byte
	ConsensusHash, AppHash             []byte
	LastResultsHash, EvidenceHash      []byte
	ProposerAddress                    []byte
}

// Hash is the block's hash: the Merkle root of the header's fields (CometBFT data structures,
// "Header"). An impossible time has the zero hash, which no block has.
func (h *Header) Hash() hufu.Digest {
	version := tmversion.Consensus{Block: h.BlockVersion, App: h.AppVersion}
	last := h.LastBlockID.proto()
	stamp, err := gogotypes.StdTimeMarshal(h.Time)
	if err != nil {
		return hufu.Digest{}
	}
	return merkleRoot([][]byte{
		marshal(&version),
		marshal(&gogotypes.StringValue{Value: string(h.Network)}),
		marshal(&gogotypes.Int64Value{Value: int64(h.Height)}),
		stamp,
		marshal(&last),
		wrappedBytes(h.LastCommitHash),
		wrappedBytes(h.DataHash),
		wrappedBytes(h.ValidatorsHash),
		wrappedBytes(h.NextValidatorsHash),
		wrappedBytes(h.ConsensusHash),
		wrappedBytes(h.AppHash),
		wrappedBytes(h.LastResultsHash),
		wrappedBytes(h.EvidenceHash),
		wrappedBytes(h.ProposerAddress),
	})
}

// AsOf says for which state the header's app hash holds: the one after the block before.
func (h *Header) AsOf() hufu.AsOf {
	a := hufu.AsOf{Height: h.Height - 1, Time: h.Time.UTC()}
	copy(a.AppHash[:], h.AppHash)
	return a
}

func (h *Header) check(network hufu.Network) error {
	switch {
	case h.Network != network:
		return hufu.Refuse(RuleNetwork, "the header is of another network than %s", network)
	case h.BlockVersion != blockProtocol:
		return hufu.Refuse(RuleHeader, "block protocol %d, not %d", h.BlockVersion, blockProtocol)
	case h.Height == 0 || h.Height > 1<<62:
		return hufu.Refuse(RuleHeader, "height %d", h.Height)
	case len(h.AppHash) != sha256.Size:
		return hufu.Refuse(RuleHeader, "an app hash of %d bytes", len(h.AppHash))
	case len(h.ValidatorsHash) != sha256.Size || len(h.NextValidatorsHash) != sha256.Size:
		return hufu.Refuse(RuleHeader, "no hash of the validators")
	case h.Hash() == hufu.Digest{}:
		return hufu.Refuse(RuleHeader, "a time that cannot be")
	}
	return nil
}

// Validator is one voter. Power is its share of the votes.
type Validator struct {
	Key   [32]byte // Ed25519 public key
	Power int64
}

// Address is the first 20 bytes of the SHA-256 digest of the key.
func (v *Validator) Address() []byte {
	sum := sha256.Sum256(v.Key[:])
	return sum[:addressLen]
}

// ValidatorSet is the voters of one height, in the order of [NewValidatorSet].
type ValidatorSet []Validator

// NewValidatorSet puts vals into the order they are hashed and vote in: by falling power, then by
// address.
func NewValidatorSet(vals []Validator) ValidatorSet {
	set := slices.Clone(vals)
	slices.SortFunc(set, func(a, b Validator) int {
		switch {
		case a.Power > b.Power:
			return -1
		case a.Power < b.Power:
			return 1
		}
		return bytes.Compare(a.Address(), b.Address())
	})
	return set
}

// Hash is what headers carry as ValidatorsHash: the Merkle root of the keys and powers.
func (s ValidatorSet) Hash() hufu.Digest {
	leaves := make([][]byte, len(s))
	for i := range s {
		key := tmcrypto.PublicKey{Sum: &tmcrypto.PublicKey_Ed25519{Ed25519: s[i].Key[:]}}
		leaves[i] = marshal(&tmtypes.SimpleValidator{PubKey: &key, VotingPower: s[i].Power})
	}
	return merkleRoot(leaves)
}

// Power is the sum of all votes.
func (s ValidatorSet) Power() (total int64) {
	for i := range s {
		total += s[i].Power
	}
	return total
}

func (s ValidatorSet) check() error {
	if len(s) == 0 || len(s) > MaxValidators {
		return hufu.Refuse(RuleValidators, "%d validators", len(s))
	}
	total := int64(0)
	for i := range s {
		// CometBFT's own limit on the total, 1/8 of the range, keeps all sums exact.
		if s[i].Power <= 0 || s[i].Power > 1<<60-total {
			return hufu.Refuse(RuleValidators, "validator %d has power %d", i, s[i].Power)
		}
		total += s[i].Power
	}
	return nil
}

func (b *BlockID) proto() tmtypes.BlockID {
	return tmtypes.BlockID{
		Hash:          b.Hash,
		PartSetHeader: tmtypes.PartSetHeader{Total: b.PartsTotal, Hash: b.PartsHash},
	}
}

func marshal(m interface{ Marshal() ([]byte, error) }) []byte {
	// The generated code fails on times out of range alone, and no message given here holds one.
	b, err := m.Marshal()
	if err != nil {
		return nil
	}
	return b
}

func wrappedBytes(b []byte) []byte { return marshal(&gogotypes.BytesValue{Value: b}) }

// merkleRoot is the root of RFC 6962 §2.1 over leaves.
func merkleRoot(leaves [][]byte) hufu.Digest {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, leaves[0]...))
	}
	split := 1
	for split*2 < len(leaves) {
		split *= 2
	}
	left, right := merkleRoot(leaves[:split]), merkleRoot(leaves[split:])
	return HashInner(&left, &right)
}

// Result is what the ledger answered to one transaction: the part of it that headers commit to.
type Result struct {
	Code uint32 // 0 when the transaction took effect
	Data []byte // the refusing rule when it did not
}

// TransactionsRoot is the DataHash of a block with these transactions.
func TransactionsRoot(txs [][]byte) hufu.Digest {
	leaves := make([][]byte, len(txs))
	for i, tx := range txs {
		sum := sha256.Sum256(tx)
		leaves[i] = sum[:]
	}
	return merkleRoot(leaves)
}

// ResultsRoot is the LastResultsHash of the header after a block with these results.
func ResultsRoot(results []Result) hufu.Digest {
	leaves := make([][]byte, len(results))
	for i, r := range results {
		leaves[i] = r.encode()
	}
	return merkleRoot(leaves)
}

// encode is the protobuf ExecTxResult with its deterministic fields: code = 1, data = 2; gas is not
// used and always 0.
func (r *Result) encode() []byte {
	var out []byte
	if r.Code != 0 {
		out = appendVarint(append(out, 1<<3), uint64(r.Code))
	}
	if len(r.Data) != 0 {
		out = appendVarint(append(out, 2<<3|2), uint64(len(r.Data)))
		out = append(out, r.Data...)
	}
	return out
}

func appendVarint(b []byte, v uint64) []byte {
	for ; v >= 0x80; v >>= 7 {
		b = append(b, byte(v)|0x80)
	}
	return append(b, byte(v))
}

func short(b []byte) string {
	const most = 8
	if len(b) > most {
		return fmt.Sprintf("%s…", hex.EncodeToString(b[:most]))
	}
	return hex.EncodeToString(b)
}
