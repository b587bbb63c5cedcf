package node

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"iter"
	"sync"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

const (
	awaitMost    = 4 * time.Second // below every HTTP timeout on the way
	pageBytes    = 1 << 20
	pageRecords  = 10_000
	maxDownloads = 4 // open at once; a new one closes the oldest
)

var errQuery = errors.New("the query does not read as one")

// Query answers reads. No answer is believed by clients without the proof that comes with it.
func (a *app) Query(ctx context.Context, req *abci.RequestQuery) (*abci.ResponseQuery, error) {
	var (
		value any
		err   error
	)
	switch req.Path {
	case proof.PathProve:
		value, err = a.prove(req.Data)
	case proof.PathAwait:
		value, err = a.await(ctx, req.Data)
	case proof.PathMissing:
		value, err = a.missing()
	case proof.PathSnapshot:
		value, err = a.downloads.page(a.store, req.Data)
	default:
		err = errors.New("no such path")
	}
	var raw []byte
	if err == nil {
		raw, err = encoding.Marshal(value)
	}
	if err != nil {
		return &abci.ResponseQuery{Code: codeRefused, Codespace: "query", Log: err.Error()}, nil //nolint:nilerr // a refused query is an answer
	}
	return &abci.ResponseQuery{Value: raw}, nil
}

func (a *app) prove(data []byte) (*proof.Answer, error) {
	var keys [][]byte
	if err := encoding.Unmarshal(data, &keys); err != nil || len(keys) > proof.MaxKeysPerAnswer {
		return nil, errQuery
	}
	from, err := a.store.Prove(keys)
	if err != nil {
		return nil, err
	}
	to := &proof.Answer{Height: from.Height, Root: from.Root, Items: make([]proof.Proven, len(from.Items))}
	for i, item := range from.Items {
		to.Items[i] = proof.Proven{Key: item.Key, Value: item.Value, Proof: item.Proof}
	}
	return to, nil
}

// await returns the height once it is above the one given, or after a while.
func (a *app) await(ctx context.Context, data []byte) (hufu.Height, error) {
	var above hufu.Height
	if err := encoding.Unmarshal(data, &above); err != nil {
		return 0, errQuery
	}
	timer := time.NewTimer(awaitMost)
	defer timer.Stop()
	for {
		height, _, moved := a.tip.get()
		if height > above {
			return height, nil
		}
		select {
		case <-moved:
			if a.tip.isClosed() {
				return height, nil
			}
		case <-timer.C:
			return height, nil
		case <-ctx.Done():
			return height, nil
		}
	}
}

// missing is what the node says of itself: up to which height it lacks headers of which evidence counts.
func (a *app) missing() (hufu.Height, error) {
	h := a.history()
	if h == nil {
		return 0, errors.New("the node has not started")
	}
	return h.missing()
}

func (t *tip) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// downloads are the views of the state that are being downloaded, page by page.
type downloads struct {
	mu     sync.Mutex
	open   []*download // oldest first
	closed bool
}

type download struct {
	mu      sync.Mutex // one page at a time
	session uint64
	view    store.Snapshot
	next    func() (proof.KV, error, bool)
	stop    func()
	ended   bool
}

func (s *downloads) page(st store.Store, data []byte) (*proof.SnapshotPage, error) {
	var req proof.SnapshotRequest
	if err := encoding.Unmarshal(data, &req); err != nil {
		return nil, errQuery
	}
	if req.Session == 0 {
		d, err := s.begin(st)
		if err != nil {
			return nil, err
		}
		at := d.view.State()
		return &proof.SnapshotPage{Session: d.session, Height: at.Height, Root: at.Root}, nil
	}
	d := s.find(req.Session)
	if d == nil {
		return nil, errors.New("no such snapshot, or it was closed for newer ones")
	}
	page, err := d.read()
	if err != nil || page.Last {
		s.end(d)
	}
	return page, err
}

func (s *downloads) begin(st store.Store) (*download, error) {
	view, err := st.Snapshot()
	if err != nil {
		return nil, err
	}
	var id [8]byte
	if _, err := rand.Read(id[:]); err != nil {
		return nil, errors.Join(err, view.Close())
	}
	d := &download{session: binary.BigEndian.Uint64(id[:]) | 1, view: view}
	d.next, d.stop = iter.Pull2(view.Records())
	s.mu.Lock()
	var oldest *download
	switch {
	case s.closed:
		oldest = d
	case len(s.open) == maxDownloads:
		oldest = s.open[0]
		s.open = append(s.open[1:], d)
	default:
		s.open = append(s.open, d)
	}
	s.mu.Unlock()
	if oldest != nil {
		oldest.close()
	}
	return d, nil
}

func (s *downloads) find(session uint64) *download {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range s.open {
		if d.session == session {
			return d
		}
	}
	return nil
}

func (s *downloads) end(d *download) {
	s.mu.Lock()
	for i := range s.open {
		if s.open[i] == d {
			s.open = append(s.open[:i:i], s.open[i+1:]...)
			break
		}
	}
	s.mu.Unlock()
	d.close()
}

func (s *downloads) close() {
	s.mu.Lock()
	open := s.open
	s.open, s.closed = nil, true
	s.mu.Unlock()
	for _, d := range open {
		d.close()
	}
}

func (d *download) read() (*proof.SnapshotPage, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.ended {
		return nil, errors.New("the snapshot was closed")
	}
	at := d.view.State()
	page := &proof.SnapshotPage{Session: d.session, Height: at.Height, Root: at.Root}
	for size := 0; size < pageBytes && len(page.Records) < pageRecords; {
		kv, err, ok := d.next()
		if !ok {
			page.Last = true
			break
		}
		if err != nil {
			return nil, err
		}
		page.Records = append(page.Records, proof.Record{Key: kv.Key, Value: kv.Value})
		size += len(kv.Key) + len(kv.Value)
	}
	return page, nil
}

func (d *download) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.ended {
		d.ended = true
		d.stop()
		_ = d.view.Close() // a read-only view
	}
}
