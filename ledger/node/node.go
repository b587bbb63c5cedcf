package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/mempool"
	cmtnode "github.com/cometbft/cometbft/node"
	"github.com/cometbft/cometbft/p2p"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	rpccore "github.com/cometbft/cometbft/rpc/core"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/store"
)

const stopTimeout = 5 * time.Second

// Node is a running node.
type Node struct {
	network hufu.Network
	url     string
	home    *home
	store   store.Store
	dbs     *databases
	app     *app      // nil when another application runs
	remotes []*remote // signers of the validator's keys
	headers *headers
	guard   *guard // nil when the validator is never held back
	engine  *cmtnode.Node
	rpc     *http.Server
	offer   func(ctx context.Context, id hufu.Digest, raw []byte, from source) error // a transaction
	gossip  *gossip                                                                  // nil when the engine's own does

	committed *atomic.Uint64 // the application's count of transactions
	refusals  ruleCounts     // of what was offered

	stop    sync.Once
	ended   chan struct{} // closed when the node can no longer go on, and by Stop
	once    sync.Once
	halting sync.Once
	failed  error
}

// Start runs a node of the home in cfg until Stop, or until it cannot go on: see Done. ctx is for
// starting alone. Replaying blocks after a crash is part of it.
//
// Errors wrap [ErrNoHome], [ErrLocked], [ErrWrongNetwork], [ErrDiskFull] or [ErrReadOnly], or say
// what else is wrong; nothing is running then, and the home is as it was.
func Start(ctx context.Context, cfg Config, keys Keys) (*Node, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	n := &Node{ended: make(chan struct{}), headers: newHeaders()}
	if err := n.start(ctx, cfg, keys, nil); err != nil {
		if errors.Is(n.Err(), ErrUpgrade) {
			err = n.Err() // the engine kept the words alone
		}
		return nil, errors.Join(err, n.release())
	}
	return n, nil
}

