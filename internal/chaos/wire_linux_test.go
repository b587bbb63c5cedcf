package chaos

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// weather is how it is between two nodes, in one direction.
type weather struct {
	Delay  span    `toml:"delay"`
	Jitter span    `toml:"jitter"` // on top of the delay, from none to all of it; packets stay in order
	Loss   float64 `toml:"loss"`   // share of the packets
	Rate   int     `toml:"rate"`   // bytes per second; 0: as fast as it goes
}

// wire carries packets between the namespaces of nodes 0, 1, …, which have the addresses nodeAddress(0) and on.
type wire struct {
	ports []*os.File
	lines [][]*line // from, to
}

// line is one direction between two nodes.
type line struct {
	to *os.File

	mu      sync.Mutex
	random  *rand.Rand
	weather weather
	cut     bool
	free    time.Time // when a packet can go after those before it, with a Rate
	last    time.Time // when the packet before arrives
	waiting int
	carried int
	dropped int

	queue chan packet
}

type packet struct {
	data []byte
	due  time.Time
}

// lineQueue bounds what is under way on one line; a router drops what it has no room for, too.
const lineQueue = 4096

func nodeAddress(node int) netip.Addr { return netip.AddrFrom4([4]byte{10, 77, 0, byte(node + 1)}) }

// newWire makes as many namespaces, connected with each other.
func newWire(t testing.TB, nodes int, seed uint64) (*wire, []*namespace) {
	t.Helper()
	w := &wire{}
	var spaces []*namespace
	for i := range nodes {
		n := newNamespace(t, netip.PrefixFrom(nodeAddress(i), 24))
		spaces = append(spaces, n)
		w.ports = append(w.ports, n.wire)
	}
	for from := range nodes {
		w.lines = append(w.lines, make([]*line, nodes))
		for to := range nodes {
			l := &line{to: w.ports[to], random: rand.New(rand.NewPCG(seed, uint64(from<<8|to))), queue: make(chan packet, lineQueue)}
			w.lines[from][to] = l
			go l.deliver(t.Context().Done())
		}
		go w.carry(from)
	}
	return w, spaces
}

// carry takes what a node sends, until its interface is closed.
func (w *wire) carry(from int) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := w.ports[from].Read(buffer)
		if err != nil {
			return
		}
		// IPv4 (RFC 791 §3.1): the version is in the first half byte, the destination in bytes 16 to 19.
		if n < 20 || buffer[0]>>4 != 4 {
			continue // such as IPv6's looking for routers
		}
		to := int(binary.BigEndian.Uint32(buffer[16:20])) - int(binary.BigEndian.Uint32(nodeAddress(0).AsSlice()))
		if to >= 0 && to < len(w.lines) {
			w.lines[from][to].send(buffer[:n])
		}
	}
}

// send lets a packet go, or not.
func (l *line) send(data []byte) {
	l.mu.Lock()
	// A number is drawn for each packet, so that a cut does not move what is lost after it.
	lost := l.random.Float64() < l.weather.Loss
	if l.cut || lost || l.waiting == lineQueue {
		l.dropped++
		l.mu.Unlock()
		return
	}
	l.carried++
	now := time.Now()
	due := now.Add(time.Duration(l.weather.Delay))
	if j := int64(l.weather.Jitter); j > 0 {
		due = due.Add(time.Duration(l.random.Int64N(j)))
	}
	if l.weather.Rate > 0 {
		l.free = later(l.free, now).Add(time.Duration(len(data)) * time.Second / time.Duration(l.weather.Rate))
		due = later(due, l.free)
	}
	due = later(due, l.last)
	l.last = due
	if l.waiting == 0 && !due.After(now) {
		l.mu.Unlock()
		_, _ = l.to.Write(data) // what the other end has no room for is lost, as elsewhere
		return
	}
	l.waiting++
	l.mu.Unlock()
	l.queue <- packet{slices.Clone(data), due}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (l *line) deliver(done <-chan struct{}) {
	for {
		select {
		case p := <-l.queue:
			time.Sleep(time.Until(p.due)) // it is under way
			l.mu.Lock()
			l.waiting--
			cut := l.cut
			l.mu.Unlock()
			if !cut {
				_, _ = l.to.Write(p.data)
			}
		case <-done:
			return
		}
	}
}

// set makes it so on every line for which where is true.
func (w *wire) set(where func(from, to int) bool, change func(*line)) {
	for from := range w.lines {
		for to, l := range w.lines[from] {
			if from != to && where(from, to) {
				l.mu.Lock()
				change(l)
				l.mu.Unlock()
			}
		}
	}
}

// part cuts every line between nodes of different sides, and joins all others.
func (w *wire) part(sides [][]int) {
	side := func(node int) int {
		return slices.IndexFunc(sides, func(s []int) bool { return slices.Contains(s, node) })
	}
	for from := range w.lines {
		for to := range w.lines {
			w.set(func(f, t int) bool { return f == from && t == to }, func(l *line) { l.cut = side(from) != side(to) })
		}
	}
}

func (w *wire) String() string {
	carried, dropped := 0, 0
	w.set(func(int, int) bool { return true }, func(l *line) { carried, dropped = carried+l.carried, dropped+l.dropped })
	return fmt.Sprintf("%d packets carried, %d dropped", carried, dropped)
}

// span is a time.Duration in a scenario: "200ms".
type span time.Duration

// UnmarshalText reads one.
func (s *span) UnmarshalText(text []byte) error {
	d, err := time.ParseDuration(string(text))
	*s = span(d)
	return err
}
