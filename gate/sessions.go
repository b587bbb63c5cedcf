package gate

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
)

func (s store) Open(ctx context.Context, e Session) error {
	settings, err := json.Marshal(e.Settings)
	if err != nil {
		return err
	}
	var keep any
	if e.Secret != nil {
		keep = e.Expires.Unix()
	}
	last, now := s.swept.Load(), e.Opened.Unix()
	sweep := now-last >= int64(sweepEvery/time.Second) && s.swept.CompareAndSwap(last, now)
	return s.Write(ctx, func(t *database.Tx) error {
		if sweep {
			if err := forget(ctx, t, e.Opened); err != nil {
				return err
			}
		}
		_, err := t.ExecContext(ctx, `INSERT INTO requests (state, nonce, contract, version, opened, expires, settings, secret, ticket, page, keep)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.State, e.Nonce, e.Contract.String(), e.Version, e.Opened.Unix(), e.Expires.Unix(), string(settings), e.Secret,
			digestOrNull(e.Ticket), digestOrNull(e.Page), keep)
		return err
	})
}

// forget deletes what nobody needs any more.
func forget(ctx context.Context, t *database.Tx, now time.Time) error {
	if _, err := t.ExecContext(ctx, "DELETE FROM requests WHERE expires < ?", now.Add(-forgetAfter).Unix()); err != nil {
		return err
	}
	_, err := t.ExecContext(ctx, "UPDATE requests SET secret = NULL, claims = NULL, keep = NULL WHERE keep < ?", now.Unix())
	return err
}

func digestOrNull(d hufu.Digest) any {
	if d == (hufu.Digest{}) {
		return nil
	}
	return d[:]
}

const sessionColumns = "state, nonce, contract, version, opened, expires, settings, secret, ticket, page, answered, outcome, code, claims, keep"

// scan reads a row of sessionColumns.
func scan(row *sql.Row) (p Progress, err error) {
	var contract, settings string
	var opened, expires, answered int64
	var ticket, page, code []byte
	var outcome sql.NullString
	var keep sql.NullInt64
	err = row.Scan(&p.State, &p.Nonce, &contract, &p.Version, &opened, &expires, &settings, &p.Secret, &ticket, &page,
		&answered, &outcome, &code, &p.Claims, &keep)
	if errors.Is(err, sql.ErrNoRows) {
		return p, ErrUnknownSession
	}
	if err != nil {
		return p, err
	}
	p.Opened, p.Expires = time.Unix(opened, 0).UTC(), time.Unix(expires, 0).UTC()
	p.Taken, p.Outcome = answered != 0, outcome.String
	if keep.Valid {
		p.Keep = time.Unix(keep.Int64, 0).UTC()
	}
	copy(p.Ticket[:], ticket)
	copy(p.Page[:], page)
	copy(p.Code[:], code)
	if settings != "" {
		if err := json.Unmarshal([]byte(settings), &p.Settings); err != nil {
			return p, err
		}
	}
	p.Contract, err = hufu.ParseContractID(contract)
	return p, err
}

func (s store) Take(ctx context.Context, state string) (Session, error) {
	var p Progress
	err := s.Write(ctx, func(t *database.Tx) (err error) {
		if p, err = scan(t.QueryRowContext(ctx, "SELECT "+sessionColumns+" FROM requests WHERE state = ?", state)); err != nil {
			return err
		}
		if p.Taken {
			return ErrAnsweredSession
		}
		_, err = t.ExecContext(ctx, "UPDATE requests SET answered = 1, secret = NULL, keep = NULL WHERE state = ?", state)
		return err
	})
	if err != nil {
		return Session{}, err
	}
	return p.Session, nil
}

func (s store) Answered(ctx context.Context, nonce string) (bool, error) {
	var n int
	err := s.QueryRowContext(ctx, "SELECT count(*) FROM requests WHERE nonce = ? AND answered = 1", nonce).Scan(&n)
	return n > 0, err
}

func (s store) Conclude(ctx context.Context, state string, e Entry, c Conclusion) (number int64, err error) {
	var keep any
	if c.Claims != nil {
		keep = c.Keep.Unix()
	}
	err = s.Write(ctx, func(t *database.Tx) error {
		if number, err = appendReceipt(ctx, t, e); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, "UPDATE requests SET outcome = ?, receipt = ?, code = ?, claims = ?, keep = ? WHERE state = ?",
			c.Outcome, number, digestOrNull(c.Code), c.Claims, keep, state)
		return err
	})
	return number, err
}

func (s store) ByState(ctx context.Context, state string) (Progress, error) {
	return scan(s.QueryRowContext(ctx, "SELECT "+sessionColumns+" FROM requests WHERE state = ?", state))
}

func (s store) ByTicket(ctx context.Context, ticket hufu.Digest) (Progress, error) {
	return scan(s.QueryRowContext(ctx, "SELECT "+sessionColumns+" FROM requests WHERE ticket = ?", ticket[:]))
}

func (s store) ByPage(ctx context.Context, page hufu.Digest) (Progress, error) {
	return scan(s.QueryRowContext(ctx, "SELECT "+sessionColumns+" FROM requests WHERE page = ?", page[:]))
}

func (s store) SetCode(ctx context.Context, page, code hufu.Digest) error {
	return s.Write(ctx, func(t *database.Tx) error {
		r, err := t.ExecContext(ctx, "UPDATE requests SET code = ? WHERE page = ? AND outcome IS NOT NULL", code[:], page[:])
		if err != nil {
			return err
		}
		if n, err := r.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrUnknownSession)
		}
		return nil
	})
}

func (s store) TakeClaims(ctx context.Context, ticket hufu.Digest, now time.Time) (claims []byte, err error) {
	err = s.Write(ctx, func(t *database.Tx) error {
		var keep sql.NullInt64
		err := t.QueryRowContext(ctx, "SELECT claims, keep FROM requests WHERE ticket = ? AND claims IS NOT NULL", ticket[:]).Scan(&claims, &keep)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		if now.Unix() >= keep.Int64 {
			claims = nil
		}
		_, err = t.ExecContext(ctx, "UPDATE requests SET claims = NULL, keep = NULL WHERE ticket = ?", ticket[:])
		return err
	})
	if err != nil {
		return nil, err
	}
	return claims, nil
}

func (s store) Concluded(ctx context.Context, after int64) (pages []hufu.Digest, last int64, err error) {
	if err := s.QueryRowContext(ctx, "SELECT coalesce(max(number), 0) FROM receipts").Scan(&last); err != nil {
		return nil, 0, err
	}
	if last <= after {
		return nil, last, nil
	}
	rows, err := s.QueryContext(ctx, "SELECT page FROM requests WHERE receipt > ? AND receipt <= ? AND page IS NOT NULL", after, last)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	for rows.Next() {
		var raw []byte
		if err := rows.Scan(&raw); err != nil {
			return nil, 0, err
		}
		pages = append(pages, hufu.Digest(raw))
	}
	return pages, last, rows.Err()
}