func (n *Node) start(ctx context.Context, cfg Config, keys Keys, other abci.Application) error {
	genesis, err := n.open(&cfg)
	if err != nil {
		return err
	}
	application := other
	n.offer = n.offerBare
	if other == nil {
		if err := n.openApp(&cfg); err != nil {
			return err
		}
		n.committed = &n.app.committed
		n.app.retain = retention{cfg.Retain, genesis.ConsensusParams.Evidence.MaxAgeNumBlocks}
		n.app.ring, n.app.silence = n.ring, n.silence
		n.app.halt, n.app.fail = n.halt, n.fail
		if cfg.Upgrades != nil {
			n.app.exec.upgrades = cfg.Upgrades
		}
		if _, err := n.app.exec.version(n.store.State().Height + 1); err != nil {
			return err
		}
		application = n.app
		n.offer = n.app.intake.offer
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", cfg.ListenRPC)
	if err != nil {
		return fmt.Errorf("node: %w", err)
	}
	env, err := n.startEngine(ctx, &cfg, keys, application, genesis)
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	if err := n.castMissed(env.ConsensusState); err != nil {
		return errors.Join(err, listener.Close())
	}
	n.rpc = newRPC(env, n.broadcast, n.logger(&cfg))
	n.url = "http://" + listener.Addr().String()
	go serve(n.rpc, listener, n.fail)
	return nil
}

// open locks the home and reads its genesis.
func (n *Node) open(cfg *Config) (*types.GenesisDoc, error) {
	var err error
	if n.home, err = openHome(cfg.Home, cfg.Reserve); err != nil {
		return nil, err
	}
	raw, err := Genesis(cfg.Home)
	if err != nil {
		return nil, err
	}
	genesis, err := parseGenesis(raw)
	if err != nil {
		return nil, err
	}
	n.network = hufu.Network(genesis.ChainID)
	if cfg.Network != "" && cfg.Network != n.network {
		return nil, fmt.Errorf("%w: it is of %s, and %s was asked for", ErrWrongNetwork, n.network, cfg.Network)
	}
	return genesis, nil
}

func (n *Node) startEngine(ctx context.Context, cfg *Config, keys Keys, application abci.Application, genesis *types.GenesisDoc) (env *rpccore.Environment, err error) {
	peer, err := newSigningKey(keys.Node, "node")
	if err != nil {
		return nil, err
	}
	root := n.home.path(engineDir)
	for _, dir := range []string{"data", "config"} { // of its log and of its address book
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			return nil, diskError(err)
		}
	}
	n.dbs = newDatabases(root, cfg.Log)
	if keys.Validator != nil && len(cfg.RemoteSigners) > 0 {
		return nil, errors.New("node: the validator has its key here, and a remote signer: it has one of them")
	}
	if err := n.listenRemotes(ctx, cfg, root, peer); err != nil {
		return nil, err
	}
	voter, err := newVoter(keys, n.remotes, root, n.dbs.validators)
	if err != nil {
		return nil, err
	}
	signer, err := n.guarded(cfg, voter)
	if err != nil {
		return nil, err
	}
	options := []cmtnode.Option{cmtnode.CustomReactors(map[string]p2p.Reactor{headersName: n.headers})}
	if cfg.StateSync != nil {
		options = append(options, cmtnode.StateProvider(newProvider(n, cfg, genesis)))
	}
	// The engine panics where its databases fail it.
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("node: the engine did not start: %v", r)
		}
	}()
	settings := cfg.engine(root)
	if a, ok := application.(*app); ok {
		options = append(options, n.gossiping(pendingPool{a}, cfg.Peers))
		a.floor = func(d time.Duration) { keepFloor(settings.Consensus, d) }
		if n.store.State().Meta != nil {
			if err := a.setFloor(); err != nil {
				return nil, err
			}
		}
	} else {
		settings.Mempool.CacheSize = settings.Mempool.Size // by which the engine's own gossip knows what it had
	}
	engine, err := cmtnode.NewNodeWithContext(ctx, settings, signer, &p2p.NodeKey{PrivKey: peer},
		connections{application}, func() (*types.GenesisDoc, error) { return genesis, nil },
		n.dbs.open, cmtnode.DefaultMetricsProvider(settings.Instrumentation), n.logger(cfg), options...)
	if err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	if a, ok := application.(*app); ok { // what the engine had executed again may still be on its way to disk, and looks at n.engine
		a.mu.Lock()
		err := a.settled()
		a.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	n.engine = engine
	n.headers.from.Store(&history{engine.BlockStore(), n.dbs.named("blockstore"), sm.NewStore(n.dbs.named("state"), sm.StoreOptions{})})
	if string(n.network) != engine.GenesisDoc().ChainID {
		return nil, fmt.Errorf("%w: its blocks are of %s", ErrWrongNetwork, engine.GenesisDoc().ChainID)
	}
	if height := engine.BlockStore().Height(); height > 0 {
		if last := engine.BlockStore().LoadBlockMeta(height); last != nil {
			if err := checkClock(time.Now(), last.Header.Time); err != nil {
				return nil, err
			}
		}
		if err := closeHeight(engine.Config().Consensus.WalFile(), height, n.logger(cfg)); err != nil {
			return nil, err
		}
	}
	if err := awaitGenesis(ctx, engine.GenesisDoc().GenesisTime, cfg.Log); err != nil {
		return nil, err
	}
	if env, err = engine.ConfigureRPC(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	if _, ok := application.(*app); ok {
		if err := hush(env.ConsensusState); err != nil {
			return nil, err
		}
	}
	if err := engine.Start(); err != nil {
		return nil, fmt.Errorf("node: %w", err)
	}
	return env, nil
}

// awaitGenesis waits until the network begins, as the engine would without a word and whatever it is told.
func awaitGenesis(ctx context.Context, begins time.Time, log *slog.Logger) error {
	wait := time.Until(begins)
	if wait <= 0 {
		return nil
	}
	log.Warn("this machine's clock is before the network's beginning: the node waits until then; set the clock, by NTP best, if it is wrong",
		"begins", begins.UTC().Format(time.RFC3339), "clock", time.Now().UTC().Format(time.RFC3339))
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("node: the network begins at %s: %w", begins.UTC().Format(time.RFC3339), ctx.Err())
	}
}

