package node

import (
	"testing"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"
	"github.com/cometbft/cometbft/types"
)

// updated is a mempool that notes what it is told of a block.
type updated struct {
	mempool.Mempool
	height int64
	txs    int
}

func (u *updated) Update(height int64, txs types.Txs, results []*abci.ExecTxResult, _ mempool.PreCheckFunc, _ mempool.PostCheckFunc) error {
	u.height, u.txs = height, len(txs)+len(results)
	return nil
}

// The engine's mempool is told that there was a block, and of none of its transactions.
func TestTower(t *testing.T) {
	u := &updated{}
	if err := (tower{u}).Update(7, types.Txs{{1}, {2}}, make([]*abci.ExecTxResult, 2), nil, nil); err != nil {
		t.Fatal(err)
	}
	if u.height != 7 || u.txs != 0 {
		t.Errorf("told of block %d with %d transactions and results", u.height, u.txs)
	}
}
