package database_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/database/databasetest"
)

var schema = database.Schema{Name: "test", Migrations: fstest.MapFS{
	"sqlite/0001_first.sql": {Data: []byte(`-- +goose Up
CREATE TABLE spent (id BLOB PRIMARY KEY, until INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE things (name TEXT PRIMARY KEY, n INTEGER NOT NULL DEFAULT 0) STRICT;
`)},
	"postgres/0001_first.sql": {Data: []byte(`-- +goose Up
CREATE TABLE spent (id BYTEA PRIMARY KEY, until BIGINT NOT NULL);
CREATE TABLE things (name TEXT PRIMARY KEY, n BIGINT NOT NULL DEFAULT 0);
`)},
}}

func open(t *testing.T, dsn string) *database.DB {
	t.Helper()
	d, err := database.Open(t.Context(), dsn, schema)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func put(ctx context.Context, name string) func(*database.Tx) error {
	return func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO things (name) VALUES (?)", name)
		return err
	}
}

func count(t *testing.T, d *database.DB) (n int) {
	t.Helper()
	if err := d.QueryRowContext(t.Context(), "SELECT count(*) FROM things").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestAFailedChangeIsUndoneAndLeavesTheOthers(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, dsn string) {
		d := open(t, dsn)
		mine := errors.New("mine")
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				name := fmt.Sprint("thing ", i)
				err := d.Write(t.Context(), func(tx *database.Tx) error {
					if err := put(t.Context(), name)(tx); err != nil {
						return err
					}
					switch i % 3 {
					case 1:
						return mine
					case 2: // a statement of the engine's own that fails
						_, err := tx.ExecContext(t.Context(), "INSERT INTO things (name) VALUES (?)", name)
						return err
					}
					return nil
				})
				if (err != nil) != (i%3 != 0) || i%3 == 1 && !errors.Is(err, mine) {
					t.Errorf("change %d: %v", i, err)
				}
			})
		}
		wg.Wait()
		if n := count(t, d); n != 20 {
			t.Errorf("%d changes were made, want 20", n)
		}
	})
}

func TestAPanicIsItsCallersAlone(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, dsn string) {
		d := open(t, dsn)
		func() {
			defer func() {
				if r := recover(); r != "out of cheese" {
					t.Errorf("recovered %v", r)
				}
			}()
			_ = d.Write(t.Context(), func(tx *database.Tx) error {
				if err := put(t.Context(), "a")(tx); err != nil {
					return err
				}
				panic("out of cheese")
			})
		}()
		if err := d.Write(t.Context(), put(t.Context(), "b")); err != nil {
			t.Error(err)
		}
		if n := count(t, d); n != 1 {
			t.Errorf("%d changes were made, want 1", n)
		}
	})
}

func TestACallerWhoLeavesDoesNotHarmTheGroup(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, dsn string) {
		d := open(t, dsn)
		ctx, cancel := context.WithCancel(t.Context())
		if err := d.Write(ctx, func(tx *database.Tx) error {
			cancel()
			return put(ctx, "begun")(tx)
		}); err != nil {
			t.Errorf("a change that had begun: %v", err)
		}
		if err := d.Write(t.Context(), put(t.Context(), "later")); err != nil {
			t.Error(err)
		}
		if n := count(t, d); n != 2 {
			t.Errorf("%d changes were made, want 2", n)
		}
	})
}

func TestClosed(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, dsn string) {
		d := open(t, dsn)
		var wg sync.WaitGroup
		var made atomic.Int32
		for i := range 40 {
			wg.Go(func() {
				switch err := d.Write(context.Background(), put(context.Background(), fmt.Sprint(i))); {
				case err == nil:
					made.Add(1)
				case !errors.Is(err, database.ErrClosed):
					t.Error(err)
				}
			})
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		wg.Wait()
		if err := d.Write(t.Context(), put(t.Context(), "late")); !errors.Is(err, database.ErrClosed) {
			t.Errorf("written after closing: %v", err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("closed twice: %v", err)
		}
		if dsn == database.Memory {
			return
		}
		if n := count(t, open(t, dsn)); n != int(made.Load()) {
			t.Errorf("%d changes are there, %d were acknowledged", n, made.Load())
		}
	})
}

// Two processes, many callers each: a value is spent once, and a counter loses no step.
func TestOnceAmongProcesses(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		pools := []*database.DB{open(t, dsn), open(t, dsn)}
		ctx, now := t.Context(), time.Unix(1_790_000_000, 0)
		if err := pools[0].Write(ctx, put(ctx, "counter")); err != nil {
			t.Fatal(err)
		}
		const values, callers = 20, 12
		var firsts [values]atomic.Int32
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				for v := range values {
					err := pools[i%2].Write(ctx, func(tx *database.Tx) error {
						first, err := tx.Spend(ctx, "nonce", fmt.Sprint(v), now.Add(time.Minute), now)
						if err != nil || !first {
							return err
						}
						firsts[v].Add(1)
						// Look, then write: safe, because changes happen one after another.
						var n int
						if err := tx.QueryRowContext(ctx, "SELECT n FROM things WHERE name = ?", "counter").Scan(&n); err != nil {
							return err
						}
						_, err = tx.ExecContext(ctx, "UPDATE things SET n = ? WHERE name = ?", n+1, "counter")
						return err
					})
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		for v := range firsts {
			if n := firsts[v].Load(); n != 1 {
				t.Errorf("value %d was spent %d times", v, n)
			}
		}
		var n int
		if err := pools[1].QueryRowContext(ctx, "SELECT n FROM things WHERE name = ?", "counter").Scan(&n); err != nil || n != values {
			t.Errorf("the counter is at %d (%v), want %d", n, err, values)
		}
	})
}

