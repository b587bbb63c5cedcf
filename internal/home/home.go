package home

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys/keystore"
)

// Names within a home.
const (
	keysFile     = "keys.age"
	settingsFile = "settings.json"
	GenesisFile  = "genesis.json" // the network's genesis, what a client trusts
	NodeDir      = "node"         // the validator's databases
	IssuerFile   = "issuer.db"    // people, encrypted one by one
	GateFile     = "gate.db"      // receipts and used nonces
	LogsDir      = "logs"         // of receipts and of looks at files, by identity
	runFile      = "run.json"     // where the running process listens
)

// Errors that callers act on.
var (
	ErrNoHome   = errors.New("home: there is no home in this directory")
	ErrExists   = errors.New("home: there is a home in this directory already")
	ErrLeftover = errors.New("home: there is a key store here, and no home around it")
	ErrDiskFull = errors.New("home: not enough free disk space")
	ErrReadOnly = errors.New("home: the directory cannot be written")
)

// diskError gives the system's errors about disks the names of this package.
func diskError(err error) error {
	switch {
	case err == nil, errors.Is(err, ErrDiskFull), errors.Is(err, ErrReadOnly):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w: %w", ErrReadOnly, err)
	}
	return err
}

// Home is an opened home. It is not safe for concurrent changes.
type Home struct {
	dir      string
	settings settings
	keys     *keystore.Store
	book     map[string]entry
}

type settings struct {
	Network hufu.Network `json:"network"`
}

// Create makes a home for network in dir, which must not hold one, with an empty key store.
func Create(dir string, u keystore.Unlock, network hufu.Network) (*Home, error) {
	return CreateWith(dir, u, network, func(*Home) error { return nil })
}

// CreateWith makes a home and has fill put into it what it needs to be of use, such as identities and a
// genesis. On an error, fill's too, the directory is as it was. A creation that was cut off leaves no
// home, but the keys it made: the next one ends with [ErrLeftover].
func CreateWith(dir string, u keystore.Unlock, network hufu.Network, fill func(*Home) error) (h *Home, err error) {
	if !network.Valid() {
		return nil, fmt.Errorf("home: a network's name has 1 to %d characters of a-z, 0-9 and -", hufu.MaxNetworkLen)
	}
	if Exists(dir) {
		return nil, fmt.Errorf("%w: %s", ErrExists, dir)
	}
	_, err = os.Stat(dir)
	made := errors.Is(err, os.ErrNotExist)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, diskError(fmt.Errorf("home: %w", err))
	}
	before, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	store, err := keystore.Create(filepath.Join(dir, keysFile), u)
	if errors.Is(err, keystore.ErrExists) {
		// Which may be another process's that makes a home here just now: hands off.
		return nil, fmt.Errorf("%w: %s in %s", ErrLeftover, keysFile, dir)
	}
	defer func() {
		if err != nil {
			if store != nil {
				err = errors.Join(err, leaveTokens(store))
			}
			h, err = nil, errors.Join(diskError(err), undo(dir, made, before))
		}
	}()
	if err != nil {
		return nil, err
	}
	h = &Home{dir: dir, settings: settings{Network: network}, keys: store, book: map[string]entry{}}
	if err := fill(h); err != nil {
		return nil, err
	}
	raw, err := json.MarshalIndent(h.settings, "", "  ")
	if err != nil {
		return nil, err
	}
	// The settings come last: a directory without them is no home.
	return h, writeFile(filepath.Join(dir, settingsFile), append(raw, '\n'))
}

// leaveTokens destroys the keys that a creation made outside of the directory.
func leaveTokens(store *keystore.Store) error {
	var names []string
	for _, e := range store.List() {
		if e.Token != "" {
			names = append(names, e.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return store.Remove(names...)
}

// undo removes what a creation made in dir, and dir itself if it made that.
func undo(dir string, made bool, before []os.DirEntry) error {
	var errs []error
	for _, name := range []string{settingsFile, GenesisFile, NodeSettingsFile, bookFile, bookFile + lockSuffix, keysFile, keysFile + lockSuffix} {
		if slices.ContainsFunc(before, func(e os.DirEntry) bool { return e.Name() == name }) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("home: %w", err))
		}
	}
	if made {
		errs = append(errs, os.Remove(dir))
	}
	return errors.Join(errs...)
}

// Exists reports whether dir holds a home.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, settingsFile))
	return err == nil
}

// Open opens the home in dir.
func Open(dir string, u keystore.Unlock) (*Home, error) {
	h, err := Peek(dir)
	if err != nil {
		return nil, err
	}
	if h.keys, err = keystore.Open(filepath.Join(dir, keysFile), u); err != nil {
		return nil, err
	}
	return h, nil
}

// Peek opens a home without its keys: enough to read the ledger, not to sign.
func Peek(dir string) (*Home, error) {
	raw, err := os.ReadFile(filepath.Join(dir, settingsFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s", ErrNoHome, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	h := &Home{dir: dir}
	if err := json.Unmarshal(raw, &h.settings); err != nil || !h.settings.Network.Valid() {
		return nil, fmt.Errorf("home: %s in %s does not read", settingsFile, dir)
	}
	return h, h.loadBook()
}

// Network is the network this home belongs to.
func (h *Home) Network() hufu.Network { return h.settings.Network }

// Keys is the key store.
func (h *Home) Keys() *keystore.Store { return h.keys }

// Path is a file of the home.
func (h *Home) Path(name string) string { return filepath.Join(h.dir, name) }

// Genesis is the network's genesis document as it is on disk.
func (h *Home) Genesis() ([]byte, error) {
	raw, err := os.ReadFile(h.Path(GenesisFile))
	if err != nil {
		return nil, fmt.Errorf("home: %w", err)
	}
	return raw, nil
}

// Running says where a process that serves this home listens.
type Running struct {
	PID    int    `json:"pid"`
	Listen string `json:"listen"` // URL of the HTTP interface
	Node   string `json:"node"`   // URL of CometBFT's RPC
}

// SetRunning records where this process listens; nil says that it no longer does.
func (h *Home) SetRunning(r *Running) error {
	if r == nil {
		return os.Remove(h.Path(runFile))
	}
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeFile(h.Path(runFile), raw)
}

// ErrNotRunning means that no process serves the home.
var ErrNotRunning = errors.New("home: nothing is running here")

// GetRunning says where the process that serves this home listens. A process that was killed leaves a
// stale answer behind; whoever uses it finds nobody there.
func (h *Home) GetRunning() (Running, error) {
	var r Running
	raw, err := os.ReadFile(h.Path(runFile))
	if errors.Is(err, os.ErrNotExist) {
		return r, ErrNotRunning
	}
	if err != nil {
		return r, fmt.Errorf("home: %w", err)
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("home: %s does not read", runFile)
	}
	return r, nil
}
