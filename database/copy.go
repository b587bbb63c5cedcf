package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"syscall"

	driver "modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// CopyFile writes a copy of the SQLite database at path to a new file, as it is at one moment, while others may use it. It has
// nothing in it that was deleted.
func CopyFile(ctx context.Context, path, to string) error {
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return atFile(path, func(db *sql.DB) error {
		if _, err := db.ExecContext(ctx, "VACUUM INTO ?", to); err != nil {
			return fmt.Errorf("database: copying %s: %w", path, err)
		}
		f, err := os.OpenFile(to, os.O_RDWR, 0)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		if err := errors.Join(f.Chmod(0o600), f.Sync(), f.Close()); err != nil {
			return fmt.Errorf("database: %w", err)
		}
		return nil
	})
}

// Change changes the database of the role called name that nobody uses, all of changes or nothing. SQLite's file stays one file; on
// PostgreSQL a role that has no tables there has nothing to be changed.
func Change(ctx context.Context, dsn, name string, changes ...string) error {
	if !IsPostgres(dsn) {
		return atFile(dsn, func(db *sql.DB) error { return apply(ctx, db, name, changes) })
	}
	d := &DB{name: name}
	if err := d.openPostgres(dsn); err != nil {
		return fmt.Errorf("database %s: %w", name, hide(err))
	}
	defer d.reads.Close() //nolint:errcheck // only asked
	defer d.writes.Close()
	var there bool
	err := d.reads.QueryRowContext(ctx, "SELECT EXISTS (SELECT FROM information_schema.tables WHERE table_schema = $1)", d.schema).Scan(&there)
	if err != nil {
		return fmt.Errorf("database %s: %w", name, hide(err))
	}
	if !there {
		return nil
	}
	return apply(ctx, d.writes, name, changes)
}

func apply(ctx context.Context, db *sql.DB, name string, changes []string) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("database %s: %w", name, err)
	}
	for _, q := range changes {
		if _, err := tx.ExecContext(ctx, q); err != nil {
			return errors.Join(fmt.Errorf("database %s: %w", name, err), tx.Rollback())
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("database %s: %w", name, err)
	}
	return nil
}

func atFile(path string, do func(*sql.DB) error) error {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)")
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	db.SetMaxOpenConns(1)
	return full(errors.Join(do(db), db.Close()))
}

// full says of SQLite's error that it is the disk's.
func full(err error) error {
	var s *driver.Error
	if errors.As(err, &s) && s.Code() == sqlite3.SQLITE_FULL {
		return fmt.Errorf("%w: %w", err, syscall.ENOSPC)
	}
	return err
}
