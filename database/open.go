package database

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver of SQLite
)

// Memory is the DSN of a SQLite database that ends with its [DB].
const Memory = ":memory:"

// Schema is what one role keeps in a database.
type Schema struct {
	// Name is a-z and _. It is in errors, and on PostgreSQL the schema "hufu_" + Name holds the
	// tables, so that roles can share a database.
	Name string
	// Migrations holds the folders "sqlite" and "postgres" of goose migrations.
	Migrations fs.FS
}

// maxReaders bounds one process's connections to PostgreSQL, which by default allows a hundred in all, and
// those to SQLite that are kept while nobody reads.
const maxReaders = 8

// IsPostgres reports whether dsn names a PostgreSQL database; everything else is the path of a file.
func IsPostgres(dsn string) bool {
	return strings.HasPrefix(dsn, "postgres://") || strings.HasPrefix(dsn, "postgresql://")
}

// Open opens the database that dsn names, a path or a postgres:// URL, and brings its tables up to
// date. A file that does not exist is made, readable by its owner alone.
func Open(ctx context.Context, dsn string, s Schema) (*DB, error) {
	d := &DB{name: s.Name, queue: make(chan change), done: make(chan struct{}), ended: make(chan struct{})}
	var err error
	if IsPostgres(dsn) {
		err = d.openPostgres(dsn)
	} else {
		err = d.openSQLite(dsn)
	}
	if err == nil {
		if err = d.migrate(ctx, s.Migrations); err != nil {
			err = fmt.Errorf("migrating: %w", err)
		}
	}
	if err != nil {
		close(d.ended)
		return nil, errors.Join(fmt.Errorf("database %s: %w", s.Name, hide(err)), d.Close())
	}
	go d.run()
	return d, nil
}

func (d *DB) openSQLite(path string) (err error) {
	file := "file:/hufu-" + rand.Text() + "?vfs=memdb&"
	if path != Memory {
		f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		file = "file:" + (&url.URL{Path: path}).EscapedPath() + "?_pragma=journal_mode(WAL)&"
	}
	file += "_pragma=busy_timeout(10000)&_pragma=synchronous(FULL)&_pragma=secure_delete(ON)&_pragma=foreign_keys(ON)"
	d.dialect = sqlite
	if d.writes, err = sql.Open("sqlite", file+"&_pragma=cache_size(-16000)&_txlock=immediate"); err != nil {
		return err
	}
	// Each connection comes to hold as much as its cache may (in KiB). Changes walk the indexes; readers look for
	// single rows, which the system's cache has.
	d.writes.SetMaxOpenConns(1) // SQLite has one writer; waiting here is cheaper than in its busy loop
	if d.reads, err = sql.Open("sqlite", file+"&_pragma=cache_size(-2000)&_pragma=query_only(ON)"); err != nil {
		return err
	}
	d.reads.SetMaxIdleConns(maxReaders)
	return nil
}

func (d *DB) openPostgres(dsn string) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	schema := "hufu_" + d.name
	config.RuntimeParams["search_path"] = schema
	config.RuntimeParams["synchronous_commit"] = "on"
	config.RuntimeParams["application_name"] = schema
	config.RuntimeParams["idle_in_transaction_session_timeout"] = "60s" // a process that hangs must not keep the others waiting
	d.dialect, d.schema = postgres, schema
	sum := sha256.Sum256([]byte(schema))
	d.lock = int64(binary.BigEndian.Uint64(sum[:8]) >> 1)
	d.config = config
	reading := config.Copy()
	reading.RuntimeParams["default_transaction_read_only"] = "on"
	d.writes, d.reads = stdlib.OpenDB(*config), stdlib.OpenDB(*reading)
	d.writes.SetMaxOpenConns(1)
	d.reads.SetMaxOpenConns(maxReaders)
	return nil
}

// ErrUnreachable means that there is no PostgreSQL where the DSN says, or that it lets nobody of that name in.
var ErrUnreachable = errors.New("the server cannot be reached")

// hide keeps a DSN that does not parse, and may hold a password, out of errors.
func hide(err error) error {
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		return errors.New("the DSN does not read as postgres://user:password@host:port/name")
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return fmt.Errorf("%w: %w", ErrUnreachable, connect)
	}
	return err
}

func (d *DB) migrate(ctx context.Context, migrations fs.FS) error {
	dir, err := fs.Sub(migrations, string(d.dialect))
	if err != nil {
		return err
	}
	dialect := goose.DialectSQLite3
	if d.dialect == postgres {
		dialect = goose.DialectPostgres
		release, err := d.lockSchema(ctx)
		if err != nil {
			return err
		}
		defer release()
	}
	p, err := goose.NewProvider(dialect, d.writes, dir)
	if err != nil {
		return err
	}
	if _, err = p.Up(ctx); err != nil && d.dialect == sqlite {
		// Another process may have been making the tables at the same moment; then they are there now.
		_, err = p.Up(ctx)
	}
	return err
}

// lockSchema makes the schema and keeps other processes from migrating it until release.
func (d *DB) lockSchema(ctx context.Context) (release func(), err error) {
	c, err := pgx.ConnectConfig(ctx, d.config)
	if err != nil {
		return nil, err
	}
	release = func() { _ = c.Close(context.WithoutCancel(ctx)) } // the lock ends with the session
	for _, q := range []string{fmt.Sprintf("SELECT pg_advisory_lock(%d)", d.lock), "CREATE SCHEMA IF NOT EXISTS " + d.schema} {
		if _, err := c.Exec(ctx, q); err != nil {
			release()
			return nil, err
		}
	}
	return release, nil
}
