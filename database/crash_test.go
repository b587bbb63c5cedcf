package database_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/database/databasetest"
)

// victimVariable tells a process of this test to write into a database until it is killed.
const victimVariable = "HUFU_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dsn := os.Getenv(victimVariable); dsn != "" {
		victim(dsn)
		return
	}
	os.Exit(m.Run())
}

// victim writes as fast as it can, by many callers, and says what was acknowledged.
func victim(dsn string) {
	ctx := context.Background()
	d, err := database.Open(ctx, dsn, schema)
	if err != nil {
		fmt.Println(err)
		return
	}
	var wg sync.WaitGroup
	for c := range 8 {
		wg.Go(func() {
			for n := 0; ; n++ {
				name := fmt.Sprintf("%d-%d", c, n)
				if err := d.Write(ctx, put(ctx, name)); err != nil {
					fmt.Println("error", err)
					return
				}
				fmt.Println("acknowledged", name)
			}
		})
	}
	wg.Wait()
}

// A process killed in the middle of its writes has lost nothing that it said was written.
func TestKilled(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		var acknowledged []string
		for _, until := range []int{1, 50, 200} {
			c := exec.Command(os.Args[0])
			c.Env = append(os.Environ(), victimVariable+"="+dsn)
			out, err := c.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(out)
			for n := 0; lines.Scan(); n++ {
				name, ok := strings.CutPrefix(lines.Text(), "acknowledged ")
				if !ok {
					t.Error(lines.Text())
					break
				}
				acknowledged = append(acknowledged, name)
				if n == until {
					if err := c.Process.Kill(); err != nil {
						t.Fatal(err)
					}
				}
			}
			_ = c.Process.Kill()
			_ = c.Wait() // killed
			d := open(t, dsn)
			for _, name := range acknowledged {
				var n int
				if err := d.QueryRowContext(t.Context(), "SELECT count(*) FROM things WHERE name = ?", name).Scan(&n); err != nil || n != 1 {
					t.Fatalf("%s was acknowledged and is there %d times (%v)", name, n, err)
				}
			}
			if !database.IsPostgres(dsn) {
				var verdict string
				if err := d.QueryRowContext(t.Context(), "PRAGMA integrity_check").Scan(&verdict); err != nil || verdict != "ok" {
					t.Fatalf("integrity: %s (%v)", verdict, err)
				}
			}
			// The next victim begins with names that are not taken.
			if err := d.Write(t.Context(), func(tx *database.Tx) error {
				_, err := tx.ExecContext(t.Context(), "DELETE FROM things")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			acknowledged = nil
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