func TestSpendKeepsKindsApartAndForgetsLate(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, dsn string) {
		d := open(t, dsn)
		now := time.Unix(1_790_000_000, 0)
		spend := func(kind, value string, at time.Time) (first bool) {
			t.Helper()
			err := d.Write(t.Context(), func(tx *database.Tx) (err error) {
				first, err = tx.Spend(t.Context(), kind, value, at.Add(time.Minute), at)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return first
		}
		for _, step := range []struct {
			kind, value string
			at          time.Time
			want        bool
		}{
			{"nonce", "a", now, true},
			{"nonce", "a", now, false},
			{"code", "a", now, true},
			{"nonce", "b", now, true},
			{"nonce", "a", now.Add(30 * time.Minute), false}, // expired, and remembered for clocks that go wrong
			{"nonce", "a", now.Add(2 * time.Hour), true},     // forgotten: its caller refuses it by its time
		} {
			if got := spend(step.kind, step.value, step.at); got != step.want {
				t.Errorf("%s %s at %s: first is %t", step.kind, step.value, step.at, got)
			}
		}
	})
}

func TestProcessesOpenTheSameNewDatabase(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				d, err := database.Open(t.Context(), dsn, schema)
				if err != nil {
					t.Error(err)
					return
				}
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if n := count(t, open(t, dsn)); n != 0 {
			t.Errorf("%d things in a new database", n)
		}
	})
}

func TestFileIsItsOwnersAndErasedDataIsGone(t *testing.T) {
	path := databasetest.SQLite(t)
	d := open(t, path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info, err)
	}
	ctx := t.Context()
	secret := "the quick brown tiger"
	if err := d.Write(ctx, put(ctx, secret)); err != nil {
		t.Fatal(err)
	}
	if !inFiles(t, path, secret) {
		t.Fatal("what was written is in no file: the search is wrong")
	}
	if err := d.Write(ctx, func(tx *database.Tx) error {
		_, err := tx.ExecContext(ctx, "DELETE FROM things")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Forget(ctx); err != nil {
		t.Fatal(err)
	}
	if inFiles(t, path, secret) {
		t.Error("what was erased is still on disk")
	}
}

func inFiles(t *testing.T, path, text string) bool {
	t.Helper()
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(path), f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(raw), text) {
			return true
		}
	}
	return false
}

func TestRefusedPlaces(t *testing.T) {
	junk := filepath.Join(t.TempDir(), "junk.db")
	if err := os.WriteFile(junk, []byte(strings.Repeat("not a database ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dsn := range map[string]string{
		"no directory":  filepath.Join(t.TempDir(), "absent", "x.db"),
		"no database":   junk,
		"a bad DSN":     "postgres://user:secret-word@[::1:bad/x",
		"nobody there":  "postgres://user:secret-word@127.0.0.1:1/x?connect_timeout=5",
		"a bad setting": "postgres://user:secret-word@127.0.0.1/x?sslmode=sideways",
	} {
		t.Run(name, func(t *testing.T) {
			d, err := database.Open(t.Context(), dsn, schema)
			if err == nil {
				_ = d.Close()
				t.Fatal("opened")
			}
			if unreachable := errors.Is(err, database.ErrUnreachable); unreachable != (name == "nobody there") {
				t.Errorf("unreachable is %t: %v", unreachable, err)
			}
			if strings.Contains(err.Error(), "secret-word") {
				t.Errorf("the password is in %q", err)
			}
			if !strings.HasPrefix(err.Error(), "database test: ") {
				t.Errorf("%q does not say whose database", err)
			}
		})
	}
}

// A reader sees what was committed, and cannot write.
func TestReaders(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, dsn string) {
		d := open(t, dsn)
		if err := d.Ping(t.Context()); err != nil {
			t.Error(err)
		}
		var name string
		if err := d.QueryRowContext(t.Context(), "SELECT name FROM things WHERE name = ?", "a").Scan(&name); !errors.Is(err, sql.ErrNoRows) {
			t.Errorf("read %q, %v", name, err)
		}
		if err := d.QueryRowContext(t.Context(), "INSERT INTO things (name) VALUES (?) RETURNING name", "a").Scan(&name); err == nil {
			t.Error("a reader wrote")
		}
		if n := count(t, d); n != 0 {
			t.Errorf("a reader wrote %d things", n)
		}
	})
}
