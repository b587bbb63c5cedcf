package proof

import (
	"bytes"
	"time"

	tmcrypto "github.com/cometbft/cometbft/proto/tendermint/crypto"
	tmtypes "github.com/cometbft/cometbft/proto/tendermint/types"
	tmversion "github.com/cometbft/cometbft/proto/tendermint/version"

	"github.com/hufu-id/hufu"
)

// LightBlock is a signed header with the validators of its height.
type LightBlock struct {
	SignedHeader
	Validators ValidatorSet
}

// Trusted is what a client believes: one header's facts, or, at height 0, a genesis.
type Trusted struct {
	Height         hufu.Height
	Time           time.Time
	Hash           hufu.Digest // of the header; zero at height 0
	Validators     ValidatorSet
	NextValidators hufu.Digest // hash of the validators of Height+1
}

// TrustGenesis is the trust a genesis gives: the validators of height 1.
func TrustGenesis(at time.Time, vals []Validator) Trusted {
	set := NewValidatorSet(vals)
	return Trusted{Time: at, Validators: set, NextValidators: set.Hash()}
}

// Trust is the trust in a light block that was verified.
func (b *LightBlock) Trust() Trusted {
	t := Trusted{Height: b.Header.Height, Time: b.Header.Time, Hash: b.Header.Hash(), Validators: b.Validators}
	copy(t.NextValidators[:], b.Header.NextValidatorsHash)
	return t
}

// Rules says how a light client judges: CometBFT light client specification, "Verification".
type Rules struct {
	Network hufu.Network
	Period  time.Duration // trusting period: older trusted headers prove nothing
	Drift   time.Duration // how far a header's time may be ahead of now
}

// Verify checks b against t by the rule for their distance. The error is a refusal; [RuleDistant]
// means that a height between them must be verified first.
func (r Rules) Verify(t *Trusted, b *LightBlock, now time.Time) error {
	if b.Header.Height == t.Height+1 {
		return r.VerifyAdjacent(t, b, now)
	}
	return r.VerifyNonAdjacent(t, b, now)
}

// Path verifies b from t, through blocks between where the validators changed too much: bisection. The blocks between
// come from fetch, which is told what is trusted by then, and whose error is returned as it is. The result is the blocks
// it went through, b last. CometBFT light client specification, "VerifyToTarget".
func (r Rules) Path(t Trusted, b *LightBlock, now func() time.Time, fetch func(hufu.Height, *Trusted) (*LightBlock, error)) (path []*LightBlock, err error) {
	todo := []*LightBlock{b}
	for len(todo) > 0 {
		next := todo[len(todo)-1]
		switch err := r.Verify(&t, next, now()); {
		case err == nil:
			t = next.Trust()
			path, todo = append(path, next), todo[:len(todo)-1]
		case hufu.RuleOf(err) == RuleDistant:
			between, err := fetch((t.Height+next.Header.Height)/2, &t)
			if err != nil {
				return nil, err
			}
			todo = append(todo, between)
		default:
			return nil, err
		}
	}
	return path, nil
}

// VerifyAdjacent checks the block right after t: its validators are those t names, and more than
// 2/3 of them signed.
func (r Rules) VerifyAdjacent(t *Trusted, b *LightBlock, now time.Time) error {
	if b.Header.Height != t.Height+1 {
		return hufu.Refuse(RuleHeight, "height %d does not follow %d", b.Header.Height, t.Height)
	}
	if err := r.checkNew(t, b, now); err != nil {
		return err
	}
	if !bytes.Equal(b.Header.ValidatorsHash, t.NextValidators[:]) {
		return hufu.Refuse(RuleValidators, "height %d has other validators than height %d announced",
			b.Header.Height, t.Height)
	}
	return VerifyCommit(r.Network, b.Validators, &b.SignedHeader)
}

// VerifyNonAdjacent checks a block any number of heights after t: more than 1/3 of t's validators
// signed it, of whom one is honest if less than 1/3 are not, and more than 2/3 of its own.
func (r Rules) VerifyNonAdjacent(t *Trusted, b *LightBlock, now time.Time) error {
	if b.Header.Height <= t.Height+1 {
		return hufu.Refuse(RuleHeight, "height %d is not beyond %d", b.Header.Height, t.Height+1)
	}
	if err := r.checkNew(t, b, now); err != nil {
		return err
	}
	if err := verifyTrusting(r.Network, t.Validators, &b.Commit); err != nil {
		return err
	}
	return VerifyCommit(r.Network, b.Validators, &b.SignedHeader)
}

// VerifyBackwards checks that older is the header right before newer, which was verified.
func VerifyBackwards(network hufu.Network, newer, older *Header) error {
	if err := older.check(network); err != nil {
		return err
	}
	hash := older.Hash()
	if older.Height+1 != newer.Height || !bytes.Equal(newer.LastBlockID.Hash, hash[:]) {
		return hufu.Refuse(RuleHeader, "height %d is not the block before %d", older.Height, newer.Height)
	}
	return nil
}

