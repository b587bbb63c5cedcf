package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
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

// ChangeFile changes a SQLite database that nobody uses, all of changes or nothing, and leaves it as one file.
func ChangeFile(ctx context.Context, path string, changes ...string) error {
	return atFile(path, func(db *sql.DB) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		for _, q := range changes {
			if _, err := tx.ExecContext(ctx, q); err != nil {
				return errors.Join(fmt.Errorf("database: %s: %w", path, err), tx.Rollback())
			}
		}
		if err := tx.Commit(); err != nil {
			return fmt.Errorf("database: %s: %w", path, err)
		}
		return nil
	})
}

func atFile(path string, do func(*sql.DB) error) error {
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)")
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	db.SetMaxOpenConns(1)
	return errors.Join(do(db), db.Close())
}
