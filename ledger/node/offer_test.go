package node_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/store"
)

// served is a chain with a snapshot, as an engine sees it.
func served(t *testing.T) (*chain, *abci.Snapshot, [][]byte) {
	t.Helper()
	c := newChain(t, store.NewMemory())
	c.app.Serve(t, t.TempDir(), 2)
	for i := range uint64(3) {
		c.admitted(c.create(i))
		c.commit(c.prepare())
		c.app.Taken()
	}
	list, err := c.app.ListSnapshots(context.Background(), nil)
	if err != nil || len(list.Snapshots) != 1 || list.Snapshots[0].Height != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	s := list.Snapshots[0]
	var chunks [][]byte
	for i := range s.Chunks {
		r, err := c.app.LoadSnapshotChunk(context.Background(), &abci.RequestLoadSnapshotChunk{Height: s.Height, Format: s.Format, Chunk: i})
		if err != nil || r.Chunk == nil {
			t.Fatal(err)
		}
		chunks = append(chunks, r.Chunk)
	}
	return c, s, chunks
}

func offer(t *testing.T, a *node.App, s *abci.Snapshot, appHash []byte) abci.ResponseOfferSnapshot_Result {
	t.Helper()
	r, err := a.OfferSnapshot(context.Background(), &abci.RequestOfferSnapshot{Snapshot: s, AppHash: appHash})
	if err != nil {
		t.Fatal(err)
	}
	return r.Result
}

func apply(t *testing.T, a *node.App, index uint32, chunk []byte, sender string) *abci.ResponseApplySnapshotChunk {
	t.Helper()
	r, err := a.ApplySnapshotChunk(context.Background(), &abci.RequestApplySnapshotChunk{Index: index, Chunk: chunk, Sender: sender})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A snapshot is taken only if it is the one the light client vouches for; a bad chunk names its sender and is
// fetched again; after the last the node goes on from the state as if it had executed every block.
func TestOffers(t *testing.T) {
	c, s, chunks := served(t)
	root := stateAt(t, 2)
	var failed error
	whole := false
	st := store.NewMemory()
	joining := node.Joining(t, "test", st, func(err error) { failed = errors.Join(failed, err) }, func() { whole = true })

	if got := offer(t, joining, s, root[:]); got != abci.ResponseOfferSnapshot_REJECT {
		t.Errorf("offered without a header: %v", got)
	}
	joining.Expect(2, root, c.time, 1)
	for name, o := range map[string]struct {
		change func(*abci.Snapshot)
		root   []byte
		want   abci.ResponseOfferSnapshot_Result
	}{
		"another app hash": {func(*abci.Snapshot) {}, make([]byte, 32), abci.ResponseOfferSnapshot_REJECT},
		"another height":   {func(s *abci.Snapshot) { s.Height = 3 }, root[:], abci.ResponseOfferSnapshot_REJECT},
		"another format":   {func(s *abci.Snapshot) { s.Format++ }, root[:], abci.ResponseOfferSnapshot_REJECT_FORMAT},
		"another hash":     {func(s *abci.Snapshot) { s.Hash = make([]byte, 32) }, root[:], abci.ResponseOfferSnapshot_REJECT},
		"a short hash":     {func(s *abci.Snapshot) { s.Hash = nil }, root[:], abci.ResponseOfferSnapshot_REJECT},
		"more chunks":      {func(s *abci.Snapshot) { s.Chunks++ }, root[:], abci.ResponseOfferSnapshot_REJECT},
	} {
		changed := *s
		o.change(&changed)
		if got := offer(t, joining, &changed, o.root); got != o.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if r := apply(t, joining, 0, chunks[0], "peer"); r.Result != abci.ResponseApplySnapshotChunk_REJECT_SNAPSHOT {
		t.Errorf("a chunk of nothing: %v", r)
	}
	if got := offer(t, joining, s, root[:]); got != abci.ResponseOfferSnapshot_ACCEPT {
		t.Fatal(got)
	}
	bad := bytes.Clone(chunks[0])
	bad[len(bad)-1] ^= 1
	for _, chunk := range [][]byte{bad, nil} {
		r := apply(t, joining, 0, chunk, "liar")
		if r.Result != abci.ResponseApplySnapshotChunk_RETRY || len(r.RefetchChunks) != 1 || r.RefetchChunks[0] != 0 || len(r.RejectSenders) != 1 || r.RejectSenders[0] != "liar" {
			t.Fatalf("a bad chunk: %+v", r)
		}
	}
	// Offered again, as after a timeout: it begins anew.
	if got := offer(t, joining, s, root[:]); got != abci.ResponseOfferSnapshot_ACCEPT {
		t.Fatal(got)
	}
	for i, chunk := range chunks {
		if r := apply(t, joining, uint32(i), chunk, "peer"); r.Result != abci.ResponseApplySnapshotChunk_ACCEPT {
			t.Fatalf("%+v", r)
		}
	}
	info, err := joining.Info(context.Background(), nil)
	if err != nil || info.LastBlockHeight != 2 || !bytes.Equal(info.LastBlockAppHash, root[:]) || info.AppVersion != 1 {
		t.Fatalf("%+v, %v", info, err)
	}

	follower := &chain{t: t, net: c.net, app: joining, store: st, height: 2, time: c.time}
	for i := uint64(2); i < 5; i++ {
		follower.admitted(follower.create(i))
		follower.commit(follower.prepare())
		if want := i >= 3; whole != want {
			t.Fatalf("after block %d the home is whole: %v", i+1, whole)
		}
	}
	if failed != nil {
		t.Error(failed)
	}
}

// stateAt is the app hash of served's chain.
func stateAt(t *testing.T, height int) hufu.Digest {
	t.Helper()
	c := newChain(t, store.NewMemory())
	for i := range uint64(height) {
		c.admitted(c.create(i))
		c.commit(c.prepare())
	}
	return c.store.State().Root
}

// Rules that the program does not have end the node, which says so.
func TestOfferOfOtherRules(t *testing.T) {
	c, s, _ := served(t)
	root := stateAt(t, 2)
	var failed error
	joining := node.Joining(t, "test", store.NewMemory(), func(err error) { failed = err }, func() {})
	joining.Expect(2, root, c.time, 99)
	if got := offer(t, joining, s, root[:]); got != abci.ResponseOfferSnapshot_ABORT || !errors.Is(failed, node.ErrUpgrade) {
		t.Errorf("%v, %v", got, failed)
	}
	// A node that has its state takes none.
	if got := offer(t, c.app, s, root[:]); got != abci.ResponseOfferSnapshot_ABORT {
		t.Error(got)
	}
	if r := apply(t, c.app, 0, nil, ""); r.Result != abci.ResponseApplySnapshotChunk_ABORT {
		t.Error(r)
	}
}
