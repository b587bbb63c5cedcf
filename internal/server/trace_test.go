package server_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/hufu-id/hufu/internal/server"
)

// collector is where traces are sent: it keeps their bytes (OTLP over HTTP, protobuf).
type collector struct {
	*httptest.Server
	mu  sync.Mutex
	got strings.Builder
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = z
		}
		raw, err := io.ReadAll(body)
		if err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got.WriteString(r.URL.Path + "\n")
		c.got.Write(raw)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) all() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got.String()
}

func TestTraces(t *testing.T) {
	c := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	tracer, stop, err := server.Tracer(t.Context(), "hufu-test", "v0")
	if err != nil {
		t.Fatal(err)
	}
	url := start(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), server.Options{Tracer: tracer})
	const parent = "4bf92f3577b34da6a3ce929d0e0e4736"
	res, _ := do(t, request(t, http.MethodGet, url+"/gates/"+personal+"/gate/response?q="+personal, "Traceparent", "00-"+parent+"-00f067aa0ba902b7-01"))
	if err := stop(t.Context()); err != nil { // sends what is left
		t.Fatal(err)
	}
	got := c.all()
	for _, want := range []string{"/v1/traces\n", "hufu-test", "GET /gates/{}/gate/response", res.Header.Get("X-Request-Id"), "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in what was sent", want)
		}
	}
	if strings.Contains(got, personal) || strings.Contains(got, "127.0.0.1") {
		t.Error("somebody is in the trace")
	}
}

// Without an endpoint nothing is recorded.
func TestNoTraces(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "")
	t.Setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
	tracer, stop, err := server.Tracer(t.Context(), "hufu-test", "v0")
	if err != nil {
		t.Fatal(err)
	}
	if _, span := tracer.Start(t.Context(), "x"); span.IsRecording() {
		t.Error("something is recorded")
	}
	if err := stop(t.Context()); err != nil {
		t.Error(err)
	}
}
