package node

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

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

// intake is where transactions come in. Workers take whatever has come in while they were busy, read, judge and
// verify it together, and let it wait for a block. Whoever offered a transaction sleeps meanwhile and is woken once,
// with the answer. There is no timer: a lone transaction waits for nothing.
type intake struct {
	app *app

	mu      sync.Mutex
	arrived *sync.Cond
	queue   []*offer
	pace    pace              // at which what was offered is answered, in bytes
	bytes   int               // of all that were offered and not answered
	of      map[source]*share // of those, by source
	idle    int               // workers that wait for something to do
	busy    int               // workers that have taken something
	closed  bool
	working sync.WaitGroup
}

// share is what one source has on its way, in bytes.
type share struct{ bytes int }

// offer is one transaction on its way.
type offer struct {
	id   hufu.Digest // SHA-256 of raw
	raw  []byte
	from source
	of   *share // of from

	parsed *parsed
	checks [2]int // where its signatures are in the worker's list; none: they are known to hold
	err    error
	done   chan struct{} // gets one value
}

func newIntake(a *app) *intake {
	in := &intake{app: a, of: map[source]*share{}}
	in.arrived = sync.NewCond(&in.mu)
	for range min(runtime.GOMAXPROCS(0), runtime.NumCPU()) { // more would have smaller batches and no more cores
		in.working.Go(in.work)
	}
	return in
}

// close answers what is on its way, and takes nothing more.
func (in *intake) close() {
	in.mu.Lock()
	in.closed = true
	in.arrived.Broadcast()
	in.mu.Unlock()
	in.working.Wait()
}

// offer lets the transaction with this id wait for a block, if it may be in the next. Unless ctx ends first, an error is a *hufu.Refusal.
func (in *intake) offer(ctx context.Context, id hufu.Digest, raw []byte, from source) error {
	o := newOffer(id, raw, from)
	in.put(o)
	return o.wait(ctx)
}

// offerAll offers transactions at once, so that their signatures form batches, and returns the answer to each.
func (in *intake) offerAll(ctx context.Context, txs []passed, from source) []error {
	all := make([]*offer, len(txs))
	for i, t := range txs {
		all[i] = newOffer(t.id, t.raw, from)
	}
	in.put(all...)
	errs := make([]error, len(all))
	for i, o := range all {
		errs[i] = o.wait(ctx)
	}
	return errs
}

// offers are for using again.
var offers = sync.Pool{New: func() any { return &offer{done: make(chan struct{}, 1)} }}

func newOffer(id hufu.Digest, raw []byte, from source) *offer {
	o := offers.Get().(*offer)
	o.id, o.raw, o.from = id, raw, from
	return o
}

// wait waits for the answer to o, which was put, and gives o back.
func (o *offer) wait(ctx context.Context) error {
	select {
	case <-o.done: // as mostly with many at once
	default:
		select {
		case <-o.done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	err := o.err
	*o = offer{done: o.done}
	offers.Put(o)
	if err == nil {
		return nil
	}
	return refusal(err)
}

func refusal(err error) error {
	var r *hufu.Refusal
	if errors.As(err, &r) {
		return r
	}
	return hufu.Refuse(proof.RuleBusy, "the node cannot read its state")
}

// put queues what is offered, or answers that too much is on its way, altogether or of its source: admission must not
// starve consensus, and one source not the others. One may have no more than would be free beside it.
func (in *intake) put(all ...*offer) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, o := range all {
		if o.err = in.room(o); o.err != nil {
			o.done <- struct{}{}
			continue
		}
		in.bytes += len(o.raw)
		if o.of.bytes == 0 {
			in.of[o.from] = o.of
		}
		o.of.bytes += len(o.raw)
		in.queue = append(in.queue, o)
	}
	if in.due() {
		in.arrived.Signal()
	}
}

// due reports whether there is something to do now: while a worker is busy, a few are left until it comes back, as
// they cost less with those that come meanwhile.
func (in *intake) due() bool {
	return len(in.queue) >= minTaken || len(in.queue) > 0 && (in.busy == 0 || in.closed)
}

// room refuses o if it may not be queued, and finds the share that it is of. The lock is held.
func (in *intake) room(o *offer) error {
	if len(o.raw) > tx.MaxSize {
		return tooLarge(o.raw)
	}
	if o.of = in.of[o.from]; o.of == nil {
		o.of = &share{}
	}
	with, most := in.bytes+o.of.bytes+len(o.raw), maxOffered
	if o.from.client() && with > leastOffered {
		most = min(most, max(leastOffered, int(in.pace.within(offeredPatience, in.app.now()))))
	}
	if in.closed || with > most {
		in.app.refused.checks.Add(1)
		return hufu.Refuse(proof.RuleBusy, "too many transactions wait to be checked, or this address has its share of them: come again in a second")
	}
	return nil
}

func (in *intake) work() {
	var checks []check
	var messages []byte // of checks
	for {
		taken := in.take()
		if taken == nil {
			return
		}
		checks, messages = checks[:0], messages[:0]
		now := in.app.now()
		for _, o := range taken {
			if o.parsed, o.err = in.app.judge(o.id, o.raw, o.from, now); o.err == nil && o.parsed.holds == nil {
				o.checks[0] = len(checks)
				checks, messages = o.parsed.appendChecks(checks, messages, o.parsed.admitted.Keys)
				o.checks[1] = len(checks)
			}
		}
		if len(checks) > 0 {
			in.app.exec.verify.run(checks)
		}
		for _, o := range taken {
			if from, to := o.checks[0], o.checks[1]; o.err == nil && to > from {
				o.parsed, o.err = in.app.verified(o.parsed, checks[from:to], o.from)
			}
			if o.err == nil {
				o.err = in.app.enter(o.parsed)
			}
		}
		in.finish(taken)
		clear(checks)
		in.app.tell()
	}
}

// finish answers all who offered.
func (in *intake) finish(all []*offer) {
	size := 0
	in.mu.Lock()
	for _, o := range all {
		size += len(o.raw)
		if o.of.bytes -= len(o.raw); o.of.bytes == 0 {
			delete(in.of, o.from)
		}
	}
	in.busy--
	if in.due() { // and this worker may have to wait until it can tell of what it let in
		in.arrived.Signal()
	}
	in.bytes -= size
	in.pace.done(float64(size), in.app.now())
	in.mu.Unlock()
	for _, o := range all {
		o.done <- struct{}{}
	}
}

// take waits for transactions and takes a worker's share of them, which may be none. It is nil after
// close, when none are left.
func (in *intake) take() []*offer {
	in.mu.Lock()
	defer in.mu.Unlock()
	for !in.due() {
		if in.closed {
			return nil
		}
		in.idle++
		in.arrived.Wait()
		in.idle--
	}
	in.busy++
	in.gather()
	n := min(max(len(in.queue)/(in.idle+1), minTaken), maxTaken, len(in.queue))
	taken := make([]*offer, n) // none, when another worker was faster
	copy(taken, in.queue)
	clear(in.queue[:n])
	if in.queue = in.queue[n:]; len(in.queue) == 0 {
		in.queue = nil
	}
	if in.due() {
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
