package snapshots

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/durable"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

// Kept is how many snapshots a directory keeps: while one is being fetched the next may be taken.
const Kept = 2

// metadataFile is beside the chunks, which have their numbers as names.
const metadataFile = "metadata"

// unfinished begins the names of what is being written or removed.
const unfinished = "."

// Dir is a directory of snapshots, each in a directory of its own whose name is the height. Any number
// of goroutines may use it; one at a time takes a snapshot.
type Dir struct {
	path    string
	network hufu.Network

	mu   sync.Mutex
	list []Snapshot // oldest first
}

// Open opens the directory, which is made when it is not there, and clears what a crash left of snapshots
// that were being written or removed. One that does not read is removed, too: it can be taken again.
func Open(path string, network hufu.Network) (*Dir, error) {
	d := &Dir{path: path, network: network}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, fmt.Errorf("snapshots: %w", err)
	}
	for _, e := range entries {
		s, ok := d.read(e.Name())
		if ok {
			d.list = append(d.list, s)
			continue
		}
		if err := os.RemoveAll(filepath.Join(path, e.Name())); err != nil {
			return nil, fmt.Errorf("snapshots: %w", err)
		}
	}
	slices.SortFunc(d.list, func(a, b Snapshot) int { return cmp.Compare(a.Height, b.Height) })
	return d, nil
}

func (d *Dir) read(name string) (Snapshot, bool) {
	height, err := strconv.ParseUint(name, 10, 64)
	if err != nil || name != dirName(hufu.Height(height)) {
		return Snapshot{}, false
	}
	raw, err := os.ReadFile(filepath.Join(d.path, name, metadataFile))
	if err != nil {
		return Snapshot{}, false
	}
	_, s, err := parse(d.network, raw)
	return s, err == nil && uint64(s.Height) == height
}

func dirName(height hufu.Height) string { return strconv.FormatUint(uint64(height), 10) }

// List is the snapshots that are there, oldest first.
func (d *Dir) List() []Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.list)
}

// Chunk reads one chunk, nil when it is not there (any more). A chunk that is damaged on disk takes its
// snapshot with it: to send it would only cost this node its peers.
func (d *Dir) Chunk(height hufu.Height, index uint32) ([]byte, error) {
	s, ok := d.find(height)
	if !ok {
		return nil, nil
	}
	m, _, err := parse(d.network, s.Metadata)
	if err != nil || index >= s.Chunks {
		return nil, err
	}
	raw, err := os.ReadFile(filepath.Join(d.path, dirName(height), chunkName(index)))
	switch {
	case errors.Is(err, fs.ErrNotExist) && !d.has(height):
		return nil, nil // it was removed meanwhile
	case err == nil && !m.matches(index, raw):
		err = fmt.Errorf("snapshots: chunk %d of height %d is damaged on disk", index, height)
	}
	if err != nil {
		return nil, errors.Join(err, d.remove(height))
	}
	return raw, nil
}

func chunkName(index uint32) string { return strconv.FormatUint(uint64(index), 10) }

func (d *Dir) find(height hufu.Height) (Snapshot, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.list {
		if s.Height == height {
			return s, true
		}
	}
	return Snapshot{}, false
}

func (d *Dir) has(height hufu.Height) bool {
	_, ok := d.find(height)
	return ok
}

// Take writes what view shows, and removes the oldest snapshots beyond [Kept]. room is asked before every
// chunk whether there is space for it. On an error, also of room or ctx, nothing of it is left, and nothing
// after a crash but what the next Open clears.
func (d *Dir) Take(ctx context.Context, view store.Snapshot, room func() error) (s Snapshot, err error) {
	as := view.State()
	temporary := filepath.Join(d.path, unfinished+dirName(as.Height))
	if err := os.Mkdir(temporary, 0o700); err != nil {
		return s, fmt.Errorf("snapshots: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(temporary))
		}
	}()
	w := &writer{ctx: ctx, dir: temporary, room: room}
	for kv, err := range view.Records() {
		if err == nil {
			err = w.add(kv)
		}
		if err != nil {
			return s, err
		}
	}
	if err := w.flush(); err != nil {
		return s, err
	}
	m := metadata{Network: d.network, Height: as.Height, Root: as.Root, Chunks: w.hashes}
	if s, err = m.describe(); err != nil {
		return s, err
	}
	if err := writeFile(filepath.Join(temporary, metadataFile), s.Metadata); err != nil {
		return s, err
	}
	if err := os.Rename(temporary, filepath.Join(d.path, dirName(s.Height))); err != nil {
		return s, fmt.Errorf("snapshots: %w", err)
	}
	d.mu.Lock()
	d.list = append(d.list, s)
	var old []Snapshot
	if n := len(d.list) - Kept; n > 0 {
		old = slices.Clone(d.list[:n])
	}
	d.mu.Unlock()
	for _, o := range old {
		if err := d.remove(o.Height); err != nil {
			return s, err
		}
	}
	return s, durable.SyncDir(d.path)
}

// remove takes a snapshot off the list, then off the disk, where its name goes first: what a crash leaves is
// no snapshot any more.
func (d *Dir) remove(height hufu.Height) error {
	d.mu.Lock()
	d.list = slices.DeleteFunc(d.list, func(s Snapshot) bool { return s.Height == height })
	d.mu.Unlock()
	from := filepath.Join(d.path, dirName(height))
	gone := filepath.Join(d.path, unfinished+"removed-"+dirName(height))
	if err := os.Rename(from, gone); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("snapshots: %w", err)
	}
	return os.RemoveAll(gone)
}

// writer cuts records into chunks.
type writer struct {
	ctx    context.Context
	dir    string
	room   func() error
	chunk  []proof.Record
	bytes  int
	count  uint32
	hashes []byte
}

func (w *writer) add(kv proof.KV) error {
	w.chunk = append(w.chunk, proof.Record{Key: kv.Key, Value: kv.Value})
	w.bytes += len(kv.Key) + len(kv.Value)
	if w.bytes < chunkBytes && len(w.chunk) < chunkRecords {
		return nil
	}
	return w.flush()
}

// flush writes the chunk; a state without records is one empty chunk.
func (w *writer) flush() error {
	if len(w.chunk) == 0 && w.count > 0 {
		return nil
	}
	if err := w.ctx.Err(); err != nil {
		return err
	}
	if w.count == MaxChunks {
		return fmt.Errorf("snapshots: the state is more than %d chunks of %d bytes", MaxChunks, chunkBytes)
	}
	if err := w.room(); err != nil {
		return err
	}
	raw, err := encoding.Marshal(w.chunk)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(raw)
	if err := writeFile(filepath.Join(w.dir, chunkName(w.count)), raw); err != nil {
		return err
	}
	w.hashes = append(w.hashes, sum[:]...)
	w.count++
	w.chunk, w.bytes = w.chunk[:0], 0
	return nil
}

func writeFile(path string, data []byte) error {
	if err := durable.Create(path, data); err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	return nil
}
