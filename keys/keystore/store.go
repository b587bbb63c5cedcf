package keystore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"filippo.io/age"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// The errors that callers act on. Others come from the file system.
var (
	ErrWrongPassphrase = errors.New("keystore: wrong passphrase")
	ErrWrongKeyFile    = errors.New("keystore: the key file does not open this store")
	ErrPermissions     = errors.New("keystore: permissions too open")
	ErrCorrupt         = errors.New("keystore: the file is damaged or no key file")
	ErrExists          = errors.New("keystore: exists already")
	ErrNotFound        = errors.New("keystore: no key of that name")
)

// MaxNameLen bounds a key's name, in bytes.
const MaxNameLen = 160

// DataKeyLen is the length of a data key in bytes.
const DataKeyLen = 32

// Key is one signing key as it is kept.
type Key struct {
	Name   string `cbor:"1,keyasint"`
	Suite  string `cbor:"2,keyasint"` // [keys.Suite.Name]
	Secret []byte `cbor:"3,keyasint"` // [keys.Secret.Secret]
}

// Entry describes one key of a store without its secret.
type Entry struct {
	Name   string
	Suite  *keys.Suite    // nil for a data key
	Public keys.PublicKey // zero for a data key
}

type dataKey struct {
	Name string `cbor:"1,keyasint"`
	Key  []byte `cbor:"2,keyasint"`
}

type contents struct {
	Version  uint64    `cbor:"1,keyasint"`
	Keys     []Key     `cbor:"2,keyasint"` // sorted by name
	DataKeys []dataKey `cbor:"3,keyasint"` // sorted by name
}

const contentsVersion = 1

// Store is an open key file. It is safe for concurrent use, also by several processes.
type Store struct {
	path      string
	recipient age.Recipient
	identity  age.Identity
	kind      string

	mu      sync.Mutex
	seen    [32]byte // digest of the file that data and signers stand for
	data    contents
	signers map[string]keys.Signer
}

// Create makes an empty store in a new file with mode 0600. It returns [ErrExists] when there is
// something at path.
func Create(path string, u Unlock) (*Store, error) {
	s, err := prepare(path, u)
	if err != nil {
		return nil, err
	}
	release, err := lock(path)
	if err != nil {
		return nil, err
	}
	if _, err = os.Lstat(path); err == nil {
		err = fmt.Errorf("%w: %s", ErrExists, path)
	} else if errors.Is(err, os.ErrNotExist) {
		err = s.write(contents{Version: contentsVersion})
	}
	if err := errors.Join(err, release()); err != nil {
		return nil, err
	}
	return s, nil
}

// Open reads the store at path. It returns [ErrWrongPassphrase] or [ErrWrongKeyFile] when u does not
// open it, [ErrPermissions] when others may read or write the file and [ErrCorrupt] when it is
// damaged.
func Open(path string, u Unlock) (*Store, error) {
	s, err := prepare(path, u)
	if err != nil {
		return nil, err
	}
	if err := s.read(); err != nil {
		return nil, err
	}
	return s, nil
}

func prepare(path string, u Unlock) (*Store, error) {
	if u.open == nil {
		return nil, errors.New("keystore: neither passphrase nor key file given")
	}
	r, id, err := u.open()
	if err != nil {
		return nil, err
	}
	return &Store{path: path, recipient: r, identity: id, kind: u.kind}, nil
}

// Generate makes a key from rand, keeps it under name and returns its signer. A name that is taken
// gives [ErrExists].
func (s *Store) Generate(rand io.Reader, name string, suite *keys.Suite) (keys.Signer, error) {
	k, err := suite.Generate(rand)
	if err != nil {
		return nil, err
	}
	if err := s.Put(map[string]keys.Signer{name: k}); err != nil {
		return nil, err
	}
	return k, nil
}

// Put keeps signers under their names, all or none of them in one write. A name that is taken gives
// [ErrExists]; a signer whose secret cannot leave it is refused.
func (s *Store) Put(signers map[string]keys.Signer) error {
	return s.update(func(c *contents) error {
		for name, k := range signers {
			secret, ok := k.(keys.Secret)
			if !ok {
				return fmt.Errorf("keystore: the secret of %q cannot leave where it is", name)
			}
			if err := c.free(name); err != nil {
				return err
			}
			c.Keys = append(c.Keys, Key{Name: name, Suite: k.Public().Suite().Name(), Secret: secret.Secret()})
		}
		return nil
	})
}

// GenerateDataKey makes a 32-byte data key from rand and keeps it under name. A name that is taken
// gives [ErrExists].
func (s *Store) GenerateDataKey(rand io.Reader, name string) ([DataKeyLen]byte, error) {
	var key [DataKeyLen]byte
	if _, err := io.ReadFull(rand, key[:]); err != nil {
		return key, fmt.Errorf("keystore: %w", err)
	}
	return key, s.update(func(c *contents) error {
		if err := c.free(name); err != nil {
			return err
		}
		c.DataKeys = append(c.DataKeys, dataKey{Name: name, Key: key[:]})
		return nil
	})
}

// Remove destroys the signing key or data key of that name.
func (s *Store) Remove(name string) error {
	return s.update(func(c *contents) error {
		before := len(c.Keys) + len(c.DataKeys)
		c.Keys = slices.DeleteFunc(c.Keys, func(k Key) bool { return k.Name == name })
		c.DataKeys = slices.DeleteFunc(c.DataKeys, func(k dataKey) bool { return k.Name == name })
		if len(c.Keys)+len(c.DataKeys) == before {
			return fmt.Errorf("%w: %q", ErrNotFound, name)
		}
		return nil
	})
}

