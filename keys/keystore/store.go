package keystore

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
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
	Token  string         // label of the PKCS#11 token that has it; "" when this file does
}

type dataKey struct {
	Name string `cbor:"1,keyasint"`
	Key  []byte `cbor:"2,keyasint"`
}

type contents struct {
	Version   uint64     `cbor:"1,keyasint"`
	Keys      []Key      `cbor:"2,keyasint"`           // sorted by name
	DataKeys  []dataKey  `cbor:"3,keyasint"`           // sorted by name
	Tokens    []string   `cbor:"4,keyasint,omitempty"` // URIs, sorted; no two of one label
	TokenKeys []tokenKey `cbor:"5,keyasint,omitempty"` // sorted by name
	NewIn     string     `cbor:"6,keyasint,omitempty"` // label of the token that new keys are made in
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

// Generate makes a key, keeps it under name and returns its signer: see [Store.GenerateAll].
func (s *Store) Generate(rand io.Reader, name string, suite *keys.Suite) (keys.Signer, error) {
	made, err := s.GenerateAll(rand, map[string]*keys.Suite{name: suite}, nil)
	return made[name], err
}

// GenerateAll makes a key of its suite for each name and keeps them, all or none of them in one write: from
// rand, or in the token that [Store.UseToken] chose. A name that is taken gives [ErrExists], a suite that
// the token does not have [ErrSuite]. When check, which may be nil, has something against the keys made, they are
// not kept.
func (s *Store) GenerateAll(rand io.Reader, suites map[string]*keys.Suite, check func(made map[string]keys.Signer) error) (map[string]keys.Signer, error) {
	made := make(map[string]keys.Signer, len(suites))
	err := s.update(func(c *contents) (undo func() error, err error) {
		for _, name := range slices.Sorted(maps.Keys(suites)) {
			if err := c.free(name); err != nil {
				return nil, err
			}
		}
		if c.NewIn != "" {
			undo, err = c.generateInToken(suites, made)
		} else {
			err = c.generate(rand, suites, made)
		}
		if err == nil && check != nil {
			err = check(made)
		}
		return undo, err
	})
	if err != nil {
		return nil, err
	}
	return made, nil
}

func (c *contents) generate(rand io.Reader, suites map[string]*keys.Suite, made map[string]keys.Signer) error {
	for _, name := range slices.Sorted(maps.Keys(suites)) {
		k, err := suites[name].Generate(rand)
		if err != nil {
			return err
		}
		c.Keys = append(c.Keys, Key{Name: name, Suite: suites[name].Name(), Secret: k.(keys.Secret).Secret()})
		made[name] = k
	}
	return nil
}

// MoveTo gives another store the signing keys of these names: first it has them, then this one does not. Keys in
// a token stay there; what moves is the reference. Names that the other store has with the same key already
// are taken out of this one alone, so that a move which was cut off can be repeated.
func (s *Store) MoveTo(to *Store, names []string) error {
	if err := s.read(); err != nil {
		return err
	}
	s.mu.Lock()
	from, signers := s.data, s.signers
	s.mu.Unlock()
	for _, name := range names {
		if signers[name] == nil {
			return fmt.Errorf("%w: %q", ErrNotFound, name)
		}
	}
	named := func(name string) bool { return slices.Contains(names, name) }
	err := to.update(func(c *contents) (func() error, error) {
		for _, k := range from.Keys {
			if !named(k.Name) || c.has(k) {
				continue
			}
			if err := c.free(k.Name); err != nil {
				return nil, err
			}
			c.Keys = append(c.Keys, k)
		}
		for _, k := range from.TokenKeys {
			if !named(k.Name) || c.refersTo(k) {
				continue
			}
			if err := c.free(k.Name); err != nil {
				return nil, err
			}
			uri, err := from.token(k.Token)
			if err != nil {
				return nil, err
			}
			if err := c.addToken(uri); err != nil {
				return nil, err
			}
			c.TokenKeys = append(c.TokenKeys, k)
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	return s.update(func(c *contents) (func() error, error) {
		c.Keys = slices.DeleteFunc(c.Keys, func(k Key) bool { return named(k.Name) })
		c.TokenKeys = slices.DeleteFunc(c.TokenKeys, func(k tokenKey) bool { return named(k.Name) })
		return nil, nil
	})
}

func (c *contents) has(k Key) bool {
	return slices.ContainsFunc(c.Keys, func(o Key) bool {
		return o.Name == k.Name && o.Suite == k.Suite && bytes.Equal(o.Secret, k.Secret)
	})
}

func (c *contents) refersTo(k tokenKey) bool {
	return slices.ContainsFunc(c.TokenKeys, func(o tokenKey) bool {
		return o.Name == k.Name && o.Suite == k.Suite && bytes.Equal(o.Public, k.Public)
	})
}

// GenerateDataKey makes a 32-byte data key from rand and keeps it under name. A name that is taken
// gives [ErrExists].
func (s *Store) GenerateDataKey(rand io.Reader, name string) ([DataKeyLen]byte, error) {
	var key [DataKeyLen]byte
	if _, err := io.ReadFull(rand, key[:]); err != nil {
		return key, fmt.Errorf("keystore: %w", err)
	}
	return key, s.update(func(c *contents) (func() error, error) {
		if err := c.free(name); err != nil {
			return nil, err
		}
		c.DataKeys = append(c.DataKeys, dataKey{Name: name, Key: key[:]})
		return nil, nil
	})
}

// EnsureDataKeys makes, in one write, those of the data keys of these names that there are none of.
func (s *Store) EnsureDataKeys(rand io.Reader, names ...string) error {
	missing := func(name string) bool {
		_, err := s.DataKey(name)
		return err != nil
	}
	if !slices.ContainsFunc(names, missing) {
		return nil
	}
	return s.update(func(c *contents) (func() error, error) {
		for _, name := range names {
			if slices.ContainsFunc(c.DataKeys, func(k dataKey) bool { return k.Name == name }) {
				continue // another process made it
			}
			if err := c.free(name); err != nil {
				return nil, err
			}
			key := make([]byte, DataKeyLen)
			if _, err := io.ReadFull(rand, key); err != nil {
				return nil, fmt.Errorf("keystore: %w", err)
			}
			c.DataKeys = append(c.DataKeys, dataKey{Name: name, Key: key})
		}
		return nil, nil
	})
}

// Remove destroys the signing keys or data keys of these names, in one write; of those in a token, the keys there, too.
func (s *Store) Remove(names ...string) error {
	var destroy []func() error
	err := s.update(func(c *contents) (func() error, error) {
		for _, name := range names {
			before := len(c.Keys) + len(c.DataKeys) + len(c.TokenKeys)
			for _, k := range c.TokenKeys {
				if k.Name == name {
					t, err := c.openToken(k.Token)
					if err != nil {
						return nil, err
					}
					destroy = append(destroy, func() error { return t.destroy(k.ID) })
				}
			}
			c.Keys = slices.DeleteFunc(c.Keys, func(k Key) bool { return k.Name == name })
			c.DataKeys = slices.DeleteFunc(c.DataKeys, func(k dataKey) bool { return k.Name == name })
			c.TokenKeys = slices.DeleteFunc(c.TokenKeys, func(k tokenKey) bool { return k.Name == name })
			if len(c.Keys)+len(c.DataKeys)+len(c.TokenKeys) == before {
				return nil, fmt.Errorf("%w: %q", ErrNotFound, name)
			}
		}
		return nil, nil
	})
	for _, d := range destroy {
		if err == nil {
			err = d()
		}
	}
	return err
}

// Relock has the store open with u from now on, and no longer with what opened it. A machine that stops in
// between leaves it as it was or as it is to be. Other processes that have it open read it no more.
func (s *Store) Relock(u Unlock) error {
	next, err := prepare(s.path, u)
	if err != nil {
		return err
	}
	release, err := lock(s.path)
	if err != nil {
		return err
	}
	err = s.read()
	if err == nil {
		s.mu.Lock()
		next.data = s.data
		s.mu.Unlock()
		err = next.write(next.data)
	}
	if err == nil {
		s.mu.Lock()
		s.recipient, s.identity, s.kind, s.seen = next.recipient, next.identity, next.kind, next.seen
		s.mu.Unlock()
	}
	return errors.Join(err, release())
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
	for _, k := range s.data.TokenKeys {
		pub := s.signers[k.Name].Public()
		out = append(out, Entry{Name: k.Name, Suite: pub.Suite(), Public: pub, Token: k.Token})
	}
	for _, k := range s.data.DataKeys {
		out = append(out, Entry{Name: k.Name})
	}
	slices.SortFunc(out, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// update changes the newest state of the file under the lock. When change or the write fails, nothing is
// changed; what change did outside of the file, the function it returns undoes.
func (s *Store) update(change func(*contents) (undo func() error, err error)) error {
	release, err := lock(s.path)
	if err != nil {
		return err
	}
	err = func() error {
		if err := s.read(); err != nil {
			return err
		}
		s.mu.Lock()
		next := s.data
		s.mu.Unlock()
		next.Keys, next.DataKeys = slices.Clone(next.Keys), slices.Clone(next.DataKeys)
		next.Tokens, next.TokenKeys = slices.Clone(next.Tokens), slices.Clone(next.TokenKeys)
		undo, err := change(&next)
		if err == nil {
			err = s.write(next)
		}
		if err != nil && undo != nil {
			err = errors.Join(err, undo())
		}
		return err
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
	slices.SortFunc(c.TokenKeys, func(a, b tokenKey) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(c.Tokens)
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
	for _, k := range c.TokenKeys {
		signer, err := c.tokenSigner(k)
		if err != nil {
			return fmt.Errorf("%w: key %q: %w", ErrCorrupt, k.Name, err)
		}
		signers[k.Name] = signer
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
		slices.ContainsFunc(c.DataKeys, func(k dataKey) bool { return k.Name == name }) ||
		slices.ContainsFunc(c.TokenKeys, func(k tokenKey) bool { return k.Name == name }) {
		return fmt.Errorf("%w: key %q", ErrExists, name)
	}
	return nil
}
