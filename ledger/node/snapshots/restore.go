package snapshots

import (
	"errors"
	"fmt"
	"iter"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

var errAborted = errors.New("snapshots: the restoring was given up")

// Restoring is a state being made of chunks. It is for one goroutine.
type Restoring struct {
	of   *metadata
	next uint32
	feed chan []proof.KV
	stop chan struct{} // closed by Close
	done chan struct{} // closed when the store has returned
	err  error         // of the store, once done
}

// Restore begins to fill the empty store st with the snapshot s of a network's state after s.Height, of
// which the validators signed root. stateMeta is what the store keeps beside the state. The error wraps
// [ErrSnapshot].
//
// The state is there when Add took the last chunk; until then, and after any error or a crash, the store is
// empty. Close must be called.
func Restore(st store.Store, network hufu.Network, s Snapshot, root hufu.Digest, stateMeta []byte) (*Restoring, error) {
	m, err := s.check(network, root)
	if err != nil {
		return nil, err
	}
	r := &Restoring{of: m, feed: make(chan []proof.KV), stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = st.Restore(store.State{Height: s.Height, Root: root, Meta: stateMeta}, r.records())
	}()
	return r, nil
}

func (r *Restoring) records() iter.Seq2[proof.KV, error] {
	return func(yield func(proof.KV, error) bool) {
		for {
			select {
			case records, more := <-r.feed:
				if !more {
					return
				}
				for _, kv := range records {
					if !yield(kv, nil) {
						return
					}
				}
			case <-r.stop:
				yield(proof.KV{}, errAborted)
				return
			}
		}
	}
}

// Add takes the next chunk and reports whether it was the last, and the state is there. An error that wraps
// [ErrChunk] leaves things as they were: another node may have the right chunk. After any other the store is
// empty again: with [ErrSnapshot] the snapshot was none of this state, else it is of the store itself.
func (r *Restoring) Add(index uint32, chunk []byte) (whole bool, err error) {
	switch {
	case index != r.next:
		return false, fmt.Errorf("snapshots: chunk %d when %d was due", index, r.next)
	case len(chunk) > maxChunk || !r.of.matches(index, chunk):
		return false, fmt.Errorf("%w: number %d", ErrChunk, index)
	}
	records, err := parseChunk(chunk)
	if err != nil {
		return false, errors.Join(err, r.Close())
	}
	select {
	case r.feed <- records:
	case <-r.done:
		return false, r.verdict()
	}
	r.next++
	if int(r.next) < len(r.of.Chunks)/len(hufu.Digest{}) {
		return false, nil
	}
	close(r.feed)
	<-r.done
	return true, r.verdict()
}

// verdict tells whether it is the snapshot that is wrong.
func (r *Restoring) verdict() error {
	if errors.Is(r.err, store.ErrRoot) || errors.Is(r.err, store.ErrChange) {
		return fmt.Errorf("%w: %w", ErrSnapshot, r.err)
	}
	return r.err
}

// Close gives up a restoring that is not whole, and returns when the store is empty again.
func (r *Restoring) Close() error {
	select {
	case <-r.stop:
	default:
		close(r.stop)
	}
	<-r.done
	if errors.Is(r.err, errAborted) || errors.Is(r.err, store.ErrClosed) {
		return nil
	}
	return r.verdict()
}
