package node

import (
	"sync"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

// maxKnown bounds one generation of known transactions: more than are in a block.
const maxKnown = 1 << 16

// parsed is a transaction that was read, and the keys its signatures were found to hold for.
type parsed struct {
	*tx.Tx
	holds    []keys.PublicKey // nil: not verified yet
	admitted *admitted        // nil: it was not judged
}

// admitted is what admission said on one state, with next as its author's queue.
type admitted struct {
	machine.Admission
	height hufu.Height // of the state
	next   uint64
}

// verifiedBy reports whether the signatures are known to hold for just these keys. Which keys must
// have signed depends on the state, so it is asked again in every block.
func (p *parsed) verifiedBy(by []keys.PublicKey) bool {
	if len(p.holds) != len(by) {
		return false
	}
	for i := range by {
		if !p.holds[i].Equal(by[i]) {
			return false
		}
	}
	return true
}

// appendChecks appends the signatures of p, to be verified against by, and their messages to room, which it
// returns too: nobody may use it for anything else until they are verified.
func (p *parsed) appendChecks(to []check, room []byte, by []keys.PublicKey) ([]check, []byte) {
	for i := range by {
		from := len(room)
		room = p.AppendSigningBytes(room, i)
		to = append(to, check{key: by[i], message: room[from:len(room):len(room)], sig: p.Signatures[i].Sig})
	}
	return to, room
}

// known remembers transactions between proposal and block, by id, so that each is read and verified once. It holds two
// generations and forgets the older when the younger is full: forgetting costs time, never correctness.
type known struct {
	waiting func(hufu.Digest) *parsed // what waits for a block; nil where nothing does

	mu         sync.RWMutex
	young, old map[hufu.Digest]*parsed
}

func newKnown() *known {
	return &known{young: map[hufu.Digest]*parsed{}, old: map[hufu.Digest]*parsed{}}
}

func (k *known) get(id hufu.Digest) *parsed {
	p := k.seen(id)
	if p == nil && k.waiting != nil {
		p = k.waiting(id)
	}
	return p
}

// seen is the transaction with this id, if it was in a proposal or block that was executed.
func (k *known) seen(id hufu.Digest) *parsed {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if p := k.young[id]; p != nil {
		return p
	}
	return k.old[id]
}

func (k *known) put(p *parsed) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.young) >= maxKnown {
		k.young, k.old = map[hufu.Digest]*parsed{}, k.young
	}
	k.young[p.ID()] = p
}

func (k *known) forget(txs []*tx.Tx) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range txs {
		delete(k.young, t.ID())
		delete(k.old, t.ID())
	}
}
