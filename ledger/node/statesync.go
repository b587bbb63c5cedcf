package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	cmtstate "github.com/cometbft/cometbft/proto/tendermint/state"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	sm "github.com/cometbft/cometbft/state"
	"github.com/cometbft/cometbft/types"
	"github.com/cometbft/cometbft/version"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// StateSync is what a node believes that begins with a snapshot of its peers in place of the first block.
type StateSync struct {
	// Period is the trusting period: what is trusted must not be older.
	Period time.Duration
	// Height and Hash, when set, name a header that is trusted in place of the genesis.
	Height hufu.Height
	Hash   hufu.Digest
}

// Synced is where a node's history begins that began with a snapshot.
type Synced struct {
	Height hufu.Height // of the first block it has
	Hash   hufu.Digest // of its header
	Time   time.Time
	// Missing is up to which height headers are missing of which evidence still counts, as no peer had them; 0: none.
	Missing hufu.Height
}

const (
	syncDrift  = 10 * time.Second       // as clients', of header times
	askTimeout = 5 * time.Second        // for one answer of one peer
	askAgain   = 200 * time.Millisecond // when no peer has what is asked for yet
	askPast    = 10 * time.Second       // until headers of the past are given up that no peer has: others may connect
	// syncPeers is how many peers must show the same header at the height of a snapshot, if as many are
	// configured: signatures alone do not tell a fork by validators that sign twice.
	syncPeers = 2
)

// provider is the engine's statesync.StateProvider: it finds the headers around a snapshot at the node's
// peers, verifies them by the light client's rules from what is trusted, and makes the engine's state of them.
type provider struct {
	headers *headers
	genesis *types.GenesisDoc
	rules   proof.Rules
	start   StateSync
	need    int // peers that must agree
	dbs     *databases
	log     *slog.Logger
	fail    func(error)
	expect  func(expected)

	trusted  *proof.Trusted
	verified map[hufu.Height]*types.LightBlock
	liars    map[string]bool
	filled   struct { // of the past: heights from, and down to above to
		from, to int64
		want     []byte // hash of to
	}
}

// expected is what the validators signed of the state of a snapshot.
type expected struct {
	height  hufu.Height
	root    hufu.Digest
	time    time.Time // of the block it is the state after
	version uint64    // of the rules of the next block
	next    Synced
}

func newProvider(n *Node, cfg *Config, genesis *types.GenesisDoc) *provider {
	return &provider{
		headers: n.headers, genesis: genesis, start: *cfg.StateSync, dbs: n.dbs, log: cfg.Log, fail: n.fail,
		rules: proof.Rules{Network: n.network, Period: cfg.StateSync.Period, Drift: syncDrift},
		need:  max(1, min(syncPeers, len(cfg.Peers))), expect: n.app.expect,
		verified: map[hufu.Height]*types.LightBlock{}, liars: map[string]bool{},
	}
}

// errNotThere: no peer has the header (yet).
var errNotThere = errors.New("node: no peer has this header")

// AppHash is the app hash after height, once two more blocks are there.
func (p *provider) AppHash(ctx context.Context, height uint64) ([]byte, error) {
	if height == 0 || height > 1<<62 {
		return nil, errNotThere
	}
	h := hufu.Height(height)
	at, err := p.block(ctx, h)
	if err != nil {
		return nil, p.report(err)
	}
	next, err := p.block(ctx, h+1)
	if err != nil {
		return nil, p.report(err)
	}
	if _, err := p.block(ctx, h+2); err != nil {
		return nil, p.report(err)
	}
	e := expected{height: h, time: at.Time, version: next.Version.App, next: Synced{Height: h + 1, Time: next.Time}}
	copy(e.root[:], next.AppHash)
	copy(e.next.Hash[:], next.Hash())
	p.expect(e)
	return next.AppHash, nil
}

// report ends the node for what no other snapshot mends.
func (p *provider) report(err error) error {
	if errors.Is(err, ErrFork) || errors.Is(err, ErrTrustExpired) {
		p.fail(err)
	}
	return err
}

// Commit is the commit for height.
func (p *provider) Commit(ctx context.Context, height uint64) (*types.Commit, error) {
	b, err := p.block(ctx, hufu.Height(height))
	if err != nil {
		return nil, p.report(err)
	}
	return b.Commit, nil
}

// State is the engine's state after height. By the engine's ways of counting, what a block at height decides
// about validators holds from height+2 on.
func (p *provider) State(ctx context.Context, height uint64) (sm.State, error) {
	var b [3]*types.LightBlock
	for i := range b {
		var err error
		if b[i], err = p.block(ctx, hufu.Height(height)+hufu.Height(i)); err != nil {
			return sm.State{}, p.report(err)
		}
	}
	last, current, next := b[0], b[1], b[2]
	// The ledger changes nothing of the genesis' parameters but the version of its rules.
	params := *p.genesis.ConsensusParams
	params.Version.App = current.Version.App
	if !bytes.Equal(params.Hash(), current.ConsensusHash) {
		return sm.State{}, errors.New("node: the engine's parameters are no longer those of the genesis")
	}
	// The engine gives this method half a minute and does not insist: the past may be longer.
	if err := p.backfill(last); err != nil {
		return sm.State{}, err
	}
	return sm.State{
		Version:       cmtstate.Version{Consensus: current.Version, Software: version.TMCoreSemVer},
		ChainID:       p.genesis.ChainID,
		InitialHeight: p.genesis.InitialHeight,

		LastBlockHeight: last.Height, LastBlockID: last.Commit.BlockID, LastBlockTime: last.Time,

		NextValidators: next.ValidatorSet, Validators: current.ValidatorSet, LastValidators: last.ValidatorSet,
		LastHeightValidatorsChanged: next.Height,

		ConsensusParams: params, LastHeightConsensusParamsChanged: current.Height,

		LastResultsHash: current.LastResultsHash, AppHash: current.AppHash,
	}, nil
}

