package node

import (
	"bytes"
	"context"
	"fmt"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/types"
)

// What waits for a block is in [pending] alone, of which the application fills blocks. The engine, which makes none
// while nothing changes, has to know that something waits, and hears of it only by its own mempool. So that has one
// entry as long as something waits: the bell, which is no transaction and in no block. The engine's lock on its mempool
// orders ringing and commits: while a block is committed nobody rings, and when it was, the engine looks whether the
// bell is still there.

// bell is the entry.
func bell() types.Tx { return types.Tx("bell") }

// CheckTx is the engine asking whether the bell may be in its mempool.
func (a *app) CheckTx(_ context.Context, req *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	if !bytes.Equal(req.Tx, bell()) || !a.pending.waits() {
		return &abci.ResponseCheckTx{Code: codeRefused}, nil
	}
	return &abci.ResponseCheckTx{Code: codeOK}, nil
}

// tell tells the engine that something waits, unless it knows. Whoever let a transaction in does afterwards.
func (a *app) tell() {
	if a.pending.tell() {
		a.ring()
	}
}

// ring puts the bell into the engine's mempool. It waits for the commit of a block.
func (n *Node) ring() {
	if err := n.engine.Mempool().CheckTx(bell(), nil, mempool.TxInfo{}); err != nil {
		n.fail(fmt.Errorf("%w: the engine does not hear that transactions wait: %w", ErrConsensus, err))
	}
}

// silence takes the bell out of the engine's mempool, which is being held.
func (n *Node) silence() {
	if n.engine != nil { // otherwise a block is replayed while the engine is made; its mempool is empty
		_ = n.engine.Mempool().RemoveTxByKey(bell().Key()) // which may have been on its way only
	}
}

// tower is the engine's mempool, in which there is the bell alone: what is in a block need not be looked for.
type tower struct{ mempool.Mempool }

// Update is the mempool's, after a block.
func (t tower) Update(height int64, _ types.Txs, _ []*abci.ExecTxResult, pre mempool.PreCheckFunc, post mempool.PostCheckFunc) error {
	return t.Mempool.Update(height, nil, nil, pre, post)
}
