package issuer

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/anchors"
)

// LogName is what an issuer calls its log of readings of files: its origin is the issuer's DID, a / and this.
const LogName = "accesses"

const (
	logPath      = "/accesslog/"
	accessSalt   = 16 // bytes, so that nobody can find out from the log whose file was read, or when
	accessDomain = "hufu/access/v1\x00"
)

// AccessEntry is what the log has of a reading: the SHA-256 of "hufu/access/v1" 0x00, the record's salt, the
// person's reference, the time as 8 bytes of unix seconds and the purpose.
func AccessEntry(salt []byte, person PersonRef, at time.Time, purpose string) hufu.Digest {
	in := append(append([]byte(accessDomain), salt...), person[:]...)
	in = binary.BigEndian.AppendUint64(in, uint64(at.Unix())) //nolint:gosec // the same bits
	return sha256.Sum256(append(in, purpose...))
}

// recordAccess adds to the records of accesses, and so to the log.
func (s *Service) recordAccess(ctx context.Context, t *database.Tx, ref PersonRef, purpose string) error {
	salt := make([]byte, accessSalt)
	if _, err := io.ReadFull(s.cfg.Rand, salt); err != nil {
		return err
	}
	_, err := t.ExecContext(ctx, `INSERT INTO accesses (person, time, purpose, entry, salt)
		VALUES (?, ?, ?, (SELECT coalesce(max(entry), -1) + 1 FROM accesses), ?)`, ref[:], s.cfg.Now().Unix(), purpose, salt)
	return err
}

// logged lists up to limit entries of the log, from the one with number from on.
func (s *Service) logged(ctx context.Context, from uint64, limit int) ([]hufu.Digest, error) {
	rows, err := s.store.QueryContext(ctx, "SELECT person, time, purpose, salt FROM accesses WHERE entry >= ? ORDER BY entry LIMIT ?", int64(from), limit) //nolint:gosec // entries are counted in an int64
	if err != nil {
		return nil, fmt.Errorf("issuer: store: %w", err)
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	var out []hufu.Digest
	for rows.Next() {
		var person, salt []byte
		var at int64
		var purpose string
		if err := rows.Scan(&person, &at, &purpose, &salt); err != nil {
			return nil, fmt.Errorf("issuer: store: %w", err)
		}
		var ref PersonRef
		if len(person) != len(ref) {
			return nil, fmt.Errorf("issuer: a reference of %d bytes in the store", len(person))
		}
		copy(ref[:], person)
		out = append(out, AccessEntry(salt, ref, time.Unix(at, 0), purpose))
	}
	return out, rows.Err()
}

// FollowLog brings the log, of which a ledger has last, up to the records of accesses and returns how many it has: see
// [tilelog.Log.Follow]. It does nothing without a log.
func (s *Service) FollowLog(ctx context.Context, last *anchors.Log) (uint64, error) {
	if s.cfg.AccessLog == nil {
		return 0, nil
	}
	return s.cfg.AccessLog.Follow(ctx, s.logged, last)
}

// AnchorLog puts the log's checkpoint on a ledger that has last of it, in the issuer's turn. It returns nil when the
// log has not grown since.
func (s *Service) AnchorLog(ctx context.Context, last *anchors.Log) (*client.Receipt, error) {
	if s.cfg.AccessLog == nil {
		return nil, nil
	}
	body, err := s.cfg.AccessLog.Anchor(ctx, last)
	if err != nil || body == nil {
		return nil, err
	}
	r, err := s.send(ctx, body)
	return &r, err
}

// serveLog serves the log for everybody to read.
func (s *Service) serveLog() http.Handler {
	return http.StripPrefix(logPath[:len(logPath)-1], s.cfg.AccessLog)
}
