package audit

import (
	"context"
	"fmt"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

// Source is where a replay reads blocks. It is not believed.
type Source interface {
	// Newest is the height of the newest block, once there is a later one than after. A source that
	// gets no more says which one it has.
	Newest(ctx context.Context, after hufu.Height) (hufu.Height, error)
	// LightBlock is the signed header of height and the validators of it.
	LightBlock(ctx context.Context, height hufu.Height) (*proof.LightBlock, error)
	// Block is the transactions of height, in order.
	Block(ctx context.Context, height hufu.Height) ([][]byte, error)
	// Evidence is the evidence of misbehaviour in the block of height, in the engine's JSON: an array.
	Evidence(ctx context.Context, height hufu.Height) ([]byte, error)
}

// Stored is a Source that also has the state that the node came to.
type Stored interface {
	Source
	// State is a view of the state as it is stored. It must be closed.
	State() (store.Snapshot, error)
}

// FromNode is the running node behind t.
func FromNode(t client.Transport) Source { return running{t} }

type running struct{ client.Transport }

func (n running) LightBlock(ctx context.Context, height hufu.Height) (*proof.LightBlock, error) {
	sh, err := n.SignedHeader(ctx, height)
	if err != nil {
		return nil, err
	}
	vals, err := n.Validators(ctx, height)
	if err != nil {
		return nil, fmt.Errorf("its validators: %w", err)
	}
	return &proof.LightBlock{SignedHeader: *sh, Validators: vals}, nil
}

func (n running) Newest(ctx context.Context, after hufu.Height) (hufu.Height, error) {
	data, err := encoding.Marshal(after)
	if err != nil {
		return 0, err
	}
	for {
		raw, err := n.Query(ctx, proof.PathAwait, data)
		if err != nil {
			return 0, err
		}
		var height hufu.Height
		if err := encoding.Unmarshal(raw, &height); err != nil {
			return 0, err
		}
		if height > after {
			return height, nil
		}
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
	}
}

// FromHistory is the home of a node that is not running.
func FromHistory(h *node.History) Stored { return history{h} }

type history struct{ *node.History }

func (h history) Newest(context.Context, hufu.Height) (hufu.Height, error) {
	_, last := h.Heights()
	return last, nil
}

// ahead is how many blocks are read while the one before them is being replayed: with blocks of at
// most 4 MiB, a bounded memory.
const ahead = 4

// fetched is one block, as the source has it.
type fetched struct {
	*proof.LightBlock
	txs            [][]byte
	failed, hidden error // to get the header, the transactions
}

// fetch reads the blocks from first to last, and the header after it, ahead of whom they are for. It
// ends with ctx or with a header that is not to be had.
func fetch(ctx context.Context, s Source, first, last hufu.Height) <-chan fetched {
	out := make(chan fetched, ahead)
	go func() {
		defer close(out)
		for height := first; height <= last+1; height++ {
			var f fetched
			f.LightBlock, f.failed = s.LightBlock(ctx, height)
			if f.failed != nil {
				f.failed = fmt.Errorf("audit: header %d: %w", height, f.failed)
			} else if height <= last {
				if f.txs, f.hidden = s.Block(ctx, height); f.hidden != nil {
					f.hidden = fmt.Errorf("audit: block %d: %w", height, f.hidden)
				}
			}
			select {
			case out <- f:
			case <-ctx.Done():
				return
			}
			if f.failed != nil {
				return
			}
		}
	}()
	return out
}
