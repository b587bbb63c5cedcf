package audit_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// scene is a ledger with a history, on a real node, and a liar in front of it.
type scene struct {
	ctx    context.Context
	net    *sample.Network
	home   string
	node   *node.Node
	liar   *clienttest.Liar
	people []hufu.ID
	at     []hufu.Height // where each of them was created
	first  []byte        // the transaction that created the first of them
}

func newScene(t *testing.T) *scene {
	t.Helper()
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	if err := node.InitHome(home, n.Genesis); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	running, err := node.Start(ctx, node.Config{Home: home, BlockInterval: 200 * time.Millisecond}, n.Members[0].Keys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &scene{ctx: ctx, net: n, home: home, node: running, liar: clienttest.New(t, running.URL())}
	for i := range uint64(4) {
		raw, id, err := n.CreateDID(i)
		if err != nil {
			t.Fatal(err)
		}
		s.people = append(s.people, id)
		s.at = append(s.at, s.submit(t, raw))
		if i == 0 {
			s.first = raw
		}
	}
	return s
}

func (s *scene) submit(t *testing.T, raw []byte) hufu.Height {
	t.Helper()
	receipt, err := s.client(t).Submit(s.ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	return receipt.Height
}

func (s *scene) client(t *testing.T) *client.Client {
	t.Helper()
	transport := s.transport(t, s.node.URL())
	trust, err := client.ParseGenesis(s.net.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	trust.Period = 100 * 365 * 24 * time.Hour // the sample genesis is of a fixed day
	c, err := client.New(trust, transport, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // always nil
	return c
}

func (s *scene) transport(t *testing.T, url string) *client.HTTP {
	t.Helper()
	h, err := client.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() }) // always nil
	return h
}

func (s *scene) replay(t *testing.T, from client.Transport, o audit.Options) *audit.Replayed {
	t.Helper()
	return s.audit(t, audit.FromNode(from), o)
}

func (s *scene) audit(t *testing.T, from audit.Source, o audit.Options) *audit.Replayed {
	t.Helper()
	r, err := audit.Replay(s.ctx, s.net.Genesis, from, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestHonestLedger(t *testing.T) {
	s := newScene(t)
	refused, last := s.refusedInABlock(t)
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	ticks, seen := hufu.Height(0), 0
	r := s.replay(t, s.transport(t, s.node.URL()), audit.Options{
		Until: last + 1,
		Tick:  func(done, of hufu.Height) { ticks++ },
		Seen: func(record []byte) {
			if bytes.Contains(record, s.people[1][:]) {
				seen++
			}
		},
	})
	if !r.AppHashMatch || r.Divergence != nil || r.Blocks != int(last+1) || r.Height != last+1 || r.Refused != refused.refused {
		t.Errorf("the report is %+v", r.Report)
	}
	total := 0
	for _, n := range r.PerBlock {
		total += n
	}
	if r.Transactions != total || total != len(s.people)+refused.transactions || len(r.PerBlock) != r.Blocks || ticks != last+1 {
		t.Errorf("%d transactions, %v by block, %d ticks", r.Transactions, r.PerBlock, ticks)
	}
	if seen < 2 {
		t.Errorf("an identifier was shown %d times, in its transaction and the state", seen)
	}
	if r.AsOf().Height != r.Height || r.AsOf().AppHash != r.AppHash || r.Network() != s.net.Name {
		t.Errorf("as of %+v of %s", r.AsOf(), r.Network())
	}
	for i, id := range s.people {
		if rec, err := did.Get(r, id); err != nil || rec == nil || rec.Created != s.at[i] {
			t.Errorf("%+v, %v", rec, err)
		}
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) != 0 {
		t.Errorf("the replay left %v, %v", left, err)
	}
	// Less of it is as true.
	if r := s.replay(t, s.transport(t, s.node.URL()), audit.Options{Until: 1}); !r.AppHashMatch || r.Blocks != 1 {
		t.Errorf("one block: %+v", r.Report)
	}
	if r := s.replay(t, s.transport(t, s.node.URL()), audit.Options{}); !r.AppHashMatch || r.Blocks < int(last) {
		t.Errorf("all there is: %+v", r.Report)
	}
}

// refusals counts what refusedInABlock put on the ledger.
type refusals struct{ transactions, refused int }

// refusedInABlock sends two updates of one author at once, of which the second cannot be, until both met
// in the mempool and the second is in a block, refused. It returns a height at which all of it is on the
// ledger.
func (s *scene) refusedInABlock(t *testing.T) (out refusals, last hufu.Height) {
	t.Helper()
	c := s.client(t)
	for i, id := range s.people {
		key, err := sample.Key("person", uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		sent := uint64(0)
		for sequence := uint64(1); sequence <= 2; sequence++ {
			raw, err := tx.Build(nil, tx.Payload{Network: s.net.Name, Author: id, Sequence: sequence, Expires: sample.Lifetime},
				&tx.DIDUpdate{AddMethods: []tx.Method{{Fragment: "m", Key: key.Public().Multikey(), Purposes: tx.PurposeAssertion}}}, tx.SignerRef{Signer: key})
			if err != nil {
				t.Fatal(err)
			}
			if s.node.Broadcast(s.ctx, raw) == nil {
				sent++
			}
		}
		for there := uint64(0); there != 1+sent; {
			if err := c.Read(s.ctx, func(v client.View) error {
				rec, err := did.Get(v, id)
				if err == nil {
					there, last = rec.Sequence, v.AsOf().Height
				}
				return err
			}); err != nil {
				t.Fatal(err)
			}
		}
		out.transactions += int(sent)
		if sent == 2 {
			out.refused = 1
			break
		}
	}
	return out, last
}

// forger has the key of the network's only validator, and signs what it likes: what it forges is for
// the rules to find, not for the signatures.
type forger struct {
	client.Transport
	network hufu.Network
	signer  keys.Signer
	header  func(*proof.Header) // nil: leaves it
	commit  func(*proof.SignedHeader)
	block   func(hufu.Height, [][]byte) [][]byte
	forged  map[hufu.Height]hufu.Digest
	unlink  bool // later headers do not follow the forged one
}

func (f *forger) SignedHeader(ctx context.Context, height hufu.Height) (*proof.SignedHeader, error) {
	sh, err := f.Transport.SignedHeader(ctx, height)
	if err != nil {
		return nil, err
	}
	before := sh.Header.Hash()
	if last, ok := f.forged[height-1]; ok && !f.unlink {
		sh.Header.LastBlockID.Hash = last[:]
	}
	if f.header != nil {
		f.header(&sh.Header)
	}
	if hash := sh.Header.Hash(); hash != before {
		f.forged[height] = hash
		sh.Commit.BlockID.Hash = hash[:]
		sig, err := f.signer.Sign(rand.Reader, sh.Commit.SignBytes(f.network, 0))
		if err != nil {
			return nil, err
		}
		sh.Commit.Votes[0].Signature = sig
	}
	if f.commit != nil {
		f.commit(sh)
	}
	return sh, nil
}

func (f *forger) Block(ctx context.Context, height hufu.Height) ([][]byte, error) {
	txs, err := f.Transport.Block(ctx, height)
	if err == nil && f.block != nil {
		txs = f.block(height, txs)
	}
	return txs, err
}

// Every divergence is found at its height and called what it is, also one that the validators signed.
func TestDivergences(t *testing.T) {
	s := newScene(t)
	at, last := s.at[2], s.at[3]+1
	header := func(height hufu.Height, change func(*proof.Header)) func(*forger) {
		return func(f *forger) {
			f.header = func(h *proof.Header) {
				if h.Height == height {
					change(h)
				}
			}
		}
	}
	txs := func(change func([][]byte) [][]byte) func(*forger) {
		return func(f *forger) {
			f.block = func(height hufu.Height, txs [][]byte) [][]byte {
				if height != at {
					return txs
				}
				return change(txs)
			}
		}
	}
	// signed makes the header of the block sign what change makes of its transactions.
	signed := func(change func([][]byte) [][]byte) func(*forger) {
		return func(f *forger) {
			txs(change)(f)
			header(at, func(h *proof.Header) {
				txs, err := f.Block(s.ctx, at)
				if err != nil {
					t.Error(err)
				}
				root := proof.TransactionsRoot(txs)
				h.DataHash = root[:]
			})(f)
		}
	}
	commit := func(change func(*proof.SignedHeader)) func(*forger) {
		return func(f *forger) {
			f.commit = func(sh *proof.SignedHeader) {
				if sh.Header.Height == at {
					change(sh)
				}
			}
		}
	}
	zero := make([]byte, 32)
	drop := func([][]byte) [][]byte { return nil }
	for name, d := range map[string]struct {
		forge  func(*forger)
		height hufu.Height
		what   string
	}{
		"transaction altered": {txs(func(txs [][]byte) [][]byte {
			bad := bytes.Clone(txs[0])
			bad[len(bad)-1] ^= 1
			return [][]byte{bad}
		}), at, "the transactions are not those that the header signs"},
		"transaction hidden":     {txs(drop), at, "the transactions are not those that the header signs"},
		"hidden and signed":      {signed(drop), at, "the results of the block's transactions are others"},
		"garbage, signed":        {signed(func(txs [][]byte) [][]byte { return append(txs, []byte("garbage")) }), at, "tx.malformed"},
		"replayed, signed":       {signed(func(txs [][]byte) [][]byte { return append(txs, s.first) }), at, "did.exists"},
		"bad signature, signed":  {signed(func(txs [][]byte) [][]byte { b := bytes.Clone(txs[0]); b[len(b)-1] ^= 1; return [][]byte{b} }), at, "tx.signature"},
		"app hash, signed":       {header(at+1, func(h *proof.Header) { h.AppHash = zero }), at, "the ledger says 0000"},
		"results, signed":        {header(at+1, func(h *proof.Header) { h.LastResultsHash = zero }), at, "the results of the block's transactions are others"},
		"validators, signed":     {header(at+1, func(h *proof.Header) { h.NextValidatorsHash = zero }), at, "not those that the members decided on"},
		"two blocks, signed":     {func(f *forger) { header(at, func(h *proof.Header) { h.LastCommitHash = zero })(f); f.unlink = true }, at + 1, "does not follow the block before it"},
		"other network, signed":  {header(at, func(h *proof.Header) { h.Network = "other" }), at, "another network"},
		"time back, signed":      {header(at, func(h *proof.Header) { h.Time = h.Time.AddDate(-1, 0, 0) }), at, "not later than"},
		"app hash":               {commit(func(sh *proof.SignedHeader) { sh.Header.AppHash = zero }), at, "the header's hash"},
		"other height":           {commit(func(sh *proof.SignedHeader) { sh.Header.Height++ }), at, "does not follow"},
		"forged commit":          {commit(func(sh *proof.SignedHeader) { sh.Commit.Votes[0].Signature[3] ^= 1 }), at, "does not match"},
		"commit without votes":   {commit(func(sh *proof.SignedHeader) { sh.Commit.Votes[0].Flag = proof.FlagAbsent }), at, "0 of 1 power"},
		"commit of nobody there": {commit(func(sh *proof.SignedHeader) { sh.Commit.Votes = nil }), at, "0 votes for 1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := &forger{
				Transport: s.transport(t, s.node.URL()), network: s.net.Name, signer: s.net.Members[0].Keys.Validator,
				forged: map[hufu.Height]hufu.Digest{},
			}
			d.forge(f)
			r := s.replay(t, f, audit.Options{Until: last})
			if r.AppHashMatch || r.Divergence == nil || r.Divergence.Height != d.height || !strings.Contains(r.Divergence.What, d.what) {
				t.Fatalf("the divergence is %+v of %+v, want %q at %d", r.Divergence, r.Report, d.what, d.height)
			}
			if r.Height >= d.height && d.height == at {
				t.Errorf("height %d counts as replayed", r.Height)
			}
		})
	}
}

// Over HTTP, as an auditor sees it.
func TestLyingNode(t *testing.T) {
	s := newScene(t)
	at := s.at[1]
	for name, l := range map[string]struct {
		lie  clienttest.Lie
		what string // the divergence; empty: an error
		err  string
	}{
		"transaction hidden": {func(e *clienttest.Exchange) {
			if e.Method == "block" && e.Height() == at {
				e.Set([]any{}, "block", "data", "txs")
			}
		}, "the transactions are not those that the header signs", ""},
		"app hash": {func(e *clienttest.Exchange) {
			if e.Method == "commit" && e.Height() == at {
				e.FlipHex("signed_header", "header", "app_hash")
			}
		}, "the header's hash", ""},
		"validators": {func(e *clienttest.Exchange) {
			if e.Method == "validators" && e.Height() == at {
				e.Set("2", "validators", 0, "voting_power")
			}
		}, "not the validators", ""},
		"missing block": {func(e *clienttest.Exchange) {
			if e.Method == "block" && e.Height() == at {
				e.Raw(200, []byte(`{"error":{"code":-32603,"message":"Internal error","data":"no such block"}}`))
			}
		}, "", "no such block"},
		"no height": {func(e *clienttest.Exchange) {
			if e.Path() == proof.PathAwait {
				e.SetValue([]byte{0x60})
			}
		}, "", "the newest height"},
	} {
		t.Run(name, func(t *testing.T) {
			s.liar.Lie(l.lie)
			defer s.liar.Lie(nil)
			r, err := audit.Replay(s.ctx, s.net.Genesis, audit.FromNode(s.transport(t, s.liar.URL())), audit.Options{Until: s.at[3]})
			if l.what == "" {
				if err == nil || !strings.Contains(err.Error(), l.err) {
					t.Fatalf("error %v, want one of %q", err, l.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.Divergence == nil || r.Divergence.Height != at || !strings.Contains(r.Divergence.What, l.what) {
				t.Errorf("the divergence is %+v", r.Divergence)
			}
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOtherGenesis(t *testing.T) {
	s := newScene(t)
	from := audit.FromNode(s.transport(t, s.node.URL()))
	for name, members := range map[string]int{"other": 1, "test": 2} {
		other, err := sample.New(hufu.Network(name), members)
		if err != nil {
			t.Fatal(err)
		}
		r, err := audit.Replay(s.ctx, other.Genesis, from, audit.Options{Until: 1})
		if err != nil || r.AppHashMatch || r.Divergence == nil || r.Divergence.Height != 1 {
			t.Errorf("%d members of %s: %+v, %v", members, name, r, err)
		}
	}
	// The same founders, with other parameters.
	var doc map[string]any
	if err := json.Unmarshal(s.net.Genesis, &doc); err != nil {
		t.Fatal(err)
	}
	doc["app_state"].(map[string]any)["params"].(map[string]any)["voting_seconds"] = 7
	altered, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	r, err := audit.Replay(s.ctx, altered, from, audit.Options{Until: 1})
	if err != nil || r.AppHashMatch || r.Divergence == nil || r.Divergence.Height != 1 || !strings.Contains(r.Divergence.What, "the state after the block") {
		t.Errorf("other parameters: %+v, %v", r, err)
	}
	for _, bad := range []string{"", "{}", "[]", `{"chain_id":"test","genesis_time":"2026-01-01T00:00:00Z"}`} {
		if _, err := audit.Replay(s.ctx, []byte(bad), from, audit.Options{}); err == nil {
			t.Errorf("replayed from the genesis %q", bad)
		}
	}
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	if _, err := audit.Replay(ended, s.net.Genesis, from, audit.Options{}); err == nil {
		t.Error("a replay that was cancelled succeeded")
	}
}
