package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/store"
)

const (
	codeOK      = 0
	codeRefused = 1 // the rule is in Data, which headers commit to, and in Codespace; the detail in Log

	// firstVersion is that of the rules at genesis, in every header until the first upgrade.
	firstVersion = 1
)

// app is the ABCI application. The engine calls PrepareProposal, ProcessProposal, FinalizeBlock and
// Commit one after the other; Query at any time beside them.
type app struct {
	abci.BaseApplication

	network hufu.Network
	log     *slog.Logger
	store   store.Store
	exec    *Executor
	pending *pending
	intake  *intake
	sources *standings
	refused refusals
	now     func() time.Time // for how long what waits will, never for what is in blocks
	retain  retention        // what is kept of the blocks
	history func() *history  // what the engine has written, nil before it has been made
	taker   *taker           // nil takes no snapshots
	sync    *syncing         // nil unless the node begins with a snapshot
	saw     func(height int64, at time.Time, votes []abci.VoteInfo) error
	floor   func(time.Duration) // sets the least time between blocks
	ring    func()              // tells the engine that transactions wait
	silence func()              // takes that back
	halt    func(error) bool    // tells that the node cannot go on, and whether to wait for its end
	fail    func(error)         // tells that the node cannot go on

	mu       sync.Mutex // of what consensus last executed
	last     *Outcome   // nil when none on the present state
	settling *settling  // the last commit, nil before the first

	tip       tip
	committed atomic.Uint64 // transactions
	rhythm    rhythm
	downloads downloads
}

func newApp(network hufu.Network, st store.Store, log *slog.Logger) (*app, error) {
	a := &app{
		network: network, log: log, store: st,
		exec: NewExecutor(network, st), sources: newStandings(), now: time.Now,
		floor: func(time.Duration) {}, ring: func() {}, silence: func() {}, halt: func(error) bool { return false },
		fail:    func(error) {},
		history: func() *history { return nil }, saw: func(int64, time.Time, []abci.VoteInfo) error { return nil },
	}
	s := st.State()
	at := time.Time{}
	if s.Meta != nil {
		var m meta
		if err := encoding.Unmarshal(s.Meta, &m); err != nil {
			return nil, fmt.Errorf("node: what the state says of itself: %w", err)
		}
		if m.Network != network {
			return nil, fmt.Errorf("%w: its state is of %s", ErrWrongNetwork, m.Network)
		}
		at = time.Unix(m.Time, 0)
	}
	a.tip.init(s.Height, at)
	a.pending = newPending(&a.tip)
	a.exec.known.waiting = a.pending.get
	a.intake = newIntake(a)
	return a, nil
}

func (a *app) close() {
	a.tip.close()
	a.mu.Lock()
	_ = a.settled() // whoever can act on the error was told
	a.mu.Unlock()
	a.downloads.close()
	if a.taker != nil {
		a.taker.close()
	}
	if a.sync != nil {
		a.sync.close()
	}
	a.intake.close()
}

// Info tells the engine where the state is, so that it replays what is missing.
func (a *app) Info(context.Context, *abci.RequestInfo) (*abci.ResponseInfo, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.settled(); err != nil {
		return nil, err
	}
	s, version := a.store.State(), uint64(firstVersion)
	if a.sync != nil {
		version = max(version, a.sync.version())
	}
	return &abci.ResponseInfo{
		Data: "hufu", AppVersion: version,
		LastBlockHeight: int64(s.Height), LastBlockAppHash: s.Root[:],
	}, nil
}

// InitChain makes the state of genesis. The validators of the genesis file must be the founders':
// clients trust the file.
func (a *app) InitChain(_ context.Context, req *abci.RequestInitChain) (*abci.ResponseInitChain, error) {
	doc, err := machine.ParseGenesis(req.AppStateBytes)
	if err != nil {
		return nil, err
	}
	vals, err := a.exec.Genesis(doc, req.Time)
	if err != nil {
		return nil, err
	}
	if !sameValidators(req.Validators, validatorUpdates(vals)) {
		return nil, errors.New("node: the validators of the genesis file are not the founders'")
	}
	root := a.store.State().Root
	a.tip.move(0, req.Time)
	return &abci.ResponseInitChain{AppHash: root[:]}, a.setFloor()
}

func sameValidators(a, b []abci.ValidatorUpdate) bool {
	order := func(x, y abci.ValidatorUpdate) int {
		return bytes.Compare(x.PubKey.GetEd25519(), y.PubKey.GetEd25519())
	}
	slices.SortFunc(a, order)
	slices.SortFunc(b, order)
	return slices.EqualFunc(a, b, func(x, y abci.ValidatorUpdate) bool {
		return x.Power == y.Power && bytes.Equal(x.PubKey.GetEd25519(), y.PubKey.GetEd25519())
	})
}

func validatorUpdates(from []machine.ValidatorUpdate) []abci.ValidatorUpdate {
	var to []abci.ValidatorUpdate
	for _, v := range from {
		to = append(to, abci.Ed25519ValidatorUpdate(v.PubKey, int64(v.Power)))
	}
	return to
}

// PrepareProposal fills a block with what waits and may be in it, and lets go of what never may. What the engine
// hands over is the [bell].
func (a *app) PrepareProposal(_ context.Context, req *abci.RequestPrepareProposal) (*abci.ResponsePrepareProposal, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.settled(); err != nil {
		return nil, err
	}
	b := Block{Height: hufu.Height(req.Height), Time: req.Time, Misbehaviour: Misbehaviour(req.Misbehavior)}
	o, left, err := a.exec.fill(b, a.pending.choose(int(req.MaxTxBytes)))
	if err != nil {
		return nil, a.halted(err)
	}
	a.last = o
	a.discard(o, left)
	return &abci.ResponsePrepareProposal{Txs: o.Block.Txs}, nil
}

