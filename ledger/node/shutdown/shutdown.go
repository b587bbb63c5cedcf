// Package shutdown makes HTTP servers stop promptly. [http.Server.Shutdown] waits five seconds for a
// connection that was opened and never used, and clients open some ahead of need. Nothing was asked on
// such a connection, so closing it cuts nobody off.
package shutdown

import (
	"net"
	"net/http"
	"sync"
)

// CloseUnused makes s close its unused connections when it is shut down. It is called before s serves,
// and sets s.ConnState.
func CloseUnused(s *http.Server) {
	u := &unused{conns: map[net.Conn]struct{}{}}
	s.ConnState = u.track
	s.RegisterOnShutdown(u.close)
}

// unused are the connections on which nothing was read yet.
type unused struct {
	mu      sync.Mutex
	conns   map[net.Conn]struct{}
	stopped bool
}

func (u *unused) track(c net.Conn, s http.ConnState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case s != http.StateNew:
		delete(u.conns, c)
	case u.stopped:
		_ = c.Close() // accepted just before the listener closed
	default:
		u.conns[c] = struct{}{}
	}
}

func (u *unused) close() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.stopped = true
	for c := range u.conns {
		_ = c.Close() // the server sees it end and forgets it
	}
}
