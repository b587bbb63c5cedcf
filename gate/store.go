package gate

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
)

// Session is one request that was sent and may be answered once.
type Session struct {
	State    string // names the session to the wallet
	Nonce    string // what presentations must be bound to
	Contract hufu.ContractID
	Version  uint32
	Opened   time.Time // whole seconds
	Expires  time.Time // whole seconds
}

// Entry is one stored receipt. It repeats of the receipt what one searches by.
type Entry struct {
	Number   int64 // from 1, without gaps
	Time     time.Time
	Contract string // empty when the answer belonged to no request
	Decision hufu.Decision
	Rule     hufu.Rule
	Token    string // the signed receipt
}

// Errors of a [Store].
var (
	ErrUnknownSession  = errors.New("gate: no such request")
	ErrAnsweredSession = errors.New("gate: the request was answered before")
)

// Store keeps what a gate must not forget: which requests are open, which were answered, and every
// receipt. It is never given a claim. What a call returned for is on disk. Safe for concurrent use, by several
// processes too.
type Store interface {
	// Open records a new request. State and nonce must be new. Requests that expired more than a day
	// before s was opened may be forgotten.
	Open(ctx context.Context, s Session) error
	// Take marks the request as answered and returns it, to one caller only: every other gets
	// ErrAnsweredSession. A state that was never opened, or is forgotten, is ErrUnknownSession.
	Take(ctx context.Context, state string) (Session, error)
	// Answered reports whether a request with this nonce is known to have been answered.
	Answered(ctx context.Context, nonce string) (bool, error)
	// Append adds a receipt and returns its number.
	Append(ctx context.Context, e Entry) (int64, error)
	// Receipts lists up to limit receipts with a number above after, in order.
	Receipts(ctx context.Context, after int64, limit int) ([]Entry, error)
	Close() error
}

// forgetAfter is how long an expired request is remembered, so that a replay is called by its name.
const forgetAfter = 24 * time.Hour

//go:embed migrations
var migrations embed.FS

type store struct{ *database.DB }

// OpenStore opens the database that dsn names: the path of a SQLite file, made when there is none, a
// postgres:// DSN, or [database.Memory].
func OpenStore(ctx context.Context, dsn string) (Store, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	d, err := database.Open(ctx, dsn, database.Schema{Name: "gate", Migrations: dir})
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	return store{d}, nil
}

func (s store) Open(ctx context.Context, e Session) error {
	return s.Write(ctx, func(t *database.Tx) error {
		if _, err := t.ExecContext(ctx, "DELETE FROM requests WHERE expires < ?", e.Opened.Add(-forgetAfter).Unix()); err != nil {
			return err
		}
		_, err := t.ExecContext(ctx, "INSERT INTO requests (state, nonce, contract, version, opened, expires) VALUES (?, ?, ?, ?, ?, ?)",
			e.State, e.Nonce, e.Contract.String(), e.Version, e.Opened.Unix(), e.Expires.Unix())
		return err
	})
}

func (s store) Take(ctx context.Context, state string) (Session, error) {
	e := Session{State: state}
	err := s.Write(ctx, func(t *database.Tx) error {
		var contract string
		var opened, expires int64
		err := t.QueryRowContext(ctx, "UPDATE requests SET answered = 1 WHERE state = ? AND answered = 0 RETURNING nonce, contract, version, opened, expires", state).
			Scan(&e.Nonce, &contract, &e.Version, &opened, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			var n int
			if err := t.QueryRowContext(ctx, "SELECT count(*) FROM requests WHERE state = ?", state).Scan(&n); err != nil {
				return err
			}
			if n == 0 {
				return ErrUnknownSession
			}
			return ErrAnsweredSession
		}
		if err != nil {
			return err
		}
		e.Opened, e.Expires = time.Unix(opened, 0).UTC(), time.Unix(expires, 0).UTC()
		e.Contract, err = hufu.ParseContractID(contract)
		return err
	})
	if err != nil {
		return Session{}, err
	}
	return e, nil
}

func (s store) Answered(ctx context.Context, nonce string) (bool, error) {
	var n int
	err := s.QueryRowContext(ctx, "SELECT count(*) FROM requests WHERE nonce = ? AND answered = 1", nonce).Scan(&n)
	return n > 0, err
}

func (s store) Append(ctx context.Context, e Entry) (number int64, err error) {
	err = s.Write(ctx, func(t *database.Tx) error {
		// Changes happen one after another: the numbers have no gaps, as a sequence's would.
		return t.QueryRowContext(ctx, `INSERT INTO receipts (number, time, contract, decision, rule, token)
			VALUES ((SELECT coalesce(max(number), 0) + 1 FROM receipts), ?, ?, ?, ?, ?) RETURNING number`,
			e.Time.Unix(), e.Contract, e.Decision.String(), string(e.Rule), e.Token).Scan(&number)
	})
	return number, err
}

func (s store) Receipts(ctx context.Context, after int64, limit int) ([]Entry, error) {
	rows, err := s.QueryContext(ctx, "SELECT number, time, contract, decision, rule, token FROM receipts WHERE number > ? ORDER BY number LIMIT ?", after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err is checked
	var out []Entry
	for rows.Next() {
		var e Entry
		var at int64
		var decision, rule string
		if err := rows.Scan(&e.Number, &at, &e.Contract, &decision, &rule, &e.Token); err != nil {
			return nil, err
		}
		if err := e.Decision.UnmarshalText([]byte(decision)); err != nil {
			return nil, err
		}
		e.Time, e.Rule = time.Unix(at, 0).UTC(), hufu.Rule(rule)
		out = append(out, e)
	}
	return out, rows.Err()
}
