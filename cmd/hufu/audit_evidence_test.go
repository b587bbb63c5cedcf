package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
)

// countedBlocks is for how many blocks evidence counts in the network of a validator that signs two headers.
const countedBlocks = 150

// forging is a network of one validator, whose key signs other headers, too.
type forging struct {
	*sample.Network
	t       *testing.T
	dir     string
	genesis string // file
	url     string
	headers *client.HTTP
}

func foundForging(t *testing.T) *forging {
	t.Helper()
	n, err := sample.New("harbour", 1)
	if err == nil {
		n.Genesis, err = node.NewGenesis(n.Doc, time.Now().Add(-time.Minute))
	}
	if err == nil {
		err = n.CountEvidence(countedBlocks, time.Nanosecond)
	}
	if err != nil {
		t.Fatal(err)
	}
	f := &forging{Network: n, t: t, dir: t.TempDir()}
	f.genesis = f.write("genesis.json", n.Genesis)
	f.url = f.start("node")
	if f.headers, err = client.Dial(f.url); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.headers.Close() })
	return f
}

// start runs a node of the only validator.
func (f *forging) start(name string) (url string) {
	f.t.Helper()
	cfg := node.Config{Home: filepath.Join(f.dir, name), BlockInterval: 20 * time.Millisecond}
	if err := node.InitHome(cfg.Home, f.Genesis); err != nil {
		f.t.Fatal(err)
	}
	n, err := node.Start(f.t.Context(), cfg, f.Members[0].Keys)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() {
		if err := n.Stop(); err != nil {
			f.t.Error(err)
		}
	})
	return n.URL()
}

func (f *forging) write(name string, raw []byte) (path string) {
	f.t.Helper()
	path = filepath.Join(f.dir, name)
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		f.t.Fatal(err)
	}
	return path
}

// await waits until the node is at a height.
func (f *forging) await(height hufu.Height) { f.t.Helper(); f.awaitOf(f.url, height) }

func (f *forging) awaitOf(url string, height hufu.Height) {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), readyTimeout)
	defer cancel()
	trust, err := client.ParseGenesis(f.Genesis)
	if err != nil {
		f.t.Fatal(err)
	}
	c, err := dial(url, trust, client.Options{})
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Await(ctx, height); err != nil {
		f.t.Fatal(err)
	}
}

// block is the ledger's own signed header of a height, or, after how, another that its validator signed as well.
func (f *forging) block(height hufu.Height, how func(*proof.LightBlock)) []byte {
	f.t.Helper()
	sh, err := f.headers.SignedHeader(f.t.Context(), height)
	if err != nil {
		f.t.Fatal(err)
	}
	b := &proof.LightBlock{SignedHeader: *sh}
	if b.Validators, err = f.headers.Validators(f.t.Context(), height); err != nil {
		f.t.Fatal(err)
	}
	if how != nil {
		how(b)
		hash := b.Header.Hash()
		b.Commit.BlockID.Hash = hash[:]
		if b.Commit.Votes[0].Signature, err = f.Members[0].Keys.Validator.Sign(nil, b.Commit.SignBytes(b.Header.Network, 0)); err != nil {
			f.t.Fatal(err)
		}
	}
	raw, err := b.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	return raw
}

// evidence is a file of the header of a height and another, and the last that both sides have, 0 for the genesis.
func (f *forging) evidence(name string, shared, height hufu.Height, how func(*proof.LightBlock)) (path string) {
	f.t.Helper()
	file := struct {
		Network hufu.Network `cbor:"1,keyasint"`
		Shared  [][]byte     `cbor:"2,keyasint"`
		First   []byte       `cbor:"3,keyasint"`
		Second  [][]byte     `cbor:"4,keyasint"`
	}{Network: f.Name, First: f.block(height, nil), Second: [][]byte{f.block(height, how)}}
	if shared > 0 {
		file.Shared = [][]byte{f.block(shared, nil)}
	}
	raw, err := encoding.Marshal(&file)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.write(name, append([]byte("hufu-evidence/1\n"), raw...))
}

