package shutdown_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/hufu-id/hufu/ledger/node/shutdown"
)

// serve runs a server whose handler tells entered and then waits for release.
func serve(t *testing.T, entered chan<- struct{}, release <-chan struct{}) (s *http.Server, addr string, accepted <-chan struct{}) {
	t.Helper()
	s = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		entered <- struct{}{}
		<-release
		_, _ = io.WriteString(w, "done")
	})}
	shutdown.CloseUnused(s)
	news, track := make(chan struct{}, 8), s.ConnState
	s.ConnState = func(c net.Conn, state http.ConnState) {
		track(c, state)
		if state == http.StateNew {
			news <- struct{}{}
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return s, l.Addr().String(), news
}

func TestUnusedIsClosedAndUsedIsAnswered(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	s, addr, accepted := serve(t, entered, release)
	idle, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	<-accepted

	answered := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + addr)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answered <- string(body)
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Shutdown(context.Background()) }()
	// The unused connection ends while the request still runs.
	if n, err := idle.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Fatalf("read %d bytes, %v", n, err)
	}
	select {
	case err := <-stopped:
		t.Fatalf("stopped with a request unanswered: %v", err)
	default:
	}
	close(release)
	if got := <-answered; got != "done" {
		t.Fatalf("the running request got %q", got)
	}
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
}
