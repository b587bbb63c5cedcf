package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/hufu-id/hufu/internal/admin"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/internal/server"
	"github.com/hufu-id/hufu/limit"
)

// databaseEnv names the variable with the DSN of the database, which may hold a password.
const databaseEnv = "HUFU_DB"

// dsn is the one that --db or the environment names, or "".
func (a *app) dsn() string { return cmp.Or(a.db, os.Getenv(databaseEnv)) }

// database is the DSN of a role's database: the one named, or a file of the home.
func (a *app) database(h *home.Home, file string) string {
	if dsn := a.dsn(); dsn != "" {
		return dsn
	}
	return h.Path(file)
}

// originOptions are the flags of everything that serves HTTP.
type originOptions struct {
	listen, url           string
	tls, certificate, key string
	behindProxy           bool
	rate                  float64
	anchorEvery           time.Duration
	log                   slog.Level
	verbose               bool
}

func (o *originOptions) add(c *cobra.Command, listen string) {
	f := c.Flags()
	f.StringVar(&o.listen, "listen", listen, "address of the HTTP interface; without TLS on loopback only")
	f.StringVar(&o.url, "url", "", "URL by which others reach the interface, for example behind a proxy (default: of --listen)")
	f.StringVar(&o.tls, "tls", "", `"self-signed": HTTPS with a development certificate made in the home`)
	f.StringVar(&o.certificate, "tls-cert", "", "PEM file of the certificate chain, for HTTPS")
	f.StringVar(&o.key, "tls-key", "", "PEM file of the certificate's private key")
	f.BoolVar(&o.behindProxy, "behind-proxy", false, "a proxy on this machine says in X-Forwarded-For whom it speaks for")
	f.Float64Var(&o.rate, "rate", server.DefaultRate.PerSecond, "requests a second that one address may make in the long run, four times as many at once; addresses of this machine are not counted")
	f.DurationVar(&o.anchorEvery, "anchor-every", defaultAnchorEvery, "how often the logs of receipts and of looks at files are anchored on the ledger, when they grew; 0: never")
	f.TextVar(&o.log, "log", slog.LevelInfo, "least level of what is logged: debug, info (requests), warn or error")
	f.BoolVar(&o.verbose, "verbose", false, "log what the engine does")
}

func (o *originOptions) secure() bool { return o.tls != "" || o.certificate != "" }

// check finds what is wrong with the flags before anything is made.
func (o *originOptions) check() error {
	switch {
	case o.tls != "" && o.tls != server.SelfSigned:
		return usagef("--tls is %s, or left out", server.SelfSigned)
	case (o.certificate == "") != (o.key == ""):
		return usagef("--tls-cert and --tls-key go together")
	case o.tls != "" && o.certificate != "":
		return usagef("--tls %s makes its own certificate: leave out --tls-cert and --tls-key", server.SelfSigned)
	case o.anchorEvery != 0 && o.anchorEvery < minAnchorEvery:
		return usagef("--anchor-every is %s or more, or 0", minAnchorEvery)
	case o.rate <= 0:
		return usagef("--rate is a number above 0")
	}
	if o.url != "" {
		u, err := url.Parse(o.url)
		if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
			return usagef("--url is an origin, for example https://id.example.org")
		}
		if u.Scheme == "http" && server.CheckLoopback(net.JoinHostPort(u.Hostname(), "80")) != nil {
			return usagef("--url: wallets speak plain HTTP on loopback addresses only; others need https")
		}
	}
	if !o.secure() {
		if err := server.CheckLoopback(o.listen); err != nil {
			return hint(err, "for other addresses: --tls %s, or --tls-cert and --tls-key", server.SelfSigned)
		}
	}
	return nil
}

// origin is an opened HTTP interface.
type origin struct {
	net.Listener
	url         string
	trustFile   string // of a development certificate
	options     server.Options
	anchorEvery time.Duration
	registry    *prometheus.Registry
	roles       *roleMetrics
	stopTraces  func(context.Context) error
}

// openOrigin opens the HTTP interface that o describes, for a home in dir.
func (a *app) openOrigin(ctx context.Context, dir string, o *originOptions) (g *origin, err error) {
	g = &origin{registry: prometheus.NewRegistry(), anchorEvery: o.anchorEvery}
	g.roles = newRoleMetrics(g.registry)
	g.options = server.Options{
		Log: a.serverLog(o.log), Metrics: g.registry, BehindProxy: o.behindProxy,
		Rate: limit.Rate{PerSecond: o.rate, Burst: max(1, int(4*o.rate))},
	}
	switch {
	case o.certificate != "":
		g.options.TLS, err = server.LoadCertificate(o.certificate, o.key)
	case o.tls != "":
		g.options.TLS, g.trustFile, err = server.DevelopmentCertificate(dir, o.hosts(), time.Now(), rand.Reader)
	}
	if err != nil {
		return nil, err
	}
	if g.options.Tracer, g.stopTraces, err = server.Tracer(ctx, "hufu", version); err != nil {
		return nil, err
	}
	if g.Listener, err = server.Listen(ctx, o.listen, o.secure()); err != nil {
		return nil, errors.Join(err, g.stopTraces(ctx))
	}
	if g.url = o.url; g.url == "" {
		g.url = "http://" + g.Addr().String()
		if o.secure() {
			g.url = "https://" + g.Addr().String()
		}
	}
	return g, nil
}

