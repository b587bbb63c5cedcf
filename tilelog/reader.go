package tilelog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/transparency-dev/tessera/api/layout"
	"github.com/transparency-dev/tessera/client"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/tlog"
)

// Reader computes proofs from a log's tiles. It believes nothing of them: what comes of wrong tiles is a
// proof that package tlog refuses.
type Reader struct {
	// Tile returns a tile of hashes (C2SP tlog-tiles), or an error that is fs.ErrNotExist. partial is the
	// tile's width, 0 for a whole one; a whole one may come in place of a partial one.
	Tile func(ctx context.Context, level, index uint64, partial uint8) ([]byte, error)
}

// Remote reads a log that is served somewhere. get returns what is at a path below the log's address, or an
// error that is fs.ErrNotExist.
func Remote(get func(ctx context.Context, path string) ([]byte, error)) *Reader {
	return &Reader{Tile: func(ctx context.Context, level, index uint64, partial uint8) ([]byte, error) {
		raw, err := get(ctx, layout.TilePath(level, index, partial))
		if partial > 0 && errors.Is(err, fs.ErrNotExist) { // the log has grown past it
			return get(ctx, layout.TilePath(level, index, 0))
		}
		return raw, err
	}}
}

// Conflict looks for the path by which two checkpoints of one log contradict each other ([tlog.CheckConflict]),
// b's tree being the one that is read and not the smaller. It finds none when they do not, or when the tiles are
// not b's.
func (r *Reader) Conflict(ctx context.Context, a, b *tlog.Checkpoint) (path []hufu.Digest, found bool, err error) {
	if a.Size == b.Size || a.Size == 0 || a.Size > b.Size {
		return nil, tlog.CheckConflict(a, b, nil) == nil, nil
	}
	if path, err = r.Consistency(ctx, a.Size, b.Size); err != nil {
		return nil, false, err
	}
	if a.Size&(a.Size-1) != 0 {
		return path, tlog.CheckConflict(a, b, path) == nil, nil
	}
	// A whole subtree, whose root the proof leaves out: the entry after it has it for a neighbour.
	beside, err := r.Inclusion(ctx, a.Size, b.Size)
	if err != nil {
		return nil, false, err
	}
	for _, root := range beside {
		if whole := append([]hufu.Digest{root}, path...); tlog.CheckConflict(a, b, whole) == nil {
			return whole, true, nil
		}
	}
	return nil, false, nil
}

// Inclusion is the proof that a log of size entries has the one with that number.
func (r *Reader) Inclusion(ctx context.Context, index, size uint64) ([]hufu.Digest, error) {
	b, err := client.NewProofBuilder(ctx, size, r.Tile)
	if err != nil {
		return nil, fmt.Errorf("tilelog: %w", err)
	}
	proof, err := b.InclusionProof(ctx, index)
	return digests(proof, err)
}

// Consistency is the proof that the first older of a log's entries are the whole log that it was then.
func (r *Reader) Consistency(ctx context.Context, older, newer uint64) ([]hufu.Digest, error) {
	b, err := client.NewProofBuilder(ctx, newer, r.Tile)
	if err != nil {
		return nil, fmt.Errorf("tilelog: %w", err)
	}
	proof, err := b.ConsistencyProof(ctx, older, newer)
	return digests(proof, err)
}

func digests(proof [][]byte, err error) ([]hufu.Digest, error) {
	if err != nil {
		return nil, fmt.Errorf("tilelog: %w", err)
	}
	out := make([]hufu.Digest, len(proof))
	for i, p := range proof {
		if len(p) != len(out[i]) {
			return nil, fmt.Errorf("tilelog: a hash of %d bytes in a tile", len(p))
		}
		copy(out[i][:], p)
	}
	return out, nil
}
