package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// An adult of the register that "hufu roster --people 12 --seed 3" makes.
const adult = "992018199903048327"

// strictBound is how old the state may be at the door that is soon shut in an outage.
const strictBound = 10 * time.Second

// doorway is a gate in a process of its own before a network of four, and a wallet with credentials for its doors.
type doorway struct {
	*members
	url   string // of the gate
	nodes string // RPC of two of the four
}

// as is a command line with a home of its own, its key file, and the nodes.
func (d *doorway) as(name string, args ...string) []string {
	path := filepath.Join(d.dir, name)
	return append(args, "--home", path, "--key-file", path+".key", "--node", d.nodes)
}

func (d *doorway) file(name string, content []byte) string {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// says runs a command and returns its standard output alone.
func (d *doorway) says(in string, args ...string) []byte {
	d.t.Helper()
	c := d.command(d.t.Context(), args...)
	var errOut bytes.Buffer
	c.Stdin, c.Stderr = strings.NewReader(in), &errOut
	out, err := c.Output()
	if err != nil {
		d.t.Fatalf("hufu %s: %v\n%s", strings.Join(args, " "), err, errOut.String())
	}
	return out
}

// openDoorway makes an agency, a library with two doors, and a wallet with a few credentials more than a test shows.
func openDoorway(m *members) *doorway {
	d := &doorway{members: m, url: "http://" + freePort(m.t), nodes: "http://" + loopback(m.port+1) + ",http://" + loopback(m.port+portStep+1)}
	genesis := filepath.Join(m.home("node1"), "genesis.json")
	made := map[string]string{}
	for name, method := range map[string]string{"agency": "issuing:assertion", "library": "gate:authentication+assertion"} {
		m.must(d.as(name, "did", "create", name, "--method", method, "--genesis", genesis, "--open", m.Founders[0].DID)...)
		var names map[string]string
		if err := json.Unmarshal(d.says("", "did", "list", "--home", filepath.Join(d.dir, name), "--json"), &names); err != nil {
			m.t.Fatal(err)
		}
		made[name] = names[name]
	}
	for _, name := range []string{"resident-id", "guardianship"} {
		m.must(m.on("node1", "trust", "publish", "../../examples/types/"+name+".json")...)
	}
	m.decide("node1", []string{"node2", "node3"}, "accredit", made["agency"], "--type", "urn:hufu:type:resident-id:1", "--type", "urn:hufu:type:guardianship:1")
	room, err := os.ReadFile("../../examples/contracts/reading-room.toml")
	if err != nil {
		m.t.Fatal(err)
	}
	strict := strings.NewReplacer(`"reading-room"`, `"strict"`, `max_staleness = "10m"`, `max_staleness = "`+strictBound.String()+`"`).Replace(string(room))
	for name, text := range map[string]string{"room.toml": string(room), "strict.toml": strict} {
		m.must(d.as("library", "gate", "publish", d.file(name, []byte(text)), "--as", "library")...)
	}
	people := filepath.Join(d.dir, "people.csv")
	m.must("roster", "--people", "12", "--seed", "3", "--out", people)
	m.must(d.as("agency", "issuer", "enrol", people)...)
	var nonce struct {
		Nonce string `json:"c_nonce"`
	}
	if err := json.Unmarshal(d.says("", d.as("agency", "issuer", "nonce", "--json")...), &nonce); err != nil {
		m.t.Fatal(err)
	}
	alice := filepath.Join(d.dir, "alice")
	proofs := d.says("", "wallet", "keygen", "--home", alice, "--key-file", alice+".key", "--genesis", genesis, "--copies", "12", "--audience", made["agency"], "--nonce", nonce.Nonce)
	issued := d.says(adult, d.as("agency", "issuer", "issue", "--person", "-", "--proofs", d.file("proofs.json", proofs))...)
	m.must(d.as("alice", "wallet", "accept", d.file("credentials.json", issued))...)
	return d
}

// serve starts the gate's process and waits until it is ready.
func (d *doorway) serve() (stop func()) {
	d.t.Helper()
	c := d.command(d.t.Context(), d.as("library", "gate", "serve", "--listen", strings.TrimPrefix(d.url, "http://"))...)
	log, err := os.Create(d.home("gate.log"))
	if err != nil {
		d.t.Fatal(err)
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	if err := c.Start(); err != nil {
		d.t.Fatal(err)
	}
	stop = func() {
		_ = c.Process.Signal(syscall.SIGTERM)
		_ = c.Wait()
	}
	for end := time.Now().Add(readyTimeout); ; time.Sleep(50 * time.Millisecond) {
		if status, _, err := get(d.t.Context(), d.url+"/readyz"); err == nil && status == http.StatusOK {
			return stop
		}
		if time.Now().After(end) {
			stop()
			d.t.Fatalf("the gate is not ready\n%s", d.logs())
		}
	}
}

// answer is what a wallet answers.
type answer struct {
	State   string          `json:"state"`
	VPToken json.RawMessage `json:"vp_token"`
}

// answered has the wallet answer at a door; it is not sent yet.
func (d *doorway) answered(door string) (a answer) {
	d.t.Helper()
	request := d.says("", d.as("library", "gate", "request", door, "--as", "library", "--response-uri", d.url+"/gates/library/gate/response")...)
	if err := json.Unmarshal(d.says("", d.as("alice", "wallet", "present", d.file("request.jwt", request))...), &a); err != nil {
		d.t.Fatal(err)
	}
	return a
}

// enters sends an answer, and returns the receipt of what the gate decided.
func (d *doorway) enters(a answer) *receipt.Receipt {
	d.t.Helper()
	res, err := http.PostForm(d.url+"/gates/library/gate/response", url.Values{"vp_token": {string(a.VPToken)}, "state": {a.State}})
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	var got struct{ Receipt string }
	if err := json.Unmarshal(raw, &got); err != nil || got.Receipt == "" {
		d.t.Fatalf("status %d: %s, %v\n%s", res.StatusCode, raw, err, d.logs())
	}
	r, err := receipt.Parse(got.Receipt)
	if err != nil {
		d.t.Fatal(err)
	}
	return &r.Receipt
}

// visits has the gate ask and a wallet, in a process of its own, answer by the link, with these nodes.
func (d *doorway) visits(door, nodes string) (decision string, err error) {
	d.t.Helper()
	var asked struct{ URI string }
	if err := json.Unmarshal(d.says("", "gate", "request", "--contract", door, "--home", filepath.Join(d.dir, "library"), "--json"), &asked); err != nil {
		d.t.Fatal(err)
	}
	alice := filepath.Join(d.dir, "alice")
	c := d.command(d.t.Context(), "wallet", "present", asked.URI, "--yes", "--json", "--home", alice, "--key-file", alice+".key", "--node", nodes)
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, errOut.String())
	}
	var came outcomeAccount
	if err := json.Unmarshal(out.Bytes(), &came); err != nil || !came.Known || !came.Receipt {
		d.t.Errorf("%s, %v", out.String(), err)
	}
	return came.Decision, nil
}

