package node

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cometbft/cometbft/crypto"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	cmtjson "github.com/cometbft/cometbft/libs/json"
	"github.com/cometbft/cometbft/privval"

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
