package snapshots

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

// Format is the version of what is in chunks and metadata.
const Format = 1

// A chunk ends with the record that makes it this long or this many. The engine carries 16 MB in one
// message and 100,000 chunks in one snapshot, some 400 GB.
const (
	chunkBytes   = 4 << 20
	chunkRecords = 1 << 15
	MaxChunks    = 100_000
	maxChunk     = chunkBytes + store.MaxKey + store.MaxValue + 16*chunkRecords
)

// Errors of what was received.
var (
	// ErrChunk: not the bytes that the metadata names. Another node may have them.
	ErrChunk = errors.New("snapshots: a chunk is not the one that was announced")
	// ErrSnapshot: what was announced is no snapshot, whoever sends its chunks.
	ErrSnapshot = errors.New("snapshots: not a snapshot of this ledger's state")
)

// Snapshot is the description of one, as it travels.
type Snapshot struct {
	Height   hufu.Height
	Chunks   uint32
	Hash     hufu.Digest // SHA-256 of Metadata
	Metadata []byte
}

// metadata is CBOR.
type metadata struct {
	Network hufu.Network `cbor:"1,keyasint"`
	Height  hufu.Height  `cbor:"2,keyasint"`
	Root    hufu.Digest  `cbor:"3,keyasint"`
	Chunks  []byte       `cbor:"4,keyasint"` // their SHA-256, one after the other
}

func (m *metadata) describe() (Snapshot, error) {
	raw, err := encoding.Marshal(m)
	return Snapshot{
		Height: m.Height, Chunks: uint32(len(m.Chunks) / sha256.Size), Hash: sha256.Sum256(raw), Metadata: raw,
	}, err
}

// parse reads what describes a snapshot; s.Metadata alone is looked at for a description from disk.
func parse(network hufu.Network, raw []byte) (*metadata, Snapshot, error) {
	m := new(metadata)
	if err := encoding.Unmarshal(raw, m); err != nil {
		return nil, Snapshot{}, fmt.Errorf("%w: its metadata does not read", ErrSnapshot)
	}
	switch n := len(m.Chunks); {
	case m.Network != network:
		return nil, Snapshot{}, fmt.Errorf("%w: it is of network %s", ErrSnapshot, m.Network)
	case n == 0 || n%sha256.Size != 0 || n/sha256.Size > MaxChunks:
		return nil, Snapshot{}, fmt.Errorf("%w: a list of %d bytes for the hashes of its chunks", ErrSnapshot, n)
	}
	s, err := m.describe()
	return m, s, err
}

// check reads a received description.
func (s *Snapshot) check(network hufu.Network, root hufu.Digest) (*metadata, error) {
	m, own, err := parse(network, s.Metadata)
	switch {
	case err != nil:
		return nil, err
	case own.Hash != s.Hash || own.Height != s.Height || own.Chunks != s.Chunks || !slices.Equal(own.Metadata, s.Metadata):
		return nil, fmt.Errorf("%w: it is announced as another than its metadata says", ErrSnapshot)
	case m.Root != root:
		return nil, fmt.Errorf("%w: its root is %s, the validators signed %s", ErrSnapshot, m.Root, root)
	}
	return m, nil
}

func (m *metadata) matches(index uint32, chunk []byte) bool {
	at := int(index) * sha256.Size
	return at+sha256.Size <= len(m.Chunks) && sha256.Sum256(chunk) == [sha256.Size]byte(m.Chunks[at:])
}

func parseChunk(raw []byte) ([]proof.KV, error) {
	var records []proof.Record
	if err := encoding.Unmarshal(raw, &records); err != nil {
		return nil, fmt.Errorf("%w: a chunk does not read", ErrSnapshot)
	}
	out := make([]proof.KV, len(records))
	for i := range records {
		out[i] = proof.KV{Key: records[i].Key, Value: records[i].Value}
	}
	return out, nil
}
