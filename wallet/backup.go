package wallet

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"

	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys/keystore"
)

// Errors of backups.
var (
	ErrNotEmpty = errors.New("wallet: there is a wallet already; nothing was changed")
	ErrBackup   = errors.New("wallet: the passphrase does not open this backup, or it is none")
)

// maxBackupWork bounds the work that a backup can demand of whoever opens it: log2 of scrypt's N.
const maxBackupWork = 20

// Backup is what was in a wallet at a time.
type Backup struct {
	Made    time.Time
	Genesis []byte // of the network that the wallet trusts

	contents *contents
}

type backupWire struct {
	Version  uint64           `cbor:"1,keyasint"`
	Made     int64            `cbor:"2,keyasint"`
	Genesis  []byte           `cbor:"3,keyasint"`
	Contents encoding.RawCBOR `cbor:"4,keyasint"`
}

const backupVersion = 1

// Backup writes everything the wallet holds, keys included, encrypted under a passphrase: an age file
// (age-encryption.org/v1). logN is log2 of scrypt's N; 0: [keystore.DefaultWorkFactor].
func (w *Wallet) Backup(out io.Writer, passphrase string, logN int, genesis []byte) error {
	if passphrase == "" {
		return errors.New("wallet: an empty passphrase protects nothing")
	}
	if logN == 0 {
		logN = keystore.DefaultWorkFactor
	}
	if logN < 1 || logN > maxBackupWork {
		return fmt.Errorf("wallet: work factor %d is not between 1 and %d", logN, maxBackupWork)
	}
	w.mu.Lock()
	raw, err := encoding.Marshal(w.held)
	made := w.Now().Unix()
	w.mu.Unlock()
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	if raw, err = encoding.Marshal(&backupWire{Version: backupVersion, Made: made, Genesis: genesis, Contents: raw}); err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	recipient.SetWorkFactor(logN)
	sealed, err := age.Encrypt(out, recipient)
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	_, err = sealed.Write(raw)
	if err := errors.Join(err, sealed.Close()); err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	return nil
}

// OpenBackup reads a backup. Its errors are [ErrBackup] and those of in.
func OpenBackup(in io.Reader, passphrase string) (*Backup, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, ErrBackup
	}
	id.SetMaxWorkFactor(maxBackupWork)
	sealed, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	opened, err := age.Decrypt(bytes.NewReader(sealed), id)
	if err != nil {
		return nil, ErrBackup
	}
	raw, err := io.ReadAll(io.LimitReader(opened, maxFile+1))
	if err != nil || len(raw) > maxFile {
		return nil, ErrBackup
	}
	var wire backupWire
	if err := encoding.Unmarshal(raw, &wire); err != nil || wire.Version != backupVersion {
		return nil, ErrBackup
	}
	c, err := decode(wire.Contents)
	if err != nil {
		return nil, err
	}
	return &Backup{Made: time.Unix(wire.Made, 0).UTC(), Genesis: wire.Genesis, contents: c}, nil
}

// Restore puts a backup into a store that holds nothing yet; otherwise it returns [ErrNotEmpty]. The lost
// wallet may have shown copies after the backup was made, which nobody can know: so copies of a restored
// wallet are shown only when there are no others, and new ones are fetched at the next [Wallet.Refill].
func (b *Backup) Restore(st Store) error {
	there, err := st.Load()
	if err != nil {
		return err
	}
	if there != nil {
		return ErrNotEmpty
	}
	c := *b.contents
	c.Copies = slices.Clone(c.Copies)
	for i := range c.Copies {
		c.Copies[i].Restored = !c.Copies[i].Shown
	}
	raw, err := encoding.Marshal(&c)
	if err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	return st.Save(raw)
}
