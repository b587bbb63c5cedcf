package admin_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/admin"
)

type sum struct{ A, B int }

// serve serves a home in dir until the test ends, or stop is called.
func serve(t *testing.T, dir string, p admin.Process) (stop func()) {
	t.Helper()
	s, err := admin.Listen(t.Context(), dir, p, admin.Verbs{
		"sum":    admin.Verb(func(_ context.Context, in sum) (int, error) { return in.A + in.B, nil }),
		"refuse": admin.Verb(func(context.Context, struct{}) (int, error) { return 0, hufu.Refuse("test.rule", "not today") }),
		"fail":   admin.Verb(func(context.Context, struct{}) (int, error) { return 0, errors.New("broken") }),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(stop)
	return stop
}

func TestCalls(t *testing.T) {
	for name, dir := range map[string]string{
		"short": shortDir(t),
		"a path too long for a socket": func() string {
			d := filepath.Join(t.TempDir(), strings.Repeat("long", 30))
			if err := os.Mkdir(d, 0o700); err != nil {
				t.Fatal(err)
			}
			return d
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := admin.Call[int](t.Context(), dir, "sum", sum{1, 2}); !errors.Is(err, admin.ErrNotRunning) {
				t.Errorf("before it runs: %v", err)
			}
			stop := serve(t, dir, admin.Whole)
			if n, err := admin.Call[int](t.Context(), dir, "sum", sum{1, 2}); n != 3 || err != nil {
				t.Errorf("sum %d, %v", n, err)
			}
			_, err := admin.Call[int](t.Context(), dir, "refuse", struct{}{})
			var refusal *hufu.Refusal
			if !errors.As(err, &refusal) || refusal.Rule != "test.rule" || refusal.Detail != "not today" {
				t.Errorf("refused by %v", err)
			}
			if _, err := admin.Call[int](t.Context(), dir, "fail", struct{}{}); err == nil || err.Error() != "broken" {
				t.Errorf("failed by %v", err)
			}
			for what, f := range map[string]func() error{
				"unknown verb":   func() error { _, err := admin.Call[int](t.Context(), dir, "other", sum{}); return err },
				"unknown member": func() error { _, err := admin.Call[int](t.Context(), dir, "sum", map[string]int{"C": 1}); return err },
				"too large": func() error {
					_, err := admin.Call[int](t.Context(), dir, "sum", strings.Repeat("x", 2<<20))
					return err
				},
			} {
				if f() == nil {
					t.Errorf("%s: accepted", what)
				}
			}
			stop()
			if _, err := admin.Call[int](t.Context(), dir, "sum", sum{1, 2}); !errors.Is(err, admin.ErrNotRunning) {
				t.Errorf("after it ran: %v", err)
			}
		})
	}
}

func TestOnlyTheOwner(t *testing.T) {
	dir := shortDir(t)
	stop := serve(t, dir, admin.Whole)
	for _, name := range []string{"admin.sock", "admin.token"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	old, err := os.ReadFile(filepath.Join(dir, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	serve(t, dir, admin.Whole)
	if err := os.WriteFile(filepath.Join(dir, "admin.token"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Call[int](t.Context(), dir, "sum", sum{1, 2}); err == nil || !strings.Contains(err.Error(), "not the token") {
		t.Errorf("an old token: %v", err)
	}
}

// Each process is asked for what it does.
func TestProcessesApart(t *testing.T) {
	dir := shortDir(t)
	serve(t, dir, admin.Issuer)
	s, err := admin.Listen(t.Context(), dir, admin.Gate, admin.Verbs{
		"gate": admin.Verb(func(context.Context, struct{}) (string, error) { return "open", nil }),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	if got, err := admin.Call[string](t.Context(), dir, "gate", struct{}{}); got != "open" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if n, err := admin.Call[int](t.Context(), dir, "sum", sum{1, 2}); n != 3 || err != nil {
		t.Errorf("sum %d, %v", n, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := admin.Call[string](t.Context(), dir, "gate", struct{}{}); err == nil || errors.Is(err, admin.ErrNotRunning) {
		t.Errorf("the issuer's process is asked for a gate: %v", err)
	}
}

func TestAKilledProcessIsNotRunning(t *testing.T) {
	dir := shortDir(t)
	if err := os.WriteFile(filepath.Join(dir, "admin.token"), []byte(`{"socket":"`+filepath.Join(dir, "gone.sock")+`","token":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Call[int](t.Context(), dir, "sum", sum{}); !errors.Is(err, admin.ErrNotRunning) {
		t.Error(err)
	}
}

// shortDir is a directory whose path leaves room for a socket's name.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "adm")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
