package node_test

import (
	"context"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/store"
)

// chain plays the engine to one application.
type chain struct {
	t      *testing.T
	net    *sample.Network
	app    *node.App
	store  store.Store
	height int64
	time   time.Time
}

func newChain(t *testing.T, st store.Store) *chain {
	t.Helper()
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	return &chain{t: t, net: n, app: node.NewApp(t, n.Genesis, st), store: st, time: time.Unix(1_760_000_000, 0)}
}

func (c *chain) create(number uint64) []byte {
	c.t.Helper()
	raw, _, err := c.net.CreateDID(number)
	if err != nil {
		c.t.Fatal(err)
	}
	return raw
}

// check offers a transaction.
func (c *chain) check(raw []byte) error { return c.app.Offer(raw, "local") }

// admitted offers transactions that must be taken.
func (c *chain) admitted(txs ...[]byte) [][]byte {
	c.t.Helper()
	for _, raw := range txs {
		if err := c.check(raw); err != nil {
			c.t.Fatal(err)
		}
	}
	return txs
}

// prepare is a proposal of what waits.
func (c *chain) prepare() [][]byte { return c.prepareUpTo(1 << 20) }

func (c *chain) prepareUpTo(limit int64) [][]byte {
	c.t.Helper()
	r, err := c.app.PrepareProposal(context.Background(), &abci.RequestPrepareProposal{
		Height: c.height + 1, Time: c.time, Txs: [][]byte{node.BellTx()}, MaxTxBytes: limit,
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Txs
}

func (c *chain) process(txs [][]byte) abci.ResponseProcessProposal_ProposalStatus {
	c.t.Helper()
	r, err := c.app.ProcessProposal(context.Background(), &abci.RequestProcessProposal{Height: c.height + 1, Time: c.time, Txs: txs})
	if err != nil {
		c.t.Fatal(err)
	}
	return r.Status
}

func (c *chain) finalize(txs [][]byte) (*abci.ResponseFinalizeBlock, error) {
	return c.app.FinalizeBlock(context.Background(), &abci.RequestFinalizeBlock{Height: c.height + 1, Time: c.time, Txs: txs})
}

// commit decides a block and makes it the present state.
func (c *chain) commit(txs [][]byte) *abci.ResponseFinalizeBlock {
	c.t.Helper()
	r, err := c.finalize(txs)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.app.Commit(context.Background(), &abci.RequestCommit{}); err != nil {
		c.t.Fatal(err)
	}
	if err := c.app.Settled(); err != nil {
		c.t.Fatal(err)
	}
	c.height++
	c.time = c.time.Add(time.Second)
	if st := c.store.State(); int64(st.Height) != c.height || string(st.Root[:]) != string(r.AppHash) {
		c.t.Fatalf("the store is at %d, %s after block %d, %x", st.Height, st.Root, c.height, r.AppHash)
	}
	return r
}
