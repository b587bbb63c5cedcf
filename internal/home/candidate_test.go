package home_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/node"
)

var made = time.Date(2026, 11, 1, 12, 0, 0, 123, time.UTC)

// candidate is an organisation's home, and what it says of itself.
func candidate(t *testing.T, name, address string) (*home.Home, *home.Candidate) {
	t.Helper()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := keystore.CreateKeyFile(key); err != nil {
		t.Fatal(err)
	}
	h, err := home.Create(filepath.Join(dir, "net"), keystore.KeyFile(key), "harbour")
	if err != nil {
		t.Fatal(err)
	}
	c, err := h.NewCandidate(rand.Reader, made, "member", home.Terms{
		Name: name, Address: address, Power: home.DefaultPower, Quota: home.DefaultQuota, OpenQuota: home.DefaultOpenQuota,
	})
	if err != nil {
		t.Fatal(err)
	}
	return h, c
}

func TestCandidateFile(t *testing.T) {
	h, c := candidate(t, "City of Harbour", "node.harbour.example:26656")
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	read, err := home.ParseCandidate(raw)
	if err != nil || read.ID() != c.ID() || read.Peer() != c.Peer() || !read.Made.Equal(made.Truncate(time.Second)) {
		t.Fatal(read, err)
	}
	again, err := h.NewCandidate(rand.Reader, made, "member", home.Terms{Name: "Another name", Address: c.Address, Power: 1})
	if err != nil || again.ID() != c.ID() || !bytes.Equal(again.NodeKey, c.NodeKey) || !bytes.Equal(again.ValidatorKey, c.ValidatorKey) {
		t.Fatal("a second file of one home names other keys", err)
	}
	_, other := candidate(t, "Another", "other.example:26656")
	for what, change := range map[string]func(c *home.Candidate){
		"not signed with its control key":   func(c *home.Candidate) { c.Signatures.Control = other.Signatures.Control },
		"not signed with its validator key": func(c *home.Candidate) { c.ValidatorKey = other.ValidatorKey; c.Signatures.Control = nil },
		"not signed with its node key":      func(c *home.Candidate) { c.Signatures.Node = nil },
		"names no network":                  func(c *home.Candidate) { c.Network = "" },
		"host:port":                         func(c *home.Candidate) { c.Address = "harbour" },
		"when it was made":                  func(c *home.Candidate) { c.Made = time.Time{} },
		"voting power":                      func(c *home.Candidate) { c.Power = 1 << 40 },
		"validator key of 3":                func(c *home.Candidate) { c.ValidatorKey = []byte{1, 2, 3} },
		"candidate's node key":              func(c *home.Candidate) { c.NodeKey = []byte{1, 2, 3} },
		"identifier":                        func(c *home.Candidate) { c.Inception.Threshold = 9 },
	} {
		forged := *c
		change(&forged)
		err := forged.Check()
		if what == "not signed with its validator key" {
			what = "not signed with its" // whichever comes first
		}
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, change := range map[string]func(c *home.Candidate){
		"power": func(c *home.Candidate) { c.Power++ }, "quota": func(c *home.Candidate) { c.Quota++ },
		"open quota": func(c *home.Candidate) { c.OpenQuota++ }, "name": func(c *home.Candidate) { c.Name = "Mallory" },
		"address": func(c *home.Candidate) { c.Address = "mallory.example:1" }, "network": func(c *home.Candidate) { c.Network = "other" },
		"time": func(c *home.Candidate) { c.Made = c.Made.Add(time.Second) }, "key": func(c *home.Candidate) { c.ValidatorKey = other.ValidatorKey },
	} {
		forged := *c
		change(&forged)
		if err := forged.Check(); err == nil {
			t.Errorf("another %s is taken", what)
		}
	}
	for _, bad := range []string{"", "{}", string(raw) + "x", strings.Replace(string(raw), `"power"`, `"might"`, 1), strings.Repeat(" ", home.MaxCandidate+1)} {
		if _, err := home.ParseCandidate([]byte(bad)); err == nil {
			t.Errorf("%.40q is a candidate's file", bad)
		}
	}
}

// Everybody assembles the same genesis from the same files, and only a home that is in it can join.
func TestAssemble(t *testing.T) {
	var homes []*home.Home
	var founders []*home.Candidate
	for _, host := range []string{"a.example:1", "b.example:1", "c.example:1", "d.example:1"} {
		h, c := candidate(t, "Member at "+host, host)
		homes, founders = append(homes, h), append(founders, c)
	}
	genesis := func(founders []*home.Candidate) []byte {
		doc, at, err := home.Assemble(home.DefaultParams(), founders)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := node.NewGenesis(doc, at)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	first := genesis(founders)
	backwards := slices.Clone(founders)
	slices.Reverse(backwards)
	if !bytes.Equal(first, genesis(backwards)) {
		t.Fatal("the order of the files makes another genesis")
	}
	for i, h := range homes {
		if err := h.Join(first, founders); err != nil {
			t.Fatal(err)
		}
		s, err := h.NodeSettings()
		if err != nil || len(s.Peers) != 3 || slices.Contains(s.Peers, founders[i].Peer()) {
			t.Fatal(s, err)
		}
		if raw, err := h.Genesis(); err != nil || !bytes.Equal(raw, first) {
			t.Fatal(err)
		}
	}
	stranger, outside := candidate(t, "Stranger", "s.example:1")
	if err := stranger.Join(first, founders); err == nil {
		t.Error("a home that is no founder's joins")
	}
	if _, err := os.Stat(stranger.Path(home.GenesisFile)); err == nil {
		t.Error("and keeps the genesis")
	}
	outside.Network = "other"
	for what, with := range map[string][]*home.Candidate{
		"none":             {},
		"one twice":        {founders[0], founders[0]},
		"another network":  {founders[0], outside},
		"a forged one":     {founders[0], {Network: "harbour"}},
		"no voting power":  {powerless(t)},
		"one address more": {founders[0], sameAddress(t, founders[0])},
	} {
		if _, _, err := home.Assemble(home.DefaultParams(), with); err == nil {
			t.Errorf("%s: a genesis", what)
		}
	}
}

func powerless(t *testing.T) *home.Candidate {
	h, _ := candidate(t, "Powerless", "p.example:1")
	c, err := h.NewCandidate(rand.Reader, made, "member", home.Terms{Name: "Powerless", Address: "p.example:1", Quota: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func sameAddress(t *testing.T, as *home.Candidate) *home.Candidate {
	_, c := candidate(t, "Squatter", as.Address)
	return c
}

func TestNodeSettings(t *testing.T) {
	h, _ := candidate(t, "City", "c.example:1")
	if s, err := h.NodeSettings(); err != nil || s.Listen != "" || s.Peers != nil {
		t.Fatal(s, err)
	}
	for _, bad := range []string{"", "[]", `{"listn":""}`} {
		if err := os.WriteFile(h.Path(home.NodeSettingsFile), []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := h.NodeSettings(); err == nil {
			t.Errorf("%q reads", bad)
		}
	}
}

// A home makes one key after the present one, and no other until that one is used.
func TestNextValidatorKey(t *testing.T) {
	h, c := candidate(t, "City", "c.example:1")
	second, err := h.NextValidatorKey(rand.Reader, c.ValidatorKey)
	if err != nil || bytes.Equal(second, c.ValidatorKey) {
		t.Fatal(err)
	}
	if again, err := h.NextValidatorKey(rand.Reader, c.ValidatorKey); err != nil || !bytes.Equal(again, second) {
		t.Fatal("it makes another", err)
	}
	third, err := h.NextValidatorKey(rand.Reader, second)
	if err != nil || bytes.Equal(third, second) {
		t.Fatal(err)
	}
	k, err := h.NodeSigners()
	if err != nil || len(k.Successors) != 2 || !bytes.Equal(k.Validator.Public().Raw(), c.ValidatorKey) ||
		!bytes.Equal(k.Successors[0].Public().Raw(), second) || !bytes.Equal(k.Successors[1].Public().Raw(), third) {
		t.Fatalf("%+v, %v", k, err)
	}
	if _, err := h.NextValidatorKey(rand.Reader, []byte("of another home")); err == nil {
		t.Error("a key of another home has a successor here")
	}
}
