package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/wallet"
)

// OpenFigures say what sessions cost that wait for a wallet on another device, each with a page that
// listens for server-sent events on a connection of its own.
type OpenFigures struct {
	Sessions   int     `json:"sessions"`   // open at once
	Goroutines float64 `json:"goroutines"` // of each
	Heap       float64 `json:"heap_bytes"` // of each, on both ends of the connection
	Stack      float64 `json:"stack_bytes"`
	Told       int     `json:"told"`        // pages that learnt that their wallet had answered
	P50Millis  float64 `json:"told_p50_ms"` // from the wallet's having the decision to the page's knowing of it
	P99Millis  float64 `json:"told_p99_ms"`
}

// listener is a page that waits.
type listener struct {
	link string
	conn net.Conn
	read *bufio.Reader
}

// watchOpen opens sessions, lets a page listen to each, and then has wallets answer all of them.
func (s *site) watchOpen(ctx context.Context, c *ProtocolConfig) (*OpenFigures, error) {
	f := &OpenFigures{Sessions: c.Open}
	each := presentEach
	phones, err := s.ready(ctx, c.Clients, (c.Open+each-1)/each, func(ctx context.Context, p *phone) error {
		return p.issued(ctx, wallet.DefaultCopies)
	})
	if err != nil {
		return nil, err
	}
	s.memory()
	var before, open runtime.MemStats
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	pages := make([]listener, c.Open)
	defer func() {
		for i := range pages {
			if pages[i].conn != nil {
				_ = pages[i].conn.Close() // the gate's end is closed by then, or is to be
			}
		}
	}()
	if err := atOnce(ctx, c.Clients, c.Open, func(ctx context.Context, i int) (err error) {
		pages[i], err = s.listen(ctx)
		return err
	}); err != nil {
		return nil, err
	}
	s.memory()
	runtime.ReadMemStats(&open)
	n := float64(c.Open)
	f.Goroutines = float64(runtime.NumGoroutine()-goroutines) / n
	f.Heap = (float64(open.HeapAlloc) - float64(before.HeapAlloc)) / n
	f.Stack = (float64(open.StackInuse) - float64(before.StackInuse)) / n
	delays := make([]time.Duration, c.Open)
	var told atomic.Int64
	err = atOnce(ctx, c.Clients, len(phones), func(ctx context.Context, i int) error {
		for j := i * each; j < min((i+1)*each, c.Open); j++ {
			if err := phones[i].answered(ctx, pages[j].link); err != nil {
				return err
			}
			begun := time.Now()
			if err := pages[j].told(); err != nil {
				return err
			}
			delays[j] = time.Since(begun)
			told.Add(1)
			c.Progress.done(1)
		}
		return nil
	})
	f.Told, f.P50Millis, f.P99Millis = int(told.Load()), quantileMillis(delays, 0.5), quantileMillis(delays, 0.99)
	return f, err
}

// toldWithin is when a page is believed not to be told any more.
const toldWithin = 30 * time.Second

// listen opens a session and a connection on which its page waits. The connection is a bare one: what a
// browser has is not what is measured.
func (s *site) listen(ctx context.Context) (p listener, err error) {
	session, err := s.asked(ctx, gate.SessionInput{Contract: siteDoor, CrossDevice: true})
	if err != nil {
		return p, err
	}
	u, err := url.Parse(session.Page)
	if err != nil {
		return p, err
	}
	p.link = session.URI
	if p.conn, err = new(net.Dialer).DialContext(ctx, "tcp", s.addr); err != nil {
		return p, err
	}
	if _, err := fmt.Fprintf(p.conn, "GET %s/events HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", u.EscapedPath(), s.addr); err != nil {
		return p, err
	}
	p.read = bufio.NewReaderSize(p.conn, 512)
	return p, p.until(": waiting")
}

// told waits for the event.
func (p *listener) told() error { return p.until("event: answered") }

func (p *listener) until(prefix string) error {
	if err := p.conn.SetReadDeadline(time.Now().Add(toldWithin)); err != nil {
		return err
	}
	first := prefix == ": waiting"
	for {
		line, err := p.read.ReadString('\n')
		switch {
		case err != nil:
			return err
		case first && !strings.HasPrefix(line, "HTTP/1.1 "+fmt.Sprint(http.StatusOK)):
			return errors.New("bench: the page may not listen: " + strings.TrimSpace(line))
		case strings.HasPrefix(line, prefix):
			return nil
		case strings.HasPrefix(line, "event: "):
			return errors.New("bench: the page was told " + strings.TrimSpace(line))
		}
		first = false
	}
}