func (r Rules) checkNew(t *Trusted, b *LightBlock, now time.Time) error {
	if !t.Time.Add(r.Period).After(now) {
		return hufu.Refuse(RuleExpired, "trust in height %d ended at %s",
			t.Height, t.Time.Add(r.Period).UTC().Format(time.RFC3339))
	}
	if err := checkSigned(r.Network, &b.SignedHeader); err != nil {
		return err
	}
	// The genesis time is the time of block 1.
	if !b.Header.Time.After(t.Time) && !(t.Height == 0 && b.Header.Height == 1) {
		return hufu.Refuse(RuleTime, "height %d is not later than height %d", b.Header.Height, t.Height)
	}
	if !b.Header.Time.Before(now.Add(r.Drift)) {
		return hufu.Refuse(RuleTime, "height %d is %s in the future", b.Header.Height, b.Header.Time.Sub(now))
	}
	if err := b.Validators.check(); err != nil {
		return err
	}
	if hash := b.Validators.Hash(); !bytes.Equal(hash[:], b.Header.ValidatorsHash) {
		return hufu.Refuse(RuleValidators, "not the validators of height %d", b.Header.Height)
	}
	return nil
}

// Encode writes b as CometBFT's protobuf LightBlock.
func (b *LightBlock) Encode() ([]byte, error) {
	h, c := &b.Header, &b.Commit
	pb := tmtypes.LightBlock{
		SignedHeader: &tmtypes.SignedHeader{
			Header: &tmtypes.Header{
				Version: tmversion.Consensus{Block: h.BlockVersion, App: h.AppVersion},
				ChainID: string(h.Network), Height: int64(h.Height), Time: h.Time,
				LastBlockId:    h.LastBlockID.proto(),
				LastCommitHash: h.LastCommitHash, DataHash: h.DataHash,
				ValidatorsHash: h.ValidatorsHash, NextValidatorsHash: h.NextValidatorsHash,
				ConsensusHash: h.ConsensusHash, AppHash: h.AppHash,
				LastResultsHash: h.LastResultsHash, EvidenceHash: h.EvidenceHash,
				ProposerAddress: h.ProposerAddress,
			},
			Commit: &tmtypes.Commit{Height: int64(c.Height), Round: c.Round, BlockID: c.BlockID.proto()},
		},
		ValidatorSet: &tmtypes.ValidatorSet{},
	}
	for _, v := range c.Votes {
		pb.SignedHeader.Commit.Signatures = append(pb.SignedHeader.Commit.Signatures, tmtypes.CommitSig{
			BlockIdFlag: tmtypes.BlockIDFlag(v.Flag), ValidatorAddress: v.Address, Timestamp: v.Time, Signature: v.Signature,
		})
	}
	for i := range b.Validators {
		v := &b.Validators[i]
		pb.ValidatorSet.Validators = append(pb.ValidatorSet.Validators, &tmtypes.Validator{
			Address: v.Address(), VotingPower: v.Power,
			PubKey: tmcrypto.PublicKey{Sum: &tmcrypto.PublicKey_Ed25519{Ed25519: v.Key[:]}},
		})
	}
	return pb.Marshal()
}

// ParseLightBlock reads CometBFT's protobuf LightBlock. Nothing in it is verified yet.
func ParseLightBlock(data []byte) (*LightBlock, error) {
	var pb tmtypes.LightBlock
	if err := pb.Unmarshal(data); err != nil {
		return nil, hufu.Refuse(RuleHeader, "not a light block")
	}
	if pb.SignedHeader == nil || pb.SignedHeader.Header == nil || pb.SignedHeader.Commit == nil || pb.ValidatorSet == nil {
		return nil, hufu.Refuse(RuleHeader, "an incomplete light block")
	}
	h, c := pb.SignedHeader.Header, pb.SignedHeader.Commit
	if h.Height < 0 || c.Height < 0 {
		return nil, hufu.Refuse(RuleHeader, "a negative height")
	}
	b := &LightBlock{SignedHeader: SignedHeader{
		Header: Header{
			BlockVersion: h.Version.Block, AppVersion: h.Version.App,
			Network: hufu.Network(h.ChainID), Height: hufu.Height(h.Height), Time: h.Time,
			LastBlockID:    blockID(&h.LastBlockId),
			LastCommitHash: h.LastCommitHash, DataHash: h.DataHash,
			ValidatorsHash: h.ValidatorsHash, NextValidatorsHash: h.NextValidatorsHash,
			ConsensusHash: h.ConsensusHash, AppHash: h.AppHash,
			LastResultsHash: h.LastResultsHash, EvidenceHash: h.EvidenceHash,
			ProposerAddress: h.ProposerAddress,
		},
		Commit: Commit{Height: hufu.Height(c.Height), Round: c.Round, BlockID: blockID(&c.BlockID)},
	}}
	for i := range c.Signatures {
		s := &c.Signatures[i]
		if s.BlockIdFlag < 1 || s.BlockIdFlag > 3 {
			return nil, hufu.Refuse(RuleCommit, "vote %d has flag %d", i, s.BlockIdFlag)
		}
		b.Commit.Votes = append(b.Commit.Votes, Vote{
			Flag: Flag(s.BlockIdFlag), Address: s.ValidatorAddress, Time: s.Timestamp, Signature: s.Signature,
		})
	}
	for i, v := range pb.ValidatorSet.Validators {
		key := v.PubKey.GetEd25519()
		if len(key) != 32 {
			return nil, hufu.Refuse(RuleValidators, "validator %d has no Ed25519 key", i)
		}
		b.Validators = append(b.Validators, Validator{Key: [32]byte(key), Power: v.VotingPower})
	}
	return b, nil
}

func blockID(b *tmtypes.BlockID) BlockID {
	return BlockID{Hash: b.Hash, PartsTotal: b.PartSetHeader.Total, PartsHash: b.PartSetHeader.Hash}
}
