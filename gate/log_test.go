package gate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/gate"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/tilelog"
	"github.com/hufu-id/hufu/tlog"
)

// Each gate's receipts are numbered for themselves.
func testLog(t *testing.T, s gate.Store) {
	defer s.Close()
	ctx := t.Context()
	doors := []hufu.DID{"did:hufu:demo:a", "did:hufu:demo:b"}
	want := map[hufu.DID][]hufu.Digest{}
	for i := range 7 {
		e := gate.Entry{Time: time.Unix(1, 0), Token: fmt.Sprint("token-", i), Gate: doors[i%3/2]}
		must[int64](t)(s.Append(ctx, e))
		want[e.Gate] = append(want[e.Gate], receipt.LogEntry(e.Token))
	}
	for _, door := range doors {
		if got := must[[]hufu.Digest](t)(s.Logged(ctx, door, 0, 100)); fmt.Sprint(got) != fmt.Sprint(want[door]) {
			t.Errorf("%s logged %v, want %v", door, got, want[door])
		}
		for i, d := range want[door] {
			if n := must[uint64](t)(s.EntryOf(ctx, door, d)); n != uint64(i) {
				t.Errorf("entry %d is said to be %d", i, n)
			}
		}
	}
	if got := must[[]hufu.Digest](t)(s.Logged(ctx, doors[0], 1, 2)); fmt.Sprint(got) != fmt.Sprint(want[doors[0]][1:3]) {
		t.Errorf("from 1, two: %v", got)
	}
	if got := must[[]hufu.Digest](t)(s.Logged(ctx, doors[0], 9, 2)); len(got) != 0 {
		t.Errorf("past the end: %v", got)
	}
	for _, d := range []hufu.Digest{{}, want[doors[1]][0]} {
		if _, err := s.EntryOf(ctx, doors[0], d); !errors.Is(err, gate.ErrNotLogged) {
			t.Errorf("what is not in the log: %v", err)
		}
	}
}

// Every outcome is in the gate's log, refusals too, and what the log serves proves it.
func TestReceiptsAreLogged(t *testing.T) {
	s := newScene(t)
	signer := must[keys.Signer](t)(keys.Ed25519.Generate(s.Rand))
	l := must[*tilelog.Log](t)(tilelog.Open(t.Context(), t.TempDir(), tlog.Origin(s.owner.DID, gate.LogName), signer))
	defer l.Close()
	g := s.newGate(s.gate.Store)
	g.Log = l
	var tokens []string
	for range 3 {
		o := must[*gate.Outcome](t)(g.RespondForm(t.Context(), "{}", s.ask(s.room).State))
		tokens = append(tokens, o.Token)
	}
	if n := must[uint64](t)(g.FollowLog(t.Context(), nil)); n != 3 {
		t.Fatalf("%d entries", n)
	}
	handler := g.Handler()
	get := func(path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		return w
	}
	c := must[*tlog.Signed](t)(tlog.Parse(get("/gate/log/checkpoint").Body.String()))
	if c.Size != 3 || !c.IsBy(signer.Public()) {
		t.Fatalf("%+v", c)
	}
	if b := must[*tx.AnchorCommit](t)(l.Anchor(t.Context(), nil)); b.Validate() != nil {
		t.Error("no anchor for the log")
	}
	tiles := &tilelog.Reader{Tile: func(_ context.Context, level, index uint64, partial uint8) ([]byte, error) {
		return get("/gate/log/" + layout.TilePath(level, index, partial)).Body.Bytes(), nil
	}}
	for _, token := range tokens {
		entry := receipt.LogEntry(token)
		var at struct{ Entry *uint64 }
		check(t, json.Unmarshal(get("/gate/log/entry/"+entry.String()).Body.Bytes(), &at))
		proof := must[[]hufu.Digest](t)(tiles.Inclusion(t.Context(), *at.Entry, c.Size))
		check(t, tlog.CheckInclusion(&c.Checkpoint, *at.Entry, tlog.LeafHash(entry[:]), proof))
	}
	for path, code := range map[string]int{
		"/gate/log/entry/" + hufu.Digest{}.String(): http.StatusNotFound,
		"/gate/log/entry/x":                         http.StatusBadRequest,
		"/gate/log/writer.lock":                     http.StatusNotFound,
	} {
		if w := get(path); w.Code != code {
			t.Errorf("%s: %d, want %d", path, w.Code, code)
		}
	}
	if n := must[uint64](t)(s.gate.FollowLog(t.Context(), nil)); n != 0 {
		t.Errorf("a gate without a log has one of %d entries", n)
	}
}

// What answers no open request is refused and signed, and leaves nothing behind.
func TestUnaskedIsNotKept(t *testing.T) {
	s := newScene(t)
	r := s.ask(s.room)
	answer := s.resident("north", true).Presents(r)
	if o := s.respond(answer, r.State); o.Decision != hufu.Allow {
		t.Fatalf("refused by %s", o.Receipt.Rule)
	}
	wantRefused(t, s.respond(answer, r.State), gate.RuleReplayed)
	wantRefused(t, s.respond(answer, "never-opened"), gate.RuleUnknownRequest)
	o := must[*gate.Outcome](t)(s.gate.Answer(t.Context(), url.Values{"vp_token": {"{"}}))
	wantRefused(t, o, oid4vp.RuleResponse)
	if o.Token == "" {
		t.Error("the refusal is not signed")
	}
	if kept := must[[]gate.Entry](t)(s.gate.Store.Receipts(t.Context(), 0, 10)); len(kept) != 1 || kept[0].Decision != hufu.Allow {
		t.Errorf("%d receipts kept", len(kept))
	}
}
