package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// decide proposes as the member of one home and votes as those of others.
func (m *members) decide(by string, voters []string, proposal ...string) {
	m.t.Helper()
	var p struct {
		Proposal string
		Executed bool
	}
	if err := json.Unmarshal(m.must(m.on(by, append(append([]string{"gov", "propose"}, proposal...), "--json")...)...), &p); err != nil {
		m.t.Fatal(err)
	}
	for _, name := range voters {
		m.must(m.on(name, "gov", "vote", p.Proposal)...)
	}
}

// with is the validator of the name that the record has, or one without a key.
func (s *netStatus) with(name string) validatorStatus {
	for _, v := range s.Validators {
		if v.Name == name {
			return v
		}
	}
	return validatorStatus{}
}

// A fifth organisation joins a running network from a snapshot, is admitted by vote and validates; its power and its key are
// changed by vote, without its missing a vote for long; it leaves; and at the height of an upgrade that the
// members agree on and nobody has, every node stops and says why.
func TestMembersChange(t *testing.T) {
	m := foundMembers(t, 4)
	four := []string{"node1", "node2", "node3", "node4"}
	five := append(slices.Clone(four), "node5")
	for _, name := range four {
		m.start(name)
	}
	m.until("all four are up", answering(0), four...)
	m.create("node1", "agency")

	m.join("node5", "Museum")
	m.start("node5")
	at := m.status(four...).Height
	joined := m.until("the fifth follows", answering(at), five...)
	m.beganWithSnapshot("node5", joined.Nodes[4])
	m.must(m.on("node5", "did", "create", founderName, "--open", m.Founders[0].DID)...)
	m.decide("node1", []string{"node2", "node3"}, "admit", "--candidate", m.home("node5.json"))
	signs := func(power int64, but string) func(netStatus) bool {
		return func(s netStatus) bool {
			v := s.with("Museum")
			return s.Agree && v.Power == power && v.Signed && v.Key != but
		}
	}
	s := m.until("the fifth validates", signs(10, ""), five...)
	if len(s.Validators) != 5 {
		t.Fatalf("%+v", s.Validators)
	}
	museum := string(s.with("Museum").Member)
	m.create("node5", "gallery") // by its own quota

	m.decide("node1", []string{"node2", "node3", "node5"}, "set", museum, "--power", "20", "--quota", "12345678")
	s = m.until("its power is twice as much", signs(20, ""), five...)
	old := s.with("Museum").Key

	// The node has the new key before it counts, and goes over to it by itself.
	var p struct{ Proposal string }
	if err := json.Unmarshal(m.must(m.on("node5", "gov", "propose", "validator-key", "--json")...), &p); err != nil {
		t.Fatal(err)
	}
	if err := m.end("node5", syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	m.start("node5")
	m.until("it is back", answering(s.Height), five...)
	for _, name := range four[:3] {
		m.must(m.on(name, "gov", "vote", p.Proposal)...)
	}
	s = m.until("it signs with its new key", signs(20, old), five...)
	if len(s.Validators) != 5 || slices.ContainsFunc(s.Validators, func(v validatorStatus) bool { return v.Key == old }) {
		t.Fatalf("%+v", s.Validators)
	}

	m.decide("node1", []string{"node2", "node3", "node4"}, "remove", museum)
	s = m.until("it validates no more", func(s netStatus) bool { return s.Agree && len(s.Validators) == 4 }, five...)
	m.create("node1", "archive")
	m.until("and follows", answering(s.Height+1), five...)

	m.decide("node1", []string{"node2", "node3"}, "upgrade", "winter", "--in", "14")
	if u := m.status("node1").Upgrade; u == nil || u.Name != "winter" || u.Known {
		t.Fatalf("%+v", u)
	}
	m.allStop(five, `"winter" from height`)
}

// beganWithSnapshot checks that a node has no blocks before a snapshot's, and says so to who asks for them, while
// the founders have all.
func (m *members) beganWithSnapshot(name string, s nodeStatus) {
	m.t.Helper()
	if s.First < 2 {
		m.t.Fatalf("%s keeps blocks from %d on\n%s", name, s.First, m.logs())
	}
	out, err := m.command(m.t.Context(), m.on(name, "audit")...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "it keeps blocks from "+strconv.FormatUint(uint64(s.First), 10)+" on, and was asked for 1") {
		m.t.Errorf("an audit of %s from genesis: %v, %s", name, err, out)
	}
	m.must(m.on("node1", "audit")...)
	// Its own clients verify from its first block.
	m.must(m.on(name, "gov", "members")...)
}

// join makes the home of an organisation that is no founder, from what it would be given.
func (m *members) join(name, organisation string) {
	m.t.Helper()
	port := m.port + len(m.Founders)*portStep
	m.must(m.on(name, "net", "candidate", "--network", "harbour", "--name", organisation, "--address", loopback(port), "--rpc", loopback(port+1), "--out", m.home(name+".json"))...)
	var peers []string
	for _, f := range m.Founders {
		peers = append(peers, f.Node+"@"+f.Address)
	}
	m.must(m.on(name, "net", "join", filepath.Join(m.home("node1"), "genesis.json"), "--peer", strings.Join(peers, ","))...)
}

// allStop waits until every node has ended by itself, with status 1 and the words, while transactions come.
func (m *members) allStop(names []string, words string) {
	m.t.Helper()
	ended := make(chan string)
	for _, name := range names {
		c := m.procs[name]
		delete(m.procs, name)
		m.t.Cleanup(func() { _ = c.Process.Kill() }) // if it did not
		go func() {
			_ = c.Wait()
			ended <- name + " " + strconv.Itoa(c.ProcessState.ExitCode())
		}()
	}
	ctx, tick := m.t.Context(), time.NewTicker(100*time.Millisecond)
	defer tick.Stop()
	timeout := time.NewTimer(readyTimeout)
	defer timeout.Stop()
	for n, i := 0, 0; n < len(names); {
		select {
		case how := <-ended:
			if n++; !strings.HasSuffix(how, " 1") {
				m.t.Errorf("%s: its exit status is not 1\n%s", how, m.logs())
			}
		case <-tick.C:
			// Blocks, until there are no more.
			i++
			short, cancel := context.WithTimeout(ctx, time.Second)
			_ = m.command(short, m.on("node1", "did", "create", "filler-"+strconv.Itoa(i))...).Run()
			cancel()
		case <-timeout.C:
			m.t.Fatalf("%d of %d nodes have stopped\n%s", n, len(names), m.logs())
		}
	}
	for _, name := range names {
		if raw, err := os.ReadFile(m.home(name) + ".log"); err != nil || !strings.Contains(string(raw), words) {
			m.t.Errorf("%s does not say %s: %s", name, words, raw)
		}
	}
}
