package chaos

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// The network between the nodes does what scenarios ask of it: it carries, it is late, it loses, it is cut.
func TestWire(t *testing.T) {
	if what := missing(); what != "" {
		t.Skipf("chaos needs what is not here: %s", what)
	}
	w, spaces := newWire(t, 3, 1)
	for _, n := range spaces[1:] {
		l, err := n.listen(t.Context(), "0.0.0.0:7")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go echo(l)
	}
	if _, err := net.InterfaceByName("wire"); err == nil {
		t.Error("the namespaces are the machine's own")
	}
	open := func(to int) net.Conn {
		t.Helper()
		c, err := spaces[0].dial(t.Context(), nodeAddress(to).String()+":7")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	one, two := open(1), open(2)
	began := time.Now()
	talk(t, one)
	talk(t, two)
	direct := time.Since(began)

	// There and back.
	const late = 100 * time.Millisecond
	w.set(func(from, to int) bool { return from+to == 1 }, func(l *line) { l.weather.Delay = span(late) })
	began = time.Now()
	talk(t, one)
	if took := time.Since(began); took < 2*late {
		t.Errorf("%s, with %s in each direction (before: %s)", took, late, direct)
	}
	w.set(func(int, int) bool { return true }, func(l *line) { l.weather = weather{Loss: 0.2} })
	for range 50 {
		talk(t, two)
	}
	dropped := 0
	w.set(func(from, to int) bool { return from+to == 2 }, func(l *line) { dropped += l.dropped })
	if dropped == 0 {
		t.Error("a fifth is to be lost, and nothing was")
	}
	w.set(func(int, int) bool { return true }, func(l *line) { l.weather = weather{} })

	w.part([][]int{{0, 2}, {1}})
	talk(t, two)
	if _, err := one.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	_ = one.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := io.ReadFull(one, make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("over a line that is cut: %v", err)
	}
	w.part([][]int{{0, 1, 2}})
	// What was said meanwhile arrives.
	_ = one.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadFull(one, make([]byte, 1)); err != nil {
		t.Error(err)
	}
	talk(t, one)

	// A line of 100 kB/s takes half a second for 50 kB, and the way back.
	w.set(func(from, to int) bool { return from == 0 }, func(l *line) { l.weather = weather{Rate: 100_000} })
	began = time.Now()
	go func() { _, _ = two.Write(make([]byte, 50_000)) }()
	if _, err := io.ReadFull(two, make([]byte, 50_000)); err != nil || time.Since(began) < 400*time.Millisecond {
		t.Errorf("50 kB at 100 kB/s: %s, %v", time.Since(began), err)
	}
}

// echo gives back what it is given.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(c, c) }()
	}
}

// talk says something and hears it back.
func talk(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Fatal(err)
	}
}

// What cannot be carried out is refused before a network is founded.
func TestScenarioFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"nothing":            ``,
		"no steps":           "about = \"x\"",
		"an unknown step":    "about = \"x\"\nsteps = [{ do = \"explode\" }]",
		"an unknown setting": "about = \"x\"\nsteps = [{ do = \"kill\", whom = [1] }]",
		"no duration":        "about = \"x\"\nsteps = [{ do = \"stall\", for = \"long\" }]",
		"a longer short":     "about = \"x\"\nshort = 2\nsteps = [{ do = \"join\" }]",
	} {
		path := dir + "/s.toml"
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := readScenario(path); err == nil {
			t.Errorf("%s: %+v", name, s)
		}
	}
}
