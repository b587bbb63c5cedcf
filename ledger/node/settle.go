package node

import (
	"errors"
	"fmt"
	"time"

	"github.com/hufu-id/hufu/ledger/store"
)

// settling is the commit of a decided block that goes on beside the engine: from the engine's Commit of the
// block until it next wants one executed, it writes down what it knows of the block, clears its mempool
// and wakes who waits. There is one at a time, and no block is executed on a state that is not on disk. A
// process that ends meanwhile leaves the state before the block, which the engine's own store has by then: it
// is executed again at the start.
type settling struct {
	done chan struct{} // closed when it is over
	err  error
}

// settle commits o beside the caller, who holds the lock.
func (a *app) settle(o *Outcome) {
	s := &settling{done: make(chan struct{})}
	a.settling = s
	go func() {
		defer close(s.done)
		if s.err = a.commit(o); s.err != nil {
			a.fail(s.err)
		}
	}()
}

// settled waits for the commit before, and fails for good if that did. The caller holds the lock.
func (a *app) settled() error {
	if a.settling == nil {
		return nil
	}
	<-a.settling.done
	return a.settling.err
}

// commit makes a block's state the present one, and tells whoever goes by it.
func (a *app) commit(o *Outcome) error {
	begun := time.Now()
	if err := a.exec.Commit(o); err != nil {
		is := ErrConsensus
		if errors.Is(err, store.ErrFull) {
			is = ErrDiskFull
		}
		return fmt.Errorf("%w: %w", is, err)
	}
	a.rhythm.committed(begun)
	a.committed.Add(uint64(len(o.Txs)))
	a.pending.committed(&o.Block, o.Txs, a.now())
	for _, m := range o.Block.Misbehaviour {
		a.log.Error("a validator misbehaved", "block", o.Block.Height, "offence", m.Offence.String(), "validator", fmt.Sprintf("%X", m.Address), "at", m.Height)
	}
	if _, err := a.exec.version(o.Block.Height + 1); errors.Is(err, ErrUpgrade) {
		a.halt(err) // now, as nobody may propose the next block
	}
	if a.taker != nil {
		a.taker.committed(o.Block.Height)
	}
	if a.sync != nil {
		a.sync.committed()
	}
	return nil
}
