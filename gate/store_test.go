package gate_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/database"
	"github.com/hufu-id/hufu/database/databasetest"
	"github.com/hufu-id/hufu/gate"
)

// TestStores is the conformance suite of gate.Store.
func TestStores(t *testing.T) {
	databasetest.Each(t, func(t *testing.T, dsn string) {
		open := func(t *testing.T) gate.Store { return must[gate.Store](t)(gate.OpenStore(t.Context(), dsn)) }
		t.Run("sessions", func(t *testing.T) { testSessions(t, open(t)) })
		t.Run("receipts", func(t *testing.T) { testReceipts(t, open(t)) })
		t.Run("log", func(t *testing.T) { testLog(t, open(t)) })
		t.Run("conclusions", func(t *testing.T) { testConclusions(t, open(t)) })
		t.Run("forgets", func(t *testing.T) { testForgetsOldSessions(t, open(t)) })
	})
}

func session(n int) gate.Session {
	at := time.Unix(1_790_000_000, 0).UTC()
	owner := hufu.ID{9}.DID("test")
	return gate.Session{
		State: fmt.Sprint("state-", n), Nonce: fmt.Sprint("nonce-", n), Contract: hufu.ContractID{Owner: owner, Name: "door"}, Version: 2,
		Opened: at, Expires: at.Add(time.Minute),
	}
}

func testSessions(t *testing.T, s gate.Store) {
	defer s.Close()
	ctx := t.Context()
	want := session(1)
	check(t, s.Open(ctx, want))
	if err := s.Open(ctx, want); err == nil {
		t.Error("opened twice")
	}
	twin := session(2)
	twin.Nonce = want.Nonce
	if err := s.Open(ctx, twin); err == nil {
		t.Error("a nonce used twice")
	}
	if used := must[bool](t)(s.Answered(ctx, want.Nonce)); used {
		t.Error("answered before it was")
	}
	if got := must[gate.Session](t)(s.Take(ctx, want.State)); !reflect.DeepEqual(got, want) {
		t.Errorf("took %+v, opened %+v", got, want)
	}
	if _, err := s.Take(ctx, want.State); !errors.Is(err, gate.ErrAnsweredSession) {
		t.Errorf("taken twice: %v", err)
	}
	if used := must[bool](t)(s.Answered(ctx, want.Nonce)); !used {
		t.Error("not answered after it was")
	}
	if used := must[bool](t)(s.Answered(ctx, "other")); used {
		t.Error("an unknown nonce is answered")
	}
	if _, err := s.Take(ctx, "other"); !errors.Is(err, gate.ErrUnknownSession) {
		t.Errorf("an unknown session: %v", err)
	}
}

// Two processes, many wallets with one state: one is answered.
func TestTakenOnceAmongProcesses(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		stores := []gate.Store{must[gate.Store](t)(gate.OpenStore(t.Context(), dsn)), must[gate.Store](t)(gate.OpenStore(t.Context(), dsn))}
		defer stores[0].Close()
		defer stores[1].Close()
		const states, callers = 10, 16
		for n := range states {
			check(t, stores[n%2].Open(t.Context(), session(n)))
		}
		var wg sync.WaitGroup
		var took [states]atomic.Int32
		var numbers sync.Map
		for i := range callers {
			wg.Go(func() {
				for n := range states {
					_, err := stores[i%2].Take(t.Context(), session(n).State)
					if errors.Is(err, gate.ErrAnsweredSession) {
						continue
					}
					check(t, err)
					took[n].Add(1)
					number := must[int64](t)(stores[i%2].Append(t.Context(), gate.Entry{Token: "t", Time: time.Unix(1, 0)}))
					if _, twice := numbers.LoadOrStore(number, true); twice || number > states {
						t.Errorf("receipt number %d", number)
					}
				}
			})
		}
		wg.Wait()
		for n := range took {
			if took[n].Load() != 1 {
				t.Errorf("state %d was taken %d times", n, took[n].Load())
			}
		}
	})
}

