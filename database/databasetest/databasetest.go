// Package databasetest runs a test on every engine that package database knows. PostgreSQL is the server
// that HUFU_TEST_POSTGRES names ("make test" starts one); each test has a database of its own there.
package databasetest

import (
	"context"
	"crypto/rand"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/hufu-id/hufu/database"
)

// Variable is the environment variable with the DSN of a PostgreSQL server whose user may create databases.
const Variable = "HUFU_TEST_POSTGRES"

// EngineVariable is the environment variable that says on which engine [Chosen] is: "postgres", or else SQLite. Suites
// that are long for both in one run are run once for each.
const EngineVariable = "HUFU_TEST_ENGINE"

// Chosen is the DSN of an empty database on the engine that the environment chooses; sqlite is it on SQLite.
func Chosen(t testing.TB, sqlite string) string {
	t.Helper()
	if os.Getenv(EngineVariable) == "postgres" {
		return Postgres(t)
	}
	return sqlite
}

// OnDisk skips a test of the files of a SQLite database where another engine was chosen.
func OnDisk(t testing.TB) {
	t.Helper()
	if os.Getenv(EngineVariable) == "postgres" {
		t.Skip("a test of SQLite's files")
	}
}

// Each runs test as a subtest on each engine, with the DSN of an empty database.
func Each(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("memory", func(t *testing.T) { test(t, database.Memory) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// Shared runs test as a subtest on each engine whose databases outlive one [database.DB].
func Shared(t *testing.T, test func(t *testing.T, dsn string)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLite(t)) })
	t.Run("postgres", func(t *testing.T) { test(t, Postgres(t)) })
}

// SQLite is the path of a database that does not exist yet, in a directory that a URL has to escape.
func SQLite(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "with ? and %")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "test.db")
}

// Postgres is the DSN of an empty database, which is dropped after the test. Without a server the
// test is skipped.
func Postgres(t testing.TB) string {
	t.Helper()
	server := os.Getenv(Variable)
	if server == "" {
		t.Skipf("SKIPPED: no PostgreSQL (%s is not set; make test sets it)", Variable)
	}
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("%s does not read as a URL", Variable)
	}
	name := "hufu_test_" + strings.ToLower(rand.Text())
	run(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u.Path = "/" + name
	return u.String()
}

func run(t testing.TB, server, statement string) {
	t.Helper()
	ctx := context.Background() // also in cleanups
	c, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx) //nolint:errcheck // nothing is left to lose
	if _, err := c.Exec(ctx, statement); err != nil {
		t.Fatal(err)
	}
}
