package server_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/limit"
)

// start serves h with options until the test ends and returns its URL.
func start(t *testing.T, h http.Handler, o server.Options) string {
	t.Helper()
	l, err := server.Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l, h, o) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	scheme := "http://"
	if o.TLS != nil {
		scheme = "https://"
	}
	return scheme + l.Addr().String()
}

func request(t *testing.T, method, url string, header ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

// What is logged, counted and said of a request is where it came to and what came of it, and never who.
func TestLogsHaveNobodyInThem(t *testing.T) {
	var log bytes.Buffer
	metrics := prometheus.NewRegistry()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gates/{name}/gate/response", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, "done")
	})
	mux.HandleFunc("GET /statuslists/{did}/{n}", func(http.ResponseWriter, *http.Request) { panic("the person is " + personal) })
	url := start(t, mux, server.Options{Log: slog.New(slog.NewJSONHandler(&log, nil)), Metrics: metrics})

	r := request(t, http.MethodPost, url+"/gates/"+personal+"/gate/response?state="+personal, "User-Agent", personal, "Referer", "http://"+personal, "X-Request-Id", personal)
	r.Body = io.NopCloser(strings.NewReader(personal))
	res, _ := do(t, r)
	id := res.Header.Get("X-Request-Id")
	if len(id) < 20 || strings.Contains(id, personal) {
		t.Errorf("request id %q", id)
	}
	if _, err := http.DefaultClient.Do(request(t, http.MethodGet, url+"/statuslists/"+personal+"/1")); err == nil {
		t.Error("half an answer after a panic")
	}
	do(t, request(t, "BREW", url+"/"+personal))

	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	var first struct {
		Msg, Request, Method, Route string
		Status, Bytes               int
	}
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	if first.Request != id || first.Route != "/gates/{}/gate/response" || first.Status != 202 || first.Bytes != 4 || first.Method != "POST" {
		t.Errorf("logged %+v", first)
	}
	if strings.Contains(log.String(), personal) || strings.Contains(log.String(), "127.0.0.1") {
		t.Errorf("somebody is in the log:\n%s", &log)
	}
	if !strings.Contains(log.String(), "TestLogsHaveNobodyInThem") {
		t.Errorf("the log does not say where it panicked:\n%s", &log)
	}
	families, err := metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprint(families)
	for _, want := range []string{`"/gates/{}/gate/response"`, `"202"`, `"500"`, `"other"`, "hufu_http_request_duration_seconds"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in the metrics", want)
		}
	}
	if strings.Contains(all, personal) || strings.Contains(all, "BREW") {
		t.Errorf("callers write metrics:\n%s", all)
	}
}

const personal = "Zhang-San-99000119900307987X"

func TestRateOfAnAddress(t *testing.T) {
	url := start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		server.Options{Rate: limit.Rate{PerSecond: 0.001, Burst: 2}, BehindProxy: true})
	for _, step := range []struct {
		forwarded string
		want      int
	}{
		{"198.51.100.7", 200},
		{"198.51.100.7", 200},
		{"198.51.100.7", 429},
		{"203.0.113.1, 198.51.100.7", 429}, // what a caller claims to be before the proxy's word
		{"198.51.100.8", 200},
		{"2001:db8:1:2::1", 200},
		{"2001:db8:1:2::2", 200}, // of the same network
		{"2001:db8:1:2:ffff::3", 429},
		{"2001:db8:1:3::1", 200},
		{"::ffff:198.51.100.7", 429}, // the first again
		{"nonsense", 200},
		{"other nonsense", 200},
		{"", 429}, // unreadable as well: one bucket for all of it
	} {
		res, body := do(t, request(t, http.MethodGet, url, "X-Forwarded-For", step.forwarded))
		if res.StatusCode != step.want {
			t.Errorf("%q: %d, want %d", step.forwarded, res.StatusCode, step.want)
		}
		if res.StatusCode == 429 && (res.Header.Get("Retry-After") == "" || res.Header.Get("Access-Control-Allow-Origin") != "*" || strings.Contains(body, "198")) {
			t.Errorf("%q: %v %s", step.forwarded, res.Header, body)
		}
	}
	for range 5 { // a caller on this machine, not through the proxy
		if res, _ := do(t, request(t, http.MethodGet, url)); res.StatusCode != 200 {
			t.Errorf("from this machine: %d", res.StatusCode)
		}
	}
	// Without a proxy its header means nothing.
	url = start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), server.Options{Rate: limit.Rate{PerSecond: 0.001, Burst: 1}})
	for range 3 {
		if res, _ := do(t, request(t, http.MethodGet, url, "X-Forwarded-For", "198.51.100.7")); res.StatusCode != 200 {
			t.Errorf("a forged header counted: %d", res.StatusCode)
		}
	}
}