// Signer returns the signer kept under name, or [ErrNotFound].
func (s *Store) Signer(name string) (keys.Signer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k, ok := s.signers[name]; ok {
		return k, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrNotFound, name)
}

// DataKey returns the data key kept under name, or [ErrNotFound].
func (s *Store) DataKey(name string) ([DataKeyLen]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, k := range s.data.DataKeys {
		if k.Name == name {
			return [DataKeyLen]byte(k.Key), nil
		}
	}
	return [DataKeyLen]byte{}, fmt.Errorf("%w: %q", ErrNotFound, name)
}

// List describes all keys, sorted by name.
func (s *Store) List() []Entry {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []Entry
	for _, k := range s.data.Keys {
		pub := s.signers[k.Name].Public()
		out = append(out, Entry{Name: k.Name, Suite: pub.Suite(), Public: pub})
	}
	for _, k := range s.data.DataKeys {
		out = append(out, Entry{Name: k.Name})
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// update changes the newest state of the file under the lock. When change or the write fails,
// nothing is changed.
func (s *Store) update(change func(*contents) error) error {
	release, err := lock(s.path)
	if err != nil {
		return err
	}
	err = func() error {
		if err := s.read(); err != nil {
			return err
		}
		s.mu.Lock()
		next := contents{Version: s.data.Version, Keys: slices.Clone(s.data.Keys), DataKeys: slices.Clone(s.data.DataKeys)}
		s.mu.Unlock()
		if err := change(&next); err != nil {
			return err
		}
		return s.write(next)
	}()
	return errors.Join(err, release())
}

func (s *Store) read() error {
	raw, err := readPrivate(s.path)
	if err != nil {
		return err
	}
	digest := sha256.Sum256(raw)
	s.mu.Lock()
	same := digest == s.seen
	s.mu.Unlock()
	if same {
		return nil
	}
	c, err := s.decrypt(raw)
	if err != nil {
		return err
	}
	return s.take(c, digest)
}

func (s *Store) decrypt(raw []byte) (c contents, err error) {
	r, err := age.Decrypt(bytes.NewReader(raw), s.identity)
	var noMatch *age.NoIdentityMatchError
	switch {
	case errors.As(err, &noMatch) && !slices.Contains(noMatch.StanzaTypes, s.kind):
		return c, fmt.Errorf("%w: it was locked in another way (%s)", s.wrong(), strings.Join(noMatch.StanzaTypes, ", "))
	case errors.As(err, &noMatch):
		return c, s.wrong()
	case err != nil:
		return c, fmt.Errorf("%w: %s: %w", ErrCorrupt, s.path, err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrCorrupt, s.path, err)
	}
	if err := encoding.Unmarshal(plain, &c); err != nil {
		return c, fmt.Errorf("%w: %s: %w", ErrCorrupt, s.path, err)
	}
	return c, nil
}

func (s *Store) wrong() error {
	if s.kind == "scrypt" {
		return ErrWrongPassphrase
	}
	return ErrWrongKeyFile
}

func (s *Store) write(c contents) error {
	slices.SortFunc(c.Keys, func(a, b Key) int { return strings.Compare(a.Name, b.Name) })
	slices.SortFunc(c.DataKeys, func(a, b dataKey) int { return strings.Compare(a.Name, b.Name) })
	plain, err := encoding.Marshal(c)
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.recipient)
	if err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	if _, err := w.Write(plain); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("keystore: %w", err)
	}
	if out.Len() > maxFileBytes {
		return fmt.Errorf("keystore: %d bytes of keys, more than %d", out.Len(), maxFileBytes)
	}
	if err := replace(s.path, out.Bytes()); err != nil {
		return err
	}
	return s.take(c, sha256.Sum256(out.Bytes()))
}

// take checks contents and makes them the store's.
func (s *Store) take(c contents, digest [32]byte) error {
	if c.Version != contentsVersion {
		return fmt.Errorf("%w: version %d of its contents is not known", ErrCorrupt, c.Version)
	}
	signers := make(map[string]keys.Signer, len(c.Keys))
	for _, k := range c.Keys {
		suite, err := keys.SuiteByName(k.Suite)
		if err != nil {
			return fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		if signers[k.Name], err = suite.Load(k.Secret); err != nil {
			return fmt.Errorf("%w: key %q: %w", ErrCorrupt, k.Name, err)
		}
	}
	for _, k := range c.DataKeys {
		if len(k.Key) != DataKeyLen {
			return fmt.Errorf("%w: data key %q has %d bytes", ErrCorrupt, k.Name, len(k.Key))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data, s.signers, s.seen = c, signers, digest
	return nil
}

// free checks that name is well formed and not taken.
func (c *contents) free(name string) error {
	if name == "" || len(name) > MaxNameLen || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("keystore: a name has 1 to %d printable ASCII characters without spaces", MaxNameLen)
	}
	if slices.ContainsFunc(c.Keys, func(k Key) bool { return k.Name == name }) ||
		slices.ContainsFunc(c.DataKeys, func(k dataKey) bool { return k.Name == name }) {
		return fmt.Errorf("%w: key %q", ErrExists, name)
	}
	return nil
}
