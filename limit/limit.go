// Package limit counts how often each caller asks, whoever callers are to the one who counts: addresses to a
// server, people to an issuer. What it remembers is bounded and ends with the process: it holds off
// floods; what may be done a number of times at all is counted in databases.
package limit

import (
	"container/list"
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

// New makes a limiter with the clock now.
func New(rate Rate, now func() time.Time) *Limiter {
	return &Limiter{rate: rate, now: now, callers: map[string]*list.Element{}, recent: list.New()}
}

// Allow takes one request of caller, or says how long to wait for the next.
func (l *Limiter) Allow(caller string) (wait time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	e := l.callers[caller]
	if e == nil {
		l.forget(now)
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

// forget makes room for one caller. Whoever has not asked for so long that the bucket is full again is as good as
// new, so that memory follows who is there now; two go for each that comes, until there are none.
func (l *Limiter) forget(now time.Time) {
	for range 2 {
		last := l.recent.Back()
		if last == nil {
			return
		}
		b := last.Value.(*bucket)
		full := b.tokens+now.Sub(b.at).Seconds()*l.rate.PerSecond >= float64(l.rate.Burst)
		if !full && l.recent.Len() < maxCallers {
			return
		}
		l.recent.Remove(last)
		delete(l.callers, b.caller)
	}
}
