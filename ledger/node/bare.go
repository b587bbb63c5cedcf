package node

import (
	"context"
	"errors"
	"sync/atomic"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"

	"github.com/hufu-id/hufu"
)

// StartBare is [Start] with the engine as it comes, under the same settings: with its own mempool, its own gossip and its own bus for
// events, and an application that accepts every transaction and keeps nothing, so that what the engine alone costs can
// be measured. Such a node serves no reads, and its home is good for nothing else.
func StartBare(ctx context.Context, cfg Config, keys Keys) (*Node, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	n := &Node{ended: make(chan struct{}), headers: newHeaders()}
	bare := &bare{}
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
	last      int // transactions in the block being executed
	committed atomic.Uint64
}

// offerBare offers a transaction to the engine's mempool, which answers before it returns.
func (n *Node) offerBare(_ context.Context, _ hufu.Digest, raw []byte, _ source) error {
	err := n.engine.Mempool().CheckTx(raw, nil, mempool.TxInfo{})
	if errors.Is(err, mempool.ErrTxInCache) {
		return errWaits
	}
	return err
}

func (b *bare) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	b.last = len(req.Txs)
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
