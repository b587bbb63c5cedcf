package server

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
)

// Ledger is what the server itself reads; a client is one.
type Ledger interface {
	Head(ctx context.Context) (hufu.AsOf, error)
	Read(ctx context.Context, f func(client.View) error) error
}

// Parts are what is put on the origin. Ledger is needed; the others may be nil.
type Parts struct {
	Ledger      Ledger
	Metrics     *prometheus.Registry
	Issuer      http.Handler // at IssuerPaths
	IssuerPaths []string
	Gates       map[string]http.Handler // by name: /gates/NAME/gate/
	API         http.Handler            // [API]
}

// Routes is the origin's handler.
func Routes(p Parts) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, "application/json", map[string]string{"status": "ok"})
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { ready(w, r, p.Ledger) })
	mux.HandleFunc("GET /1.0/identifiers/{did}", func(w http.ResponseWriter, r *http.Request) { resolve(w, r, p.Ledger) })
	if p.Metrics != nil {
		mux.Handle("GET /metrics", here(promhttp.HandlerFor(p.Metrics, promhttp.HandlerOpts{})))
	}
	if p.Issuer != nil {
		for _, path := range p.IssuerPaths {
			mux.Handle(path, p.Issuer)
		}
	}
	if p.API != nil {
		mux.Handle("GET /openapi.json", p.API)
		mux.Handle(apiPrefix+"/", p.API)
	}
	for name, gate := range p.Gates {
		mux.Handle("/gates/"+name+"/", http.StripPrefix("/gates/"+name, gate))
	}
	return mux
}

// here hides from other machines what is for the operator of this one.
func here(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, counted := caller(r, true); counted || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
			http.NotFound(w, r)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// ready answers 200 with the verified head, or 503 while there is none.
func ready(w http.ResponseWriter, r *http.Request, l Ledger) {
	head, err := l.Head(r.Context())
	if err != nil {
		writeJSON(w, http.StatusServiceUnavailable, "application/json", map[string]string{"status": "not ready"})
		return
	}
	writeJSON(w, http.StatusOK, "application/json", struct {
		Status string `json:"status"`
		hufu.AsOf
	}{"ready", head})
}

func writeJSON(w http.ResponseWriter, status int, contentType string, v any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a caller who is gone needs no answer
}
