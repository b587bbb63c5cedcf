package wallet

import (
	"bytes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/hufu-id/hufu/durable"
	"github.com/hufu-id/hufu/keys/keystore"
)

// Store keeps a wallet's contents as one piece. A wallet calls it from one goroutine at a time.
type Store interface {
	// Load returns what was saved last, nil when nothing was.
	Load() ([]byte, error)
	// Save replaces what was saved, all of it or nothing: after an error, or a power cut, Load returns
	// what it did before. When it returns nil the data are safe. Contents are the store's from then on.
	Save(contents []byte) error
	Close() error
}

// Errors of a wallet's file.
var (
	ErrInUse       = errors.New("wallet: another process has the wallet open")
	ErrSealed      = errors.New("wallet: the key does not open this wallet, or the file was changed")
	ErrPermissions = errors.New("wallet: others may read or write the wallet's file; it must have mode 0600")
)

// maxFile bounds a wallet's file: some ten thousand copies.
const maxFile = 64 << 20

// magic begins a wallet's file and is authenticated with the contents.
const magic = "hufu-wallet/1\n"

type file struct {
	path string
	aead cipher.AEAD
	lock *os.File
}

// OpenFile keeps a wallet in one file, sealed with XChaCha20-Poly1305 under a data key that the caller
// has from its keystore. The file has mode 0600 and is replaced atomically and synced. One process at a
// time may have it open, as a second one could show a copy twice: the other gets [ErrInUse].
func OpenFile(path string, key [keystore.DataKeyLen]byte) (Store, error) {
	aead, err := chacha20poly1305.NewX(key[:])
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, path)
		}
		return nil, fmt.Errorf("wallet: locking %s: %w", path, err)
	}
	return &file{path: path, aead: aead, lock: lock}, nil
}

func (f *file) Load() ([]byte, error) {
	in, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%w: %s", ErrPermissions, f.path)
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	body, ok := bytes.CutPrefix(raw, []byte(magic))
	if !ok || len(raw) > maxFile || len(body) < f.aead.NonceSize() {
		return nil, fmt.Errorf("%w: %s", ErrSealed, f.path)
	}
	nonce, sealed := body[:f.aead.NonceSize()], body[f.aead.NonceSize():]
	contents, err := f.aead.Open(nil, nonce, sealed, []byte(magic))
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrSealed, f.path)
	}
	return contents, nil
}

func (f *file) Save(contents []byte) error {
	out := make([]byte, len(magic)+f.aead.NonceSize(), len(magic)+f.aead.NonceSize()+len(contents)+f.aead.Overhead())
	nonce := out[copy(out, magic):]
	if _, err := rand.Read(nonce); err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	out = f.aead.Seal(out, nonce, contents, []byte(magic))
	if len(out) > maxFile {
		return fmt.Errorf("wallet: %d bytes of contents, more than %d", len(out), maxFile)
	}
	if err := durable.Write(f.path, out); err != nil {
		return fmt.Errorf("wallet: %w", err)
	}
	return nil
}

func (f *file) Close() error { return f.lock.Close() } // which gives the lock back

// memory keeps contents for a process's life.
type memory struct{ contents []byte }

// NewMemory makes a store for one process's life.
func NewMemory() Store { return &memory{} }

func (m *memory) Load() ([]byte, error) { return bytes.Clone(m.contents), nil }

func (m *memory) Save(contents []byte) error {
	m.contents = contents
	return nil
}

func (m *memory) Close() error { return nil }
