package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/durable"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/tx"
)

// ErrNoIdentity is wrapped when a name stands for no identifier of this home.
var ErrNoIdentity = errors.New("home: no identity of that name")

// MethodSpec asks for one verification method beside the control keys.
type MethodSpec struct {
	Fragment string
	Suite    *keys.Suite
	Purposes uint8 // bits of package tx
}

// saltLen is the length of an inception's salt, which makes identifiers unguessable.
const saltLen = 16

// maxNameLen leaves room for key names below an identity's.
const maxNameLen = 64

func checkName(name string) error {
	if name == "" || len(name) > maxNameLen || strings.ContainsFunc(name, func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	}) {
		return fmt.Errorf("home: an identity's name has 1 to %d characters of a-z, 0-9 and -._", maxNameLen)
	}
	return nil
}

func controlKey(name string, n int) string { return fmt.Sprintf("%s/control/%d", name, n) }
func methodKey(name, fragment string) string {
	return name + "/method/" + fragment
}

// NewIdentity makes the keys of a new identifier (one control key, the next one, and one for each
// method), keeps them under name and returns the inception event to be put on the ledger. When the
// name is taken and its inception was made before, that is returned again, so that a submission which
// failed can be repeated.
func (h *Home) NewIdentity(rand io.Reader, name string, control *keys.Suite, methods ...MethodSpec) (hufu.DID, *tx.DIDCreate, error) {
	if err := checkName(name); err != nil {
		return "", nil, err
	}
	if e, ok := h.book[name]; ok {
		return e.DID, e.Inception, nil
	}
	// Under the lock, and on the book as it is now: other processes name identities in it, too.
	release, err := h.lockBook()
	if err != nil {
		return "", nil, err
	}
	defer release() //nolint:errcheck // closing a file nothing was written to
	if err := h.loadBook(); err != nil {
		return "", nil, err
	}
	if e, ok := h.book[name]; ok {
		return e.DID, e.Inception, nil // the name was given in the meantime
	}
	inception := &tx.DIDCreate{Threshold: 1, NextThreshold: 1, Salt: make([]byte, saltLen)}
	if _, err := io.ReadFull(rand, inception.Salt); err != nil {
		return "", nil, err
	}
	suites := map[string]*keys.Suite{controlKey(name, 0): control, controlKey(name, 1): control}
	for _, m := range methods {
		suites[methodKey(name, m.Fragment)] = m.Suite
	}
	made, err := h.keys.GenerateAll(rand, suites, func(made map[string]keys.Signer) error {
		inception.Keys = [][]byte{made[controlKey(name, 0)].Public().Multikey()}
		inception.Next = []hufu.Digest{made[controlKey(name, 1)].Public().Digest()}
		for _, m := range methods {
			pub := made[methodKey(name, m.Fragment)].Public()
			inception.Methods = append(inception.Methods, tx.Method{Fragment: m.Fragment, Key: pub.Multikey(), Purposes: m.Purposes})
		}
		return inception.Validate()
	})
	if errors.Is(err, keystore.ErrExists) {
		err = fmt.Errorf("home: keys of the name %q are here, and no identifier is written down for them; take another name: %w", name, err)
	}
	if err != nil {
		return "", nil, diskError(err)
	}
	e := entry{DID: tx.InceptionID(h.Network(), inception).DID(h.Network()), Inception: inception}
	if err := h.saveBook(name, e); err != nil {
		return "", nil, errors.Join(err, h.keys.Remove(slices.Collect(maps.Keys(made))...)) // nobody has seen them
	}
	return e.DID, inception, nil
}

// lockBook waits until no other process changes the book. Closing the file gives the lock back.
func (h *Home) lockBook() (release func() error, err error) {
	f, err := os.OpenFile(h.Path(bookFile+lockSuffix), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, diskError(fmt.Errorf("home: %w", err))
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("home: locking %s: %w", bookFile, err), f.Close())
	}
	return f.Close, nil
}

// Identity is the identifier that name stands for.
func (h *Home) Identity(name string) (hufu.DID, error) {
	e, ok := h.book[name]
	if !ok {
		return "", fmt.Errorf("%w: %q (this home has: %s)", ErrNoIdentity, name, strings.Join(h.Identities(), ", "))
	}
	return e.DID, nil
}

// Resolve turns a name of this home, or a DID as it stands, into a DID.
func (h *Home) Resolve(nameOrDID string) (hufu.DID, error) {
	if strings.HasPrefix(nameOrDID, "did:") {
		d := hufu.DID(nameOrDID)
		_, _, err := d.Parse()
		return d, err
	}
	return h.Identity(nameOrDID)
}

// Identities lists the names in order.
func (h *Home) Identities() []string {
	names := make([]string, 0, len(h.book))
	for n := range h.book {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// MethodSigner is the private key of one of name's verification methods.
func (h *Home) MethodSigner(name, fragment string) (keys.Signer, error) {
	return h.keys.Signer(methodKey(name, fragment))
}

// entry is what the book says of one name.
type entry struct {
	DID       hufu.DID      `json:"did"`
	Inception *tx.DIDCreate `json:"inception,omitempty"`
	// Recovery is the last plan to recover it. One that another home made has no inception here.
	Recovery *tx.RecoveryPlan `json:"recovery,omitempty"`
}

const (
	bookFile   = "identities.json"
	lockSuffix = ".lock"
)

func (h *Home) loadBook() error {
	raw, err := os.ReadFile(filepath.Join(h.dir, bookFile))
	if errors.Is(err, os.ErrNotExist) {
		h.book = map[string]entry{}
		return nil
	}
	if err != nil {
		return fmt.Errorf("home: %w", err)
	}
	book := map[string]entry{}
	if err := json.Unmarshal(raw, &book); err != nil {
		return fmt.Errorf("home: %s does not read: %w", bookFile, err)
	}
	for name, e := range book {
		if e.DID == "" || (e.Inception == nil && e.Recovery == nil) {
			return fmt.Errorf("home: %s does not read: %q has no identifier or no inception", bookFile, name)
		}
	}
	h.book = book
	return nil
}

func (h *Home) saveBook(name string, e entry) error {
	old, had := h.book[name]
	h.book[name] = e
	raw, err := json.MarshalIndent(h.book, "", "  ")
	if err == nil {
		err = writeFile(filepath.Join(h.dir, bookFile), append(raw, '\n'))
	}
	if err != nil && had {
		h.book[name] = old
	} else if err != nil {
		delete(h.book, name)
	}
	return err
}

// writeFile replaces a file as a whole or leaves it as it was.
func writeFile(path string, data []byte) error {
	if err := durable.Write(path, data); err != nil {
		return diskError(fmt.Errorf("home: %w", err))
	}
	return nil
}
