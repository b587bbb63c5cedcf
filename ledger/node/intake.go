package node

import (
	"context"
	"runtime"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/tx"
)

const (
	// minTaken is how many transactions are worth examining together, and maxTaken how many at most: their
	// signatures are one batch, and from some hundred on, batches get little cheaper per signature.
	minTaken, maxTaken = 256, maxBatch
	// maxOffered bounds the bytes of what is being admitted. Each signature takes more than 100 bytes of its
	// transaction, so that no more than 20,000 wait, a fifth of a second of one core. One source alone gets half
	// of it, of several each gets as much as is still free.
	maxOffered = 2 << 20

	// offeredPatience is how long what a client offers may have to wait until it is looked at, by the pace of
	// late. leastOffered may wait whatever that was.
	offeredPatience = 500 * time.Millisecond
	leastOffered    = 512 << 10
)

// intake is where transactions come in. Workers take whatever has come in while they were busy and read,
// judge and verify it together; then one goroutine gives to the mempool, in that order, what may wait there.
// Whoever offered a transaction sleeps meanwhile and is woken once, with the answer. There is no timer: a lone
// transaction waits for nothing.
type intake struct {
	app     *app
	mempool func(raw []byte, answer func(*abci.ResponseCheckTx)) error // the engine's CheckTx

	mu      sync.Mutex
	arrived *sync.Cond // for workers
	ready   *sync.Cond // for the one that feeds the mempool
	queue   []*offer
	enter   []*offer
	pace    pace           // at which what was offered is answered, in bytes
	bytes   int            // of all that were offered and not answered
	of      map[source]int // of those, by source
	working int            // workers that have not ended
	closed  bool
	running sync.WaitGroup
}

// offer is one transaction on its way.
type offer struct {
	raw    []byte
	from   source
	enters bool // the mempool, once it is examined

	parsed *parsed
	checks [2]int                // where its signatures are in the worker's list; none: they are known to hold
	answer *abci.ResponseCheckTx // the mempool's
	err    error
	done   chan struct{} // gets one value
}

func newIntake(a *app) *intake {
	in := &intake{app: a, of: map[source]int{}, working: runtime.GOMAXPROCS(0)}
	in.arrived, in.ready = sync.NewCond(&in.mu), sync.NewCond(&in.mu)
	for range in.working {
		in.running.Go(in.work)
	}
	in.running.Go(in.feed)
	return in
}

// close answers what is on its way, and takes nothing more.
func (in *intake) close() {
	in.mu.Lock()
	in.closed = true
	in.arrived.Broadcast()
	in.mu.Unlock()
	in.running.Wait()
}

// examine reads a transaction and verifies its signatures, if it may be in the next block: see [app.judge].
func (in *intake) examine(raw []byte, from source) (*parsed, error) {
	o := &offer{raw: raw, from: from, done: make(chan struct{}, 1)}
	if err := in.put(o); err != nil {
		return nil, err
	}
	<-o.done
	return o.parsed, o.err
}

// offer brings a transaction into the mempool, and has the mempool's answer.
func (in *intake) offer(ctx context.Context, raw []byte, from source) (*abci.ResponseCheckTx, error) {
	if len(raw) > tx.MaxSize {
		return refusal(tooLarge(raw)), nil
	}
	o := &offer{raw: raw, from: from, enters: true, done: make(chan struct{}, 1)}
	if err := in.put(o); err != nil {
		return refusal(err), nil
	}
	select {
	case <-o.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if o.answer == nil && o.parsed == nil {
		return refusal(o.err), nil
	}
	return o.answer, o.err
}

// put queues o, or refuses it when too much is on its way, altogether or of its source: admission must not
// starve consensus, and one source not the others. One may have no more than would be free beside it.
func (in *intake) put(o *offer) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	most := maxOffered
	if o.from.client() {
		most = min(most, max(leastOffered, int(in.pace.within(offeredPatience, in.app.now()))))
	}
	if in.closed || in.bytes+in.of[o.from]+len(o.raw) > most {
		in.app.refused.checks.Add(1)
		return hufu.Refuse(proof.RuleBusy, "too many transactions wait to be checked, or this address has its share of them: come again in a second")
	}
	in.bytes += len(o.raw)
	in.of[o.from] += len(o.raw)
	in.queue = append(in.queue, o)
	if len(in.queue) == 1 {
		in.arrived.Signal()
	}
	return nil
}

