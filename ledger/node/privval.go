package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/cometbft/cometbft/crypto"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu/keys"
)

// signingKey lets the engine sign with a key that stays where it is: in memory, decrypted from a
// keystore, or in hardware.
type signingKey struct{ signer keys.Signer }

func newSigningKey(s keys.Signer, what string) (signingKey, error) {
	if s == nil || s.Public().Suite() != keys.Ed25519 {
		return signingKey{}, fmt.Errorf("node: the %s key must be an Ed25519 key", what)
	}
	return signingKey{s}, nil
}

// Bytes is empty: the secret is not given to the engine, which needs it for writing key files only.
func (k signingKey) Bytes() []byte { return nil }

func (k signingKey) Sign(msg []byte) ([]byte, error) { return k.signer.Sign(rand.Reader, msg) }
func (k signingKey) PubKey() crypto.PubKey           { return cmted25519.PubKey(k.signer.Public().Raw()) }
func (k signingKey) Type() string                    { return cmted25519.KeyType }

func (k signingKey) Equals(other crypto.PrivKey) bool {
	return bytes.Equal(k.PubKey().Bytes(), other.PubKey().Bytes())
}

// voter signs for one validator, with whichever of its keys the engine's next block has among its validators.
// The engine asks for the public key at the end of every block.
type voter struct {
	keys       []votingKey // oldest first
	validators func() (*types.ValidatorSet, error)

	mu  sync.Mutex
	now votingKey
}

// votingKey is a key of the validator, here or with a remote signer.
type votingKey interface {
	types.PrivValidator
	GetAddress() types.Address
}

func newVoter(k Keys, remotes []*remote, dir string, validators func() (*types.ValidatorSet, error)) (*voter, error) {
	v := &voter{validators: validators}
	for _, r := range remotes {
		v.keys = append(v.keys, r)
	}
	if len(remotes) > 0 {
		v.now = v.keys[0]
		return v, nil
	}
	for i, signer := range append([]keys.Signer{k.Validator}, k.Successors...) {
		key, err := newSigningKey(signer, "validator")
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, signedFile)
		if i > 0 { // each key remembers for itself
			file = stateFile(dir, key)
		}
		pv, err := newPrivValidator(key, file)
		if err != nil {
			return nil, err
		}
		v.keys = append(v.keys, pv)
	}
	v.now = v.keys[0]
	return v, nil
}

// GetPubKey is the public half of the key that is to sign now.
func (v *voter) GetPubKey() (crypto.PubKey, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.keys) > 1 {
		set, err := v.validators()
		if err != nil {
			return nil, err
		}
		for i := len(v.keys) - 1; set != nil && i >= 0; i-- {
			if set.HasAddress(v.keys[i].GetAddress()) {
				v.now = v.keys[i]
				break
			}
		}
	}
	return v.now.GetPubKey()
}

// SignVote signs with the key that the vote is of.
func (v *voter) SignVote(chainID string, vote *cmtproto.Vote) error {
	for _, pv := range v.keys {
		if bytes.Equal(pv.GetAddress(), vote.ValidatorAddress) {
			return pv.SignVote(chainID, vote)
		}
	}
	return errors.New("node: asked to vote for another validator")
}

// SignProposal signs with the present key.
func (v *voter) SignProposal(chainID string, proposal *cmtproto.Proposal) error {
	v.mu.Lock()
	pv := v.now
	v.mu.Unlock()
	return pv.SignProposal(chainID, proposal)
}

// newPrivValidator returns the voter for key. What it signed last is kept in stateFile, so that it
// never votes twice in one round, also after a crash; the key is written nowhere.
func newPrivValidator(key signingKey, stateFile string) (*privval.FilePV, error) {
	pv := privval.NewFilePV(key, "", stateFile)
	raw, err := os.ReadFile(stateFile)
	if errors.Is(err, fs.ErrNotExist) {
		return pv, nil
	}
	if err != nil {
		return nil, fmt.Errorf("node: what was signed last: %w", err)
	}
	if err := cmtjson.Unmarshal(raw, &pv.LastSignState); err != nil {
		return nil, fmt.Errorf("node: what was signed last does not read: %w", err)
	}
	return pv, nil
}