// hush takes from the engine what nobody needs. Consensus has to have a bus for events, and gets one that has
// ended: what is published there is gone at once. What executes its blocks does without, which saves it from making an
// event of each transaction, with its hash and height in words; but consensus alone has it, and passes on no other kind of bus. Nor does
// that look for the transactions of a block in the engine's mempool, which has none.
func hush(consensus any) error {
	engine, ok := consensus.(interface{ SetEventBus(bus *types.EventBus) })
	if !ok {
		return errors.New("node: the engine takes no bus for events")
	}
	bus := types.NewEventBus()
	if err := errors.Join(bus.Start(), bus.Stop()); err != nil {
		return fmt.Errorf("node: %w", err)
	}
	engine.SetEventBus(bus)
	executor := reflect.Indirect(reflect.ValueOf(consensus)).FieldByName("blockExec")
	if !executor.IsValid() || executor.Type() != reflect.TypeFor[*sm.BlockExecutor]() || executor.IsNil() {
		return errors.New("node: what executes the engine's blocks is not where it was")
	}
	(*sm.BlockExecutor)(executor.UnsafePointer()).SetEventBus(types.NopEventBus{})
	pool := executor.Elem().FieldByName("mempool")
	if !pool.IsValid() || pool.Type() != reflect.TypeFor[mempool.Mempool]() || pool.IsNil() {
		return errors.New("node: the mempool of what executes the engine's blocks is not where it was")
	}
	with := (*mempool.Mempool)(pool.Addr().UnsafePointer())
	*with = tower{*with}
	return nil
}

// clockTolerance is how far ahead of this clock the engine lets a block's time be.
const clockTolerance = time.Minute

