package database_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/database/databasetest"
)

// What is changed from outside is changed whole or not at all, for the role that is named.
func TestChange(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		ctx := t.Context()
		d, err := database.Open(ctx, dsn, schema)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"a", "b"} {
			if err := d.Write(ctx, put(ctx, name)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := database.Change(ctx, dsn, "test", "DELETE FROM things", "DELETE FROM nowhere"); err == nil {
			t.Error("a change that cannot be was made")
		}
		if err := database.Change(ctx, dsn, "test", "DELETE FROM things WHERE name = 'a'", "UPDATE things SET n = 7"); err != nil {
			t.Error(err)
		}
		if database.IsPostgres(dsn) {
			if err := database.Change(ctx, dsn, "other", "DELETE FROM things"); err != nil {
				t.Error("a role without tables:", err)
			}
		} else if left, err := filepath.Glob(dsn + "*"); err != nil || len(left) != 1 {
			t.Error("more than one file is left:", left, err)
		}
		again := open(t, dsn)
		var n int
		if err := again.QueryRowContext(ctx, "SELECT n FROM things").Scan(&n); err != nil || n != 7 || count(t, again) != 1 {
			t.Errorf("%d things, the one has %d: %v", count(t, again), n, err)
		}
	})
}

// A copy of a database in use opens by itself, closed to others, and a copy is written over nothing.
func TestCopyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?.db")
	d := open(t, path)
	if err := d.Write(t.Context(), put(t.Context(), "a")); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := database.CopyFile(t.Context(), path, to); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info, err)
	}
	if err := d.Write(t.Context(), put(t.Context(), "b")); err != nil {
		t.Fatal(err)
	}
	if n := count(t, open(t, to)); n != 1 {
		t.Errorf("%d things in the copy", n)
	}
	if err := database.CopyFile(t.Context(), path, to); err == nil {
		t.Error("a copy was written over another")
	}
	if err := database.CopyFile(t.Context(), path+"-none", to+"-none"); err == nil {
		t.Error("nothing was copied")
	}
}