// Every validator is killed. The gate decides by what it knows, also after it was started again, as long as the contract lets
// it, and no longer; when the validators are back it decides by the ledger again, without anybody's doing. A wallet
// shows credentials all that time, by what the gate shows it of the ledger, and no longer than the gate decides.
func TestGateWithoutValidators(t *testing.T) {
	m := foundMembers(t, 4)
	all := []string{"node1", "node2", "node3", "node4"}
	for _, name := range all {
		m.start(name)
	}
	m.until("all four are up", answering(1), all...)
	d := openDoorway(m)
	first, lax, restarted, strict := d.answered("reading-room"), d.answered("reading-room"), d.answered("reading-room"), d.answered("strict")
	stop := d.serve()
	defer func() { stop() }()
	before := d.enters(first)
	if before.Decision != hufu.Allow {
		t.Fatalf("before the outage: %+v", before)
	}
	visit := func(when, door, nodes string) {
		t.Helper()
		if decision, err := d.visits(door, nodes); decision != "allow" || err != nil {
			t.Errorf("a visit %s: %s, %v\n%s", when, decision, err, d.logs())
		}
	}
	visit("of which no node learns", "reading-room", "http://"+freePort(t))

	for _, name := range all {
		m.end(name, syscall.SIGKILL)
	}
	visit("in the outage", "reading-room", d.nodes)
	known := d.enters(lax)
	if known.Decision != hufu.Allow || known.AsOf.Height < before.AsOf.Height || known.Staleness != known.Time.Sub(known.AsOf.Time) {
		t.Errorf("in the outage: %+v", known)
	}
	stop()
	stop = d.serve()
	kept := d.enters(restarted)
	if kept.Decision != hufu.Allow || kept.AsOf.Height == 0 || kept.AsOf.Height > known.AsOf.Height {
		t.Errorf("started again in the outage: %+v; before that as of %+v", kept, known.AsOf)
	}
	visit("in the outage, the gate started again", "reading-room", d.nodes)
	time.Sleep(time.Until(kept.AsOf.Time.Add(strictBound + time.Second))) // that is when the bound is passed
	if r := d.enters(strict); r.Decision != hufu.Deny || r.Rule != contract.RuleStale || r.Staleness <= strictBound || r.AsOf != kept.AsOf {
		t.Errorf("beyond the bound: %+v", r)
	}
	if decision, err := d.visits("strict", d.nodes); err == nil || !strings.Contains(err.Error(), "more than its contract's "+strictBound.String()) {
		t.Errorf("a visit beyond the bound: %s, %v", decision, err)
	}

	for _, name := range all {
		m.start(name)
	}
	m.until("all four are back", answering(known.AsOf.Height+1), all...)
	again := d.answered("strict")
	m.create("node3", "office") // makes a block, if there is none just now
	if r := d.enters(again); r.Decision != hufu.Allow || r.AsOf.Height <= known.AsOf.Height {
		t.Errorf("after the outage: %+v", r)
	}
	visit("after the outage", "strict", d.nodes)
}
