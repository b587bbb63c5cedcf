package byzantine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	dbm "github.com/cometbft/cometbft-db"
	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/config"
	"github.com/cometbft/cometbft/libs/log"
	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	"github.com/cometbft/cometbft/privval"
	"github.com/cometbft/cometbft/proxy"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
)

// Proposer is a validator that fills the blocks it proposes with whatever Fill says, and accepts every block that
// others propose. It executes what is decided by the rules, so that it is in step with the others.
type Proposer struct {
	abci.BaseApplication
	// Fill is asked for the transactions of a block, given those that an honest proposer would take, and those of the
	// last block that had any.
	Fill func(height hufu.Height, honest, decided [][]byte) [][]byte

	exec   *node.Executor
	store  store.Store
	mu     sync.Mutex
	last   *node.Outcome
	had    [][]byte
	engine *cmtnode.Node
}

// Start runs the proposer with its engine's files in dir. Peers are "<id>@host:port".
func (p *Proposer) Start(ctx context.Context, dir string, genesis []byte, k node.Keys, listen string, peers []string) error {
	doc, err := types.GenesisDocFromJSON(genesis)
	if err != nil {
		return err
	}
	for _, d := range []string{"data", "config"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o700); err != nil {
			return err
		}
	}
	p.store = store.NewMemory()
	p.exec = node.NewExecutor(hufu.Network(doc.ChainID), p.store)
	c := config.DefaultConfig()
	c.SetRoot(dir)
	c.RPC.ListenAddress, c.TxIndex.Indexer = "", "null"
	c.P2P.ListenAddress, c.P2P.PersistentPeers = "tcp://"+listen, strings.Join(peers, ",")
	c.P2P.PexReactor, c.P2P.AddrBook, c.P2P.AddrBookStrict, c.P2P.AllowDuplicateIP = false, "addrbook.json", false, true
	c.Consensus.TimeoutCommit = 0
	c.Consensus.CreateEmptyBlocksInterval = 100 * time.Millisecond
	c.Consensus.PeerGossipSleepDuration = 5 * time.Millisecond
	c.Mempool.Recheck = false
	// As the others have it: they could not speak to each other otherwise.
	c.P2P.MaxPacketMsgPayloadSize, c.P2P.FlushThrottleTimeout, c.P2P.SendRate, c.P2P.RecvRate = packetSize, time.Millisecond, 1<<30, 1<<30
	voter := privval.NewFilePV(signingKey{k.Validator}, "", filepath.Join(dir, "signed.json"))
	p.engine, err = cmtnode.NewNodeWithContext(ctx, c, voter, &p2p.NodeKey{PrivKey: signingKey{k.Node}}, proxy.NewLocalClientCreator(p),
		func() (*types.GenesisDoc, error) { return doc, nil },
		func(*config.DBContext) (dbm.DB, error) { return dbm.NewMemDB(), nil },
		cmtnode.DefaultMetricsProvider(c.Instrumentation), log.NewNopLogger())
	if err != nil {
		return err
	}
	return p.engine.Start()
}

// Stop ends it.
func (p *Proposer) Stop() error {
	err := p.engine.Stop()
	p.engine.Wait()
	return errors.Join(err, p.store.Close())
}

// Info says where the state is, under the rules that the genesis names.
func (p *Proposer) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	s := p.store.State()
	return &abci.ResponseInfo{Data: "hufu", AppVersion: 1, LastBlockHeight: int64(s.Height), LastBlockAppHash: s.Root[:]}, nil
}

// InitChain makes the state of genesis.
func (p *Proposer) InitChain(_ context.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	doc, err := machine.ParseGenesis(req.AppStateBytes)
	if err != nil {
		return nil, err
	}
	if _, err := p.exec.Genesis(doc, req.Time); err != nil {
		return nil, err
	}
	root := p.store.State().Root
	return &abci.ResponseInitChain{AppHash: root[:]}, nil
}

// PrepareProposal proposes what Fill likes.
func (p *Proposer) PrepareProposal(_ context.Context, req *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	p.mu.Lock()
	had := p.had
	p.mu.Unlock()
	return &abci.ResponsePrepareProposal{Txs: p.Fill(hufu.Height(req.Height), req.Txs, had)}, nil
}

// ProcessProposal likes everything.
func (p *Proposer) ProcessProposal(context.Context, *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
}

// FinalizeBlock executes what the others decided.
func (p *Proposer) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, err := p.exec.Run(node.Block{Height: hufu.Height(req.Height), Time: req.Time, Txs: req.Txs, Misbehaviour: node.Misbehaviour(req.Misbehavior)})
	if err != nil {
		return nil, fmt.Errorf("byzantine: a block that was decided may not be: %w", err)
	}
	p.last = o
	if len(req.Txs) > 0 {
		p.had = req.Txs
	}
	root, err := o.Root()
	if err != nil {
		return nil, err
	}
	answer := &abci.ResponseFinalizeBlock{AppHash: root[:]}
	for _, v := range o.Validators {
		answer.ValidatorUpdates = append(answer.ValidatorUpdates, abci.Ed25519ValidatorUpdate(v.PubKey, int64(v.Power)))
	}
	for _, r := range o.Results {
		answer.TxResults = append(answer.TxResults, &abci.ExecTxResult{Code: r.Code, Data: r.Data})
	}
	return answer, nil
}

// Commit makes it the state.
func (p *Proposer) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &abci.ResponseCommit{}, p.exec.Commit(p.last)
}
