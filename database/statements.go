package database

import (
	"context"
	"database/sql"
	"sync"
)

// maxStatements bounds what is kept of prepared statements, for readers and for changes each. There are some
// dozens in a role; one that is put together at run time must not push memory up.
const maxStatements = 256

// statements are those that readers have prepared. Safe for concurrent use.
type statements struct {
	mu   sync.RWMutex
	kept map[string]*sql.Stmt
}

// statement is query prepared for readers; nil where it is not to be kept, or cannot be prepared.
func (d *DB) statement(ctx context.Context, query string) *sql.Stmt {
	if d.dialect != sqlite {
		return nil
	}
	a := &d.asked
	a.mu.RLock()
	s, full := a.kept[query], len(a.kept) >= maxStatements
	a.mu.RUnlock()
	if s != nil || full {
		return s
	}
	s, err := d.reads.PrepareContext(ctx, query)
	if err != nil {
		return nil // the same error comes from the query itself
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[string]*sql.Stmt{}
	}
	if first := a.kept[query]; first != nil {
		_ = s.Close() //nolint:sqlclosecheck // now: the function goes on with the other
		return first
	}
	a.kept[query] = s
	return s
}

// keep prepares for later changes what a change had to prepare for itself. The one connection for changes is
// free by now.
func (d *DB) keep(t *Tx) {
	if d.dialect != sqlite {
		return
	}
	for query := range t.stmts {
		if d.made[query] != nil || len(d.made) >= maxStatements {
			continue
		}
		s, err := d.writes.PrepareContext(context.Background(), query) //nolint:sqlclosecheck // kept
		if err != nil {
			continue // it is prepared for each change
		}
		if d.made == nil {
			d.made = map[string]*sql.Stmt{}
		}
		d.made[query] = s
	}
}
