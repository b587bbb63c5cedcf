package bench

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/hufu-id/hufu/wallet"
)

// MemoryFigures say what memory the process has while sessions come and go.
type MemoryFigures struct {
	Sessions  int `json:"sessions"`  // presentations
	Issuances int `json:"issuances"` // for them

	WarmHeap   uint64 `json:"warm_heap_bytes"` // in use after a tenth of the sessions
	EndHeap    uint64 `json:"end_heap_bytes"`
	WarmRSS    int64  `json:"warm_rss_bytes"` // resident; 0 where the system does not tell
	EndRSS     int64  `json:"end_rss_bytes"`
	Goroutines int    `json:"goroutines"` // at the end, less those at the beginning

	// Rows is what is in the databases of what ends by itself, at the end, and Swept what is left of it
	// once it has ended, and another session was opened.
	Rows  map[string]int64 `json:"rows"`
	Swept map[string]int64 `json:"rows_after_sweep"`
}

// ending are the tables of what ends by itself. What is not here is kept for good: copies and the records of
// accesses by the issuer, receipts by the gate.
var ending = map[string][]string{
	"issuer": {"offers", "authorizations", "grants", "tokens", "deferrals", "notifications", "spent"},
	"gate":   {"requests"},
}

// Time that passes: sessions are spread over days, so that what is swept in operation is swept here.
const (
	sessionSpan = 36 * time.Hour       // of the ledger's time, for all sessions
	longestLife = 100 * 24 * time.Hour // of what ends by itself: a holder key is remembered as long as its credential
)

// watchMemory lets people get and present credentials, and looks at the memory after a tenth and at the end.
func (s *site) watchMemory(ctx context.Context, c *ProtocolConfig) (*MemoryFigures, error) {
	f := &MemoryFigures{Rows: map[string]int64{}, Swept: map[string]int64{}}
	before := runtime.NumGoroutine()
	const rounds = 50
	each := max(1, c.Sessions/rounds)
	for f.Sessions < c.Sessions {
		n := min(each, c.Sessions-f.Sessions)
		phones := (n + presentEach - 1) / presentEach
		if err := atOnce(ctx, c.Clients, phones, func(ctx context.Context, i int) error {
			p, err := s.phone()
			if err == nil {
				err = p.issued(ctx, wallet.DefaultCopies)
			}
			for j := i * presentEach; j < min((i+1)*presentEach, n) && err == nil; j++ {
				err = p.presented(ctx, "")
			}
			return err
		}); err != nil {
			return nil, err
		}
		f.Sessions, f.Issuances = f.Sessions+n, f.Issuances+phones
		if err := s.world.Pass(max(time.Second, sessionSpan*time.Duration(n)/time.Duration(c.Sessions))); err != nil {
			return nil, err
		}
		if f.WarmHeap == 0 && f.Sessions >= c.Sessions/10 {
			f.WarmHeap, f.WarmRSS = s.memory()
		}
		c.Progress.done(n)
	}
	f.EndHeap, f.EndRSS = s.memory()
	f.Goroutines = runtime.NumGoroutine() - before
	if err := s.count(ctx, f.Rows); err != nil {
		return nil, err
	}
	// One more of each when everything is over: the databases are swept by the way.
	if err := s.world.Pass(longestLife); err != nil {
		return nil, err
	}
	p, err := s.phone()
	if err == nil {
		err = errors.Join(p.issued(ctx, wallet.DefaultCopies), p.presented(ctx, ""))
	}
	if err != nil {
		return nil, err
	}
	return f, s.count(ctx, f.Swept)
}

// memory is what the process has once garbage is collected.
func (s *site) memory() (heap uint64, resident int64) {
	s.client.CloseIdleConnections()
	runtime.GC()
	runtime.GC() // what finalizers and pools let go of
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, residentMemory()
}

// residentMemory is what Linux says, 0 elsewhere.
func residentMemory() int64 {
	raw, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(raw))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// count counts the rows of the tables that are swept.
func (s *site) count(ctx context.Context, rows map[string]int64) error {
	for role, tables := range ending {
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: s.files[role]}).EscapedPath()+"?mode=ro&_pragma=busy_timeout(10000)")
		if err != nil {
			return err
		}
		for _, table := range tables {
			var n int64
			if err = db.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
				err = fmt.Errorf("bench: %s: %w", table, err)
				break
			}
			rows[role+"."+table] = n
		}
		if err = errors.Join(err, db.Close()); err != nil {
			return err
		}
	}
	return nil
}
