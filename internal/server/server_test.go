package server_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/didres"
)

// ledger is a world's, or one that cannot be read.
type ledger struct {
	*world.World
	down error
}

func (l *ledger) Head(context.Context) (hufu.AsOf, error) {
	if l.down != nil {
		return hufu.AsOf{}, l.down
	}
	v, err := l.View()
	if err != nil {
		return hufu.AsOf{}, err
	}
	return v.AsOf(), nil
}

func (l *ledger) Read(_ context.Context, f func(client.View) error) error {
	if l.down != nil {
		return l.down
	}
	v, err := l.View()
	if err != nil {
		return err
	}
	return f(v)
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	w, err := world.New()
	if err != nil {
		t.Fatal(err)
	}
	return &ledger{World: w}
}

func TestListen(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:0":        "loopback",
		":0":               "loopback",
		"192.0.2.1:0":      "loopback",
		"[::]:0":           "loopback",
		"hufu.example:80":  "loopback",
		"127.0.0.1.evil:0": "loopback",
		"8080":             "host:port",
		"":                 "host:port",
		"127.0.0.1:99999":  "port",
	} {
		l, err := server.Listen(t.Context(), addr, false)
		if err == nil {
			l.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || errors.Is(err, server.ErrNotLoopback) != (want == "loopback") {
			t.Errorf("%q: %v", addr, err)
		}
	}
	for _, addr := range []string{"127.0.0.1:0", "localhost:0", "127.9.9.9:0"} {
		l, err := server.Listen(t.Context(), addr, false)
		if err != nil {
			t.Errorf("%s: %v", addr, err)
			continue
		}
		if !l.Addr().(*net.TCPAddr).IP.IsLoopback() {
			t.Errorf("%s listens on %s", addr, l.Addr())
		}
		if _, err := server.Listen(t.Context(), l.Addr().String(), false); err == nil {
			t.Error("one address twice")
		}
		l.Close()
	}
}

// serve serves h until the test ends and returns its URL, what stops it, and what Serve returned.
func serve(t *testing.T, h http.Handler) (url string, stop func(), done <-chan error) {
	t.Helper()
	l, err := server.Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	gone := make(chan struct{})
	go func() {
		ended <- server.Serve(ctx, l, h, server.Options{})
		close(gone)
	}()
	t.Cleanup(func() { cancel(); <-gone })
	return "http://" + l.Addr().String(), cancel, ended
}

func TestRoutes(t *testing.T) {
	l := newLedger(t)
	alice, err := l.Actor(keys.P256)
	if err != nil {
		t.Fatal(err)
	}
	gone, err := l.Actor(keys.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Do(gone, &tx.DIDDeactivate{}); err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(prometheus.NewCounter(prometheus.CounterOpts{Name: "hufu_doors_total", Help: "Doors."}))
	say := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, what, " ", r.URL.Path) })
	}
	url, _, _ := serve(t, server.Routes(server.Parts{
		Ledger: l, Metrics: metrics, Issuer: say("issuer"), IssuerPaths: []string{"/statuslists/"},
		Gates: map[string]http.Handler{"library": say("library"), "bank": say("bank")},
	}))
	nobody := hufu.ID{9}.DID(world.Network)
	for _, c := range []struct {
		method, path, accept string
		status               int
		contentType, body    string
	}{
		{"GET", "/healthz", "", 200, "application/json", `"ok"`},
		{"HEAD", "/healthz", "", 200, "application/json", ""},
		{"POST", "/healthz", "", 405, "text/plain", ""},
		{"GET", "/readyz", "", 200, "application/json", `"app_hash"`},
		{"GET", "/metrics", "", 200, "text/plain", "hufu_doors_total 0"},
		{"GET", "/1.0/identifiers/" + string(alice.DID), "", 200, didres.ResultType, `"didDocumentMetadata"`},
		{"GET", "/1.0/identifiers/" + string(alice.DID), "text/html, " + didres.DocumentType + ";q=0.9", 200, didres.DocumentType, `"verificationMethod"`},
		{"GET", "/1.0/identifiers/" + string(gone.DID), "", 410, didres.ResultType, `"deactivated":true`},
		{"GET", "/1.0/identifiers/" + string(nobody), "", 404, didres.ResultType, "NOT_FOUND"},
		{"GET", "/1.0/identifiers/did:hufu:test:zzz", "", 400, didres.ResultType, "INVALID_DID"},
		{"GET", "/1.0/identifiers/did:web:example.org", "", 501, didres.ResultType, "METHOD_NOT_SUPPORTED"},
		{"POST", "/1.0/identifiers/" + string(alice.DID), "", 405, "text/plain", ""},
		{"GET", "/statuslists/did:x/1", "", 200, "text/plain", "issuer /statuslists/did:x/1"},
		{"POST", "/gates/library/gate/response", "", 200, "text/plain", "library /gate/response"},
		{"GET", "/gates/bank/gate/request/1", "", 200, "text/plain", "bank /gate/request/1"},
		{"GET", "/gates/nobody/gate/response", "", 404, "text/plain", ""},
		{"GET", "/", "", 404, "text/plain", ""},
		{"GET", "/debug/pprof/", "", 404, "text/plain", ""},
	} {
		t.Run(c.method+" "+c.path+" "+c.accept, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, url+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.accept != "" {
				req.Header.Set("Accept", c.accept)
			}
			res, body := do(t, req)
			if res.StatusCode != c.status || !strings.HasPrefix(res.Header.Get("Content-Type"), c.contentType) || !strings.Contains(body, c.body) {
				t.Errorf("%d %s\n%s", res.StatusCode, res.Header.Get("Content-Type"), body)
			}
			for name, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'", "Referrer-Policy": "no-referrer",
			} {
				if !strings.HasPrefix(res.Header.Get(name), want) {
					t.Errorf("%s is %q", name, res.Header.Get(name))
				}
			}
		})
	}
}