// ProcessProposal accepts a block of which every transaction may be in it, and keeps its execution.
func (a *app) ProcessProposal(_ context.Context, req *abci.RequestProcessProposal) (*abci.ResponseProcessProposal, error) {
	_, err := a.run(Block{Height: hufu.Height(req.Height), Time: req.Time, Txs: req.Txs, Misbehaviour: Misbehaviour(req.Misbehavior)})
	switch {
	case err == nil:
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_ACCEPT}, nil
	case hufu.RuleOf(err) != "":
		a.log.Warn("a proposal is refused", "height", req.Height, "error", err)
		return &abci.ResponseProcessProposal{Status: abci.ResponseProcessProposal_REJECT}, nil
	}
	return nil, a.halted(err)
}

// halted lets the engine wait, when err is of an upgrade, until the node is stopped: it would take the
// error for a failure of consensus.
func (a *app) halted(err error) error {
	if errors.Is(err, ErrUpgrade) && a.halt(err) {
		a.tip.ended()
	}
	return err
}

// FinalizeBlock executes a decided block, or finds that it was executed as a proposal.
func (a *app) FinalizeBlock(_ context.Context, req *abci.RequestFinalizeBlock) (*abci.ResponseFinalizeBlock, error) {
	o, err := a.run(Block{Height: hufu.Height(req.Height), Time: req.Time, Txs: req.Txs, Misbehaviour: Misbehaviour(req.Misbehavior)})
	if err != nil {
		return nil, a.halted(err)
	}
	if err := a.saw(req.Height, req.Time, req.DecidedLastCommit.Votes); err != nil {
		return nil, err
	}
	root, err := o.Root()
	if err != nil {
		return nil, err
	}
	answer := &abci.ResponseFinalizeBlock{
		AppHash: root[:], ValidatorUpdates: validatorUpdates(o.Validators),
		TxResults: make([]*abci.ExecTxResult, len(o.Results)),
	}
	if o.AppVersion != 0 {
		answer.ConsensusParamUpdates = &cmtproto.ConsensusParams{Version: &cmtproto.VersionParams{App: o.AppVersion}}
	}
	for i, r := range o.Results {
		answer.TxResults[i] = &abci.ExecTxResult{
			Code: r.Code, Data: r.Data, Codespace: string(r.Data), Log: r.Detail,
		}
	}
	return answer, nil
}

// Commit begins to make the block's state the present one: see [settling]. The engine's mempool is held.
func (a *app) Commit(context.Context, *abci.RequestCommit) (*abci.ResponseCommit, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.settled(); err != nil {
		return nil, err
	}
	o := a.last
	if o == nil {
		return nil, errors.New("node: no block to commit")
	}
	a.last = nil
	a.floor(o.floor)
	answer := &abci.ResponseCommit{}
	if p := a.history(); p != nil && a.retain.age > 0 {
		oldest := hufu.Height(0)
		if a.taker != nil {
			oldest = a.taker.oldest()
		}
		answer.RetainHeight = int64(a.retain.first(p, o.Block.Height, o.Block.Time, oldest))
	}
	if !a.pending.decided(o.Txs) {
		a.silence()
	}
	a.settle(o)
	return answer, nil
}

// setFloor makes the engine keep the least time between blocks that the members decided. It is each node's own
// affair: a block that comes earlier is valid.
func (a *app) setFloor() error {
	params, err := gov.GetParams(a.exec.reads)
	if err != nil {
		return err
	}
	a.floor(floorOf(params))
	return nil
}

func floorOf(params *gov.ParamsRecord) time.Duration {
	return time.Duration(params.Params.BlockFloorMillis) * time.Millisecond
}

// run executes b unless it is the block executed last.
func (a *app) run(b Block) (*Outcome, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last != nil && a.last.Block.same(b) {
		return a.last, nil
	}
	if err := a.settled(); err != nil {
		return nil, err
	}
	o, err := a.exec.Run(b)
	if err != nil {
		return nil, err
	}
	a.last = o
	return o, nil
}

func (b *Block) same(o Block) bool {
	return b.Height == o.Height && b.Time.Equal(o.Time) && slices.Equal(b.Misbehaviour, o.Misbehaviour) && slices.EqualFunc(b.Txs, o.Txs, bytes.Equal)
}

// tip is where the state is, to be waited for.
type tip struct {
	mu     sync.Mutex
	height hufu.Height
	time   time.Time
	moved  chan struct{} // closed and replaced with every block
	closed bool
}

func (t *tip) init(height hufu.Height, at time.Time) {
	t.height, t.time, t.moved = height, at, make(chan struct{})
}

func (t *tip) get() (hufu.Height, time.Time, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.height, t.time, t.moved
}

func (t *tip) move(height hufu.Height, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return
	}
	t.height, t.time = height, at
	close(t.moved)
	t.moved = make(chan struct{})
}

// ended waits until the tip is closed.
func (t *tip) ended() {
	for {
		t.mu.Lock()
		moved, closed := t.moved, t.closed
		t.mu.Unlock()
		if closed {
			return
		}
		<-moved
	}
}

// close wakes everybody for good.
func (t *tip) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.closed {
		t.closed = true
		close(t.moved)
	}
}