func testReceipts(t *testing.T, s gate.Store) {
	defer s.Close()
	ctx := t.Context()
	var want []gate.Entry
	for i := range 5 {
		e := gate.Entry{Time: time.Unix(int64(1_790_000_000+i), 0).UTC(), Decision: i%2 == 0, Rule: "gate.x", Contract: "c", Token: fmt.Sprint("token-", i)}
		e.Number = must[int64](t)(s.Append(ctx, e))
		if e.Number != int64(i+1) {
			t.Errorf("receipt %d has number %d", i, e.Number)
		}
		want = append(want, e)
	}
	got := must[[]gate.Entry](t)(s.Receipts(ctx, 1, 3))
	if fmt.Sprint(got) != fmt.Sprint(want[1:4]) {
		t.Errorf("listed %v, want %v", got, want[1:4])
	}
	if got := must[[]gate.Entry](t)(s.Receipts(ctx, 5, 3)); len(got) != 0 {
		t.Errorf("listed %v past the end", got)
	}
}

func TestStoreRemembers(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		s := must[gate.Store](t)(gate.OpenStore(t.Context(), dsn))
		check(t, s.Open(t.Context(), session(1)))
		check(t, s.Open(t.Context(), session(2)))
		must[gate.Session](t)(s.Take(t.Context(), "state-1"))
		must[int64](t)(s.Append(t.Context(), gate.Entry{Token: "kept", Time: time.Unix(1, 0)}))
		check(t, s.Close())

		s = must[gate.Store](t)(gate.OpenStore(t.Context(), dsn))
		defer s.Close()
		if _, err := s.Take(t.Context(), "state-1"); !errors.Is(err, gate.ErrAnsweredSession) {
			t.Errorf("answered before the restart: %v", err)
		}
		must[gate.Session](t)(s.Take(t.Context(), "state-2"))
		if got := must[[]gate.Entry](t)(s.Receipts(t.Context(), 0, 9)); len(got) != 1 || got[0].Token != "kept" {
			t.Errorf("receipts %v", got)
		}
	})
}

func testForgetsOldSessions(t *testing.T, s gate.Store) {
	defer s.Close()
	check(t, s.Open(t.Context(), session(3)))
	later := session(4)
	later.Opened = later.Opened.Add(48 * time.Hour)
	later.Expires = later.Opened.Add(time.Minute)
	check(t, s.Open(t.Context(), later))
	if _, err := s.Take(t.Context(), "state-3"); !errors.Is(err, gate.ErrUnknownSession) {
		t.Errorf("an old session: %v", err)
	}
	must[gate.Session](t)(s.Take(t.Context(), "state-4"))
}

func TestReceiptsAreAppendOnly(t *testing.T) {
	databasetest.Shared(t, func(t *testing.T, dsn string) {
		s := must[gate.Store](t)(gate.OpenStore(t.Context(), dsn))
		must[int64](t)(s.Append(t.Context(), gate.Entry{Token: "kept", Time: time.Unix(1, 0)}))
		check(t, s.Close())
		// The database beside the store, as an administrator has it.
		driver, table, beside := "sqlite", "receipts", "file:"+(&url.URL{Path: dsn}).EscapedPath()
		if database.IsPostgres(dsn) {
			driver, table, beside = "pgx", "hufu_gate.receipts", dsn
		}
		db := must[*sql.DB](t)(sql.Open(driver, beside))
		defer db.Close()
		for _, q := range []string{"UPDATE " + table + " SET token = 'x'", "DELETE FROM " + table} {
			if _, err := db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
				t.Errorf("%s: %v", q, err)
			}
		}
	})
}

func TestStoreInBadPlaces(t *testing.T) {
	if _, err := gate.OpenStore(context.Background(), filepath.Join(t.TempDir(), "absent", "gate.db")); err == nil {
		t.Error("opened in a directory that is not there")
	}
	junk := filepath.Join(t.TempDir(), "gate.db")
	check(t, os.WriteFile(junk, []byte(strings.Repeat("not a database ", 500)), 0o600))
	if _, err := gate.OpenStore(context.Background(), junk); err == nil {
		t.Error("opened something that is no database")
	}
}