func do(t *testing.T, req *http.Request) (*http.Response, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

// Without a ledger the process is alive and not ready, and says nothing about why to strangers.
func TestLedgerDown(t *testing.T) {
	l := newLedger(t)
	l.down = fmt.Errorf("%w: dial tcp 10.1.2.3:26657", client.ErrUnreachable)
	h := server.Routes(server.Parts{Ledger: l})
	did := string(l.Member.DID)
	for path, want := range map[string]int{
		"/healthz": 200, "/readyz": 503, "/1.0/identifiers/" + did: 500, "/metrics": 404, "/statuslists/x/1": 404, "/gates/x/gate/response": 404,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil))
		if w.Code != want || strings.Contains(w.Body.String(), "10.1.2.3") {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	l.down = nil
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/readyz", nil))
	var head struct {
		Status string
		Height hufu.Height
	}
	if err := json.Unmarshal(w.Body.Bytes(), &head); err != nil || w.Code != 200 || head.Status != "ready" || head.Height == 0 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestBodyLimit(t *testing.T) {
	const maxBody = 2 << 20
	url, _, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		fmt.Fprint(w, n)
	}))
	for size, want := range map[int]int{0: 200, maxBody: 200, maxBody + 1: 413, 3 * maxBody: 413} {
		// A reader of unknown length: the limit must not depend on what the caller says it will send.
		body := io.MultiReader(strings.NewReader(strings.Repeat("x", size)))
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/gates/x", body)
		if err != nil {
			t.Fatal(err)
		}
		if res, got := do(t, req); res.StatusCode != want || got != fmt.Sprint(min(size, maxBody)) {
			t.Errorf("%d bytes: %d, %s read", size, res.StatusCode, got)
		}
	}
}

func TestHeaderLimit(t *testing.T) {
	url, _, _ := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, len(r.Header.Get("X-Long"))) }))
	for size, want := range map[int]int{8 << 10: 200, 64 << 10: 431} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Long", strings.Repeat("x", size))
		if res, _ := do(t, req); res.StatusCode != want {
			t.Errorf("a header of %d bytes: %d", size, res.StatusCode)
		}
	}
}

// A stop waits for the answers that are being made, takes nothing new, and then returns.
func TestStopLosesNoAnswer(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	url, stop, done := serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(started)
		<-release
		fmt.Fprint(w, "a decision that was made")
	}))
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get(url)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		answer <- fmt.Sprint(string(body), err)
	}()
	<-started
	stop()
	// The listener closes first; only then can a new connection be refused for good.
	refused := false
	for !refused {
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			// Accepted before the listener closed: it is closed without being served.
			if _, err := bufio.NewReader(c).ReadByte(); err == nil {
				t.Fatal("something was said on a new connection")
			}
			c.Close()
		}
		refused = err != nil
	}
	select {
	case err := <-done:
		t.Fatal("stopped with an answer in the making", err)
	default:
	}
	close(release)
	if got := <-answer; got != "a decision that was made<nil>" {
		t.Error(got)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// When the listener fails, Serve says so instead of waiting to be stopped.
func TestListenerFails(t *testing.T) {
	l, err := server.Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := server.Serve(ctx, l, http.NotFoundHandler(), server.Options{}); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}
