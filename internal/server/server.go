package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/hufu-id/hufu/ledger/node/shutdown"
	"github.com/hufu-id/hufu/limit"
)

// Limits of every connection. A wallet on a slow phone sends 64 KiB within the read timeout at
// 10 kbit/s; nothing that is served takes longer to make than the write timeout, except streams.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 60 * time.Second
	writeTimeout      = 60 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeader         = 16 << 10
	stopTimeout       = 10 * time.Second
)

// DefaultRate is for people with a phone: a whole issuance is a dozen requests, and several people can share
// an address.
var DefaultRate = limit.Rate{PerSecond: 50, Burst: 200}

// ErrNotLoopback refuses to serve plain HTTP where others could listen in.
var ErrNotLoopback = errors.New("server: plain HTTP is served on loopback addresses only")

// CheckLoopback refuses an address (host:port) that is not on loopback. A name other than localhost is
// refused, too: what it resolves to may change.
func CheckLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("server: %q is not host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("%w: %s", ErrNotLoopback, addr)
	}
	return nil
}

// Listen opens addr (host:port). Without TLS it must be on loopback.
func Listen(ctx context.Context, addr string, secure bool) (net.Listener, error) {
	if !secure {
		if err := CheckLoopback(addr); err != nil {
			return nil, err
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("server: %w", err)
	}
	return l, nil
}

// Options are how an origin is served. The zero value is plain HTTP that nobody watches.
type Options struct {
	TLS         *tls.Config // nil: plain HTTP
	Log         *slog.Logger
	Tracer      trace.Tracer
	Metrics     prometheus.Registerer
	Rate        limit.Rate // of one address; the zero value is [DefaultRate]
	BehindProxy bool       // a proxy on this machine says in X-Forwarded-For whom it speaks for
}

func (o *Options) complete() {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Tracer == nil {
		o.Tracer = noop.NewTracerProvider().Tracer("")
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	if o.Rate == (limit.Rate{}) {
		o.Rate = DefaultRate
	}
}

// Serve serves h on l until ctx ends. Then it takes no more requests, ends open event streams, and lets every
// other request be answered.
func Serve(ctx context.Context, l net.Listener, h http.Handler, o Options) error {
	o.complete()
	streams, endStreams := context.WithCancel(context.WithoutCancel(ctx))
	defer endStreams()
	s := &http.Server{
		Handler:           guard(streams, h, &o),
		TLSConfig:         o.TLS,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// What clients do wrong in a handshake is theirs, and has their address in it.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	shutdown.CloseUnused(s)
	s.RegisterOnShutdown(endStreams)
	failed := make(chan error, 1)
	go func() {
		if o.TLS != nil {
			failed <- s.ServeTLS(l, "", "")
		} else {
			failed <- s.Serve(l)
		}
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("server: %w", err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	return s.Shutdown(stop)
}

// guard puts what every endpoint has in front of h: an id and a record of the request, the policy of its
// path, and the limits of rate, size and time.
func guard(streams context.Context, h http.Handler, o *Options) http.Handler {
	limiter := limit.New(o.Rate, time.Now)
	all := newPolicies(endpoints)
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer recovered(o.Log, w)
		p := all.find(r.URL.Path)
		if p.security(w, r, o.TLS != nil) {
			return
		}
		if who, counted := caller(r, o.BehindProxy); counted {
			if wait, ok := limiter.Allow(who); !ok {
				tooMany(w, wait)
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, p.maxBody)
		ctx, cancel := context.WithCancel(r.Context())
		if isStream(r.URL.Path) {
			defer context.AfterFunc(streams, cancel)() // the handler bounds its writes
		} else {
			ctx, cancel = context.WithTimeout(ctx, p.timeout)
		}
		defer cancel()
		h.ServeHTTP(w, r.WithContext(ctx))
	})
	return newObserver(o.Log, o.Tracer, o.Metrics).wrap(inner)
}

// recovered logs a panic without what it was about, which may be a person's, and lets net/http cut the
// connection, so that no half of an answer is taken for a whole.
func recovered(log *slog.Logger, w http.ResponseWriter) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		log.Error("panic while answering a request", "request", w.Header().Get("X-Request-Id"), "where", panicSite())
		panic(http.ErrAbortHandler)
	}
}
