package keystore

import (
	"bytes"
	"errors"
	"fmt"
	"os"

	"filippo.io/age"

	"github.com/hufu-id/hufu/durable"
)

// DefaultWorkFactor is log2 of scrypt's N for passphrases: about a second of work and 256 MiB for
// every guess.
const DefaultWorkFactor = 18

// maxWorkFactor bounds the work that a file can demand of whoever opens it.
const maxWorkFactor = 20

// Unlock is what opens a key file. The zero value opens nothing.
type Unlock struct {
	open func() (age.Recipient, age.Identity, error)
	kind string // the age stanza it answers to
}

// Passphrase unlocks with a passphrase at [DefaultWorkFactor].
func Passphrase(text string) Unlock { return PassphraseWorkFactor(text, DefaultWorkFactor) }

// PassphraseWorkFactor unlocks with a passphrase, and writes files with log2 of scrypt's N as given,
// from 1 to 20. A lower factor than [DefaultWorkFactor] makes guessing cheaper.
func PassphraseWorkFactor(text string, logN int) Unlock {
	return Unlock{kind: "scrypt", open: func() (age.Recipient, age.Identity, error) {
		if text == "" {
			return nil, nil, errors.New("keystore: the passphrase is empty")
		}
		if logN < 1 || logN > maxWorkFactor {
			return nil, nil, fmt.Errorf("keystore: work factor %d is not between 1 and %d", logN, maxWorkFactor)
		}
		r, err := age.NewScryptRecipient(text)
		if err != nil {
			return nil, nil, fmt.Errorf("keystore: %w", err)
		}
		r.SetWorkFactor(logN)
		id, err := age.NewScryptIdentity(text)
		if err != nil {
			return nil, nil, fmt.Errorf("keystore: %w", err)
		}
		id.SetMaxWorkFactor(maxWorkFactor)
		return r, id, nil
	}}
}

// KeyFile unlocks with the age X25519 identity in a file, as [CreateKeyFile] writes it.
func KeyFile(path string) Unlock {
	return Unlock{kind: "X25519", open: func() (age.Recipient, age.Identity, error) {
		raw, err := readPrivate(path)
		if err != nil {
			return nil, nil, err
		}
		ids, err := age.ParseIdentities(bytes.NewReader(raw))
		if err != nil || len(ids) != 1 {
			return nil, nil, fmt.Errorf("%w: %s holds no single age identity", ErrCorrupt, path)
		}
		id, ok := ids[0].(*age.X25519Identity)
		if !ok {
			return nil, nil, fmt.Errorf("%w: %s holds no X25519 identity", ErrCorrupt, path)
		}
		return id.Recipient(), id, nil
	}}
}

// CreateKeyFile makes a new age X25519 identity and writes it to a new file with mode 0600. It
// returns [ErrExists] when there is something at path.
func CreateKeyFile(path string) error {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	text := "# public key: " + id.Recipient().String() + "\n" + id.String() + "\n"
	err = durable.Create(path, []byte(text))
	if errors.Is(err, os.ErrExist) {
		return fmt.Errorf("%w: %s", ErrExists, path)
	}
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	return nil
}
