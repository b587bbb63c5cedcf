package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/hufu-id/hufu/internal/home"
)

// setMetrics says in a node's settings where its metrics are to be.
func (m *members) setMetrics(name, address string) {
	m.t.Helper()
	path := filepath.Join(m.home(name), home.NodeSettingsFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		m.t.Fatal(err)
	}
	var s home.NodeSettings
	if err := json.Unmarshal(raw, &s); err != nil {
		m.t.Fatal(err)
	}
	s.Metrics = address
	if raw, err = json.Marshal(s); err != nil {
		m.t.Fatal(err)
	}
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		m.t.Fatal(err)
	}
}

// A node says how it is where its settings want it, on this machine and nowhere else.
func TestNodeMetrics(t *testing.T) {
	m := foundMembers(t, 1)
	m.setMetrics("node1", "0.0.0.0:0")
	if out, err := m.command(t.Context(), m.on("node1", "node", "start")...).CombinedOutput(); err == nil || !strings.Contains(string(out), "node.json, metrics: ") {
		t.Fatalf("%v: %s", err, out)
	}
	m.setMetrics("node1", "127.0.0.1:0")
	m.start("node1")
	m.until("it is up", answering(0), "node1")
	m.create("node1", "agency")
	found := regexp.MustCompile(`metrics (http://127\.0\.0\.1:\d+)(/metrics)`).FindStringSubmatch(m.logs())
	if found == nil {
		t.Fatal(m.logs())
	}
	get := func(url string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status, err)
		}
		return string(raw)
	}
	got := get(found[1] + found[2])
	for _, want := range []string{
		`hufu_node_height [1-9]`, `hufu_node_transactions_total 1`, `hufu_node_peers 0`, `hufu_node_waiting_transactions 0`, `hufu_node_waiting_bytes 0`,
		`hufu_node_commit_seconds_count [1-9]`, `hufu_node_block_interval_seconds_sum [0-9]`, `hufu_node_refused_total\{reason="busy"\} 0`, `hufu_ledger_height [1-9]`,
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(got) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	get(found[1] + "/readyz")
	if err := m.end("node1", syscall.SIGINT); err != nil {
		t.Error(err)
	}
}
