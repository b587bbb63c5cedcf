package database

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"strconv"
	"strings"
	"time"
)

// Tx is a change while it is made. It is for the function it was given to alone.
type Tx struct {
	tx      *sql.Tx
	dialect dialect
	made    map[string]*sql.Stmt // statements of earlier changes, see [DB.keep]
	stmts   map[string]*sql.Stmt // on SQLite; they end with the transaction
}

// ExecContext runs a statement.
func (t *Tx) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	ctx = context.WithoutCancel(ctx)
	if t.dialect == postgres {
		return t.tx.ExecContext(ctx, t.dialect.rebind(query), args...)
	}
	s, err := t.prepared(ctx, query) //nolint:sqlclosecheck // closed with the transaction
	if err != nil {
		return nil, err
	}
	return s.ExecContext(ctx, args...)
}

// QueryContext reads rows. They are closed before the next statement.
func (t *Tx) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	ctx = context.WithoutCancel(ctx)
	if t.dialect == postgres {
		return t.tx.QueryContext(ctx, t.dialect.rebind(query), args...)
	}
	s, err := t.prepared(ctx, query) //nolint:sqlclosecheck // closed with the transaction
	if err != nil {
		return nil, err
	}
	return s.QueryContext(ctx, args...)
}

// QueryRowContext reads at most one row.
func (t *Tx) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	ctx = context.WithoutCancel(ctx)
	if t.dialect == sqlite {
		s, err := t.prepared(ctx, query) //nolint:sqlclosecheck // closed with the transaction
		if err == nil {                  // else the same error comes from below
			return s.QueryRowContext(ctx, args...)
		}
	}
	return t.tx.QueryRowContext(ctx, t.dialect.rebind(query), args...)
}

func (t *Tx) prepared(ctx context.Context, query string) (*sql.Stmt, error) {
	if s, ok := t.stmts[query]; ok {
		return s, nil
	}
	if s, ok := t.made[query]; ok {
		s = t.tx.StmtContext(ctx, s)
		t.stmts[query] = s
		return s, nil
	}
	s, err := t.tx.PrepareContext(ctx, query)
	if err == nil {
		t.stmts[query] = s
	}
	return s, err
}

// spentMargin is how much longer than it is good a spent value is remembered, so that processes whose
// clocks differ agree about it.
const spentMargin = time.Hour

// Spend uses up a value that is good once: a nonce, a code, the id of a token. It reports whether this
// is the first use, of all callers of all processes. The value is good until the given time, after
// which the caller refuses it by itself. kind keeps values of different meaning apart. Of the value a digest is
// kept, in the table "spent" (id, until), which the schema has to have.
func (t *Tx) Spend(ctx context.Context, kind, value string, until, now time.Time) (first bool, err error) {
	if _, err := t.ExecContext(ctx, "DELETE FROM spent WHERE until < ?", now.Add(-spentMargin).Unix()); err != nil {
		return false, err
	}
	id := sha256.Sum256([]byte(kind + "\x00" + value))
	r, err := t.ExecContext(ctx, "INSERT INTO spent (id, until) VALUES (?, ?) ON CONFLICT (id) DO NOTHING", id[:], until.Unix())
	if err != nil {
		return false, err
	}
	n, err := r.RowsAffected()
	return n == 1, err
}

// rebind turns the placeholders "?" and "?1" into PostgreSQL's "$1". Text in quotes is left alone.
func (d dialect) rebind(query string) string {
	if d != postgres || !strings.Contains(query, "?") {
		return query
	}
	var out strings.Builder
	out.Grow(len(query) + 8)
	next := 1
	var quote byte
	for i := 0; i < len(query); i++ {
		c := query[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '?':
			out.WriteByte('$')
			if i+1 < len(query) && query[i+1] >= '0' && query[i+1] <= '9' {
				continue // the number is there already
			}
			out.WriteString(strconv.Itoa(next))
			next++
			continue
		}
		out.WriteByte(c)
	}
	return out.String()
}