// checkClock refuses to start with a clock that the engine would end at: where it looks at its log of an unfinished
// block first, that end is a panic beside consensus, which tells nobody what to do.
func checkClock(now, last time.Time) error {
	if last.After(now.Add(clockTolerance)) {
		return fmt.Errorf("%w: the last block here is of %s, and it is %s", ErrClock, last.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}

// castMissed has votes whose signer was away when the engine asked for them given to the engine.
func (n *Node) castMissed(consensus any) error {
	engine, ok := consensus.(interface {
		AddVote(vote *types.Vote, peer p2p.ID) (bool, error)
	})
	if !ok && len(n.remotes) > 0 {
		return errors.New("node: the engine takes no votes")
	}
	for _, r := range n.remotes {
		r.castBy(func(signed *cmtproto.Vote) {
			if vote, err := types.VoteFromProto(signed); err == nil {
				_, _ = engine.AddVote(vote, "") // its own; it is put into a queue
			}
		})
	}
	return nil
}

// listenRemotes waits for the validator's signers.
func (n *Node) listenRemotes(ctx context.Context, cfg *Config, dir string, key signingKey) error {
	for _, s := range cfg.RemoteSigners {
		r, err := listenRemote(ctx, s, string(n.network), dir, key, cfg.Log)
		if err != nil {
			return err
		}
		n.remotes = append(n.remotes, r)
	}
	for _, r := range n.remotes {
		if err := r.await(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) logger(cfg *Config) engineLog {
	return engineLog{to: cfg.Log.With("part", "engine"), failed: n.fail, ended: n.ended}
}

// storeError gives the store's errors the names of this package.
func storeError(err error) error {
	switch {
	case errors.Is(err, store.ErrLocked):
		return fmt.Errorf("%w: %w", ErrLocked, err)
	case errors.Is(err, store.ErrFull):
		return fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	return diskError(err)
}

// Network is the network the node belongs to.
func (n *Node) Network() hufu.Network { return n.network }

// URL is the HTTP address of the node's RPC.
func (n *Node) URL() string { return n.url }

// ID is the node's name among its peers: what stands before "@" in Config.Peers of others.
func (n *Node) ID() string { return string(n.engine.NodeInfo().ID()) }

// AddressP2P is where peers reach the node, host and port.
func (n *Node) AddressP2P() string {
	sw, ok := n.engine.Switch().(*p2p.Switch)
	if !ok || sw.NetAddress() == nil {
		return ""
	}
	return sw.NetAddress().DialString()
}

// Height is the height of the committed state.
func (n *Node) Height() hufu.Height { return hufu.Height(n.engine.BlockStore().Height()) }

// Block is a block that the node has.
func (n *Node) Block(height hufu.Height) (Block, error) {
	b := n.engine.BlockStore().LoadBlock(int64(height))
	if b == nil {
		return Block{}, fmt.Errorf("node: block %d is not here", height)
	}
	return Block{Height: height, Time: b.Time, Txs: b.Txs.ToSliceOfBytes(), Misbehaviour: Misbehaviour(b.Evidence.Evidence.ToABCI())}, nil
}

// Done is closed when the node cannot go on, and by Stop. Err says why.
func (n *Node) Done() <-chan struct{} { return n.ended }

// Err is why the node could not go on: nil while it runs and after a plain Stop. The home is to be
// opened again after what is named is mended.
func (n *Node) Err() error {
	select {
	case <-n.ended:
		return n.failed
	default:
		return nil
	}
}

// Transactions is how many transactions were committed since the node started, those of blocks it
// replayed then included.
func (n *Node) Transactions() uint64 { return n.committed.Load() }

func (n *Node) fail(err error) {
	n.once.Do(func() {
		n.failed = err
		close(n.ended)
	})
}

// upgradeGrace is how long a node that has come to an upgrade still gives the last block before it to those
// that lack it, before it tells that it cannot go on.
const upgradeGrace = 2 * time.Second

// halt tells that the node cannot go on, and reports whether it is running, so that it is to be waited for
// being stopped.
func (n *Node) halt(err error) bool {
	running := n.engine != nil && n.engine.IsRunning()
	n.halting.Do(func() {
		if !running {
			n.fail(err)
			return
		}
		time.AfterFunc(upgradeGrace, func() { n.fail(err) })
	})
	return running
}

// Stop ends the node and gives the home back. Requests that are being answered are waited for.
func (n *Node) Stop() error {
	var err error
	n.stop.Do(func() {
		n.fail(nil)
		err = n.release()
	})
	return err
}

// release ends whatever was started.
func (n *Node) release() error {
	var errs []error
	if n.app != nil {
		n.app.tip.close() // those who wait for a block
	}
	if n.rpc != nil {
		ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
		defer cancel()
		if err := n.rpc.Shutdown(ctx); err != nil {
			errs = append(errs, n.rpc.Close())
		}
	}
	if n.engine != nil && n.engine.IsRunning() {
		errs = append(errs, n.engine.Stop())
		n.engine.Wait()
	}
	if n.engine != nil { // which leaves this running, and with it keeps all that the application has in memory
		errs = append(errs, n.engine.ProxyApp().Stop())
	}
	for _, r := range n.remotes {
		errs = append(errs, r.Close())
	}
	if n.app != nil {
		n.app.close()
	}
	if n.dbs != nil {
		errs = append(errs, n.dbs.close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	if n.home != nil {
		errs = append(errs, n.home.close())
	}
	return errors.Join(errs...)
}

// Broadcast offers a transaction for inclusion, as the RPC's broadcast_tx_sync does. A refusal is a
// *hufu.Refusal.
func (n *Node) Broadcast(ctx context.Context, raw []byte) error { return n.broadcast(ctx, raw, local) }

// broadcast offers a caller's transaction and passes it on.
func (n *Node) broadcast(ctx context.Context, raw []byte, from source) error {
	id := hufu.Digest(sha256.Sum256(raw))
	if err := n.submit(ctx, id, raw, from); err != nil {
		return err
	}
	if n.gossip != nil {
		n.gossip.entered([]passed{{id: id, raw: raw}}, "")
	}
	return nil
}

// submit offers the transaction with this id.
func (n *Node) submit(ctx context.Context, id hufu.Digest, raw []byte, from source) error {
	return n.noted(n.offer(ctx, id, raw, from))
}

// submitAll offers transactions of a peer at once.
func (n *Node) submitAll(ctx context.Context, txs []passed, from source) []error {
	answers := n.app.intake.offerAll(ctx, txs, from)
	for _, err := range answers {
		_ = n.noted(err)
	}
	return answers
}

// noted counts a refusal.
func (n *Node) noted(err error) error {
	if rule := hufu.RuleOf(err); rule != "" {
		n.refusals.add(rule)
	}
	return err
}
