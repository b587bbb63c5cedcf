package chaos

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
)

// history is what clients did and were told.
type history struct {
	began time.Time // of the monotonic clock that orders operations

	mu       sync.Mutex
	acks     map[hufu.Digest]client.Receipt
	ops      []operation
	waits    []wait        // of creators
	faults   []string      // what no honest node says
	seen     hufu.Height   // highest that any client was shown
	progress chan struct{} // closed and replaced with every acknowledgement
}

// A register is an identifier that some clients write at once: its value is the endpoint of its one service,
// and a write takes effect only at the sequence number that the writer read.
type register struct {
	sequence uint64
	value    string
}

// operation is one read or write of a register. A read is as of a height, proven; a write whose outcome is not
// known may have taken effect at any time since.
type operation struct {
	client        int
	register      hufu.ID
	write         bool
	call, back    time.Duration // since the history began
	was           register      // what a read saw; what a write is to replace
	value         string        // of a write
	unknown       bool          // of a write's outcome
	at            hufu.Height   // of the state read, or of the block of the write
	root          hufu.Digest   // app hash of the state read
	through       string        // the node
	transactionID hufu.Digest   // of a write
}

// wait is how long a creator waited for its acknowledgement.
type wait struct {
	through    string
	call, back time.Duration // since the history began
	blocks     hufu.Height   // from the newest that anybody had seen to the one that it is in
}

func newHistory() *history {
	return &history{began: time.Now(), acks: map[hufu.Digest]client.Receipt{}, progress: make(chan struct{})}
}

func (h *history) now() time.Duration { return time.Since(h.began) }

// acknowledged notes what a client was told to be on the ledger.
func (h *history) acknowledged(r client.Receipt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.acks[r.TxID] = r
	h.seen = max(h.seen, r.Height)
	close(h.progress)
	h.progress = make(chan struct{})
}

// took notes that a creator was acknowledged now what it submitted through a node at a moment when a height had been
// seen.
func (h *history) took(n fmt.Stringer, since time.Duration, seen hufu.Height, r client.Receipt) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.waits = append(h.waits, wait{n.String(), since, h.now(), r.Height - min(seen, r.Height)})
}

// waited are the waits of what was submitted and acknowledged between two moments.
func (h *history) waited(from, to time.Duration) (out []wait) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.waits {
		if w.call >= from && w.back <= to {
			out = append(out, w)
		}
	}
	return out
}

// percentile is that of what is counted of the waits, 0 of none.
func percentile[T cmp.Ordered](percent int, of []wait, count func(wait) T) (out T) {
	var all []T
	for _, w := range of {
		all = append(all, count(w))
	}
	if len(all) == 0 {
		return out
	}
	slices.Sort(all)
	return all[(len(all)*percent+99)/100-1]
}

func (h *history) done(o operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = max(h.seen, o.at)
	o.back = h.now() // after whoever begins now can see its height
	h.ops = append(h.ops, o)
}

// fault notes what no honest node says.
func (h *history) fault(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.faults = append(h.faults, h.now().Round(time.Millisecond).String()+" "+fmt.Sprintf(format, args...))
}

// floor is the height that a read must not be before: an operation that is over ended at it.
func (h *history) floor() hufu.Height {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seen
}

// count is how many transactions are acknowledged, and what is closed when that changes.
func (h *history) count() (int, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.acks), h.progress
}

// model is a register as porcupine checks it: all operations have to fit into one order, each between its call
// and its return, in which reads see the last write.
var model = porcupine.Model{
	Init: func() any { return register{sequence: 1} },
	Step: func(state, input, _ any) (bool, any) {
		now, _ := state.(register)
		o, _ := input.(operation)
		switch {
		case !o.write:
			return now == o.was, now
		case now.sequence == o.was.sequence:
			return true, register{now.sequence + 1, o.value}
		}
		return o.unknown, now
	},
	DescribeOperation: func(input, _ any) string {
		o, _ := input.(operation)
		if o.write {
			return fmt.Sprintf("write %s at %d", o.value, o.was.sequence)
		}
		return fmt.Sprintf("read %s at %d", o.was.value, o.was.sequence)
	},
}

// checkLinearizable holds the operations against the model, each register by itself.
func checkLinearizable(ops []operation) error {
	byRegister := map[hufu.ID][]porcupine.Operation{}
	for _, o := range ops {
		p := porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.call), Return: int64(o.back)}
		if o.unknown {
			p.Return = math.MaxInt64 // it may yet take effect
		}
		byRegister[o.register] = append(byRegister[o.register], p)
	}
	for id, history := range byRegister {
		switch porcupine.CheckOperationsTimeout(model, history, time.Minute) {
		case porcupine.Illegal:
			return fmt.Errorf("the %d operations of register %x are not linearizable:\n%s", len(history), id, describe(ops, id))
		case porcupine.Unknown:
			return fmt.Errorf("whether the %d operations of register %x are linearizable did not come out within a minute", len(history), id)
		}
	}
	return nil
}

// describe lists the operations of a register in the order they were called.
func describe(ops []operation, id hufu.ID) (out string) {
	mine := slices.DeleteFunc(slices.Clone(ops), func(o operation) bool { return o.register != id })
	slices.SortFunc(mine, func(a, b operation) int { return cmp.Compare(a.call, b.call) })
	for _, o := range mine {
		out += fmt.Sprintf("  %9s to %9s client %d, %s: %s, at height %d\n",
			o.call.Round(time.Millisecond), o.back.Round(time.Millisecond), o.client, o.through, model.DescribeOperation(o, nil), o.at)
	}
	return out
}