func testConclusions(t *testing.T, s gate.Store) {
	defer s.Close()
	ctx := t.Context()
	e := session(7)
	e.Settings = gate.Settings{Mode: "direct_post.jwt", Cross: true, Transactions: []string{"e30"}, Origins: []string{"https://a.example"}}
	e.Secret, e.Ticket, e.Page = []byte("secret"), hufu.Digest{1}, hufu.Digest{2}
	check(t, s.Open(ctx, e))
	plain := session(8)
	check(t, s.Open(ctx, plain))
	check(t, s.Open(ctx, session(9))) // tickets and pages of none are no duplicates
	for name, find := range map[string]func() (gate.Progress, error){
		"state":  func() (gate.Progress, error) { return s.ByState(ctx, e.State) },
		"ticket": func() (gate.Progress, error) { return s.ByTicket(ctx, e.Ticket) },
		"page":   func() (gate.Progress, error) { return s.ByPage(ctx, e.Page) },
	} {
		if got := must[gate.Progress](t)(find()); !reflect.DeepEqual(got.Session, e) || got.Taken || got.Outcome != "" {
			t.Errorf("by %s: %+v", name, got)
		}
	}
	if err := s.SetCode(ctx, e.Page, hufu.Digest{3}); !errors.Is(err, gate.ErrUnknownSession) {
		t.Errorf("a code before the end: %v", err)
	}
	_, before, err := s.Concluded(ctx, 0)
	check(t, err)
	if got := must[gate.Session](t)(s.Take(ctx, e.State)); !reflect.DeepEqual(got, e) {
		t.Errorf("took %+v", got)
	}
	if got := must[gate.Progress](t)(s.ByState(ctx, e.State)); !got.Taken || got.Secret != nil {
		t.Errorf("once taken: %+v", got)
	}
	at := e.Opened.Add(time.Minute)
	number := must[int64](t)(s.Conclude(ctx, e.State, gate.Entry{Token: "t", Time: at}, gate.Conclusion{Outcome: "{}", Code: hufu.Digest{4}, Claims: []byte("sealed"), Keep: at.Add(time.Minute)}))
	pages, last, err := s.Concluded(ctx, before)
	check(t, err)
	if number != before+1 || last != number || !reflect.DeepEqual(pages, []hufu.Digest{e.Page}) {
		t.Errorf("receipt %d after %d; pages %v up to %d", number, before, pages, last)
	}
	if pages, _, err := s.Concluded(ctx, last); err != nil || pages != nil {
		t.Errorf("nothing new: %v, %v", pages, err)
	}
	check(t, s.SetCode(ctx, e.Page, hufu.Digest{5}))
	if got := must[gate.Progress](t)(s.ByTicket(ctx, e.Ticket)); got.Outcome != "{}" || got.Code != (hufu.Digest{5}) || string(got.Claims) != "sealed" || !got.Keep.Equal(at.Add(time.Minute)) {
		t.Errorf("concluded: %+v", got)
	}
	if got := must[[]byte](t)(s.TakeClaims(ctx, e.Ticket, at)); string(got) != "sealed" {
		t.Errorf("claims %q", got)
	}
	if got := must[[]byte](t)(s.TakeClaims(ctx, e.Ticket, at)); got != nil {
		t.Errorf("claims twice: %q", got)
	}

	// What was not fetched in time is not given out, and is gone when the next session begins.
	late := session(10)
	late.Secret, late.Ticket = []byte("secret"), hufu.Digest{6}
	check(t, s.Open(ctx, late))
	must[gate.Session](t)(s.Take(ctx, late.State))
	must[int64](t)(s.Conclude(ctx, late.State, gate.Entry{Token: "t", Time: at}, gate.Conclusion{Outcome: "{}", Claims: []byte("sealed"), Keep: at}))
	next := session(11)
	next.Secret, next.Opened, next.Expires = []byte("secret"), at.Add(time.Second), at.Add(time.Minute)
	check(t, s.Open(ctx, next))
	if got := must[gate.Progress](t)(s.ByTicket(ctx, late.Ticket)); got.Claims != nil || got.Outcome != "{}" {
		t.Errorf("long after: %+v", got)
	}
	if got := must[[]byte](t)(s.TakeClaims(ctx, late.Ticket, at.Add(time.Second))); got != nil {
		t.Errorf("claims after their time: %q", got)
	}
	after := session(12)
	after.Opened = next.Expires.Add(time.Second)
	after.Expires = after.Opened.Add(time.Minute)
	check(t, s.Open(ctx, after))
	if got := must[gate.Progress](t)(s.ByState(ctx, next.State)); got.Secret != nil {
		t.Error("the key of an expired session is kept")
	}
	for _, unknown := range []func() error{
		func() error { _, err := s.ByState(ctx, "nobody"); return err },
		func() error { _, err := s.ByTicket(ctx, hufu.Digest{99}); return err },
		func() error { _, err := s.ByPage(ctx, hufu.Digest{99}); return err },
	} {
		if err := unknown(); !errors.Is(err, gate.ErrUnknownSession) {
			t.Errorf("a session of nobody: %v", err)
		}
	}
}
