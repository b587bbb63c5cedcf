package server

import (
	"container/list"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Rate is how much one caller may ask: so many requests a second in the long run, and so many at once.
type Rate struct {
	PerSecond float64
	Burst     int
}

// maxCallers bounds the memory of a [Limiter]: the callers seen longest ago are forgotten first, which at
// worst gives one of a hundred thousand attackers a fresh burst.
const maxCallers = 100_000

// Limiter counts what each caller asks: a bucket of tokens that fills with time. Safe for concurrent use.
type Limiter struct {
	rate Rate
	now  func() time.Time

	mu      sync.Mutex
	callers map[string]*list.Element
	recent  *list.List // of bucket, the latest first
}

type bucket struct {
	caller string
	tokens float64
	at     time.Time
}

// NewLimiter makes a limiter with the clock now.
func NewLimiter(rate Rate, now func() time.Time) *Limiter {
	return &Limiter{rate: rate, now: now, callers: map[string]*list.Element{}, recent: list.New()}
}

// Allow takes one request of caller, or says how long to wait for the next.
func (l *Limiter) Allow(caller string) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	e := l.callers[caller]
	if e == nil {
		if l.recent.Len() >= maxCallers {
			oldest := l.recent.Remove(l.recent.Back()).(*bucket)
			delete(l.callers, oldest.caller)
		}
		e = l.recent.PushFront(&bucket{caller, float64(l.rate.Burst), now})
		l.callers[caller] = e
	} else {
		l.recent.MoveToFront(e)
	}
	b := e.Value.(*bucket)
	if passed := now.Sub(b.at).Seconds(); passed > 0 {
		b.tokens = min(float64(l.rate.Burst), b.tokens+passed*l.rate.PerSecond)
		b.at = now
	}
	if b.tokens < 1 {
		return time.Duration((1 - b.tokens) / l.rate.PerSecond * float64(time.Second)), false
	}
	b.tokens--
	return 0, true
}

// tooMany is the answer to who has to wait.
func tooMany(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait/time.Second)+1))
	writeJSON(w, http.StatusTooManyRequests, "application/json", map[string]string{
		"error": "temporarily_unavailable", "error_description": "too many requests from this address",
	})
}

// caller is the address that a request is counted under: an IPv4 address, or the /64 that an IPv6 customer
// has at least. Behind a proxy on this machine it is the address that the proxy saw. Callers on this
// machine itself have none, and are not counted: whoever is here needs no flood of requests to do harm.
func caller(r *http.Request, behindProxy bool) (key string, counted bool) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host, true
	}
	if addr.IsLoopback() && behindProxy {
		// The last entry is the proxy's own word; those before it are the caller's.
		all := r.Header.Values("X-Forwarded-For")
		if len(all) == 0 {
			return "", false
		}
		last := all[len(all)-1]
		seen, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:]))
		if err != nil {
			return "unreadable", true
		}
		addr = seen
	}
	addr = addr.Unmap().WithZone("")
	switch {
	case addr.IsLoopback():
		return "", false
	case addr.Is6():
		p, err := addr.Prefix(64)
		if err != nil {
			return addr.String(), true
		}
		return p.String(), true
	}
	return addr.String(), true
}