// block is a verified header that as many peers as are needed have.
func (p *provider) block(ctx context.Context, height hufu.Height) (*types.LightBlock, error) {
	if b := p.verified[height]; b != nil {
		return b, nil
	}
	for {
		b, err := p.tryBlock(ctx, height)
		if !errors.Is(err, errNotThere) {
			return b, err
		}
		select {
		case <-time.After(askAgain):
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %d, at %d of them", err, height, p.need)
		}
	}
}

func (p *provider) tryBlock(ctx context.Context, height hufu.Height) (*types.LightBlock, error) {
	var out *types.LightBlock
	agree := 0
	for _, peer := range p.headers.connected() {
		if p.liars[string(peer.ID())] {
			continue
		}
		b, raw, err := p.fetch(ctx, peer, height)
		if err != nil {
			continue
		}
		if out != nil && bytes.Equal(out.Hash(), b.Hash()) {
			agree++
			continue
		}
		trusted, err := p.verify(ctx, peer, raw)
		switch {
		case hufu.RuleOf(err) == proof.RuleExpired:
			return nil, fmt.Errorf("%w: %w", ErrTrustExpired, err)
		case hufu.RuleOf(err) != "" && hufu.RuleOf(err) != proof.RuleTime: // which may be our clock's fault
			p.liars[string(peer.ID())] = true
			p.log.Warn("a peer sends what the validators did not sign", "peer", peer.ID(), "height", height, "error", err)
			continue
		case err != nil:
			continue
		case out != nil:
			return nil, fmt.Errorf("%w: %X and %X at height %d, the latter from peer %s", ErrFork, out.Hash(), b.Hash(), height, peer.ID())
		}
		out, agree = b, 1
		if p.trusted == nil || trusted.Height > p.trusted.Height {
			p.trusted = trusted
		}
	}
	if agree < p.need {
		return nil, errNotThere
	}
	p.verified[height] = out
	return out, nil
}

// fetch asks one peer for one header.
func (p *provider) fetch(ctx context.Context, peer *headersPeer, height hufu.Height) (*types.LightBlock, *proof.LightBlock, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	a, err := peer.ask(ctx, height, 1)
	if err != nil {
		return nil, nil, err
	}
	if len(a.Blocks) == 0 {
		return nil, nil, errNotThere
	}
	return readLightBlock(a.Blocks[0], height)
}

// readLightBlock reads what a peer sent in both forms: the engine's and that which is verified.
func readLightBlock(raw []byte, height hufu.Height) (*types.LightBlock, *proof.LightBlock, error) {
	var pb cmtproto.LightBlock
	if err := pb.Unmarshal(raw); err != nil {
		return nil, nil, fmt.Errorf("node: a peer's header does not read: %w", err)
	}
	b, err := types.LightBlockFromProto(&pb)
	if err != nil {
		return nil, nil, fmt.Errorf("node: a peer's header does not read: %w", err)
	}
	// Also that the commit is for the header and the validators are its own.
	if err := b.ValidateBasic(b.ChainID); err != nil {
		return nil, nil, fmt.Errorf("node: a peer's header: %w", err)
	}
	if hufu.Height(b.Height) != height {
		return nil, nil, fmt.Errorf("node: a peer sent the header of %d for %d", b.Height, height)
	}
	v, err := proof.ParseLightBlock(raw)
	return b, v, err
}

// verify verifies b from what is trusted, with headers between from the same peer.
func (p *provider) verify(ctx context.Context, peer *headersPeer, b *proof.LightBlock) (*proof.Trusted, error) {
	trusted := p.trusted
	if trusted == nil || b.Header.Height <= trusted.Height {
		var err error
		if trusted, err = p.begin(ctx, peer); err != nil {
			return nil, err
		}
	}
	switch at := b.Header.Height; {
	case at == trusted.Height && b.Header.Hash() == trusted.Hash:
		return trusted, nil
	case at < trusted.Height:
		return nil, fmt.Errorf("node: height %d is before the trusted checkpoint at %d", at, trusted.Height)
	}
	if _, err := p.rules.Path(*trusted, b, time.Now, func(height hufu.Height, _ *proof.Trusted) (*proof.LightBlock, error) {
		_, between, err := p.fetch(ctx, peer, height)
		return between, err
	}); err != nil {
		return nil, err
	}
	t := b.Trust()
	return &t, nil
}

