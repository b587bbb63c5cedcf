package gate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state/anchors"
)

// LogName is what a gate calls its log of receipts: its origin is the gate's DID, a / and this.
const LogName = "receipts"

// ErrNotLogged means that a receipt is in no log of the gate's.
var ErrNotLogged = errors.New("gate: no such entry")

// Logged lists up to limit digests of a gate's receipts, from the one with number from on.
func (s store) Logged(ctx context.Context, gate hufu.DID, from uint64, limit int) ([]hufu.Digest, error) {
	rows, err := s.QueryContext(ctx, "SELECT digest FROM receipts WHERE gate = ? AND entry >= ? ORDER BY entry LIMIT ?", string(gate), int64(from), limit) //nolint:gosec // entries are counted in an int64
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	var out []hufu.Digest
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, err
		}
		d, err := asDigest(raw)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, rows.Err()
}

func asDigest(raw []byte) (d hufu.Digest, err error) {
	if len(raw) != len(d) {
		return d, fmt.Errorf("gate: a digest of %d bytes in the store", len(raw))
	}
	copy(d[:], raw)
	return d, nil
}

// EntryOf finds the number of a receipt in a gate's log by its digest.
func (s store) EntryOf(ctx context.Context, gate hufu.DID, digest hufu.Digest) (uint64, error) {
	var entry int64
	err := s.QueryRowContext(ctx, "SELECT entry FROM receipts WHERE digest = ? AND gate = ?", digest[:], string(gate)).Scan(&entry)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, ErrNotLogged
	}
	return uint64(entry), err //nolint:gosec // never negative
}

// FollowLog brings the gate's log, of which a ledger has last, up to its receipts and returns how many it has: see
// [tilelog.Log.Follow]. It does nothing without a log.
func (g *Gate) FollowLog(ctx context.Context, last *anchors.Log) (uint64, error) {
	if g.Log == nil {
		return 0, nil
	}
	return g.Log.Follow(ctx, func(ctx context.Context, from uint64, limit int) ([]hufu.Digest, error) {
		return g.Store.Logged(ctx, g.DID, from, limit)
	}, last)
}

// logEntry is where a receipt is in the gate's log.
type logEntry struct {
	Entry uint64 `json:"entry"`
}

// serveEntry says which entry of the log a digest is: a hint, which its reader has proven by the log's tiles.
func (g *Gate) serveEntry(w http.ResponseWriter, r *http.Request) {
	var digest hufu.Digest
	if err := digest.UnmarshalText([]byte(r.PathValue("digest"))); err != nil {
		fail(w, http.StatusBadRequest, codeInvalidRequest, nil)
		return
	}
	entry, err := g.Store.EntryOf(r.Context(), g.DID, digest)
	switch {
	case errors.Is(err, ErrNotLogged):
		http.NotFound(w, r)
		return
	case err != nil:
		fail(w, http.StatusServiceUnavailable, codeUnavailable, nil)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(logEntry{entry}) // a caller who is gone needs no answer
}
