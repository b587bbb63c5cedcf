package server

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// What is observed of a request names the endpoint it came to, never the path or the query, in which
// identifiers can be, nor the caller's address: see routeOf.

// observer writes logs, metrics and traces of requests.
type observer struct {
	log      *slog.Logger
	tracer   trace.Tracer
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	active   prometheus.Gauge
}

func newObserver(log *slog.Logger, tracer trace.Tracer, registry prometheus.Registerer) *observer {
	o := &observer{
		log: log, tracer: tracer,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "hufu_http_requests_total", Help: "Requests answered, by endpoint, method and status.",
		}, []string{"route", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "hufu_http_request_duration_seconds", Help: "Time to answer, by endpoint.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60},
		}, []string{"route"}),
		active: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "hufu_http_requests_active", Help: "Requests being answered, open event streams among them.",
		}),
	}
	registry.MustRegister(o.requests, o.duration, o.active)
	return o
}

// wrap observes h. Every request gets an id, which the answer carries and the log has.
func (o *observer) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := rand.Text()
		w.Header().Set("X-Request-Id", id)
		begun := time.Now()
		path := r.URL.Path
		ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
		ctx, span := o.tracer.Start(ctx, r.Method, trace.WithSpanKind(trace.SpanKindServer))
		o.active.Inc()
		rec := &recorder{ResponseWriter: w, code: http.StatusOK}
		r = r.WithContext(ctx)
		finished := false
		defer func() {
			o.active.Dec()
			if !finished && !rec.wrote {
				rec.code = http.StatusInternalServerError // a panic; net/http ends the connection
			}
			name := routeOf(path, rec.code)
			took := time.Since(begun)
			o.requests.WithLabelValues(name, method(r), strconv.Itoa(rec.code)).Inc()
			o.duration.WithLabelValues(name).Observe(took.Seconds())
			span.SetName(method(r) + " " + name)
			span.SetAttributes(attribute.String("http.route", name), attribute.Int("http.response.status_code", rec.code),
				attribute.String("http.request.method", method(r)), attribute.String("hufu.request_id", id))
			if rec.code >= http.StatusInternalServerError {
				span.SetStatus(codes.Error, "")
			}
			span.End()
			attrs := []any{"request", id, "method", method(r), "route", name, "status", rec.code, "bytes", rec.bytes, "ms", float64(took.Microseconds()) / 1000}
			if sc := span.SpanContext(); sc.IsSampled() {
				attrs = append(attrs, "trace", sc.TraceID().String())
			}
			level := slog.LevelInfo
			if rec.code >= http.StatusInternalServerError {
				level = slog.LevelWarn
			}
			o.log.Log(ctx, level, "request", attrs...)
		}()
		h.ServeHTTP(rec, r)
		finished = true
	})
}

// method is a request's method as a label: one of those there are, or "other".
func method(r *http.Request) string {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions, http.MethodPatch:
		return r.Method
	}
	return "other"
}

// routeOf is the name of the endpoint at a path: the segments that are the same for everybody, and "{}" for
// each that is not, since it can be an identifier. What was not found has no name.
func routeOf(path string, code int) string {
	if code == http.StatusNotFound || code == http.StatusMethodNotAllowed || len(path) > maxPath {
		return "other"
	}
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s != "" && !slices.Contains(fixed[:], s) {
			segments[i] = "{}"
		}
	}
	return strings.Join(segments, "/")
}

// maxPath bounds what is looked at for a name.
const maxPath = 512

// fixed are the segments of paths that say nothing about anybody.
var fixed = [...]string{
	"healthz", "readyz", "metrics", "openapi.json", "api", "v1", "1.0", "identifiers", "statuslists",
	".well-known", "openid-credential-issuer", "oauth-authorization-server", "jwt-vc-issuer",
	"issuer", "offers", "par", "authorize", "consent", "style.css", "token", "challenge", "nonce", "credential", "deferred_credential", "notification",
	"gates", "gate", "sessions", "dc", "request", "response", "vp", "page", "events", "return", "done", "assets",
}

// recorder keeps what was answered.
type recorder struct {
	http.ResponseWriter
	code  int
	bytes int64
	wrote bool
}

func (r *recorder) WriteHeader(code int) {
	if !r.wrote && code >= http.StatusOK {
		r.code, r.wrote = code, true
	}
	r.ResponseWriter.WriteHeader(code)
}

func (r *recorder) Write(b []byte) (int, error) {
	r.wrote = true
	n, err := r.ResponseWriter.Write(b)
	r.bytes += int64(n)
	return n, err
}

// Unwrap is for [http.ResponseController].
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Flush is for handlers of event streams that look for it.
func (r *recorder) Flush() {
	r.wrote = true
	_ = http.NewResponseController(r.ResponseWriter).Flush()
}

// panicSite is the function that panicked.
func panicSite() string {
	var pcs [16]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs[:])])
	panicked := false
	for {
		f, more := frames.Next()
		if panicked && !strings.HasPrefix(f.Function, "runtime.") {
			return f.Function + ":" + strconv.Itoa(f.Line)
		}
		panicked = panicked || f.Function == "runtime.gopanic"
		if !more {
			return "unknown"
		}
	}
}
