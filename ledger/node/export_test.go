package node

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"
	"weak"

	abci "github.com/cometbft/cometbft/abci/types"
	"github.com/cometbft/cometbft/p2p"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/node/snapshots"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

// App is the ABCI application without an engine, for tests that play the engine's part.
type App struct{ *app }

// NewApp is the application on a store, at genesis when the store is empty.
func NewApp(t *testing.T, genesis []byte, st store.Store) *App {
	t.Helper()
	g, err := parseGenesis(genesis)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	a, err := newApp(hufu.Network(g.ChainID), st, cfg.Log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.close)
	req := &abci.RequestInitChain{Time: g.GenesisTime, ChainId: g.ChainID, AppStateBytes: g.AppState}
	for _, v := range g.Validators {
		req.Validators = append(req.Validators, abci.Ed25519ValidatorUpdate(v.PubKey.Bytes(), v.Power))
	}
	if _, err := a.InitChain(context.Background(), req); err != nil {
		t.Fatal(err)
	}
	return &App{a}
}

// Settled waits until the block that was committed last is the present state.
func (a *App) Settled() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.settled()
}

// Verified is how many signatures the node has verified, ever.
func (a *App) Verified() uint64 { return a.exec.verify.verified.Load() }

// LetIn lets a transaction wait, as a worker does that has not told the engine yet: that is what the returned does.
func (a *App) LetIn(t *testing.T, raw []byte) (tell func()) {
	t.Helper()
	p, err := a.judge(sha256.Sum256(raw), raw, source("here"), a.now())
	if err == nil {
		p.holds = p.admitted.Keys
		err = a.enter(p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a.tell
}

// Waiting is how many transactions wait for a block.
func (a *App) Waiting() int {
	count, _ := a.pending.load()
	return count
}

// FillPending makes so many bytes wait more, until the function it returns is called.
func (a *App) FillPending(bytes int) (undo func()) {
	add := func(n int) {
		a.pending.mu.Lock()
		defer a.pending.mu.Unlock()
		a.pending.bytes += n
	}
	add(bytes)
	return func() { add(-bytes) }
}

// Bounds of what waits, in bytes.
const (
	MaxPendingBytes   = maxPendingBytes
	LeastPendingBytes = leastPendingBytes
	MaxOffered        = maxOffered
	LeastOffered      = leastOffered
	Patience          = patience
	OfferedPatience   = offeredPatience
)

// SetClock makes now the application's clock.
func (a *App) SetClock(now func() time.Time) { a.now = now }

// Carried says that a block of so many bytes was committed just now.
func (a *App) Carried(bytes int) {
	height, at, _ := a.tip.get()
	a.pending.committed(&Block{Height: height, Time: at, Txs: [][]byte{make([]byte, bytes)}}, []*tx.Tx{{}}, a.now())
}

// Offered is how many bytes of transactions wait for being checked.
func (a *App) Offered() int {
	a.intake.mu.Lock()
	defer a.intake.mu.Unlock()
	return a.intake.bytes
}

// Answered says that so many bytes of transactions were answered just now.
func (a *App) Answered(bytes int) {
	a.intake.mu.Lock()
	defer a.intake.mu.Unlock()
	a.intake.pace.done(float64(bytes), a.now())
}

// OfferFromPeer is a transaction that a peer passes on.
func (a *App) OfferFromPeer(raw []byte, id string) error {
	return a.intake.offer(context.Background(), sha256.Sum256(raw), raw, peerSource(p2p.ID(id)))
}

// Offer is a transaction from an address.
func (a *App) Offer(raw []byte, from string) error {
	return a.OfferUntil(context.Background(), raw, from)
}

// OfferUntil is Offer for as long as ctx lasts.
func (a *App) OfferUntil(ctx context.Context, raw []byte, from string) error {
	return a.intake.offer(ctx, sha256.Sum256(raw), raw, source(from))
}

// Hold lets transactions wait that nobody judged. What cannot be read does not.
func (a *App) Hold(raws ...[]byte) {
	for _, raw := range raws {
		p, err := a.exec.read(raw)
		if err != nil {
			continue
		}
		height, _, _ := a.tip.get()
		next, _ := a.pending.next(p.Payload.Author)
		a.pending.add(p, &admitted{height: height, next: next})
	}
}

// HoldWorkers keeps whoever judges transactions from going on until the function it returns is called.
func (a *App) HoldWorkers() (release func()) {
	a.pending.mu.Lock()
	return a.pending.mu.Unlock
}

// Bell makes ring and silence the ways to the engine's mempool.
func (a *App) Bell(ring, silence func()) { a.ring, a.silence = ring, silence }

// BellTx is what rings, as the engine knows it.
func BellTx() []byte { return bell() }

// Refusals are the counters of what was refused.
func (a *App) Refusals() Refused { return (&Node{app: a.app}).Refused() }

// FillLine makes so many bytes of a member's transactions wait more, until the function it returns is called.
func (a *App) FillLine(member hufu.ID, open bool, bytes int) (undo func()) {
	l := line{member, open}
	a.pending.mu.Lock()
	defer a.pending.mu.Unlock()
	w := a.pending.lines[l]
	if w == nil {
		w = &waitingLine{}
		a.pending.lines[l] = w
	}
	w.bytes += bytes
	a.pending.bytes += bytes
	return func() {
		a.pending.mu.Lock()
		defer a.pending.mu.Unlock()
		w.bytes -= bytes
		a.pending.bytes -= bytes
	}
}

// LineBytes and ActiveBlocks are how blocks are shared out.
const (
	LineBytes    = lineBytes
	ActiveBlocks = activeBlocks
	MaxBad       = maxBad
)

// Close ends the application before its test does.
func (a *App) Close() { a.close() }

// FillIntake makes so many bytes wait for being checked, until the function it returns is called.
func (a *App) FillIntake(bytes int) (undo func()) {
	add := func(n int) {
		a.intake.mu.Lock()
		defer a.intake.mu.Unlock()
		a.intake.bytes += n
	}
	add(bytes)
	return func() { add(-bytes) }
}

// StateDir is where a home keeps the ledger's state.
const StateDir = stateDir

// LogFile is where a home keeps the engine's log.
const LogFile = engineDir + "/data/cs.wal/wal"

// EvidenceAge is how long evidence counts by a genesis file, in time and in blocks.
func EvidenceAge(t *testing.T, genesis []byte) (time.Duration, int64) {
	t.Helper()
	g, err := parseGenesis(genesis)
	if err != nil {
		t.Fatal(err)
	}
	return g.ConsensusParams.Evidence.MaxAgeDuration, g.ConsensusParams.Evidence.MaxAgeNumBlocks
}

// OpenOnce opens the part of a signer that signs.
func OpenOnce(dir string, validator keys.Signer) (types.PrivValidator, func() error, error) {
	key, err := newSigningKey(validator, "validator")
	if err != nil {
		return nil, nil, err
	}
	o, err := openOnce(dir, key)
	if err != nil {
		return nil, nil, err
	}
	return o, o.close, nil
}

// ListenRemote is the part of a node that has a signer sign.
func ListenRemote(ctx context.Context, s RemoteSigner, network, dir string, own keys.Signer, log *slog.Logger) (types.PrivValidator, func() error, error) {
	key, err := newSigningKey(own, "node")
	if err != nil {
		return nil, nil, err
	}
	r, err := listenRemote(ctx, s, network, dir, key, log)
	if err != nil {
		return nil, nil, err
	}
	return r, r.Close, r.await(ctx)
}

// VerifiedBy is how many signatures a running node has verified, ever.
func VerifiedBy(n *Node) uint64 { return n.app.exec.verify.verified.Load() }

// SyncingFile is in a home that begins with a snapshot and is not whole.
const SyncingFile = syncingFile

// MissingPast says what the engine cannot read of the headers, commits and validators of some heights.
func (n *Node) MissingPast(from, to hufu.Height) error {
	h := n.headers.from.Load()
	for height := from; height <= to; height++ {
		if b := h.lightBlock(int64(height)); b == nil {
			return fmt.Errorf("nothing at height %d", height)
		} else if err := b.ValidateBasic(string(n.network)); err != nil {
			return fmt.Errorf("height %d: %w", height, err)
		}
	}
	return nil
}

// Forget takes the header of a height away, as from a node that never had it.
func (n *Node) Forget(height hufu.Height) error {
	return n.dbs.named("blockstore").Delete(fmt.Appendf(nil, "H:%v", height))
}

// Lacks has the node lack headers up to a height.
func (n *Node) Lacks(height int64) error {
	return (&pastWriter{blocks: n.dbs.named("blockstore")}).lacks(height)
}

// TwoVotes is evidence that a validator voted twice at a height that the node has, made with its key.
func TwoVotes(n *Node, height hufu.Height, validator keys.Signer) (types.Evidence, error) {
	key, err := newSigningKey(validator, "validator")
	if err != nil {
		return nil, err
	}
	b := n.headers.from.Load().lightBlock(int64(height))
	if b == nil {
		return nil, fmt.Errorf("no block %d", height)
	}
	address := key.PubKey().Address()
	index, _ := b.ValidatorSet.GetByAddress(address)
	var votes [2]*types.Vote
	for i := range votes {
		hash := bytes.Repeat([]byte{byte(i + 1)}, 32)
		votes[i] = &types.Vote{
			Type: cmtproto.PrevoteType, Height: int64(height), Timestamp: b.Time, ValidatorAddress: address, ValidatorIndex: index,
			BlockID: types.BlockID{Hash: hash, PartSetHeader: types.PartSetHeader{Total: 1, Hash: hash}},
		}
		if votes[i].Signature, err = key.Sign(types.VoteSignBytes(string(n.network), votes[i].ToProto())); err != nil {
			return nil, err
		}
	}
	return types.NewDuplicateVoteEvidence(votes[0], votes[1], b.Time, b.ValidatorSet)
}

// Kept tells whether anything still refers to what the node's application has in memory.
func (n *Node) Kept() func() bool {
	of := weak.Make(n.app)
	return func() bool {
		runtime.GC()
		return of.Value() != nil
	}
}

// Accuse gives evidence to the node as a peer does.
func (n *Node) Accuse(e types.Evidence) error { return n.engine.EvidencePool().AddEvidence(e) }

// Accusations is how much evidence the node would put into the next block.
func (n *Node) Accusations() uint32 { return n.engine.EvidencePool().Size() }

// Serve lets the application take snapshots into dir, every so many blocks.
func (a *App) Serve(t *testing.T, dir string, every hufu.Height) {
	t.Helper()
	d, err := snapshots.Open(dir, a.network)
	if err != nil {
		t.Fatal(err)
	}
	a.taker = newTaker(d, a.store, every, func() error { return nil }, a.log)
	t.Cleanup(a.taker.close)
}

// Taken waits until no snapshot is being taken.
func (a *App) Taken() { a.taker.group.Wait() }

// Joining is an application that is about to begin with a snapshot. Its failures go to fail, and what it
// finds when the home is whole to finished.
func Joining(t *testing.T, network hufu.Network, st store.Store, fail func(error), finished func()) *App {
	t.Helper()
	cfg := Config{}
	if err := cfg.complete(); err != nil {
		t.Fatal(err)
	}
	a, err := newApp(network, st, cfg.Log)
	if err != nil {
		t.Fatal(err)
	}
	a.sync = &syncing{fail: fail, finished: finished, ready: make(chan struct{})}
	t.Cleanup(a.close)
	return &App{a}
}

// Expect tells what the validators signed.
func (a *App) Expect(height hufu.Height, root hufu.Digest, at time.Time, version uint64) {
	a.expect(expected{height: height, root: root, time: at, version: version})
}

// EnterDuring examines a transaction and lets it enter when a block is in the state already and the application
// has not been told.
func (a *App) EnterDuring(raw []byte, b Block) error {
	p, err := a.judge(sha256.Sum256(raw), raw, local, a.now())
	if err != nil {
		return err
	}
	checks, _ := p.appendChecks(nil, nil, p.admitted.Keys)
	a.exec.verify.run(checks)
	if p, err = a.verified(p, checks, local); err != nil {
		return err
	}
	o, err := a.exec.Run(b)
	if err != nil {
		return err
	}
	if err := a.exec.Commit(o); err != nil {
		return err
	}
	return a.enter(p)
}

// Hush takes the events away from what stands for the engine's consensus.
func Hush(consensus any) error { return hush(consensus) }
