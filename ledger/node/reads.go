package node

import (
	"sync"

	"github.com/hufu-id/hufu/ledger/store"
)

// reads is the committed state with what was read lately kept in memory. A transaction's author, its
// member and the parameters are read when it is offered, when it enters the mempool and when it is in
// a block; what every transaction reads, thousands of times between two blocks.
//
// Whoever commits to the store tells it of the changes, so that what it keeps is always the present
// version's.
type reads struct {
	store store.Store

	mu         sync.RWMutex
	commits    uint64 // told of so far
	young, old map[string][]byte
	bytes      int // in young
}

// maxReadBytes bounds one generation of what is kept; there are two.
const maxReadBytes = 8 << 20

// readOverhead is about what keeping a record takes beside its key and value.
const readOverhead = 64

func newReads(st store.Store) *reads {
	return &reads{store: st, young: map[string][]byte{}}
}

// Get is [state.Reader]'s.
func (r *reads) Get(key []byte) ([]byte, error) {
	r.mu.RLock()
	value, ok := r.young[string(key)]
	if !ok {
		value, ok = r.old[string(key)]
	}
	commits := r.commits
	r.mu.RUnlock()
	if ok {
		return value, nil
	}
	value, err := r.store.Get(key)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.commits == commits { // otherwise it may be what was there before
		r.keep(string(key), value)
	}
	return value, nil
}

func (r *reads) keep(key string, value []byte) {
	if r.bytes >= maxReadBytes {
		r.young, r.old, r.bytes = map[string][]byte{}, r.young, 0
	}
	r.young[key] = value
	r.bytes += len(key) + len(value) + readOverhead
}

// committed tells what the last commit changed, before the next block is executed.
func (r *reads) committed(changes []store.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commits++
	for _, c := range changes {
		_, young := r.young[string(c.Key)]
		_, old := r.old[string(c.Key)]
		if young || old {
			delete(r.old, string(c.Key))
			r.keep(string(c.Key), c.Value)
		}
	}
}
