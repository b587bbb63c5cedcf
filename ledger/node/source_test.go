package node

import (
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"
)

func TestStandings(t *testing.T) {
	now := time.Unix(1000, 0)
	s := newStandings()
	s.now = func() time.Time { return now }
	for i := range maxBad {
		if s.bad("a") || s.barred("a") {
			t.Fatalf("barred after %d", i+1)
		}
	}
	if !s.bad("a") || !s.barred("a") || s.barred("b") {
		t.Fatal("the one too many")
	}
	now = now.Add(badForgotten)
	if s.barred("a") {
		t.Error("one is forgotten in that time")
	}
	if !s.bad("a") {
		t.Error("and the next counts")
	}
	now = now.Add((maxBad + 2) * badForgotten)
	if s.barred("a") || len(s.of) != 0 {
		t.Error("in the end all is forgotten")
	}
	for range 2 * maxBad {
		if s.bad(local) || s.barred(local) {
			t.Fatal("this process is held back")
		}
	}
	for i := range 2 * maxSources {
		s.bad(source(strconv.Itoa(i)))
	}
	if len(s.of) > maxSources {
		t.Errorf("%d are remembered", len(s.of))
	}
}

// While a worker is busy a few offers wait for it, as they cost less with those that come meanwhile; many do not, nor any
// when the node closes.
func TestFewWaitForABusyWorker(t *testing.T) {
	in := &intake{app: &app{now: time.Now}, of: map[source]*share{}} // without workers what comes in stays
	in.arrived = sync.NewCond(&in.mu)
	put := func() { in.put(&offer{raw: []byte{1}, from: "a", done: make(chan struct{}, 1)}) }
	if in.due() {
		t.Error("nothing is due")
	}
	put()
	if !in.due() {
		t.Error("with nobody busy, one waits")
	}
	in.busy = 1
	if in.due() {
		t.Error("one is due though a worker will be back")
	}
	in.closed = true
	if !in.due() {
		t.Error("one is left at the end")
	}
	for in.closed = false; len(in.queue) < minTaken; put() {
		if in.due() {
			t.Fatalf("%d are due though a worker will be back", len(in.queue))
		}
	}
	if !in.due() {
		t.Errorf("%d wait though another worker has nothing to do", len(in.queue))
	}
}

// One source gets half of the intake at most; another finds room beside it, and as much as is free.
func TestShareOfIntake(t *testing.T) {
	in := &intake{app: &app{now: time.Now}, of: map[source]*share{}} // without workers what comes in stays
	in.arrived = sync.NewCond(&in.mu)
	raw := make([]byte, leastOffered>>10)
	put := func(from source) bool {
		o := &offer{raw: raw, from: from, done: make(chan struct{}, 1)}
		in.put(o)
		return o.err == nil
	}
	fill := func(from source) (taken int) {
		for put(from) {
			taken++
		}
		return taken
	}
	if n := fill("flood"); n != 512 {
		t.Errorf("one alone gets %d", n)
	}
	if n := fill("other"); n != 256 {
		t.Errorf("another beside it gets %d", n)
	}
	if !put("third") || put("flood") {
		t.Error("there is no room for the next, or room for more of the flood")
	}
	if n := in.app.refused.checks.Load(); n != 3 {
		t.Errorf("%d counted", n)
	}
	in.finish(in.queue)
	if in.bytes != 0 || len(in.of) != 0 {
		t.Errorf("%d bytes of %d sources are left", in.bytes, len(in.of))
	}
}

func TestClientOf(t *testing.T) {
	for _, c := range []struct {
		remote    string
		forwarded []string
		want      source
	}{
		{"127.0.0.1:5000", nil, "127.0.0.1"},
		{"[::1]:5000", nil, "::1"},
		{"127.0.0.1:5000", []string{"192.0.2.7"}, "192.0.2.7"},
		{"127.0.0.1:5000", []string{"192.0.2.7, 192.0.2.8"}, "192.0.2.8"}, // who the server saw; before it is what the client says
		{"127.0.0.1:5000", []string{"192.0.2.7", "2001:db8::1"}, "2001:db8::1"},
		{"127.0.0.1:5000", []string{"nonsense"}, "127.0.0.1"},
		{"192.0.2.9:5000", []string{"192.0.2.7"}, "192.0.2.9"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": c.forwarded}}
		if got := clientOf(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
