package gate_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
)

// TestStores is the conformance suite of gate.Store.
func TestStores(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) gate.Store{
		"memory": func(*testing.T) gate.Store { return gate.NewMemoryStore() },
		"sqlite": func(t *testing.T) gate.Store {
			return must[gate.Store](t)(gate.OpenStore(t.Context(), filepath.Join(t.TempDir(), "gate.db")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Run("sessions", func(t *testing.T) { testSessions(t, open(t)) })
			t.Run("taken once", func(t *testing.T) { testTakenOnce(t, open(t)) })
			t.Run("receipts", func(t *testing.T) { testReceipts(t, open(t)) })
		})
	}
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
	if got := must[gate.Session](t)(s.Take(ctx, want.State)); got != want {
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

func testTakenOnce(t *testing.T, s gate.Store) {
	defer s.Close()
	check(t, s.Open(t.Context(), session(1)))
	var wg sync.WaitGroup
	var took atomic.Int32
	for range 16 {
		wg.Go(func() {
			if _, err := s.Take(t.Context(), "state-1"); err == nil {
				took.Add(1)
			} else if !errors.Is(err, gate.ErrAnsweredSession) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if took.Load() != 1 {
		t.Errorf("taken %d times", took.Load())
	}
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

func TestSQLiteStoreRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "with ? and %", "gate.db")
	check(t, os.Mkdir(filepath.Dir(path), 0o700))
	s := must[gate.Store](t)(gate.OpenStore(t.Context(), path))
	check(t, s.Open(t.Context(), session(1)))
	check(t, s.Open(t.Context(), session(2)))
	must[gate.Session](t)(s.Take(t.Context(), "state-1"))
	must[int64](t)(s.Append(t.Context(), gate.Entry{Token: "kept", Time: time.Unix(1, 0)}))
	check(t, s.Close())

	s = must[gate.Store](t)(gate.OpenStore(t.Context(), path))
	defer s.Close()
	if _, err := s.Take(t.Context(), "state-1"); !errors.Is(err, gate.ErrAnsweredSession) {
		t.Errorf("answered before the restart: %v", err)
	}
	must[gate.Session](t)(s.Take(t.Context(), "state-2"))
	if got := must[[]gate.Entry](t)(s.Receipts(t.Context(), 0, 9)); len(got) != 1 || got[0].Token != "kept" {
		t.Errorf("receipts %v", got)
	}
	if info := must[os.FileInfo](t)(os.Stat(path)); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o", info.Mode().Perm())
	}
}

func TestSQLiteStoreForgetsOldSessions(t *testing.T) {
	s := must[gate.Store](t)(gate.OpenStore(t.Context(), filepath.Join(t.TempDir(), "gate.db")))
	defer s.Close()
	check(t, s.Open(t.Context(), session(1)))
	later := session(2)
	later.Opened = later.Opened.Add(48 * time.Hour)
	later.Expires = later.Opened.Add(time.Minute)
	check(t, s.Open(t.Context(), later))
	if _, err := s.Take(t.Context(), "state-1"); !errors.Is(err, gate.ErrUnknownSession) {
		t.Errorf("an old session: %v", err)
	}
	must[gate.Session](t)(s.Take(t.Context(), "state-2"))
}

// direct opens the database beside the store, as an administrator could.
func direct(t *testing.T, path string) *sql.DB {
	t.Helper()
	db := must[*sql.DB](t)(sql.Open("sqlite", path))
	t.Cleanup(func() { db.Close() })
	return db
}

func TestReceiptsAreAppendOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	s := must[gate.Store](t)(gate.OpenStore(t.Context(), path))
	must[int64](t)(s.Append(t.Context(), gate.Entry{Token: "kept", Time: time.Unix(1, 0)}))
	check(t, s.Close())
	db := direct(t, path)
	for _, q := range []string{"UPDATE receipts SET token = 'x'", "DELETE FROM receipts"} {
		if _, err := db.Exec(q); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", q, err)
		}
	}
}

func TestOpenRequestsAreVoidAfterReboot(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.db")
	s := must[gate.Store](t)(gate.OpenStore(t.Context(), path))
	check(t, s.Open(t.Context(), session(1)))
	check(t, s.Close())
	must[sql.Result](t)(direct(t, path).Exec("UPDATE boot SET id = 'an earlier one'"))
	s = must[gate.Store](t)(gate.OpenStore(t.Context(), path))
	defer s.Close()
	if _, err := s.Take(t.Context(), "state-1"); !errors.Is(err, gate.ErrAnsweredSession) {
		t.Errorf("opened before the reboot: %v", err)
	}
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
