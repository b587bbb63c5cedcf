package wallet_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/world"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/anchors"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
	"github.com/hufu-id/hufu/tilelog"
	"github.com/hufu-id/hufu/tlog"
	"github.com/hufu-id/hufu/wallet"
)

// book is a gate's log and the server that shows it.
type book struct {
	*door
	entries []hufu.Digest
	log     *tilelog.Log
	shown   http.Handler // what is served: the log, unless a test shows another
	server  *httptest.Server
}

func (s *scene) book() *book {
	s.t.Helper()
	b := &book{door: s.doorOf(keys.Ed25519)}
	b.log = b.newLog()
	b.shown = b.log
	mux := http.NewServeMux()
	mux.HandleFunc("GET /gate/log/entry/{digest}", func(w http.ResponseWriter, r *http.Request) {
		at := slices.IndexFunc(b.entries, func(d hufu.Digest) bool { return d.String() == r.PathValue("digest") })
		if at < 0 {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]int{"entry": at})
	})
	mux.HandleFunc("GET /gate/log/", func(w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/gate/log", b.shown).ServeHTTP(w, r)
	})
	b.server = httptest.NewServer(mux)
	s.t.Cleanup(b.server.Close)
	return b
}

func (b *book) newLog() *tilelog.Log {
	l := must[*tilelog.Log](b.s.t)(tilelog.Open(context.Background(), b.s.t.TempDir(), tlog.Origin(b.DID, "receipts"), b.Signer))
	b.s.t.Cleanup(func() { _ = l.Close() })
	return l
}

func (b *book) follow(l *tilelog.Log) {
	b.s.t.Helper()
	must[uint64](b.s.t)(l.Follow(context.Background(), func(_ context.Context, from uint64, limit int) ([]hufu.Digest, error) {
		if from >= uint64(len(b.entries)) {
			return nil, nil
		}
		return b.entries[from:min(len(b.entries), int(from)+limit)], nil
	}, nil))
}

// anchor follows the entries and puts the log on the ledger.
func (b *book) anchor() {
	b.s.t.Helper()
	b.follow(b.log)
	last := must[*anchors.Log](b.s.t)(anchors.Get(b.s.view(), b.ID, "receipts"))
	check(b.s.t, b.s.Do(b.Actor, must[*tx.AnchorCommit](b.s.t)(b.log.Anchor(context.Background(), last))))
}

// visit lets a wallet in and gives it a receipt, which is an entry unless it is dropped.
func (b *book) visit(w *wallet.Wallet, drop bool) {
	b.s.t.Helper()
	var r *oid4vp.Request
	request := b.asks("room", func(q *oid4vp.Request) { q.ResponseURI, r = b.server.URL+"/gate/response", q })
	a := must[*wallet.Answer](b.s.t)(w.Present(b.s.t.Context(), b.s, request))
	var shown []string
	for _, id := range a.Response.VPToken.IDs() {
		shown = append(shown, a.Response.VPToken[id]...)
	}
	token := b.decides(a, r.Nonce, shown)
	must[*receipt.Receipt](b.s.t)(w.Keep(b.s.view(), r.State, token))
	if !drop {
		b.entries = append(b.entries, receipt.LogEntry(token))
	}
}

// strangers are entries of others.
func (b *book) strangers(what byte, n int) {
	for i := range n {
		b.entries = append(b.entries, hufu.Digest{what, byte(i)})
	}
}

func (b *book) findings(w *wallet.Wallet) []wallet.LogFinding {
	b.s.t.Helper()
	return must[[]wallet.LogFinding](b.s.t)(w.CheckReceipts(context.Background(), world.Live{World: b.s.World}, ""))
}

func (b *book) want(w *wallet.Wallet, standings ...wallet.Standing) []wallet.LogFinding {
	b.s.t.Helper()
	list := b.findings(w)
	var got []wallet.Standing
	for i := range list {
		got = append(got, list[i].Standing)
	}
	if !slices.Equal(got, standings) {
		b.s.t.Fatalf("%v, want %v: %+v", got, standings, list)
	}
	return list
}