// handIn is what the auditor's command says.
func (f *forging) handIn(path, url string) (status int, report evidenceReport, errOut string) {
	f.t.Helper()
	var o, e bytes.Buffer
	status = run([]string{"audit", "evidence", path, "--genesis", f.genesis, "--node", url, "--json"}, strings.NewReader(""), &o, &e)
	if o.Len() > 0 {
		var out struct {
			Height   hufu.Height `json:"height"`
			HandedIn *handedIn   `json:"handed_in"`
		}
		if err := json.Unmarshal(o.Bytes(), &out); err != nil {
			f.t.Fatal(err)
		}
		report.Height, report.HandedIn = out.Height, out.HandedIn
	}
	return status, report, e.String()
}

// Evidence that was kept in a file is handed in later: the ledger records it once, and what it does not take is told why.
func TestEvidenceHandedIn(t *testing.T) {
	f := foundForging(t)
	f.await(8)
	otherState := func(b *proof.LightBlock) { b.Header.AppHash[0] ^= 1 }
	otherBlock := func(b *proof.LightBlock) { b.Header.DataHash[0] ^= 1 }
	otherRound := func(b *proof.LightBlock) {
		otherBlock(b)
		b.Commit.Round = 7
	}
	late := f.evidence("late", 2, 3, otherState)

	lunatic := f.evidence("lunatic", 3, 4, otherState)
	status, r, errOut := f.handIn(lunatic, f.url)
	if status != 0 || r.HandedIn == nil || r.HandedIn.Outcome != evidenceRecorded || r.HandedIn.Block <= 8 || len(r.HandedIn.Accused) != 1 {
		t.Fatalf("%+v: %s", r.HandedIn, errOut)
	}
	block := r.HandedIn.Block
	// Of several nodes the first that answers takes it, and the ledger has it.
	if status, r, errOut = f.handIn(lunatic, "http://127.0.0.1:1,"+f.url); status != 0 || r.HandedIn == nil || r.HandedIn.Outcome != evidenceKnown || r.HandedIn.Block != block {
		t.Errorf("again: %+v: %s", r.HandedIn, errOut)
	}
	if status, r, errOut = f.handIn(f.evidence("equivocation", 4, 5, otherBlock), f.url); status != 0 || r.HandedIn == nil || r.HandedIn.Outcome != evidenceRecorded || r.HandedIn.Block <= block {
		t.Errorf("two blocks of one round: %+v: %s", r.HandedIn, errOut)
	}
	whole, err := os.ReadFile(lunatic)
	if err != nil {
		t.Fatal(err)
	}
	twin := f.start("twin")
	f.awaitOf(twin, 6)
	unsigned := f.evidence("unsigned", 6, 7, func(b *proof.LightBlock) { b.Header.Network = "elsewhere" })
	for name, c := range map[string]struct {
		path, url string
		shown     bool // what the file shows
		want      string
	}{
		"cut off":                   {f.write("half", whole[:len(whole)/2]), f.url, false, "client.bad-evidence"},
		"a header of elsewhere":     {unsigned, f.url, false, "proof."},
		"two rounds":                {f.evidence("amnesia", 5, 6, otherRound), f.url, true, "convict nobody"},
		"from the genesis on":       {f.evidence("genesis", 0, 7, otherState), f.url, true, "no evidence from the genesis on"},
		"a node of another history": {lunatic, twin, true, "the node holds its own headers against those"},
		"no node":                   {lunatic, "http://127.0.0.1:1", true, "the node cannot be reached"},
	} {
		status, r, errOut := f.handIn(c.path, c.url)
		if status != 1 || r.HandedIn != nil || (r.Height > 0) != c.shown || !strings.Contains(errOut, c.want) {
			t.Errorf("%s: %d, %+v: %s", name, status, r, errOut)
		}
	}

	f.await(3 + countedBlocks)
	if status, r, errOut := f.handIn(late, f.url); status != 1 || r.Height != 3 || !strings.Contains(errOut, "counts no more") || !strings.Contains(errOut, "take it to the members") {
		t.Errorf("too late: %d, %+v: %s", status, r, errOut)
	}
}