func (in *intake) work() {
	defer func() {
		in.mu.Lock()
		defer in.mu.Unlock()
		if in.working--; in.working == 0 {
			in.ready.Signal()
		}
	}()
	var checks []check
	var messages []byte // of checks
	for {
		taken := in.take()
		if taken == nil {
			return
		}
		checks, messages = checks[:0], messages[:0]
		for _, o := range taken {
			if o.parsed, o.err = in.app.judge(o.raw, o.from); o.err == nil && o.parsed.holds == nil {
				o.checks[0] = len(checks)
				checks, messages = o.parsed.appendChecks(checks, messages, o.parsed.admitted.Keys)
				o.checks[1] = len(checks)
			}
		}
		if len(checks) > 0 {
			in.app.exec.verify.run(checks)
		}
		entering := taken[:0]
		for _, o := range taken {
			if from, to := o.checks[0], o.checks[1]; o.err == nil && to > from {
				o.parsed, o.err = in.app.verified(o.parsed, checks[from:to], o.from)
			}
			if o.err != nil {
				o.parsed = nil
			}
			if o.err == nil && o.enters {
				entering = append(entering, o)
			} else {
				in.finish(o)
			}
		}
		clear(checks)
		if len(entering) > 0 {
			in.mu.Lock()
			in.enter = append(in.enter, entering...)
			in.ready.Signal()
			in.mu.Unlock()
		}
	}
}

// finish gives o back to who offered it.
func (in *intake) finish(o *offer) {
	in.mu.Lock()
	in.bytes -= len(o.raw)
	in.pace.done(float64(len(o.raw)), in.app.now())
	if in.of[o.from] -= len(o.raw); in.of[o.from] == 0 {
		delete(in.of, o.from)
	}
	in.mu.Unlock()
	o.done <- struct{}{}
}

// take waits for transactions and takes a worker's share of them, which may be none. It is nil after
// close, when none are left.
func (in *intake) take() []*offer {
	in.mu.Lock()
	defer in.mu.Unlock()
	for len(in.queue) == 0 {
		if in.closed {
			return nil
		}
		in.arrived.Wait()
	}
	in.gather()
	n := min(max(len(in.queue)/runtime.GOMAXPROCS(0), minTaken), maxTaken, len(in.queue))
	taken := make([]*offer, n) // none, when another worker was faster
	copy(taken, in.queue)
	clear(in.queue[:n])
	if in.queue = in.queue[n:]; len(in.queue) == 0 {
		in.queue = nil
	} else {
		in.arrived.Signal()
	}
	return taken
}

// maxGather bounds how often a worker lets others go first.
const maxGather = 32

// gather lets who is already running offer what it has before a share is taken: a signature in a batch costs
// a third of a lone one. As long as giving way brings more, it is worth another turn; with nobody else
// running it costs nothing, and nobody waits for a clock. The lock is held before and after.
func (in *intake) gather() {
	for range maxGather {
		before := len(in.queue)
		if before >= maxTaken {
			return
		}
		in.mu.Unlock()
		runtime.Gosched()
		in.mu.Lock()
		if len(in.queue) <= before {
			return
		}
	}
}

// feed gives to the mempool what was examined. The engine holds the mempool still while a block is committed:
// then what is examined queues up here, and workers go on.
func (in *intake) feed() {
	for {
		in.mu.Lock()
		for len(in.enter) == 0 && in.working > 0 {
			in.ready.Wait()
		}
		entering := in.enter
		in.enter = nil
		in.mu.Unlock()
		if len(entering) == 0 {
			return
		}
		for _, o := range entering {
			in.app.entering.Store(o.parsed)
			if err := in.mempool(o.raw, func(r *abci.ResponseCheckTx) { o.answer = r }); err != nil {
				o.err = err
			}
			in.app.entering.Store(nil)
			in.finish(o)
		}
	}
}
