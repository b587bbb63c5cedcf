package tilelog

import (
	"context"
	"fmt"

	"github.com/transparency-dev/tessera/client"

	"github.com/hufu-id/hufu"
)

// Reader computes proofs from a log's tiles. It believes nothing of them: what comes of wrong tiles is a
// proof that package tlog refuses.
type Reader struct {
	// Tile returns a tile of hashes (C2SP tlog-tiles), or an error that is fs.ErrNotExist. partial is the
	// tile's width, 0 for a whole one; a whole one may come in place of a partial one.
	Tile func(ctx context.Context, level, index uint64, partial uint8) ([]byte, error)
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
