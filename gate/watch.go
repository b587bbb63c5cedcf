package gate

import (
	"context"
	"math"
	"sync"
	"time"

	"github.com/hufu-id/hufu"
)

// pollInterval is how often the store is asked, once for all who wait, whether another process has
// concluded a session. What this process concludes is told at once.
const pollInterval = time.Second

// maxWatches bounds who waits at one time: each holds a connection and a few kilobytes.
const maxWatches = 20_000

// watches tells pages that their sessions are concluded. While nobody waits it does nothing.
type watches struct {
	store Store

	mu      sync.Mutex
	waiting map[hufu.Digest][]chan struct{}
	count   int
	stop    context.CancelFunc // of the poll; nil when none runs

	once   sync.Once
	closed chan struct{} // when the gate lets go of everybody
}

func newWatches(s Store) *watches {
	return &watches{store: s, waiting: map[hufu.Digest][]chan struct{}{}, closed: make(chan struct{})}
}

// Hangup ends the streams of events, whose browsers come back by themselves. A server calls it when it
// begins to shut down, as it would wait for them otherwise (http.Server.RegisterOnShutdown).
func (g *Gate) Hangup() { g.watches.once.Do(func() { close(g.watches.closed) }) }

// watch returns a channel that is closed when the session of a page may have been concluded, so that its
// watcher looks again, and what ends the waiting. ok is false when too many wait.
func (w *watches) watch(page hufu.Digest) (done <-chan struct{}, end func(), ok bool) {
	c := make(chan struct{})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.count >= maxWatches {
		return nil, nil, false
	}
	w.waiting[page] = append(w.waiting[page], c)
	w.count++
	if w.stop == nil {
		ctx, cancel := context.WithCancel(context.Background())
		w.stop = cancel
		go w.poll(ctx)
	}
	return c, func() { w.leave(page, c) }, true
}

func (w *watches) leave(page hufu.Digest, c chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := w.waiting[page]
	for i := range list {
		if list[i] == c {
			w.waiting[page] = append(list[:i:i], list[i+1:]...)
			w.count--
			break
		}
	}
	if len(w.waiting[page]) == 0 {
		delete(w.waiting, page)
	}
	if w.count == 0 && w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

func (w *watches) notify(page hufu.Digest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.waiting[page] {
		close(c)
		w.count--
	}
	delete(w.waiting, page)
	if w.count == 0 && w.stop != nil {
		w.stop()
		w.stop = nil
	}
}

// poll looks for what other processes conclude. A store that is out of reach is asked again.
func (w *watches) poll(ctx context.Context) {
	t := time.NewTicker(pollInterval)
	defer t.Stop()
	last := int64(-1) // nothing read yet
	for {
		after := last
		if last < 0 {
			after = math.MaxInt64
		}
		pages, newest, err := w.store.Concluded(ctx, after)
		if err == nil && last < 0 {
			// What was concluded before this reading is in no later one: whoever waits by now looks again.
			pages = w.pages()
		}
		if err == nil {
			last = newest
		}
		for _, p := range pages {
			w.notify(p)
		}
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
	}
}

func (w *watches) pages() []hufu.Digest {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]hufu.Digest, 0, len(w.waiting))
	for p := range w.waiting {
		out = append(out, p)
	}
	return out
}