func TestHonestLog(t *testing.T) {
	s := newScene(t)
	b, w := s.book(), s.wallet(4, true, false)
	b.strangers('a', 3)
	b.visit(w, false)
	b.want(w, wallet.ReceiptWaiting)
	check(t, s.Pass(2*time.Minute))
	b.anchor()
	b.strangers('b', 300)
	b.visit(w, false)
	b.want(w, wallet.ReceiptLogged, wallet.ReceiptWaiting)
	check(t, s.Pass(2*time.Minute))
	b.anchor()
	for _, f := range b.want(w, wallet.ReceiptLogged, wallet.ReceiptLogged) {
		if f.Accuses() || f.Anchor == nil || f.Anchor.Size != 305 || f.Gate != b.DID || f.Anchor.AsOf.Height == 0 {
			t.Errorf("%+v", f)
		}
	}
	b.server.Close()
	b.want(w, wallet.ReceiptUnreachable, wallet.ReceiptUnreachable)
}

// A gate that leaves a receipt out is accused when an anchor had to cover it, and not before.
func TestDroppedReceipt(t *testing.T) {
	s := newScene(t)
	b, w := s.book(), s.wallet(4, true, false)
	b.visit(w, false)
	b.visit(w, true)
	b.strangers('a', 3)
	b.anchor()
	b.want(w, wallet.ReceiptLogged, wallet.ReceiptWaiting)
	check(t, s.Pass(2*time.Minute))
	b.strangers('b', 3)
	b.anchor()
	list := b.want(w, wallet.ReceiptLogged, wallet.ReceiptMissing)
	f := &list[1]
	signed, err := receipt.Parse(f.Receipt)
	if err != nil || !f.Accuses() || signed.Gate != b.DID || !signed.Time.Before(f.Anchor.Time) {
		t.Fatalf("no evidence: %+v, %v", f, err)
	}
	// A gate that lies about the entry, or about the tiles, is not better off.
	b.entries = append([]hufu.Digest{f.Digest}, b.entries...)
	b.want(w, wallet.ReceiptMissing, wallet.ReceiptMissing)
	b.entries = append(b.entries[1:], f.Digest)
	if list := b.want(w, wallet.ReceiptLogged, wallet.ReceiptMissing); !strings.Contains(list[1].Detail, "the anchored log has") {
		t.Error(list[1].Detail)
	}
	b.shown = http.NotFoundHandler()
	b.want(w, wallet.ReceiptMissing, wallet.ReceiptMissing)
}

// A gate that never anchors is accused after a day.
func TestNeverAnchored(t *testing.T) {
	s := newScene(t)
	b, w := s.book(), s.wallet(2, true, false)
	b.visit(w, false)
	b.want(w, wallet.ReceiptWaiting)
	check(t, s.Pass(wallet.AnchorDue+time.Hour))
	b.want(w, wallet.ReceiptMissing)
}

// A gate that shows another log than it anchored convicts itself: what the wallet found is a report that the ledger
// takes, and everybody knows then.
func TestForkedLog(t *testing.T) {
	for _, sizes := range [][2]int{{4, 4}, {4, 9}, {5, 9}, {1, 2}} {
		s := newScene(t)
		b, w := s.book(), s.wallet(2, true, false)
		b.visit(w, false)
		mine := slices.Clone(b.entries)
		b.entries = nil
		b.strangers('a', sizes[0])
		b.anchor()
		other := b.newLog()
		b.entries = mine
		b.strangers('b', sizes[1]-1)
		b.follow(other)
		b.shown = other
		f := b.want(w, wallet.ReceiptForked)[0]
		if !f.Accuses() || f.Conflict == nil {
			t.Fatalf("no evidence: %+v", f)
		}
		check(t, s.Do(s.owner.Actor, &tx.AnchorReport{First: f.Conflict.First, Second: f.Conflict.Second, Path: f.Conflict.Path}))
		b.server.Close()
		if f := b.want(w, wallet.ReceiptForked)[0]; !strings.Contains(f.Detail, "since block") || f.Conflict == nil {
			t.Errorf("%+v", f)
		}
	}
}
