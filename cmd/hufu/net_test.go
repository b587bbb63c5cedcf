package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
)

// members is a network of real processes: this test binary under the name of hufu.
type members struct {
	t     *testing.T
	dir   string
	port  int // the first of a range with room for one more node
	procs map[string]*exec.Cmd

	Founders []struct{ DID, Address, Node string }
}

// foundMembers makes the homes of a network with count validators.
func foundMembers(t *testing.T, count int) *members {
	t.Helper()
	dir := t.TempDir()
	m := &members{t: t, dir: dir, procs: map[string]*exec.Cmd{}}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "hufu")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for name := range m.procs {
			m.end(name, syscall.SIGKILL)
		}
	})
	m.port = portRange(t, count+1)
	out := m.must("net", "init", "--validators", strconv.Itoa(count), "--out", m.home(""), "--network", "harbour", "--port", strconv.Itoa(m.port), "--json")
	if err := json.Unmarshal(out, m); err != nil {
		t.Fatal(err)
	}
	return m
}

// portRange is a port from which on count nodes find theirs free.
func portRange(t *testing.T, count int) int {
	t.Helper()
	for first := 20_000 + os.Getpid()%500*20; first < 32_000; first += portStep * count {
		free := true
		for i := range count {
			for _, port := range []int{first + i*portStep, first + i*portStep + 1} {
				free = free && listenable(loopback(port))
			}
		}
		if free {
			return first
		}
	}
	t.Fatal("no ports are free")
	return 0
}

func (m *members) home(name string) string { return filepath.Join(m.dir, "net", name) }

func (m *members) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, filepath.Join(m.dir, "hufu"), args...)
	c.Env = append(os.Environ(), "HUFU_HOME=", "HUFU_KEY_FILE=", "HUFU_PASSPHRASE_FILE=")
	return c
}

// must runs a command that must be done within readyTimeout.
func (m *members) must(args ...string) []byte {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), readyTimeout)
	defer cancel()
	out, err := m.command(ctx, args...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("hufu %s: %v\n%s\n%s", strings.Join(args, " "), err, out, m.logs())
	}
	return out
}

// on is a command line with the home and the key file of a member.
func (m *members) on(name string, args ...string) []string {
	return append(args, "--home", m.home(name), "--key-file", m.home(name)+".key")
}

// start runs a node and does not wait for it.
func (m *members) start(name string) {
	m.t.Helper()
	log, err := os.OpenFile(m.home(name)+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	c := m.command(context.Background(), m.on(name, "node", "start")...)
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.procs[name] = c
}

// end ends a node's process, and returns how it ended.
func (m *members) end(name string, s syscall.Signal) error {
	c := m.procs[name]
	delete(m.procs, name)
	_ = c.Process.Signal(s) // it may have ended by itself
	return c.Wait()
}

func (m *members) logs() string {
	var all strings.Builder
	logs, _ := filepath.Glob(filepath.Join(m.home(""), "*.log"))
	for _, path := range logs {
		raw, _ := os.ReadFile(path)
		fmt.Fprintf(&all, "%s:\n%s", filepath.Base(path), raw[max(0, len(raw)-2000):])
	}
	return all.String()
}

// status asks the nodes named. A node that does not answer is in it, with the error.
func (m *members) status(names ...string) (s netStatus) {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), readyTimeout)
	defer cancel()
	args := []string{"net", "status", "--json"}
	for _, name := range names {
		args = append(args, m.home(name))
	}
	var errOut bytes.Buffer
	c := m.command(ctx, args...)
	c.Stderr = &errOut
	raw, err := c.Output()
	if len(raw) == 0 {
		m.t.Fatalf("%v: %s", err, errOut.String())
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		m.t.Fatalf("%v: %s", err, raw)
	}
	return s
}

// until asks for the status again and again until it is as wanted.
func (m *members) until(what string, ok func(netStatus) bool, names ...string) netStatus {
	m.t.Helper()
	ctx, cancel := context.WithTimeout(m.t.Context(), readyTimeout)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		s := m.status(names...)
		if ok(s) {
			return s
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			raw, _ := json.Marshal(s)
			m.t.Fatalf("%s: not within %s: %s\n%s", what, readyTimeout, raw, m.logs())
		}
	}
}

// answering reports whether all nodes that were asked answer, agree and are at height at least.
func answering(height hufu.Height) func(netStatus) bool {
	return func(s netStatus) bool {
		for _, n := range s.Nodes {
			if n.Error != "" || n.Height < height {
				return false
			}
		}
		return s.Agree
	}
}

// create puts an identifier on the ledger through a member's own node.
func (m *members) create(name, identity string) {
	m.t.Helper()
	m.must(m.on(name, "did", "create", identity)...)
}

