package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"sync/atomic"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"

	"github.com/hufu-id/hufu"
)

// StartBare is [Start] with an application that accepts every transaction and keeps nothing, so that
// what the engine alone costs can be measured. Such a node serves no reads, and its home is good for
// nothing else.
func StartBare(ctx context.Context, cfg Config, keys Keys) (*Node, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	n := &Node{ended: make(chan struct{}), headers: newHeaders()}
	bare := &bare{}
	if !cfg.alone() {
		bare.txs = map[hufu.Digest][]byte{}
	}
	n.committed = &bare.committed
	if err := n.start(ctx, cfg, keys, bare); err != nil {
		return nil, errors.Join(err, n.release())
	}
	return n, nil
}

// bare does nothing. Refusing nothing and filling blocks as they are offered is the engine's own
// base application's way.
type bare struct {
	abci.BaseApplication
	last int // transactions in the block being executed

	mu        sync.Mutex
	txs       map[hufu.Digest][]byte // all there were; nil of those that are in blocks. The map is nil without peers
	committed atomic.Uint64
}

// CheckTx only notes what waits, so that it is passed on to peers as by any other node.
func (b *bare) CheckTx(_ context.Context, req *abci.RequestCheckTx) (*abci.ResponseCheckTx, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.txs == nil {
		return &abci.ResponseCheckTx{}, nil
	}
	id := hufu.Digest(sha256.Sum256(req.Tx))
	if _, twice := b.txs[id]; twice {
		return &abci.ResponseCheckTx{Code: codeRefused}, nil
	}
	b.txs[id] = req.Tx
	return &abci.ResponseCheckTx{}, nil
}

// offerBare offers a transaction to the engine's mempool, which answers before it returns.
func (n *Node) offerBare(_ context.Context, _ hufu.Digest, raw []byte, _ source) error {
	code := uint32(codeOK)
	if err := n.engine.Mempool().CheckTx(raw, func(r *abci.ResponseCheckTx) { code = r.Code }, mempool.TxInfo{}); err != nil {
		return err
	}
	if code != codeOK {
		return errWaits
	}
	return nil
}

func (b *bare) has(id hufu.Digest) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.txs[id] != nil
}

func (b *bare) all() [][]byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out [][]byte
	for _, raw := range b.txs {
		if raw != nil {
			out = append(out, raw)
		}
	}
	return out
}

func (b *bare) barred(source) bool { return false }

func (b *bare) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	b.last = len(req.Txs)
	b.mu.Lock()
	for i := 0; i < len(req.Txs) && b.txs != nil; i++ {
		b.txs[sha256.Sum256(req.Txs[i])] = nil
	}
	b.mu.Unlock()
	answer := &abci.ResponseFinalizeBlock{TxResults: make([]*abci.ExecTxResult, len(req.Txs))}
	for i := range answer.TxResults {
		answer.TxResults[i] = &abci.ExecTxResult{}
	}
	return answer, nil
}

func (b *bare) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	b.committed.Add(uint64(b.last))
	return &abci.ResponseCommit{}, nil
}
