package node

import (
	"crypto/rand"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/hufu-id/hufu/keys"
)

const (
	// maxBatch bounds one Ed25519 batch: past about a thousand, batches get no cheaper per signature.
	maxBatch = 1024
	// minBatch is the least that is worth a worker of its own.
	minBatch = 32
	// maxQueued bounds the signatures waiting for admission: some 100 ms of one core. One source alone gets
	// half of it, of several each gets as many as are still free.
	maxQueued = 8192
)

// check is one signature to verify by the ledger's rule.
type check struct {
	key          keys.PublicKey
	message, sig []byte
	ok           bool
}

// verifier verifies signatures in batches that form by themselves: a worker takes whatever has come
// in while it was busy with the batch before. There is no timer, so a lone signature waits for
// nothing.
type verifier struct {
	mu      sync.Mutex
	arrived *sync.Cond
	queue   []*ticket
	queued  int            // signatures in queue
	of      map[source]int // of those, by source
	closed  bool
	workers sync.WaitGroup

	verified atomic.Uint64 // signatures, ever
}

// ticket is a request waiting in the queue.
type ticket struct {
	checks []*check
	from   source
	done   chan struct{}
}

func newVerifier() *verifier {
	v := &verifier{of: map[source]int{}}
	v.arrived = sync.NewCond(&v.mu)
	for range runtime.GOMAXPROCS(0) {
		v.workers.Add(1)
		go v.work()
	}
	return v
}

func (v *verifier) close() {
	v.mu.Lock()
	v.closed = true
	v.arrived.Broadcast()
	v.mu.Unlock()
	v.workers.Wait()
}

// admit verifies checks with whatever else is waiting. It reports false, and verifies nothing, when
// too much is, altogether or of the source they came from: admission must not starve consensus, and one
// source not the others.
func (v *verifier) admit(checks []*check, from source) bool {
	t := &ticket{checks: checks, from: from, done: make(chan struct{})}
	v.mu.Lock()
	if !v.fits(len(checks), from) {
		v.mu.Unlock()
		return false
	}
	v.queue = append(v.queue, t)
	v.queued += len(checks)
	v.of[from] += len(checks)
	v.arrived.Signal()
	v.mu.Unlock()
	<-t.done
	return true
}

// fits reports whether so many more of a source may wait: no more than would be free beside them.
func (v *verifier) fits(checks int, from source) bool {
	return !v.closed && v.queued+v.of[from]+checks <= maxQueued
}

func (v *verifier) work() {
	defer v.workers.Done()
	for {
		batch := v.take()
		if batch == nil {
			return
		}
		var checks []*check
		for _, t := range batch {
			checks = append(checks, t.checks...)
		}
		if len(checks) > 0 {
			v.run(checks)
		}
		for _, t := range batch {
			close(t.done)
		}
	}
}

// take waits for requests and takes a worker's share of them, which may be none. It is nil after
// close, when none are left.
func (v *verifier) take() []*ticket {
	v.mu.Lock()
	defer v.mu.Unlock()
	for len(v.queue) == 0 {
		if v.closed {
			return nil
		}
		v.arrived.Wait()
	}
	v.gather()
	if len(v.queue) == 0 {
		return []*ticket{} // another worker was faster
	}
	share := min(max(v.queued/runtime.GOMAXPROCS(0), minBatch), maxBatch)
	n, size := 0, 0
	for n < len(v.queue) && size < share {
		t := v.queue[n]
		size += len(t.checks)
		if v.of[t.from] -= len(t.checks); v.of[t.from] == 0 {
			delete(v.of, t.from)
		}
		n++
	}
	batch := v.queue[:n:n]
	v.queue = v.queue[n:]
	if len(v.queue) == 0 {
		v.queue = nil
	} else {
		v.arrived.Signal()
	}
	v.queued -= size
	return batch
}

// maxGather bounds how often a worker lets others go first.
const maxGather = 32

// gather lets requests that are already running reach the queue before a batch is taken: a signature
// in a batch costs a third of a lone one. As long as giving way brings more, it is worth another turn;
// with nobody else running it costs nothing, and nobody waits for a clock. The lock is held before and
// after.
func (v *verifier) gather() {
	for range maxGather {
		before := v.queued
		if before >= maxBatch {
			return
		}
		v.mu.Unlock()
		runtime.Gosched()
		v.mu.Lock()
		if v.queued <= before {
			return
		}
	}
}

// all verifies checks at once, on every processor: for blocks, which wait behind no queue.
func (v *verifier) all(checks []*check) bool {
	share := min(max((len(checks)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0), minBatch), maxBatch)
	var group sync.WaitGroup
	for start := 0; start < len(checks); start += share {
		part := checks[start:min(start+share, len(checks))]
		group.Go(func() { v.run(part) })
	}
	group.Wait()
	for _, c := range checks {
		if !c.ok {
			return false
		}
	}
	return true
}

// run sets ok of every check.
func (v *verifier) run(checks []*check) {
	v.verified.Add(uint64(len(checks)))
	var edwards []*check
	for _, c := range checks {
		if c.key.Suite() == keys.Ed25519 && len(checks) > 1 {
			edwards = append(edwards, c)
			continue
		}
		c.ok = c.key.VerifyConsensus(c.message, c.sig)
	}
	if len(edwards) == 0 {
		return
	}
	batch := ed25519.NewBatchVerifierWithCapacity(len(edwards))
	options := &ed25519.Options{Verify: ed25519.VerifyOptionsZIP_215}
	for _, c := range edwards {
		batch.AddWithOptions(c.key.Raw(), c.message, c.sig, options)
	}
	all, each := batch.Verify(rand.Reader)
	for i, c := range edwards {
		c.ok = all || each[i]
	}
}
