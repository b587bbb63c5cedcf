package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hufu-id/hufu/internal/server"
)

// origin is one organisation's server on loopback: the one that "hufu issuer serve" and "hufu gate
// serve" run, with its limits.
type origin struct {
	net.Listener
	url    string
	cancel context.CancelFunc // nil until it serves
	ended  chan error
}

// listen takes an address for an organisation. What it serves may have to know its own URL first.
func (s *story) listen(ctx context.Context) (*origin, error) {
	l, err := server.Listen(ctx, "127.0.0.1:0", false)
	if err != nil {
		return nil, err
	}
	o := &origin{Listener: l, url: "http://" + l.Addr().String()}
	s.origins = append(s.origins, o)
	return o, nil
}

// serve serves h until stop, which is called once.
func (o *origin) serve(h http.Handler) {
	var ctx context.Context
	ctx, o.cancel = context.WithCancel(context.Background())
	o.ended = make(chan error, 1)
	go func() { o.ended <- server.Serve(ctx, o.Listener, h, server.Options{}) }()
}

func (o *origin) stop() error {
	if o.cancel == nil {
		return o.Close()
	}
	o.cancel()
	return <-o.ended
}

// stopOrigins ends all servers, the youngest first.
func (s *story) stopOrigins() (err error) {
	s.internet.CloseIdleConnections()
	for len(s.origins) > 0 {
		last := s.origins[len(s.origins)-1]
		s.origins = s.origins[:len(s.origins)-1]
		err = errors.Join(err, last.stop())
	}
	return err
}

// exchangeTime is how long one exchange may take before a wallet gives up, on a machine that has much else to do.
const exchangeTime = 30 * time.Second

// internet is what lies between wallets and servers: connections that are kept, and a count of what went
// over them.
type internet struct {
	*http.Transport
	exchanges atomic.Int64
}

func newInternet() *internet {
	return &internet{Transport: &http.Transport{MaxIdleConnsPerHost: atOnce(), DisableCompression: true}}
}

// RoundTrip makes one exchange.
func (n *internet) RoundTrip(r *http.Request) (*http.Response, error) {
	n.exchanges.Add(1)
	return n.Transport.RoundTrip(r)
}

// browse makes what a wallet, or a thief, reaches servers with.
func browse(t http.RoundTripper) *http.Client {
	return &http.Client{Transport: t, Timeout: exchangeTime}
}

// wire is one wallet's connection, on which a thief may read what the wallet posts and is told, and change it.
type wire struct {
	http.RoundTripper

	mu  sync.Mutex
	tap *tap // nil: nobody listens
}

// tap is what the thief does to the forms that are posted to one path.
type tap struct {
	path   string // its end
	change func(url.Values)
	cut    bool       // the form never arrives
	sent   url.Values // the last, as it went, or would have gone, on
	said   []byte     // the answer to it
}

var errCut = errors.New("demo: the wire was cut")

// tapped runs f with a thief on the wire.
func (w *wire) tapped(t *tap, f func() error) error {
	w.mu.Lock()
	w.tap = t
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.tap = nil
		w.mu.Unlock()
	}()
	return f()
}

// RoundTrip makes one exchange.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	t := w.tap
	w.mu.Unlock()
	if t == nil || r.Method != http.MethodPost || !strings.HasSuffix(r.URL.Path, t.path) {
		return w.RoundTripper.RoundTrip(r)
	}
	raw, err := io.ReadAll(r.Body)
	if err = errors.Join(err, r.Body.Close()); err != nil {
		return nil, err
	}
	if t.sent, err = url.ParseQuery(string(raw)); err != nil {
		return nil, err
	}
	if t.change != nil {
		t.change(t.sent)
	}
	if t.cut {
		return nil, errCut
	}
	body := t.sent.Encode()
	on := r.Clone(r.Context())
	on.Body, on.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
	res, err := w.RoundTripper.RoundTrip(on)
	if err != nil {
		return nil, err
	}
	t.said, err = io.ReadAll(res.Body)
	err = errors.Join(err, res.Body.Close())
	res.Body = io.NopCloser(bytes.NewReader(t.said))
	return res, err
}
