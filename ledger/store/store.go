package store

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state"
)

// Errors of every [Store], to be tested with errors.Is.
var (
	ErrStale    = errors.New("store: staged on a state that is no longer the current one")
	ErrHeight   = errors.New("store: height does not follow the current one")
	ErrChange   = errors.New("store: impossible change")
	ErrNotEmpty = errors.New("store: restore needs an empty store")
	ErrRoot     = errors.New("store: restored records have another root")
	ErrClosed   = errors.New("store: closed")
)

// Errors of a store on disk.
var (
	ErrLocked  = errors.New("store: directory is in use by another process")
	ErrCorrupt = errors.New("store: corrupt")
	ErrFull    = errors.New("store: not enough free disk space")
)

// Limits of a record in bytes. A key or value is never empty.
const (
	MaxKey   = 1 << 10
	MaxValue = 64 << 10
)

// Store is an authenticated set of records. Any number of goroutines may use every method at once;
// Commit and Restore are for one writer at a time.
//
// What a method returns is the caller's and stays valid; what it is given is copied or done with
// when it returns, except by Stage.
type Store interface {
	// Get is the committed value of key, nil when there is none.
	Get(key []byte) ([]byte, error)

	// Has reports whether key has a committed value. It is the cheap way to learn of what mostly is not there.
	Has(key []byte) (bool, error)

	// Stage computes the state that would follow from the changes and touches nothing. The changes
	// may come in any order, one for a key; they must not be modified before the Staged is committed
	// or dropped. Many may be alive; dropping one frees it. It fails with ErrChange when two changes
	// have one key or a limit is exceeded. Deleting what is not there is no change.
	Stage(changes []Change) (*Staged, error)

	// Commit makes a staged state the current one, atomically with its height and the application's
	// own meta, and returns when that survives a crash. Readers may see the new state a moment
	// earlier. Heights increase; the first commit may be at height 0. It fails with ErrStale when
	// anything was committed since Stage, ErrHeight, or ErrFull, and has then changed nothing. After
	// any other error the store refuses further commits and should be reopened.
	Commit(s *Staged, height hufu.Height, meta []byte) error

	// Prove answers for keys, all from one committed version, in the order asked.
	Prove(keys [][]byte) (*Answer, error)

	// State is the last commit. A new store has height 0, the zero root and nil meta.
	State() State

	// Snapshot is a view of the last commit, unmoved by later ones. It must be closed.
	Snapshot() (Snapshot, error)

	// Restore fills an empty store with records, in the order of SHA-256(key), as of the given state (whose
	// Count is ignored). It fails with ErrNotEmpty, with ErrRoot when the records do not hash to as.Root,
	// with ErrChange, also for a record that comes twice or out of order, with ErrFull, or with the first
	// error of the sequence, and then leaves the store empty. So does a crash before it returned.
	Restore(as State, records iter.Seq2[proof.KV, error]) error

	// Close waits for running calls and frees everything. Later calls fail with ErrClosed.
	Close() error
}

// Change is one record's new value; a nil Value deletes the record.
type Change = state.Change

// State describes one committed version.
type State struct {
	Height hufu.Height
	Root   hufu.Digest
	Meta   []byte // the application's own, from Commit
	Count  uint64 // number of records
}

// Snapshot is one committed version, for one goroutine.
type Snapshot interface {
	State() State
	// Records yields every record once in the order of SHA-256(key); an error ends the sequence.
	Records() iter.Seq2[proof.KV, error]
	Close() error
}

// Answer is a set of proven reads of one committed version.
type Answer struct {
	Height hufu.Height
	Root   hufu.Digest
	Items  []Item
}

// Item is one proven read.
type Item struct {
	Key   []byte
	Value []byte // nil when there is no such record
	Proof []byte // for proof.VerifyValue
}

// Staged is a computed state that is not committed.
type Staged struct {
	root  hufu.Digest
	count uint64
	owner Store  // the store it was staged by
	base  uint64 // that store's version number then
	next  any    // the implementation's own
}

// Root is the Merkle root the state would have.
func (s *Staged) Root() hufu.Digest { return s.root }

// Count is the number of records the state would have.
func (s *Staged) Count() uint64 { return s.count }

// pending is a change at its place in the trie.
type pending struct {
	keyHash hufu.Digest
	Change
}

// sorted checks changes and sorts them by key hash: by the first byte, which cuts them into many short runs, and each run.
func sorted(changes []Change) ([]pending, error) {
	hashes := make([]hufu.Digest, len(changes))
	var ends [segments]int
	for i := range changes {
		c := &changes[i]
		if err := checkRecord(c.Key, c.Value, true); err != nil {
			return nil, err
		}
		hashes[i] = proof.HashKey(c.Key)
		ends[hashes[i][0]]++
	}
	for s := 1; s < segments; s++ {
		ends[s] += ends[s-1]
	}
	out, begins := make([]pending, len(changes)), ends
	for i := range slices.Backward(changes) {
		at := &begins[hashes[i][0]]
		*at--
		out[*at] = pending{keyHash: hashes[i], Change: changes[i]}
	}
	for s := range ends {
		run := out[begins[s]:ends[s]]
		slices.SortFunc(run, func(a, b pending) int { return bytes.Compare(a.keyHash[:], b.keyHash[:]) })
		for i := 1; i < len(run); i++ {
			if run[i].keyHash == run[i-1].keyHash {
				return nil, fmt.Errorf("%w: two changes of key %x", ErrChange, run[i].Key)
			}
		}
	}
	return out, nil
}

func checkRecord(key, value []byte, mayDelete bool) error {
	switch {
	case len(key) == 0 || len(key) > MaxKey:
		return fmt.Errorf("%w: a key of %d bytes", ErrChange, len(key))
	case value == nil && mayDelete:
		return nil
	case len(value) == 0 || len(value) > MaxValue:
		return fmt.Errorf("%w: a value of %d bytes for key %x", ErrChange, len(value), key)
	}
	return nil
}

// checkCommit holds the rules of Commit that do not depend on the implementation. Version counts
// commits and tells a new store from one at height 0.
func checkCommit(st Store, s *Staged, version uint64, current, height hufu.Height) error {
	switch {
	case s == nil || s.owner != st || s.base != version:
		return ErrStale
	case height <= current && (version > 0 || height != 0):
		return fmt.Errorf("%w: %d after %d", ErrHeight, height, current)
	}
	return nil
}
