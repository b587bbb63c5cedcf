package proof

import (
	"bytes"
	"time"

	tmtypes "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// Rules that headers and commits are refused by.
const (
	RuleNetwork    hufu.Rule = "proof.network"       // a header of another network
	RuleHeader     hufu.Rule = "proof.header"        // a header that cannot be, or not the one committed to
	RuleValidators hufu.Rule = "proof.validators"    // validators that are not the ones the header names
	RuleCommit     hufu.Rule = "proof.commit"        // a vote with a bad signature or of somebody else
	RulePower      hufu.Rule = "proof.power"         // votes of 2/3 of the power or less
	RuleTime       hufu.Rule = "proof.time"          // a time not after the trusted one, or in the future
	RuleHeight     hufu.Rule = "proof.height"        // a height that is not the one asked about
	RuleExpired    hufu.Rule = "proof.trust-expired" // the trusted header is older than the trusting period
	RuleDistant    hufu.Rule = "proof.distant"       // validators changed too much to skip heights
)

// Flag says what a validator's entry in a commit is.
type Flag uint8

// The flags of a commit's entries.
const (
	FlagAbsent Flag = 1 // no vote was seen
	FlagCommit Flag = 2 // a vote for the block
	FlagNil    Flag = 3 // a vote for no block
)

// Vote is one validator's entry in a commit.
type Vote struct {
	Flag      Flag
	Address   []byte
	Time      time.Time
	Signature []byte
}

// Commit is the votes that made a block final, one entry for each validator of its height.
type Commit struct {
	Height  hufu.Height
	Round   int32
	BlockID BlockID
	Votes   []Vote
}

// SignedHeader is a header and the commit for it.
type SignedHeader struct {
	Header Header
	Commit Commit
}

// SignBytes are the bytes that the validator of vote i signed: the length-prefixed canonical vote
// for the commit's block (CometBFT spec, "Canonical Vote"). It is nil when the vote's time cannot be.
func (c *Commit) SignBytes(network hufu.Network, i int) []byte {
	vote := tmtypes.CanonicalVote{
		Type:      tmtypes.PrecommitType,
		Height:    int64(c.Height),
		Round:     int64(c.Round),
		Timestamp: c.Votes[i].Time,
		ChainID:   string(network),
		BlockID: &tmtypes.CanonicalBlockID{
			Hash:          c.BlockID.Hash,
			PartSetHeader: tmtypes.CanonicalPartSetHeader{Total: c.BlockID.PartsTotal, Hash: c.BlockID.PartsHash},
		},
	}
	body, err := vote.Marshal()
	if err != nil {
		return nil
	}
	return append(appendVarint(nil, uint64(len(body))), body...)
}

// VerifyCommit checks that validators with more than 2/3 of the power of vals signed sh's header.
// vals must be trusted, or checked by the caller to be the header's.
func VerifyCommit(network hufu.Network, vals ValidatorSet, sh *SignedHeader) error {
	if err := checkSigned(network, sh); err != nil {
		return err
	}
	if err := vals.check(); err != nil {
		return err
	}
	if len(sh.Commit.Votes) != len(vals) {
		return hufu.Refuse(RuleCommit, "%d votes for %d validators", len(sh.Commit.Votes), len(vals))
	}
	var signed int64
	for i := range sh.Commit.Votes {
		vote := &sh.Commit.Votes[i]
		if vote.Flag != FlagCommit {
			continue
		}
		if !bytes.Equal(vote.Address, vals[i].Address()) {
			return hufu.Refuse(RuleCommit, "vote %d is not of validator %s", i, short(vals[i].Address()))
		}
		if err := verifyVote(network, &vals[i], &sh.Commit, i); err != nil {
			return err
		}
		// Every vote is checked, also past 2/3, so that no altered one goes unnoticed.
		signed += vals[i].Power
	}
	if total := vals.Power(); !moreThan(signed, total, 2, 3) {
		return hufu.Refuse(RulePower, "votes with %d of %d power", signed, total)
	}
	return nil
}

// verifyTrusting checks that validators with more than 1/3 of the power of vals, a set of some
// earlier height, are among those that signed.
func verifyTrusting(network hufu.Network, vals ValidatorSet, c *Commit) error {
	byAddress := make(map[string]int, len(vals))
	for i := range vals {
		byAddress[string(vals[i].Address())] = i
	}
	var signed int64
	for i := range c.Votes {
		if c.Votes[i].Flag != FlagCommit {
			continue
		}
		v, known := byAddress[string(c.Votes[i].Address)]
		if !known {
			continue
		}
		delete(byAddress, string(c.Votes[i].Address)) // one vote counts once
		if err := verifyVote(network, &vals[v], c, i); err != nil {
			return err
		}
		signed += vals[v].Power
	}
	if total := vals.Power(); !moreThan(signed, total, 1, 3) {
		return hufu.Refuse(RuleDistant, "trusted validators with %d of %d power signed", signed, total)
	}
	return nil
}

func verifyVote(network hufu.Network, v *Validator, c *Commit, i int) error {
	key, err := keys.NewPublicKey(keys.Ed25519, v.Key[:])
	if err != nil {
		return hufu.Refuse(RuleValidators, "validator %s: %v", short(v.Address()), err)
	}
	if message := c.SignBytes(network, i); message == nil || !key.VerifyConsensus(message, c.Votes[i].Signature) {
		return hufu.Refuse(RuleCommit, "the signature of validator %s does not match", short(v.Address()))
	}
	return nil
}

// checkSigned checks what needs no validators: the header can be, and the commit is for it.
func checkSigned(network hufu.Network, sh *SignedHeader) error {
	if err := sh.Header.check(network); err != nil {
		return err
	}
	hash := sh.Header.Hash()
	switch {
	case sh.Commit.Height != sh.Header.Height:
		return hufu.Refuse(RuleHeader, "height %d with a commit for %d", sh.Header.Height, sh.Commit.Height)
	case !bytes.Equal(sh.Commit.BlockID.Hash, hash[:]):
		return hufu.Refuse(RuleHeader, "the header's hash is %s, the commit is for %s",
			short(hash[:]), short(sh.Commit.BlockID.Hash))
	case sh.Commit.Round < 0:
		return hufu.Refuse(RuleCommit, "round %d", sh.Commit.Round)
	}
	return nil
}

// moreThan reports part/total > num/den. Powers are below 2^60, so the products are exact.
func moreThan(part, total, num, den int64) bool { return part*den > total*num }
