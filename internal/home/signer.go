package home

import (
	"crypto/rand"
	"errors"
	"os"

	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
)

// SignerDir has, in the home of a validator's signer, what its keys signed last.
const SignerDir = "signer"

// connectionKey authenticates a signer to its nodes.
const connectionKey = "signer/connection"

// ErrNoSigner means that a home is not of a validator's signer.
var ErrNoSigner = errors.New("home: it has no keys of a validator's signer")

// ReadySigner makes what a signer's home needs beside the validator's keys, unless it is there.
func (h *Home) ReadySigner() error {
	if _, err := h.ensureSigner(rand.Reader, connectionKey); err != nil {
		return err
	}
	if err := os.MkdirAll(h.Path(SignerDir), 0o700); err != nil {
		return diskError(err)
	}
	return nil
}

// Signer is the key by which the home's signer is known to nodes, and the validator's keys, oldest first.
func (h *Home) Signer() (connection keys.Signer, validators []keys.Signer, err error) {
	if connection, err = h.keys.Signer(connectionKey); errors.Is(err, keystore.ErrNotFound) {
		return nil, nil, ErrNoSigner
	}
	if err == nil {
		_, validators, err = h.validators()
	}
	return connection, validators, err
}

// MoveValidator gives a signer's home the validator's keys.
func (h *Home) MoveValidator(to *Home) error {
	names, _, err := h.validators()
	if err != nil {
		return err
	}
	return diskError(h.keys.MoveTo(to.keys, names))
}

// Validators are the validator's keys, oldest first.
func (h *Home) Validators() ([]keys.Signer, error) {
	_, signers, err := h.validators()
	return signers, err
}

func (h *Home) validators() (names []string, signers []keys.Signer, err error) {
	for n := 1; ; n++ {
		name := validatorKey
		if n > 1 {
			name = successorKey(n)
		}
		k, err := h.keys.Signer(name)
		if errors.Is(err, keystore.ErrNotFound) {
			return names, signers, nil
		}
		if err != nil {
			return nil, nil, err
		}
		names, signers = append(names, name), append(signers, k)
	}
}
