package issuer

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the database driver
)

//go:embed migrations/*.sql
var migrations embed.FS

// store is the issuer's SQLite database. What is in it is sealed by the callers. A change is on disk
// when write returns: an entry of a status list that was forgotten could be given twice, and a copy
// that was forgotten could not be revoked.
type store struct {
	reads  *sql.DB // any number of readers
	writes *sql.DB // one connection
	queue  chan change
	done   chan struct{}
	once   sync.Once
}

// change is one caller's part of a transaction.
type change struct {
	do   func(*sql.Tx) error
	done chan error
}

// maxGroup bounds how many callers' changes share one transaction and its wait for the disk.
const maxGroup = 256

func openStore(ctx context.Context, path string) (*store, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("issuer: store: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("issuer: store: %w", err)
	}
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)&_pragma=busy_timeout(5000)&_pragma=cache_size(-16000)"
	s := &store{queue: make(chan change), done: make(chan struct{})}
	if s.writes, err = sql.Open("sqlite", dsn+"&_txlock=immediate"); err != nil {
		return nil, fmt.Errorf("issuer: store: %w", err)
	}
	s.writes.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writes); err != nil {
		return nil, errors.Join(fmt.Errorf("issuer: store %s: %w", path, err), s.writes.Close())
	}
	if s.reads, err = sql.Open("sqlite", dsn+"&_pragma=query_only(ON)"); err != nil {
		return nil, errors.Join(fmt.Errorf("issuer: store: %w", err), s.writes.Close())
	}
	go s.run()
	return s, nil
}

func migrate(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectSQLite3, db, dir)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// write makes a change in a transaction and waits until it is on disk. Changes of several callers
// share transactions; one that fails is undone and leaves the others as they are.
func (s *store) write(ctx context.Context, do func(*sql.Tx) error) error {
	c := change{do: do, done: make(chan error, 1)}
	select {
	case s.queue <- c:
	case <-s.done:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	return <-c.done
}

var errClosed = errors.New("issuer: the store is closed")

func (s *store) run() {
	for {
		select {
		case first := <-s.queue:
			group := []change{first}
			for more := true; more && len(group) < maxGroup; {
				select {
				case c := <-s.queue:
					group = append(group, c)
				default:
					more = false
				}
			}
			s.commit(group)
		case <-s.done:
			return
		}
	}
}

func (s *store) commit(group []change) {
	ctx := context.Background() // the group is not one caller's to call off
	results := make([]error, len(group))
	err := func() error {
		tx, err := s.writes.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
		for i, c := range group {
			if _, err := tx.ExecContext(ctx, "SAVEPOINT one"); err != nil {
				return err
			}
			if results[i] = c.do(tx); results[i] != nil {
				if _, err := tx.ExecContext(ctx, "ROLLBACK TO one"); err != nil {
					return err
				}
			}
			if _, err := tx.ExecContext(ctx, "RELEASE one"); err != nil {
				return err
			}
		}
		return tx.Commit()
	}()
	for i, c := range group {
		if err != nil {
			results[i] = fmt.Errorf("issuer: store: %w", err)
		}
		c.done <- results[i]
	}
}

// forget makes sure that what was deleted or overwritten is in no file of the database any more.
func (s *store) forget(ctx context.Context) error {
	var busy, left, moved int
	if err := s.writes.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &left, &moved); err != nil {
		return fmt.Errorf("issuer: store: %w", err)
	}
	if busy != 0 {
		return errors.New("issuer: store: a reader holds on to the old log; erased data leaves the disk with the next checkpoint")
	}
	return nil
}

func (s *store) close() error {
	var err error
	s.once.Do(func() {
		close(s.done)
		err = errors.Join(s.reads.Close(), s.writes.Close())
	})
	return err
}
