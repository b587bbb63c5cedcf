package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/node/snapshots"
	"github.com/hufu-id/hufu/ledger/store"
)

// After a snapshot that took a time to write none is taken for so many times that time, and for so long at
// least. That bounds what snapshots cost, and leaves each there for those who fetch it until [snapshots.Kept]
// later ones are.
const (
	restFactor = 10
	leastRest  = 10 * time.Minute
)

// taker takes snapshots of the state as blocks are committed, one at a time and beside consensus.
type taker struct {
	dir   *snapshots.Dir
	store store.Store
	every hufu.Height
	room  func() error
	log   *slog.Logger

	ctx    context.Context // ends with close
	cancel context.CancelFunc
	group  sync.WaitGroup

	mu     sync.Mutex
	busy   bool
	rest   time.Time // until then none is taken
	wanted bool      // at once, as a peer asked and there is none
}

func newTaker(dir *snapshots.Dir, st store.Store, every hufu.Height, room func() error, log *slog.Logger) *taker {
	t := &taker{dir: dir, store: st, every: every, room: room, log: log}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	return t
}

// close gives up what is being taken.
func (t *taker) close() {
	t.cancel()
	t.group.Wait()
}

// committed is called after the commit of height, before the next.
func (t *taker) committed(height hufu.Height) {
	t.mu.Lock()
	defer t.mu.Unlock()
	due := height%t.every == 0 && time.Now().After(t.rest) || t.wanted
	if !due || t.busy || t.ctx.Err() != nil {
		return
	}
	view, err := t.store.Snapshot()
	if err != nil {
		t.log.Error("no snapshot is taken", "height", height, "error", err)
		return
	}
	t.busy, t.wanted = true, false
	t.group.Go(func() { t.take(view) })
}

