package database_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/database/databasetest"
)

// Statements are prepared once and used by many callers, also when they failed before, and when there are
// more of them than are kept.
func TestStatementsAgain(t *testing.T) {
	const different = 300
	databasetest.Each(t, func(t *testing.T, dsn string) {
		d := open(t, dsn)
		var wg sync.WaitGroup
		for caller := range 4 {
			wg.Go(func() {
				for n := range different {
					query := fmt.Sprintf("SELECT count(*) + %d FROM things WHERE name = ?", n)
					want, got := n, -1
					if err := d.QueryRowContext(t.Context(), query, "nothing").Scan(&got); err != nil || got != want {
						t.Errorf("read %d (%v), want %d", got, err, want)
					}
					name := fmt.Sprintf("%d-%d", caller, n)
					if err := d.Write(t.Context(), func(tx *database.Tx) error {
						if err := put(t.Context(), name)(tx); err != nil {
							return err
						}
						return tx.QueryRowContext(t.Context(), query, name).Scan(&got)
					}); err != nil || got != want+1 {
						t.Errorf("a change read %d (%v), want %d", got, err, want+1)
					}
					if err := d.Write(t.Context(), put(context.Background(), name)); err == nil {
						t.Error("the same name was written twice")
					}
				}
			})
		}
		wg.Wait()
		if n := count(t, d); n != 4*different {
			t.Errorf("%d names, want %d", n, 4*different)
		}
	})
}
