package node

import (
	"sync"

	"github.com/hufu-id/hufu/ledger/store"
)

// reads is the committed state with what was read lately kept in memory. A transaction's author, its
// member and the parameters are read when it is offered, when it begins to wait and when it is in
// a block; what every transaction reads, thousands of times between two blocks.
//
// Whoever commits to the store tells it of the changes, so that what it keeps is always the present
// version's.
type reads struct {
	store store.Store

	mu         sync.RWMutex
	commits    uint64 // told of so far
	young, old map[string]*kept
	bytes      int // in young

	missing missing
}

// missing are keys that are not there. It has a lock of its own, as nearly every question adds one.
type missing struct {
	mu      sync.Mutex
	commits uint64 // told of so far
	keys    map[string]struct{}
}

// kept is one key's value, nil for none, and what it was decoded to, nil when nobody asked yet.
type kept struct {
	value   []byte
	decoded any
}

// maxReadBytes bounds one generation of what is kept; there are two.
const maxReadBytes = 8 << 20

// maxMissing bounds how many keys that are not there are kept, at some 100 bytes each: as many as transactions may wait.
const maxMissing = maxPending

// readOverhead is about what keeping a record takes beside its key and value.
const readOverhead = 128

func newReads(st store.Store) *reads {
	return &reads{store: st, young: map[string]*kept{}, missing: missing{keys: map[string]struct{}{}}}
}

// Get is [state.Reader]'s.
func (r *reads) Get(key []byte) ([]byte, error) {
	k, err := r.get(key)
	return k.value, err
}

// Has is [state.Looker]'s. That there is no such key is kept: whoever makes it is asked about it when the transaction is offered, and
// when it is in a block.
func (r *reads) Has(key []byte) (bool, error) {
	missing, commits := r.missing.has(key)
	if missing {
		return false, nil
	}
	has, err := r.store.Has(key)
	if err == nil && !has {
		r.missing.add(key, commits)
	}
	return has, err
}

func (m *missing) has(key []byte) (missing bool, commits uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, missing = m.keys[string(key)]
	return missing, m.commits
}

// add keeps that there was no such key after so many commits.
func (m *missing) add(key []byte, commits uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.commits != commits { // it may be there by now
		return
	}
	if len(m.keys) >= maxMissing {
		clear(m.keys)
	}
	m.keys[string(key)] = struct{}{}
}

// committed tells what the last commit changed.
func (m *missing) committed(changes []store.Change) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commits++
	for _, c := range changes {
		delete(m.keys, string(c.Key))
	}
}

// reset forgets everything.
func (m *missing) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.commits++
	clear(m.keys)
}

// Kept is [state.Keeper]'s.
func (r *reads) Kept(key []byte) (raw []byte, decoded any, err error) {
	k, err := r.get(key)
	return k.value, k.decoded, err
}

// Keep is [state.Keeper]'s.
func (r *reads) Keep(key, raw []byte, decoded any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := r.young[string(key)]
	if at == nil {
		at = r.old[string(key)]
	}
	if at != nil && sameMemory(at.value, raw) {
		at.decoded = decoded
	}
}

func sameMemory(a, b []byte) bool { return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] }

func (r *reads) get(key []byte) (kept, error) {
	r.mu.RLock()
	at := r.young[string(key)]
	if at == nil {
		at = r.old[string(key)]
	}
	commits := r.commits
	var k kept
	if at != nil {
		k = *at
	}
	r.mu.RUnlock()
	if at != nil {
		return k, nil
	}
	var err error
	if k.value, err = r.store.Get(key); err != nil {
		return k, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.commits == commits { // otherwise it may be what was there before
		r.keep(string(key), k.value)
	}
	return k, nil
}

func (r *reads) keep(key string, value []byte) {
	if r.bytes >= maxReadBytes {
		r.young, r.old, r.bytes = map[string]*kept{}, r.young, 0
	}
	r.young[key] = &kept{value: value}
	r.bytes += len(key) + len(value) + readOverhead
}

// committed tells what the last commit changed, before the next block is executed.
func (r *reads) committed(changes []store.Change) {
	r.missing.committed(changes)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits++
	for _, c := range changes {
		if r.young[string(c.Key)] != nil || r.old[string(c.Key)] != nil {
			delete(r.old, string(c.Key))
			r.keep(string(c.Key), c.Value)
		}
	}
}

// reset forgets everything: the state was replaced as a whole.
func (r *reads) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits++
	r.young, r.old, r.bytes = map[string]*kept{}, nil, 0
	r.missing.reset()
}
