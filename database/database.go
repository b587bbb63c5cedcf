package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// dialect is an engine, and the name of its folder of migrations.
type dialect string

const (
	sqlite   dialect = "sqlite"
	postgres dialect = "postgres"
)

// DB is an open database. Safe for concurrent use.
type DB struct {
	name    string
	dialect dialect
	reads   *sql.DB // any number of readers
	writes  *sql.DB // one connection
	queue   chan change
	done    chan struct{} // closed to end run
	ended   chan struct{} // closed when run has ended
	once    sync.Once

	// Of SQLite, whose driver keeps no statements:
	made  map[string]*sql.Stmt // for changes; of run alone
	asked statements           // for readers

	// Of PostgreSQL:
	config *pgx.ConnConfig
	schema string
	lock   int64 // the advisory lock by which changes take their turn
}

// change is one caller's part of a transaction.
type change struct {
	do   func(*Tx) error
	done chan result
}

type result struct {
	err   error
	panic any // what the change panicked with, for its caller to go on with
}

// maxGroup bounds how many callers' changes share one transaction and its wait for the disk.
const maxGroup = 256

// maxTransaction is when a group is given up: the longest is two thousand people enrolled, seconds even far
// from the server. It is for connections that have died without a word.
const maxTransaction = 2 * time.Minute

// ErrClosed is what a call on a closed database returns.
var ErrClosed = errors.New("database: closed")

// Write makes a change and waits until it is on disk. An error of do undoes what do did, and is
// returned as it is. Every other error means that the change is not made, except when the connection
// to PostgreSQL broke in the very moment of committing; then it may be.
//
// do uses the [Tx] for everything and no longer than it runs, and does not call the DB. Once the
// change is taken up the context no longer ends it: others share its transaction. A statement that fails leaves the
// rest of the change without effect on PostgreSQL, so do returns its error; where a row may be there
// already the statement says so (ON CONFLICT).
func (d *DB) Write(ctx context.Context, do func(*Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := change{do: do, done: make(chan result, 1)}
	select {
	case d.queue <- c:
	case <-d.done:
		return ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	r := <-c.done
	if r.panic != nil {
		panic(r.panic)
	}
	return r.err
}

func (d *DB) run() {
	defer close(d.ended)
	for {
		select {
		case first := <-d.queue:
			group := []change{first}
			for more := true; more && len(group) < maxGroup; {
				select {
				case c := <-d.queue:
					group = append(group, c)
				default:
					more = false
				}
			}
			d.commit(group)
		case <-d.done:
			return
		}
	}
}

func (d *DB) commit(group []change) {
	results := make([]result, len(group))
	if err := d.transact(group, results); err != nil {
		for i := range results {
			results[i].err = fmt.Errorf("database %s: %w", d.name, err)
		}
	}
	for i, c := range group {
		c.done <- results[i]
	}
}

// transact runs the changes of a group in one transaction, each within a savepoint.
func (d *DB) transact(group []change, results []result) error {
	ctx, cancel := context.WithTimeout(context.Background(), maxTransaction) // the group is not one caller's to call off
	defer cancel()
	tx, err := d.writes.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	t := &Tx{tx: tx, dialect: d.dialect, made: d.made, stmts: map[string]*sql.Stmt{}}
	defer d.keep(t)
	defer tx.Rollback() //nolint:errcheck // after Commit it does nothing
	if d.dialect == postgres {
		// One change after another, whichever process makes it, as SQLite has it by itself.
		if _, err := tx.ExecContext(ctx, fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", d.lock)); err != nil {
			return err
		}
	}
	if len(group) == 1 {
		if results[0] = t.attempt(&group[0]); results[0].err != nil || results[0].panic != nil {
			return nil // all of it is rolled back
		}
		return tx.Commit()
	}
	for i := range group {
		if _, err := tx.ExecContext(ctx, "SAVEPOINT one"); err != nil {
			return err
		}
		end := "RELEASE one"
		if results[i] = t.attempt(&group[i]); results[i].err != nil || results[i].panic != nil {
			end = "ROLLBACK TO one; RELEASE one"
		}
		if _, err := tx.ExecContext(ctx, end); err != nil {
			return err
		}
	}
	return tx.Commit()
}

// attempt runs one change. A panic is its caller's and must not end the others.
func (t *Tx) attempt(c *change) (r result) {
	finished := false
	defer func() {
		if !finished {
			if r.panic = recover(); r.panic == nil {
				r.err = errors.New("database: the change ended its goroutine")
			}
		}
	}()
	r.err = c.do(t)
	finished = true
	return r
}

// QueryContext reads what was committed. The caller closes the rows before it makes a change.
func (d *DB) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	if s := d.statement(ctx, query); s != nil { //nolint:sqlclosecheck // kept
		return s.QueryContext(ctx, args...)
	}
	return d.reads.QueryContext(ctx, d.dialect.rebind(query), args...)
}

// QueryRowContext reads at most one row of what was committed.
func (d *DB) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	if s := d.statement(ctx, query); s != nil { //nolint:sqlclosecheck // kept
		return s.QueryRowContext(ctx, args...)
	}
	return d.reads.QueryRowContext(ctx, d.dialect.rebind(query), args...)
}

// Ping reports whether the database can be reached.
func (d *DB) Ping(ctx context.Context) error {
	if err := d.reads.PingContext(ctx); err != nil {
		return fmt.Errorf("database %s: %w", d.name, err)
	}
	return nil
}

// Forget makes sure that what was deleted or overwritten is in no file of a SQLite database any more.
// On PostgreSQL it does nothing: see the package's documentation.
func (d *DB) Forget(ctx context.Context) error {
	if d.dialect != sqlite {
		return nil
	}
	var busy, left, moved int
	if err := d.writes.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &left, &moved); err != nil {
		return fmt.Errorf("database %s: %w", d.name, err)
	}
	if busy != 0 {
		return fmt.Errorf("database %s: a reader holds on to the old log; erased data leaves the disk with the next checkpoint", d.name)
	}
	return nil
}

// Close waits for the changes that were begun and closes the connections. Later calls fail.
func (d *DB) Close() error {
	var err error
	d.once.Do(func() {
		close(d.done)
		<-d.ended
		for _, db := range []*sql.DB{d.reads, d.writes} {
			if db != nil {
				err = errors.Join(err, db.Close())
			}
		}
	})
	return err
}
