package issuer_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/anchors"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tilelog"
	"github.com/hufu-id/hufu/tlog"
)

// Every look at a file is in the log, and whoever has its record can prove it from what is served; the anchor is one
// transaction for all of them.
func TestAccessesAreLogged(t *testing.T) {
	signer, err := keys.Ed25519.Load(make([]byte, 32))
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, func(c *issuer.Config) {
		if c.AccessLog, err = tilelog.Open(t.Context(), t.TempDir(), tlog.Origin(c.DID, issuer.LogName), signer); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.AccessLog.Close() })
	})
	list := people(3)
	s.enrol(list)
	refs := []issuer.PersonRef{s.Ref(list[0].ResidentNumber), s.Ref(list[1].ResidentNumber)}
	for i, purpose := range []string{"complaint", "court order", "complaint"} {
		if _, err := s.File(t.Context(), refs[i%2], purpose); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := s.FollowLog(t.Context(), nil); err != nil || n != 3 {
		t.Fatalf("%d entries, %v", n, err)
	}
	handler := s.Handler()
	get := func(path string) []byte {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w.Body.Bytes()
	}
	c, err := tlog.Parse(string(get("/accesslog/checkpoint")))
	if err != nil || c.Size != 3 || !c.IsBy(signer.Public()) {
		t.Fatalf("%+v, %v", c, err)
	}
	tiles := &tilelog.Reader{Tile: func(_ context.Context, level, index uint64, partial uint8) ([]byte, error) {
		return get("/accesslog/" + layout.TilePath(level, index, partial)), nil
	}}
	found := 0
	for _, ref := range refs {
		looks, err := s.Accesses(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range looks {
			proof, err := tiles.Inclusion(t.Context(), *a.Entry, c.Size)
			if err != nil {
				t.Fatal(err)
			}
			entry := issuer.AccessEntry(a.Salt, ref, a.Time, a.Purpose)
			if err := tlog.CheckInclusion(&c.Checkpoint, *a.Entry, tlog.LeafHash(entry[:]), proof); err != nil {
				t.Error(err)
			}
			other := issuer.AccessEntry(a.Salt, ref, a.Time, a.Purpose+"!")
			if tlog.CheckInclusion(&c.Checkpoint, *a.Entry, tlog.LeafHash(other[:]), proof) == nil {
				t.Error("another purpose is in the log as well")
			}
			found++
		}
	}
	if found != 3 {
		t.Errorf("%d records", found)
	}
	s.anchorOnce(signer.Public())
}

// anchorOnce anchors the log, and finds nothing to anchor afterwards.
func (s *scene) anchorOnce(key keys.PublicKey) {
	s.Helper()
	_, id, err := s.cfg.DID.Parse()
	if err != nil {
		s.Fatal(err)
	}
	rec := &did.Record{ID: id, Keys: []did.Key{{Multikey: key.Multikey(), Span: did.Span{From: 1, FromTime: 1}}}}
	if err := state.Save(s.ledger.state, did.StateKey(id), rec); err != nil {
		s.Fatal(err)
	}
	before := len(s.ledger.sent)
	r, err := s.AnchorLog(s.Context(), nil)
	if err != nil || r == nil || len(s.ledger.sent) != before+1 {
		s.Fatalf("%+v, %v", r, err)
	}
	last, err := anchors.Get(s.ledger.state, id, issuer.LogName)
	if err != nil || last == nil || last.Size != 3 {
		s.Fatalf("%+v, %v", last, err)
	}
	if r, err := s.AnchorLog(s.Context(), last); err != nil || r != nil || len(s.ledger.sent) != before+1 {
		s.Errorf("anchored what did not grow: %+v, %v", r, err)
	}
}

// Without a log nothing is served, followed or sent.
func TestNoAccessLog(t *testing.T) {
	s := start(t)
	if n, err := s.FollowLog(t.Context(), nil); n != 0 || err != nil {
		t.Error(n, err)
	}
	if r, err := s.AnchorLog(t.Context(), nil); r != nil || err != nil {
		t.Error(r, err)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/accesslog/checkpoint", nil))
	if w.Code != http.StatusNotFound {
		t.Error(w.Code)
	}
}

// applyTx runs the room of a transaction's kind.
func applyTx(ctx state.Context, o *state.Overlay, t *tx.Tx, status func(state.Context, *state.Overlay, *tx.Tx) error) error {
	if t.Payload.Kind == tx.KindAnchorCommit {
		return anchors.Apply(ctx, o, t)
	}
	return status(ctx, o, t)
}