// begin is what is trusted to begin with: the checkpoint, or the genesis.
func (p *provider) begin(ctx context.Context, peer *headersPeer) (*proof.Trusted, error) {
	if p.start.Height == 0 {
		var vals []proof.Validator
		for _, v := range p.genesis.Validators {
			vals = append(vals, proof.Validator{Key: [32]byte(v.PubKey.Bytes()), Power: v.Power})
		}
		t := proof.TrustGenesis(p.genesis.GenesisTime, vals)
		return &t, nil
	}
	_, b, err := p.fetch(ctx, peer, p.start.Height)
	if err != nil {
		return nil, err
	}
	if b.Header.Hash() != p.start.Hash {
		return nil, hufu.Refuse(proof.RuleHeader, "height %d is not the trusted checkpoint", p.start.Height)
	}
	if err := proof.VerifyCommit(p.rules.Network, b.Validators, &b.SignedHeader); err != nil {
		return nil, err
	}
	t := b.Trust()
	return &t, nil
}

// backfill writes the headers, commits and validators before the snapshot that the engine judges evidence by, and
// which evidence blocks held, back to where evidence is too old. Without them a node that joins would hold a block
// with evidence from before its time for invalid, alone of all, and evidence that was in a block for new. Headers lead to each
// other by their hashes. They end where no peer has more, of those either that connect in the next seconds.
func (p *provider) backfill(last *types.LightBlock) (err error) {
	missing := int64(0)
	w := pastWriter{blocks: p.dbs.named("blockstore"), state: p.dbs.named("state"), evidence: p.dbs.named("evidence")}
	age := p.genesis.ConsensusParams.Evidence
	want, height := last.Hash(), last.Height
	first := p.filled.from == 0
	defer func() { err = errors.Join(err, w.lacks(missing)) }()
	for height > 0 {
		if !first && height == p.filled.from { // so far came the headers before another snapshot
			if err := w.run(); err != nil {
				return err
			}
			p.filled.from, first = last.Height, true
			want, height = p.filled.want, p.filled.to
			continue
		}
		batch := p.awaitPast(hufu.Height(height), want)
		if len(batch) == 0 {
			p.log.Warn("no peer has headers further back: evidence of earlier heights cannot be judged", "height", height)
			missing = height
			break
		}
		for _, b := range batch {
			if last.Height-b.Height > age.MaxAgeNumBlocks && last.Time.Sub(b.Time) > age.MaxAgeDuration {
				return w.run()
			}
			if !first && b.Height == p.filled.from {
				break
			}
			if err := w.add(b); err != nil {
				return err
			}
			want, height = b.LastBlockID.Hash, b.Height-1
			if first { // without a gap
				p.filled.from, p.filled.to, p.filled.want = last.Height, height, want
			}
		}
	}
	return w.run()
}

// awaitPast is past, tried again for a while.
func (p *provider) awaitPast(height hufu.Height, hash []byte) []pastBlock {
	for until := time.Now().Add(askPast); ; time.Sleep(askAgain) {
		if out := p.past(height, hash); len(out) > 0 || time.Now().After(until) {
			return out
		}
	}
}

// past is some headers from height down of which the first has the hash, from any peer.
func (p *provider) past(height hufu.Height, hash []byte) (out []pastBlock) {
	for _, peer := range p.headers.connected() {
		ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
		a, err := peer.ask(ctx, height, maxHeaders)
		cancel()
		if err != nil {
			continue
		}
		for i, raw := range a.Blocks {
			if hufu.Height(i) >= height {
				break
			}
			b, v, err := readLightBlock(raw, height-hufu.Height(i))
			if err != nil || !bytes.Equal(b.Hash(), hash) || proof.VerifyCommit(p.rules.Network, v.Validators, &v.SignedHeader) != nil {
				p.log.Warn("a peer sends what does not lead to the snapshot", "peer", peer.ID(), "height", height-hufu.Height(i))
				break
			}
			past := pastBlock{LightBlock: b}
			if !bytes.Equal(b.EvidenceHash, noEvidence) {
				if past.evidence, err = readEvidence(a.Evidence, b.EvidenceHash); err != nil {
					p.log.Warn("a peer sends other evidence than a block has", "peer", peer.ID(), "height", b.Height, "error", err)
					break
				}
				a.Evidence = a.Evidence[1:]
			}
			out, hash = append(out, past), b.LastBlockID.Hash
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// readEvidence reads the first of some lists, which has a hash.
func readEvidence(lists [][]byte, hash []byte) (types.EvidenceList, error) {
	if len(lists) == 0 {
		return nil, errors.New("node: it is missing")
	}
	var pb cmtproto.EvidenceList
	if err := pb.Unmarshal(lists[0]); err != nil {
		return nil, fmt.Errorf("node: it does not read: %w", err)
	}
	var data types.EvidenceData
	if err := data.FromProto(&pb); err != nil {
		return nil, fmt.Errorf("node: it does not read: %w", err)
	}
	if !bytes.Equal(data.Evidence.Hash(), hash) {
		return nil, errors.New("node: its hash is another")
	}
	return data.Evidence, nil
}