// Four validators, each a process. One is killed: the network goes on, and it catches up. Two are killed: it
// stops, and goes on without a fork when they are back.
func TestNetworkOfFour(t *testing.T) {
	m := foundMembers(t, 4)
	all := []string{"node1", "node2", "node3", "node4"}
	for _, name := range all {
		m.start(name)
	}
	m.until("all four are up", answering(0), all...)
	for i, name := range all {
		m.create(name, "agency-"+strconv.Itoa(i))
	}
	s := m.until("all have all", answering(4), all...)
	if len(s.Validators) != 4 || s.Validators[0].Name == "" || s.Validators[0].Power != 10 || s.AppVersion != 1 {
		t.Fatalf("%+v", s)
	}

	m.end("node4", syscall.SIGKILL)
	for i, name := range all[:3] {
		m.create(name, "office-"+strconv.Itoa(i))
	}
	before := m.status(all[:3]...)
	m.start("node4")
	m.until("the killed one has caught up", answering(before.Height), all...)
	m.create("node4", "office-4")

	m.end("node3", syscall.SIGKILL)
	m.end("node4", syscall.SIGKILL)
	stopped := m.status("node1", "node2")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	out, err := m.command(ctx, m.on("node1", "did", "create", "late")...).CombinedOutput()
	cancel()
	if err == nil {
		t.Fatalf("two of four committed: %s", out)
	}
	// A block that had its votes already may have been finished.
	if s := m.status("node1", "node2"); s.Height > stopped.Height+2 {
		t.Fatalf("two of four went from height %d to %d", stopped.Height, s.Height)
	}
	m.start("node3")
	m.start("node4")
	m.create("node1", "late")
	s = m.until("all go on", answering(stopped.Height+1), all...)
	for _, name := range all {
		m.must(m.on(name, "did", "resolve", m.did("node1", "late"))...)
	}
	// The whole history is of one chain: a node's replay from genesis ends at the app hash of all.
	var audited struct {
		Match bool `json:"app_hash_match"`
	}
	if err := json.Unmarshal(m.must(m.on("node4", "audit", "--json")...), &audited); err != nil || !audited.Match {
		t.Fatal(audited, err)
	}
	if !s.Agree {
		t.Fatalf("%+v", s)
	}
	for _, name := range all {
		if err := m.end(name, syscall.SIGTERM); err != nil {
			t.Errorf("%s did not stop by itself: %v\n%s", name, err, m.logs())
		}
	}
}

// A node that lacks headers of which evidence counts is told from one that only keeps less.
func TestStatusOfMissingHeaders(t *testing.T) {
	at, hash := time.Unix(1_760_000_000, 0), hufu.Digest{1}
	s := netStatus{Network: "harbour"}
	for _, n := range []nodeStatus{{Node: "archive", First: 1}, {Node: "pruned", First: 500}, {Node: "joined", First: 900, Missing: 700}} {
		n.Height, n.Time, n.AppHash = 1000, &at, &hash
		s.Nodes = append(s.Nodes, n)
	}
	var text strings.Builder
	printNetStatus(&text, &s)
	for _, want := range []string{", all blocks,", ", blocks from 500 on,", ", blocks from 900 on (without headers up to 700: it cannot judge evidence of these),"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if raw, err := json.Marshal(s); err != nil || strings.Count(string(raw), `"missing"`) != 1 || !strings.Contains(string(raw), `"missing":700`) {
		t.Errorf("%s, %v", raw, err)
	}
}

// A network that has not begun: its time is to come, then a validator is missing. The account says what is waited for.
func TestNetworkBeforeItsFirstBlock(t *testing.T) {
	m := foundMembers(t, 2)
	both := []string{"node1", "node2"}
	genesis := filepath.Join(m.home("node1"), "genesis.json")
	now, err := os.ReadFile(genesis)
	if err != nil {
		t.Fatal(err)
	}
	begins := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	later := regexp.MustCompile(`"genesis_time": *"[^"]*"`).ReplaceAll(now, []byte(`"genesis_time": "`+begins.Format(time.RFC3339)+`"`))
	if bytes.Equal(now, later) {
		t.Fatalf("%s", now)
	}
	write := func(raw []byte) {
		t.Helper()
		if err := os.WriteFile(genesis, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(later)
	m.start("node1")
	for end := time.Now().Add(readyTimeout); !strings.Contains(m.logs(), "the node waits until then"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(m.logs())
		}
	}
	if s := m.status("node1"); s.Genesis == nil || s.Genesis.Begun || !s.Genesis.Time.Equal(begins) || s.well() {
		t.Errorf("before its time: %+v", s)
	}
	m.end("node1", syscall.SIGKILL)
	write(now)
	if err := os.RemoveAll(filepath.Join(m.home("node1"), "node")); err != nil { // which has the other one
		t.Fatal(err)
	}

	m.start("node1")
	s := m.until("node1 is up", func(s netStatus) bool { return s.Nodes[0].Error == errNoBlock.Error() }, "node1")
	if s.Genesis == nil || !s.Genesis.Begun || s.Genesis.Validators != 2 || s.Genesis.Power != 20 || s.well() {
		t.Errorf("one of two: %+v", s)
	}
	var text strings.Builder
	printNetStatus(&text, &s)
	if !strings.Contains(text.String(), "it has no block yet, 0 peers") || !strings.Contains(text.String(), "more than 2/3 of the power of 20, which 2 have") {
		t.Errorf("%s", text.String())
	}
	m.start("node2")
	if s := m.until("both are up", answering(0), both...); s.Genesis != nil {
		t.Errorf("it has begun: %+v", s)
	}
	m.end("node2", syscall.SIGKILL)
	if s := m.status(both...); s.Genesis != nil {
		t.Errorf("it began before: %+v", s)
	}
}

// did is the identifier that a member's home has under a name.
func (m *members) did(name, identity string) string {
	m.t.Helper()
	var names map[string]string
	if err := json.Unmarshal(m.must(m.on(name, "did", "list", "--json")...), &names); err != nil {
		m.t.Fatal(err)
	}
	return names[identity]
}
