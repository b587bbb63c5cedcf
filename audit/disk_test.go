package audit_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/status"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/tx"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// stopped ends the scene's node and opens what its home holds.
func (s *scene) stopped(t *testing.T) *node.History {
	t.Helper()
	if err := s.node.Stop(); err != nil {
		t.Fatal(err)
	}
	h, err := node.OpenHistory(s.home, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func TestHonestDisk(t *testing.T) {
	s := newScene(t)
	if _, err := node.OpenHistory(s.home, quiet()); !errors.Is(err, node.ErrLocked) {
		t.Fatalf("a running node's home opens: %v", err)
	}
	h := s.stopped(t)
	first, last := h.Heights()
	r := s.audit(t, audit.FromHistory(h), audit.Options{})
	if !r.AppHashMatch || r.Divergence != nil || first != 1 || r.Height != last-1 || r.Transactions != len(s.people) {
		t.Fatalf("the report is %+v of %d to %d", r.Report, first, last)
	}
	if r.Disk == nil || r.Disk.Height != last || r.Disk.Records == 0 || r.AsOf().Height != last {
		t.Errorf("the stored state: %+v", r.Disk)
	}
	// What is replayed in part is not compared, and what is not there cannot be replayed.
	if r := s.audit(t, audit.FromHistory(h), audit.Options{Until: 2}); !r.AppHashMatch || r.Blocks != 2 || r.Disk != nil {
		t.Errorf("two blocks: %+v", r.Report)
	}
	if _, err := audit.Replay(s.ctx, s.net.Genesis, audit.FromHistory(h), audit.Options{Until: last}); !errors.Is(err, audit.ErrTooFew) {
		t.Errorf("a block that no header signs was replayed: %v", err)
	}
	if _, err := h.Block(s.ctx, last+1); !errors.Is(err, node.ErrNotKept) || !strings.Contains(err.Error(), "blocks from 1 to") {
		t.Errorf("a block that is not there: %v", err)
	}
	if _, err := node.OpenHistory(t.TempDir(), quiet()); !errors.Is(err, node.ErrNoHome) {
		t.Errorf("no home: %v", err)
	}
}

// tampered is a disk on which somebody changed blocks or the state.
type tampered struct {
	audit.Stored
	block func(hufu.Height, [][]byte) [][]byte
}

func (d tampered) Block(ctx context.Context, height hufu.Height) ([][]byte, error) {
	txs, err := d.Stored.Block(ctx, height)
	if err == nil && d.block != nil {
		txs = d.block(height, txs)
	}
	return txs, err
}

// A state that was changed behind the node's back, with all its hashes made right, is found and the record
// named.
func TestStoredStateDiffers(t *testing.T) {
	for name, plant := range map[string]struct {
		change func(s *scene, old []byte) store.Change
		says   string
	}{
		"altered": {func(s *scene, old []byte) store.Change {
			return store.Change{Key: did.StateKey(s.people[1]), Value: append(bytes.Clone(old), 0)}
		}, "is other than the blocks make it"},
		"missing": {func(s *scene, _ []byte) store.Change {
			return store.Change{Key: did.StateKey(s.people[1])}
		}, "is missing"},
		"added": {func(*scene, []byte) store.Change {
			return store.Change{Key: did.StateKey(hufu.ID{7}), Value: []byte("planted")}
		}, "is of no block"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			if err := s.node.Stop(); err != nil {
				t.Fatal(err)
			}
			st, err := store.Open(filepath.Join(s.home, "state"), store.Options{})
			if err != nil {
				t.Fatal(err)
			}
			old, err := st.Get(did.StateKey(s.people[1]))
			if err != nil {
				t.Fatal(err)
			}
			change := plant.change(s, old)
			staged, err := st.Stage([]store.Change{change})
			if err != nil {
				t.Fatal(err)
			}
			// A store's heights only grow, so the lie is told of one more.
			as := st.State()
			if err := errors.Join(st.Commit(staged, as.Height+1, as.Meta), st.Close()); err != nil {
				t.Fatal(err)
			}
			h := s.stopped(t)
			r := s.audit(t, lower{audit.FromHistory(h)}, audit.Options{})
			if r.AppHashMatch || r.Divergence == nil || !strings.Contains(r.Divergence.What, plant.says) ||
				!strings.Contains(r.Divergence.What, "record did/") {
				t.Fatalf("the divergence is %+v", r.Divergence)
			}
			if name != "added" && !strings.Contains(r.Divergence.What, hufu.Digest(s.people[1]).String()) {
				t.Errorf("not the record that was changed: %s", r.Divergence.What)
			}
		})
	}
}

// lower says of a state that it is of the height before.
type lower struct{ audit.Stored }

func (l lower) State() (store.Snapshot, error) {
	s, err := l.Stored.State()
	return lowered{s}, err
}

type lowered struct{ store.Snapshot }

func (l lowered) State() store.State {
	s := l.Snapshot.State()
	s.Height--
	return s
}

func TestStoredBlocksDiffer(t *testing.T) {
	s := newScene(t)
	h := s.stopped(t)
	_, last := h.Heights()
	for _, height := range []hufu.Height{s.at[2], last} {
		d := tampered{audit.FromHistory(h), func(at hufu.Height, txs [][]byte) [][]byte {
			if at == height {
				return append(slices.Clone(txs), s.first)
			}
			return txs
		}}
		r := s.audit(t, d, audit.Options{})
		if r.AppHashMatch || r.Divergence == nil || r.Divergence.Height != height || !strings.Contains(r.Divergence.What, "not those that the header signs") {
			t.Errorf("at %d: %+v", height, r.Divergence)
		}
	}
}

// snapshot exports the newest state and opens it.
func (s *scene) snapshot(t *testing.T) *client.Snapshot {
	t.Helper()
	var file bytes.Buffer
	if _, err := s.client(t).ExportSnapshot(s.ctx, &file); err != nil {
		t.Fatal(err)
	}
	trust, err := client.ParseGenesis(s.net.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	trust.Period = audit.TrustingPeriod
	snap, err := client.OpenSnapshot(&file, trust, time.Now(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return snap
}

func TestFromSnapshot(t *testing.T) {
	s := newScene(t)
	snap := s.snapshot(t)
	raw, id, err := s.net.CreateDID(9)
	if err != nil {
		t.Fatal(err)
	}
	at := s.submit(t, raw)
	r := s.replay(t, s.transport(t, s.node.URL()), audit.Options{From: snap, Until: at})
	if !r.AppHashMatch || r.From != snap.AsOf().Height || r.Height != at || r.Blocks != int(at-r.From) || r.Transactions != 1 {
		t.Fatalf("the report is %+v", r.Report)
	}
	whole := s.replay(t, s.transport(t, s.node.URL()), audit.Options{Until: at})
	if whole.AppHash != r.AppHash {
		t.Errorf("from the snapshot %s, from genesis %s", r.AppHash, whole.AppHash)
	}
	for _, id := range append([]hufu.ID{id}, s.people...) {
		if rec, err := did.Get(r, id); err != nil || rec == nil {
			t.Errorf("%+v, %v", rec, err)
		}
	}
	// A ledger that goes on from another block than the snapshot's.
	f := &forger{
		Transport: s.transport(t, s.node.URL()), network: s.net.Name, signer: s.net.Members[0].Keys.Validator, forged: map[hufu.Height]hufu.Digest{},
		header: func(h *proof.Header) {
			if h.Height == r.From+1 {
				h.EvidenceHash = make([]byte, 32)
			}
		},
	}
	if r := s.replay(t, f, audit.Options{From: snap, Until: at}); r.AppHashMatch || r.Divergence == nil || r.Divergence.Height != r.From+1 ||
		!strings.Contains(r.Divergence.What, "another than the snapshot has") {
		t.Errorf("a fork after the snapshot: %+v", r.Divergence)
	}
	other, err := sample.New("other", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Replay(s.ctx, other.Genesis, audit.FromNode(s.transport(t, s.node.URL())), audit.Options{From: snap}); err == nil {
		t.Error("a snapshot of one network was continued as another")
	}
}

// Every change is told with who made it and why it was theirs to make.
func TestWhoChangedWhat(t *testing.T) {
	s := newScene(t)
	const vct = "urn:hufu:type:test:1"
	now := time.Now().Unix()
	grant := func(levels uint8) tx.Grant {
		return tx.Grant{Types: []string{vct}, Delegate: levels, NotBefore: now - 86_400, NotAfter: now + 86_400}
	}
	member := func(sequence uint64, body tx.Body) hufu.Digest {
		raw, err := s.net.Transaction(sequence, body)
		if err != nil {
			t.Fatal(err)
		}
		s.submit(t, raw)
		return idOf(t, s.net.Name, raw)
	}
	person := func(i, sequence uint64, body tx.Body) {
		key, err := sample.Key("person", i)
		if err != nil {
			t.Fatal(err)
		}
		s.submit(t, built(t, tx.Payload{Network: s.net.Name, Author: s.people[i], Sequence: sequence, Expires: sample.Lifetime}, body, key))
	}
	member(1, &tx.TrustType{
		VCT: vct, Version: 1, Assurance: tx.AssuranceLow, Display: []tx.TypeDisplay{{Lang: "en", Name: "Test"}},
		Claims: []tx.Claim{{Path: []string{"a"}, Type: tx.ClaimString, Selective: tx.SelectiveAlways}},
	})
	proposal := member(2, &tx.GovPropose{Title: "Agency", Actions: []tx.Action{{Accredit: &tx.TrustAccredit{Subject: s.people[0], Grant: grant(1)}}}})
	person(0, 1, &tx.TrustAccredit{Subject: s.people[1], Grant: grant(0)})
	person(1, 1, &tx.StatusOpen{List: 0, Bits: 2, Size: 1024, URI: status.URI("https://issuer.example", s.people[1].DID(s.net.Name), 0)})
	person(1, 2, &tx.StatusSet{List: 0, Changes: []tx.StatusChange{{Status: hufu.StatusRevoked, Reason: tx.ReasonFraud, Indexes: []uint64{3, 5}}}})
	person(0, 2, &tx.TrustWithdraw{Subject: s.people[1], Type: vct})

	var account audit.Account
	var told []*audit.Change
	r := s.replay(t, s.transport(t, s.node.URL()), audit.Options{Change: func(c *audit.Change) error {
		told = append(told, c)
		return account.Add(c)
	}})
	if len(told) != r.Transactions || r.Kinds[tx.KindDIDCreate] != len(s.people) || r.Kinds[tx.KindStatusSet] != 1 {
		t.Fatalf("%d changes of %+v", len(told), r.Report)
	}
	first, second := string(s.people[0].DID(s.net.Name)), string(s.people[1].DID(s.net.Name))
	want := []struct{ by, what, authority string }{
		{first, "creates its identifier", "its own new keys, on the quota of "},
		{string(s.net.Members[0].ID.DID(s.net.Name)), "publishes the type " + vct, "its membership"},
		{string(s.net.Members[0].ID.DID(s.net.Name)), `proposes "Agency": accredit ` + first, "proposal " + proposal.String() + " has passed, by the votes of "},
		{first, "accredits " + second + " for " + vct, "its own accreditation: " + first + ", from proposal " + proposal.String()},
		{second, "opens status list 0 with 1024 entries", "the list is its own"},
		{second, "sets in status list 0: 2 revoked (fraud)", "the list is its own"},
		{first, "takes back its accreditation of " + second, "the accreditation is its own"},
	}
	for _, w := range want {
		if !slices.ContainsFunc(told, func(c *audit.Change) bool {
			return string(c.By) == w.by && strings.Contains(c.What, w.what) && strings.Contains(c.Authority, w.authority) && len(c.Keys) == 1 && c.Refused == ""
		}) {
			t.Errorf("nobody told that %s %s by %s", w.by, w.what, w.authority)
			for _, c := range told {
				t.Logf("%s | %s | %s", c.By, c.What, c.Authority)
			}
		}
	}
	var page bytes.Buffer
	if err := audit.WriteHTML(&page, r, &account, time.Unix(0, 0), "v<1>"); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	for _, text := range []string{"is what its rules make it", "v&lt;1&gt;", "1970-01-01 00:00:00 UTC", r.AppHash.String(), "2 revoked (fraud)", proposal.String(), "did.create</td><td class=\"n\">4"} {
		if !strings.Contains(html, text) {
			t.Errorf("the report lacks %q", text)
		}
	}
	if strings.Contains(html, "creates its identifier") {
		t.Error("the report lists creations of identifiers")
	}
	stop := errors.New("enough")
	if _, err := audit.Replay(s.ctx, s.net.Genesis, audit.FromNode(s.transport(t, s.node.URL())), audit.Options{Change: func(*audit.Change) error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("whoever is told could not end it: %v", err)
	}
}

func TestRefusedIsTold(t *testing.T) {
	s := newScene(t)
	refused, last := s.refusedInABlock(t)
	n := 0
	s.replay(t, s.transport(t, s.node.URL()), audit.Options{Until: last + 1, Change: func(c *audit.Change) error {
		if c.Refused != "" {
			n++
			if !strings.Contains(c.Authority, "none: refused by "+string(c.Refused)) {
				t.Errorf("the authority is %q", c.Authority)
			}
		}
		return nil
	}})
	if n != refused.refused {
		t.Errorf("%d refused were told of, not %d", n, refused.refused)
	}
}

func TestAccountIsBounded(t *testing.T) {
	var a audit.Account
	for range audit.MaxListed + 3 {
		if err := a.Add(&audit.Change{Kind: tx.KindStatusSet}); err != nil {
			t.Fatal(err)
		}
	}
	s := newScene(t)
	r := s.replay(t, s.transport(t, s.node.URL()), audit.Options{Until: 1})
	var page bytes.Buffer
	if err := audit.WriteHTML(&page, r, &a, time.Now(), ""); err != nil || !strings.Contains(page.String(), "3 more are in the journal") {
		t.Errorf("what is left out is not told: %v", err)
	}
}

func idOf(t *testing.T, network hufu.Network, raw []byte) hufu.Digest {
	t.Helper()
	p, err := tx.Parse(raw, network)
	if err != nil {
		t.Fatal(err)
	}
	return p.ID()
}

func built(t *testing.T, p tx.Payload, body tx.Body, key keys.Signer) []byte {
	t.Helper()
	raw, err := tx.Build(nil, p, body, tx.SignerRef{Signer: key})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