// hosts are the names that a development certificate has to have.
func (o *originOptions) hosts() (out []string) {
	if host, _, err := net.SplitHostPort(o.listen); err == nil && host != "" && !net.ParseIP(host).IsUnspecified() {
		out = append(out, host)
	}
	if u, err := url.Parse(o.url); err == nil && u.Hostname() != "" {
		out = append(out, u.Hostname())
	}
	return out
}

// close gives up an origin that was not served, and sends the traces that are left.
func (g *origin) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = g.Listener.Close() // again, when serving has closed it
	return g.stopTraces(ctx)
}

// serve serves h, and the verbs on the home's own socket, until ctx ends.
func (g *origin) serve(ctx context.Context, h http.Handler, s *admin.Server) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return server.Serve(ctx, g.Listener, h, g.options) })
	group.Go(func() error { return s.Serve(ctx) })
	return group.Wait()
}

// serverLog is the log of a server: one JSON object a line.
func (a *app) serverLog(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level}))
}

// engineLog is the log of the node: warnings, unless asked for more.
func (a *app) engineLog(verbose bool) *slog.Logger {
	level := slog.LevelWarn
	if verbose {
		level = slog.LevelInfo
	}
	return a.serverLog(level)
}

// serveRole serves one role of the home apart from a node.
func (a *app) serveRole(ctx context.Context, node string, o *originOptions, kind admin.Process, roles rolesServed) (err error) {
	l, err := a.connect(node, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	g, err := a.openOrigin(ctx, a.home, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.close()) }()
	go keepTrust(ctx, g.options.Log, l.home, l.Client)
	g.registry.MustRegister(ledgerMetrics(l.Client)...)
	if roles.gates {
		l.prepare(ctx)
	}
	parts, err := a.parts(ctx, l, g, roles)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, parts.close()) }()
	s, err := admin.Listen(ctx, a.home, kind, parts.verbs)
	if err != nil {
		return err
	}
	if err := a.emit(map[string]any{"network": l.home.Network(), "listen": g.url, "home": a.home}, func(w io.Writer) {
		fmt.Fprintf(w, "serving %s\n", g.url)
		g.sayTrust(w)
	}); err != nil {
		return err
	}
	return g.serve(ctx, server.Routes(parts.Parts), s)
}

func (g *origin) sayTrust(w io.Writer) {
	if g.trustFile != "" {
		fmt.Fprintf(w, "  its development certificate, for clients to trust: %s\n", g.trustFile)
	}
}

func (a *app) issuerServeCmd() *cobra.Command {
	var node string
	var o originOptions
	var x issuerOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the home's issuer apart from a node",
		Long: `Serves what "hufu up" serves of an issuer, in a process of its own that follows the ledger through --node.
Several such processes may share one PostgreSQL database (--db).`,
		Example: "  hufu issuer serve --home agency --node http://127.0.0.1:26657 --listen 127.0.0.1:8081 --db postgres://hufu@/hufu",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return a.serveRole(c.Context(), node, &o, admin.Issuer, rolesServed{issuer: &x})
		},
	}
	o.add(c, "127.0.0.1:8081")
	x.add(c)
	return nodeFlag(c, &node)
}

func (a *app) gateServeCmd() *cobra.Command {
	var node string
	var o originOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Serve the home's gates apart from a node",
		Long: `Serves what "hufu up" serves of gates, in a process of its own that follows the ledger through --node.
Several such processes may share one PostgreSQL database (--db).`,
		Example: "  hufu gate serve --home library --node http://127.0.0.1:26657 --listen 127.0.0.1:8082",
		Args:    usageArgs(cobra.NoArgs),
		RunE: func(c *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return a.serveRole(c.Context(), node, &o, admin.Gate, rolesServed{gates: true})
		},
	}
	o.add(c, "127.0.0.1:8082")
	return nodeFlag(c, &node)
}

// rolesServed are the roles of a home that a process serves.
type rolesServed struct {
	issuer *issuerOptions // nil: none
	gates  bool
}

// served is what a process serves of a home.
type served struct {
	server.Parts
	verbs   admin.Verbs
	closers []func() error
}

// close closes the services, the last opened first.
func (s *served) close() (err error) {
	for i := len(s.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, s.closers[i]())
	}
	return err
}

// parts opens the services of the roles that this home has keys for.
func (a *app) parts(ctx context.Context, l *session, g *origin, roles rolesServed) (p *served, err error) {
	p = &served{Parts: server.Parts{Ledger: l.served(), Metrics: g.registry, Gates: map[string]http.Handler{}}, verbs: admin.Verbs{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	if roles.gates {
		if err := a.addGates(ctx, l, g, p); err != nil {
			return p, err
		}
	}
	if roles.issuer != nil {
		for _, name := range l.home.With(home.IssuingMethod) {
			err := a.addIssuer(ctx, l, g, p, name, roles.issuer)
			if err == nil {
				break
			}
			if !errors.Is(err, errNoRole) {
				return p, err
			}
		}
	}
	return p, nil
}
