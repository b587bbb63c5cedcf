package audit

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/gov"
)

// maxConvictions bounds the convictions that are told of.
const maxConvictions = 100

// Conviction is a validator key that was convicted of an offence by evidence on the ledger.
type Conviction struct {
	Member  hufu.DID    `json:"member"`
	Key     string      `json:"key"` // hexadecimal
	Offence string      `json:"offence"`
	At      hufu.Height `json:"at"`     // height of the offence
	Height  hufu.Height `json:"height"` // of the block with the evidence
	Time    time.Time   `json:"time"`   // of that block
	Took    uint64      `json:"took"`   // voting power that the member lost by it
	Kept    bool        `json:"kept"`   // it kept its power, as none other would have been left
	Proofs  uint64      `json:"proofs"` // of offences by that key
}

// Convictions are the newest ones that a state holds, the newest first.
func Convictions(r state.Reader, n hufu.Network) ([]Conviction, error) {
	keys, _, err := gov.Convicted(r, maxConvictions)
	var out []Conviction
	for _, k := range keys {
		first := k.Conviction.Proofs[0].Misbehaviour
		out = append(out, Conviction{
			Member: k.Member.DID(n), Key: hex.EncodeToString(k.Key), Offence: first.Offence.String(), At: first.Height,
			Height: k.Conviction.Height, Time: time.Unix(k.Conviction.Time, 0).UTC(), Took: k.Conviction.Took, Kept: k.Conviction.Kept,
			Proofs: uint64(len(k.Conviction.Proofs)) + k.Conviction.More,
		})
	}
	return out, err
}

// Recorded is the block in which the ledger recorded that a validator key signed a false header, with the offence at a
// height; 0 when it did not, or, of a key with many proofs, no longer tells.
func Recorded(r state.Reader, key []byte, at hufu.Height) (hufu.Height, error) {
	rec, err := gov.GetValidatorKey(r, gov.AddressOf(key))
	if err != nil || rec == nil || rec.Conviction == nil {
		return 0, err
	}
	for _, p := range rec.Conviction.Proofs {
		if p.Misbehaviour.Offence == gov.LightClientAttack && p.Misbehaviour.Height == at {
			return p.Recorded, nil
		}
	}
	return 0, nil
}

// evidence is what the evidence in a block proves. Only a block whose header says that there is some is asked
// for it. The signatures are held against the keys that the replay itself has for the accused.
func (r *replay) evidence(ctx context.Context, s Source, header *proof.Header) ([]gov.Misbehaviour, error) {
	if bytes.Equal(header.EvidenceHash, types.EvidenceList{}.Hash()) {
		return nil, nil
	}
	raw, err := s.Evidence(ctx, header.Height)
	if err != nil {
		return nil, fmt.Errorf("audit: evidence of block %d: %w", header.Height, err)
	}
	list, err := parseEvidence(raw)
	if err != nil || !bytes.Equal(list.Hash(), header.EvidenceHash) {
		return nil, &Divergence{header.Height, "the evidence is not that which the header signs"}
	}
	for _, e := range list {
		if err := r.prove(e); err != nil {
			return nil, &Divergence{header.Height, "evidence that proves nothing: " + err.Error()}
		}
	}
	return node.Misbehaviour(list.ToABCI()), nil
}

// parseEvidence reads evidence in the engine's JSON. What it returns can be hashed: the engine's code panics
// on what cannot.
func parseEvidence(raw []byte) (types.EvidenceList, error) {
	var list types.EvidenceList
	if err := cmtjson.Unmarshal(raw, &list); err != nil {
		return nil, err
	}
	for _, e := range list {
		if e == nil {
			return nil, errors.New("no evidence")
		}
		if err := e.ValidateBasic(); err != nil {
			return nil, err
		}
		pb, err := types.EvidenceToProto(e)
		if err != nil {
			return nil, err
		}
		if _, err := pb.Marshal(); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// prove checks that the accused signed what they are accused of.
func (r *replay) prove(e types.Evidence) error {
	switch e := e.(type) {
	case *types.DuplicateVoteEvidence:
		a, b := e.VoteA, e.VoteB
		if a.Height != b.Height || a.Round != b.Round || a.Type != b.Type || !bytes.Equal(a.ValidatorAddress, b.ValidatorAddress) || a.BlockID.Equals(b.BlockID) {
			return errors.New("the votes do not exclude each other")
		}
		for _, v := range []*types.Vote{a, b} {
			if err := r.signed(v.ValidatorAddress, types.VoteSignBytes(string(r.out.Report.Network), v.ToProto()), v.Signature); err != nil {
				return err
			}
		}
		return nil
	case *types.LightClientAttackEvidence:
		commit := e.ConflictingBlock.Commit
		for _, v := range e.ByzantineValidators {
			at := -1
			for i := range commit.Signatures {
				if bytes.Equal(commit.Signatures[i].ValidatorAddress, v.Address) {
					at = i
				}
			}
			if at < 0 {
				return errors.New("an accused validator signed nothing")
			}
			if err := r.signed(v.Address, commit.VoteSignBytes(string(r.out.Report.Network), int32(at)), commit.Signatures[at].Signature); err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("evidence of a kind that is not known: %T", e)
}

func (r *replay) signed(address, message, signature []byte) error {
	if len(address) != len(gov.Address{}) {
		return errors.New("no address of a validator")
	}
	rec, err := gov.GetValidatorKey(r.out.store, gov.Address(address))
	switch {
	case err != nil:
		return err
	case rec == nil || len(rec.Key) != cmted25519.PubKeySize:
		return errors.New("the accused was never a validator")
	case !cmted25519.PubKey(rec.Key).VerifySignature(message, signature):
		return errors.New("a signature does not hold")
	}
	return nil
}