func (t *taker) take(view store.Snapshot) {
	began := time.Now()
	s, err := t.dir.Take(t.ctx, view, t.room)
	if err := errors.Join(err, view.Close()); err != nil && t.ctx.Err() == nil {
		t.log.Warn("a snapshot for nodes that join was not finished", "height", view.State().Height, "error", err)
	} else if err == nil {
		t.log.Info("snapshot for nodes that join", "height", s.Height, "chunks", s.Chunks, "took", time.Since(began))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.busy, t.rest = false, time.Now().Add(max(leastRest, restFactor*time.Since(began)))
}

// list is what there is. Where there is none yet, one is taken with the next block: a network need not be old
// for somebody to join it.
func (t *taker) list() []snapshots.Snapshot {
	list := t.dir.List()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wanted = len(list) == 0 && !t.busy && t.store.State().Height > 0
	return list
}

// oldest is the height of the oldest snapshot, 0 without one: whoever fetches it needs the blocks after it.
func (t *taker) oldest() hufu.Height {
	if list := t.dir.List(); len(list) > 0 {
		return list[0].Height
	}
	return 0
}

// ListSnapshots names what peers may fetch.
func (a *app) ListSnapshots(context.Context, *abci.RequestListSnapshots) (*abci.ResponseListSnapshots, error) {
	answer := &abci.ResponseListSnapshots{}
	if a.taker == nil {
		return answer, nil
	}
	for _, s := range a.taker.list() {
		answer.Snapshots = append(answer.Snapshots, &abci.Snapshot{
			Height: uint64(s.Height), Format: snapshots.Format, Chunks: s.Chunks, Hash: s.Hash[:], Metadata: s.Metadata,
		})
	}
	return answer, nil
}

// LoadSnapshotChunk reads a chunk for a peer; none is an answer.
func (a *app) LoadSnapshotChunk(_ context.Context, req *abci.RequestLoadSnapshotChunk) (*abci.ResponseLoadSnapshotChunk, error) {
	if a.taker == nil || req.Format != snapshots.Format {
		return &abci.ResponseLoadSnapshotChunk{}, nil
	}
	chunk, err := a.taker.dir.Chunk(hufu.Height(req.Height), req.Chunk)
	if err != nil {
		a.log.Error("a snapshot cannot be served", "error", err)
	}
	return &abci.ResponseLoadSnapshotChunk{Chunk: chunk}, nil
}

// syncing is the state of a node that begins with a snapshot.
type syncing struct {
	mu        sync.Mutex
	expected  *expected // of the snapshot that the engine is about to offer
	restoring *snapshots.Restoring
	done      *expected
	commits   int           // since done
	finished  func()        // when the home is whole
	ready     chan struct{} // closed after the first block
	fail      func(error)
}

// expect tells what the validators signed of the next snapshot offered.
func (a *app) expect(e expected) {
	a.sync.mu.Lock()
	defer a.sync.mu.Unlock()
	a.sync.expected = &e
}

// OfferSnapshot begins to restore a snapshot that the light client vouches for, and refuses others.
func (a *app) OfferSnapshot(_ context.Context, req *abci.RequestOfferSnapshot) (*abci.ResponseOfferSnapshot, error) {
	result := func(r abci.ResponseOfferSnapshot_Result) *abci.ResponseOfferSnapshot {
		return &abci.ResponseOfferSnapshot{Result: r}
	}
	s := a.sync
	if s == nil || req.Snapshot == nil {
		return result(abci.ResponseOfferSnapshot_ABORT), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.giveUp(); err != nil {
		return result(s.abort(err)), nil
	}
	e, offered := s.expected, req.Snapshot
	switch {
	case offered.Format != snapshots.Format:
		return result(abci.ResponseOfferSnapshot_REJECT_FORMAT), nil
	case e == nil || uint64(e.height) != offered.Height || string(e.root[:]) != string(req.AppHash) || len(offered.Hash) != len(hufu.Digest{}):
		return result(abci.ResponseOfferSnapshot_REJECT), nil
	case e.version > firstVersion+uint64(len(a.exec.upgrades)):
		return result(s.abort(fmt.Errorf("%w: the rules at height %d have version %d", ErrUpgrade, e.height+1, e.version))), nil
	}
	m, err := encoding.Marshal(meta{Network: a.network, Time: e.time.Unix()})
	if err != nil {
		return result(s.abort(err)), nil
	}
	s.restoring, err = snapshots.Restore(a.store, a.network, snapshots.Snapshot{
		Height: e.height, Chunks: offered.Chunks, Hash: hufu.Digest(offered.Hash), Metadata: offered.Metadata,
	}, e.root, m)
	if err != nil {
		a.log.Warn("a snapshot is refused", "height", e.height, "error", err)
		return result(abci.ResponseOfferSnapshot_REJECT), nil
	}
	return result(abci.ResponseOfferSnapshot_ACCEPT), nil
}

// ApplySnapshotChunk takes the next chunk. One that is not what was announced is fetched again, from another
// peer than the one that sent it.
func (a *app) ApplySnapshotChunk(_ context.Context, req *abci.RequestApplySnapshotChunk) (*abci.ResponseApplySnapshotChunk, error) {
	result := func(r abci.ResponseApplySnapshotChunk_Result) *abci.ResponseApplySnapshotChunk {
		return &abci.ResponseApplySnapshotChunk{Result: r}
	}
	s := a.sync
	if s == nil {
		return result(abci.ResponseApplySnapshotChunk_ABORT), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.restoring == nil {
		return result(abci.ResponseApplySnapshotChunk_REJECT_SNAPSHOT), nil
	}
	whole, err := s.restoring.Add(req.Index, req.Chunk)
	switch {
	case errors.Is(err, snapshots.ErrChunk):
		a.log.Warn("a peer sent a bad chunk of a snapshot; it is asked for nothing more", "peer", req.Sender, "chunk", req.Index)
		return &abci.ResponseApplySnapshotChunk{
			Result: abci.ResponseApplySnapshotChunk_RETRY, RefetchChunks: []uint32{req.Index}, RejectSenders: []string{req.Sender},
		}, nil
	case errors.Is(err, snapshots.ErrSnapshot):
		a.log.Warn("a snapshot is refused", "height", s.expected.height, "error", err)
		s.restoring = nil
		return result(abci.ResponseApplySnapshotChunk_REJECT_SNAPSHOT), nil
	case err != nil:
		_ = s.abort(err)
		return result(abci.ResponseApplySnapshotChunk_ABORT), nil
	case whole:
		s.restoring, s.done = nil, s.expected
		a.exec.reads.reset()
		if err := a.setFloor(); err != nil {
			_ = s.abort(err)
			return result(abci.ResponseApplySnapshotChunk_ABORT), nil
		}
		a.tip.move(s.done.height, s.done.time)
		a.log.Info("started from a snapshot", "height", s.done.height)
	}
	return result(abci.ResponseApplySnapshotChunk_ACCEPT), nil
}

// giveUp ends a restoring that is not whole.
func (s *syncing) giveUp() error {
	if s.restoring == nil {
		return nil
	}
	err := s.restoring.Close()
	s.restoring = nil
	if errors.Is(err, snapshots.ErrSnapshot) {
		return nil
	}
	return err
}

// abort ends the node: another snapshot would not do better.
func (s *syncing) abort(err error) abci.ResponseOfferSnapshot_Result {
	if errors.Is(err, store.ErrFull) {
		err = fmt.Errorf("%w: %w", ErrDiskFull, err)
	}
	s.fail(fmt.Errorf("%w: %w", ErrSync, err))
	return abci.ResponseOfferSnapshot_ABORT
}

func (s *syncing) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.giveUp() // the store is being closed, and says itself what is wrong with it
}

// syncedAfter is how many blocks are executed on a snapshot before the home counts as whole: what the engine
// wrote when it took the snapshot over is then surely on disk.
const syncedAfter = 2

// committed counts the blocks after the snapshot.
func (s *syncing) committed() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done != nil && s.commits < syncedAfter {
		if s.commits++; s.commits == 1 {
			close(s.ready)
		}
		if s.commits == syncedAfter {
			s.finished()
		}
	}
}

// version is that of the rules that a restored state is under, 0 when none was restored.
func (s *syncing) version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done == nil {
		return 0
	}
	return s.done.version
}
