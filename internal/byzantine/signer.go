package byzantine

import (
	"bytes"
	"crypto/rand"
	"io"

	"github.com/cometbft/cometbft/crypto"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/libs/protoio"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// DoubleSigner is a validator's key that signs, with each vote for a block, one for another block.
type DoubleSigner struct {
	keys.Signer
	Network hufu.Network
	Index   int32               // of the validator
	Votes   chan *cmtproto.Vote // takes the other votes; those that find no room are dropped
}

// Sign signs the message and, when it is a vote for a block, makes the other one.
func (s *DoubleSigner) Sign(random io.Reader, message []byte) ([]byte, error) {
	var v cmtproto.CanonicalVote
	if err := protoio.UnmarshalDelimited(message, &v); err == nil && (v.Type == cmtproto.PrevoteType || v.Type == cmtproto.PrecommitType) && v.BlockID != nil {
		if err := s.other(&v); err != nil {
			return nil, err
		}
	}
	return s.Signer.Sign(random, message)
}

func (s *DoubleSigner) other(v *cmtproto.CanonicalVote) error {
	id := cmtproto.BlockID{Hash: make([]byte, 32), PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: make([]byte, 32)}}
	for _, b := range [][]byte{id.Hash, id.PartSetHeader.Hash} {
		if _, err := rand.Read(b); err != nil {
			return err
		}
	}
	vote := &cmtproto.Vote{
		Type: v.Type, Height: v.Height, Round: int32(v.Round), BlockID: id, Timestamp: v.Timestamp,
		ValidatorAddress: signingKey{s.Signer}.PubKey().Address(), ValidatorIndex: s.Index,
	}
	var err error
	if vote.Signature, err = s.Signer.Sign(rand.Reader, types.VoteSignBytes(string(s.Network), vote)); err != nil {
		return err
	}
	select {
	case s.Votes <- vote:
	default:
	}
	return nil
}

// signingKey is a key in the engine's form.
type signingKey struct{ signer keys.Signer }

func (k signingKey) Bytes() []byte                   { return nil }
func (k signingKey) Sign(msg []byte) ([]byte, error) { return k.signer.Sign(rand.Reader, msg) }
func (k signingKey) PubKey() crypto.PubKey           { return cmted25519.PubKey(k.signer.Public().Raw()) }
func (k signingKey) Type() string                    { return cmted25519.KeyType }

func (k signingKey) Equals(other crypto.PrivKey) bool {
	return bytes.Equal(k.PubKey().Bytes(), other.PubKey().Bytes())
}
