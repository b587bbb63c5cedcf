package database_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/database/databasetest"
)

// What a change costs, on disk, by how many callers make changes at once.
func BenchmarkWrite(b *testing.B) {
	for name, dsn := range map[string]func(testing.TB) string{"sqlite": databasetest.SQLite, "postgres": databasetest.Postgres} {
		for _, callers := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", name, callers), func(b *testing.B) {
				d, err := database.Open(b.Context(), dsn(b), schema)
				if err != nil {
					b.Fatal(err)
				}
				defer d.Close()
				ctx, now := b.Context(), time.Unix(1_790_000_000, 0)
				var n atomic.Int64
				b.SetParallelism(callers)
				b.RunParallel(func(p *testing.PB) {
					for p.Next() {
						value := fmt.Sprint(n.Add(1))
						if err := d.Write(ctx, func(tx *database.Tx) error {
							_, err := tx.Spend(ctx, "bench", value, now.Add(time.Minute), now)
							return err
						}); err != nil {
							b.Error(err)
							return
						}
					}
				})
			})
		}
	}
}
