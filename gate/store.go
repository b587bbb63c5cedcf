package gate

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the database driver

	"github.com/hufu-id/hufu"
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
// receipt. It is never given a claim. Implementations are safe for concurrent use.
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

//go:embed migrations/*.sql
var migrations embed.FS

type sqlStore struct {
	db                                *sql.DB
	open, take, find, answered, write *sql.Stmt
	forget, list                      *sql.Stmt
}

// OpenStore opens, or makes, the SQLite database at path. A kill of the process loses nothing that a call
// returned for. A power cut may lose the last moments; so that it cannot make an answered request
// answerable again, all open requests are void after a reboot.
func OpenStore(ctx context.Context, path string) (Store, error) {
	if f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("gate: store: %w", err)
	} else if err := f.Close(); err != nil {
		return nil, fmt.Errorf("gate: store: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=busy_timeout(5000)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("gate: store: %w", err)
	}
	db.SetMaxOpenConns(1) // SQLite has one writer; waiting here is cheaper than in its busy loop
	s := &sqlStore{db: db}
	for _, step := range []func(context.Context) error{s.migrate, s.voidAfterReboot, s.prepare} {
		if err := step(ctx); err != nil {
			db.Close()
			return nil, fmt.Errorf("gate: store %s: %w", path, err)
		}
	}
	return s, nil
}

func (s *sqlStore) migrate(ctx context.Context) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, s.db, dir)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// voidAfterReboot drops the open requests when the machine was started anew since the last write, or
// when that cannot be known.
func (s *sqlStore) voidAfterReboot(ctx context.Context) error {
	id := "unknown"
	if b, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		id = strings.TrimSpace(string(b))
	}
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	var last string
	err = tx.QueryRowContext(ctx, "SELECT id FROM boot").Scan(&last)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if last == id && id != "unknown" {
		return nil
	}
	for _, q := range []string{"UPDATE requests SET answered = 1", "DELETE FROM boot"} {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "INSERT INTO boot VALUES (?)", id); err != nil {
		return err
	}
	return tx.Commit()
}

func (s *sqlStore) prepare(ctx context.Context) error {
	for stmt, query := range map[**sql.Stmt]string{
		&s.open:     "INSERT INTO requests (state, nonce, contract, version, opened, expires) VALUES (?, ?, ?, ?, ?, ?)",
		&s.forget:   "DELETE FROM requests WHERE expires < ?",
		&s.take:     "UPDATE requests SET answered = 1 WHERE state = ? AND answered = 0 RETURNING nonce, contract, version, opened, expires",
		&s.find:     "SELECT count(*) FROM requests WHERE state = ?",
		&s.answered: "SELECT count(*) FROM requests WHERE nonce = ? AND answered = 1",
		&s.write:    "INSERT INTO receipts (time, contract, decision, rule, token) VALUES (?, ?, ?, ?, ?)",
		&s.list:     "SELECT number, time, contract, decision, rule, token FROM receipts WHERE number > ? ORDER BY number LIMIT ?",
	} {
		var err error
		if *stmt, err = s.db.PrepareContext(ctx, query); err != nil {
			return err
		}
	}
	return nil
}

func (s *sqlStore) Open(ctx context.Context, e Session) error {
	if _, err := s.forget.ExecContext(ctx, e.Opened.Add(-forgetAfter).Unix()); err != nil {
		return err
	}
	_, err := s.open.ExecContext(ctx, e.State, e.Nonce, e.Contract.String(), e.Version, e.Opened.Unix(), e.Expires.Unix())
	return err
}

func (s *sqlStore) Take(ctx context.Context, state string) (Session, error) {
	e := Session{State: state}
	var contract string
	var opened, expires int64
	err := s.take.QueryRowContext(ctx, state).Scan(&e.Nonce, &contract, &e.Version, &opened, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		var n int
		if err := s.find.QueryRowContext(ctx, state).Scan(&n); err != nil {
			return e, err
		}
		if n == 0 {
			return e, ErrUnknownSession
		}
		return e, ErrAnsweredSession
	}
	if err != nil {
		return e, err
	}
	e.Opened, e.Expires = time.Unix(opened, 0).UTC(), time.Unix(expires, 0).UTC()
	e.Contract, err = hufu.ParseContractID(contract)
	return e, err
}

func (s *sqlStore) Answered(ctx context.Context, nonce string) (bool, error) {
	var n int
	err := s.answered.QueryRowContext(ctx, nonce).Scan(&n)
	return n > 0, err
}

func (s *sqlStore) Append(ctx context.Context, e Entry) (int64, error) {
	r, err := s.write.ExecContext(ctx, e.Time.Unix(), e.Contract, e.Decision.String(), string(e.Rule), e.Token)
	if err != nil {
		return 0, err
	}
	return r.LastInsertId()
}

func (s *sqlStore) Receipts(ctx context.Context, after int64, limit int) ([]Entry, error) {
	rows, err := s.list.QueryContext(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
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

func (s *sqlStore) Close() error { return s.db.Close() }

// memoryStore forgets everything when the process ends; with it open requests are void, so the promise of
// Take still holds.
type memoryStore struct {
	mu       sync.Mutex
	sessions map[string]*memorySession
	nonces   map[string]*memorySession
	receipts []Entry
}

type memorySession struct {
	Session
	answered bool
}

// NewMemoryStore makes a store for one process's life.
func NewMemoryStore() Store {
	return &memoryStore{sessions: map[string]*memorySession{}, nonces: map[string]*memorySession{}}
}

func (s *memoryStore) Open(_ context.Context, e Session) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sessions[e.State] != nil || s.nonces[e.Nonce] != nil {
		return errors.New("gate: state or nonce used twice")
	}
	m := &memorySession{Session: e}
	s.sessions[e.State], s.nonces[e.Nonce] = m, m
	return nil
}

func (s *memoryStore) Take(_ context.Context, state string) (Session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.sessions[state]
	switch {
	case m == nil:
		return Session{}, ErrUnknownSession
	case m.answered:
		return Session{}, ErrAnsweredSession
	}
	m.answered = true
	return m.Session, nil
}

func (s *memoryStore) Answered(_ context.Context, nonce string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.nonces[nonce]
	return m != nil && m.answered, nil
}

func (s *memoryStore) Append(_ context.Context, e Entry) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.Number = int64(len(s.receipts) + 1)
	s.receipts = append(s.receipts, e)
	return e.Number, nil
}

func (s *memoryStore) Receipts(_ context.Context, after int64, limit int) ([]Entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := min(max(after, 0), int64(len(s.receipts)))
	to := min(from+int64(max(limit, 0)), int64(len(s.receipts)))
	return append([]Entry(nil), s.receipts[from:to]...), nil
}

func (s *memoryStore) Close() error { return nil }