// How a service does is for its operator.
func TestMetricsAreForThisMachine(t *testing.T) {
	url := start(t, server.Routes(server.Parts{Ledger: newLedger(t), Metrics: prometheus.NewRegistry()}), server.Options{})
	if res, _ := do(t, request(t, http.MethodGet, url+"/metrics")); res.StatusCode != 200 {
		t.Errorf("from here: %d", res.StatusCode)
	}
	for _, header := range []string{"X-Forwarded-For", "Forwarded"} {
		if res, _ := do(t, request(t, http.MethodGet, url+"/metrics", header, "198.51.100.7")); res.StatusCode != 404 {
			t.Errorf("from elsewhere: %d", res.StatusCode)
		}
	}
}

func TestOtherOrigins(t *testing.T) {
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "said") }), server.Options{})
	for path, open := range map[string]bool{
		"/.well-known/openid-credential-issuer": true, "/statuslists/did:x/1": true, "/1.0/identifiers/did:x": true, "/openapi.json": true,
		"/gates/library/gate/response": false, "/metrics": false, "/statuslistsx": false, "/api/gates/x/sessions": false,
	} {
		res, body := do(t, request(t, http.MethodGet, url+path, "Origin", "https://wallet.example"))
		if got := res.Header.Get("Access-Control-Allow-Origin"); (got == "*") != open || body != "said" {
			t.Errorf("GET %s: allowed to %q, %s", path, got, body)
		}
		if res.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: with cookies", path)
		}
		res, body = do(t, request(t, http.MethodOptions, url+path, "Origin", "https://wallet.example", "Access-Control-Request-Method", "GET"))
		if preflight := res.StatusCode == http.StatusNoContent && body == ""; preflight != open {
			t.Errorf("OPTIONS %s: %d", path, res.StatusCode)
		}
	}
}

// A stop ends streams, which would never end by themselves, and waits for nothing else to be cut off.
func TestStopEndsStreams(t *testing.T) {
	l, err := server.Listen(t.Context(), "127.0.0.1:0", false)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- server.Serve(ctx, l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, "data: open\n\n")
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			fmt.Fprint(w, "data: goodbye\n\n")
		}), server.Options{})
	}()
	res, err := http.DefaultClient.Do(request(t, http.MethodGet, "http://"+l.Addr().String()+"/gates/library/gate/vp/page/x/events"))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // it is read to its end
	cancel()
	body, err := io.ReadAll(res.Body)
	if err != nil || string(body) != "data: open\n\ndata: goodbye\n\n" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestDevelopmentCertificate(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	make := func(at time.Time, hosts ...string) (*tls.Config, string) {
		t.Helper()
		c, path, err := server.DevelopmentCertificate(dir, hosts, at, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return c, path
	}
	c, path := make(now)
	pem, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		t.Fatal("the certificate does not read")
	}
	url := start(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) }), server.Options{TLS: c})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	res, err := client.Do(request(t, http.MethodGet, url))
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	if string(body) != "HTTP/2.0" || res.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s %v", body, res.Header)
	}
	if err := res.Body.Close(); err != nil {
		t.Error(err)
	}
	client.CloseIdleConnections()
	if _, err := http.DefaultClient.Do(request(t, http.MethodGet, url)); err == nil {
		t.Error("a client that does not trust the certificate is connected")
	}
	info, err := os.Stat(filepath.Join(dir, "tls-key.pem"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	for _, step := range []struct {
		name string
		at   time.Time
		host string
		same bool
	}{
		{"again", now.Add(time.Hour), "127.0.0.1", true},
		{"a host it has", now, "localhost", true},
		{"another host", now, "hufu.example", false},
		{"another host again", now, "hufu.example", true},
		{"before its end", now.Add(84 * 24 * time.Hour), "localhost", false},
		{"before its begin", now, "localhost", false},
	} {
		next, _ := make(step.at, step.host)
		if same := next.Certificates[0].Leaf.SerialNumber.Cmp(c.Certificates[0].Leaf.SerialNumber) == 0; same != step.same {
			t.Errorf("%s: the same certificate is %t", step.name, same)
		}
		c = next
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := server.DevelopmentCertificate(dir, nil, now, rand.Reader); err == nil {
		t.Error("a damaged certificate was overwritten")
	}
	if _, err := server.LoadCertificate(path, path); err == nil {
		t.Error("a damaged certificate was loaded")
	}
}

// With TLS, any address is listened on; TestListen has what is refused without.
func TestListenSecure(t *testing.T) {
	l, err := server.Listen(t.Context(), "0.0.0.0:0", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
