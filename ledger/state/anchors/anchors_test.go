package anchors_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"testing"

	sumdb "golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/anchors"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tlog"
)

var library, stranger = hufu.ID{1}, hufu.ID{2}

// tree is a log kept by another implementation of RFC 9162's trees.
type tree struct {
	t      rapid.TB
	hashes []sumdb.Hash
	size   int64
}

func (r *tree) ReadHashes(indexes []int64) ([]sumdb.Hash, error) {
	out := make([]sumdb.Hash, len(indexes))
	for i, at := range indexes {
		out[i] = r.hashes[at]
	}
	return out, nil
}

func (r *tree) add(entries ...string) *tree {
	for _, e := range entries {
		h, err := sumdb.StoredHashes(r.size, []byte(e), r)
		if err != nil {
			r.t.Fatal(err)
		}
		r.hashes, r.size = append(r.hashes, h...), r.size+1
	}
	return r
}

func (r *tree) root(size int64) hufu.Digest {
	h, err := sumdb.TreeHash(size, r)
	if err != nil {
		r.t.Fatal(err)
	}
	return hufu.Digest(h)
}

// proof is of consistency; full has the older root in front always.
func (r *tree) proof(older, newer int64, full bool) []hufu.Digest {
	if older == newer || older == 0 {
		return nil
	}
	p, err := sumdb.ProveTree(newer, older, r)
	if err != nil {
		r.t.Fatal(err)
	}
	var out []hufu.Digest
	if full && older&(older-1) == 0 {
		out = append(out, r.root(older))
	}
	for _, h := range p {
		out = append(out, hufu.Digest(h))
	}
	return out
}

func numbered(what string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s %d", what, i)
	}
	return out
}

// book is a state in which the library keeps a log.
type book struct {
	t   rapid.TB
	o   *state.Overlay
	ctx state.Context
}

func secret(t rapid.TB, seed byte) keys.Signer {
	k, err := keys.Ed25519.Load(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The library's key 1 is of the past, 2 is present, 3 has fallen; method 4 is for assertions, 5 is not.
func newBook(t rapid.TB) *book {
	b := &book{t: t, o: state.NewOverlay(state.Empty{}), ctx: state.Context{Network: "demo", Height: 7, Time: 1_800_000_000, TxID: hufu.Digest{9}}}
	multikey := func(seed byte) []byte { return secret(t, seed).Public().Multikey() }
	past := did.Span{From: 1, FromTime: 1, Until: 2, UntilTime: 2}
	fallen := past
	fallen.Fallen = true
	present := did.Span{From: 2, FromTime: 2}
	method := func(seed, purposes byte) did.MethodRecord {
		return did.MethodRecord{Fragment: fmt.Sprint("m", seed), Multikey: multikey(seed), Purposes: purposes, Span: present}
	}
	for _, rec := range []*did.Record{
		{
			ID:      library,
			Keys:    []did.Key{{Multikey: multikey(1), Span: past}, {Multikey: multikey(2), Span: present}, {Multikey: multikey(3), Span: fallen}},
			Methods: []did.MethodRecord{method(4, tx.PurposeAssertion), method(5, tx.PurposeAuthentication)},
		},
		{ID: stranger, Keys: []did.Key{{Multikey: multikey(6), Span: present}}},
	} {
		if err := state.Save(b.o, did.StateKey(rec.ID), rec); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *book) apply(author hufu.ID, body tx.Body) error {
	if err := body.Validate(); err != nil {
		b.t.Fatal(err)
	}
	before := b.o.Changes()
	b.o.Nested()
	err := anchors.Apply(b.ctx, b.o, &tx.Tx{Payload: tx.Payload{Author: author, Kind: body.Kind()}, Body: body})
	b.o.Commit()
	same := slices.EqualFunc(before, b.o.Changes(), func(x, y state.Change) bool {
		return bytes.Equal(x.Key, y.Key) && bytes.Equal(x.Value, y.Value)
	})
	if err != nil && !same {
		b.t.Errorf("a refused transaction changed the state")
	}
	return err
}

func (b *book) sign(seed byte, origin string, size int64, root hufu.Digest) string {
	note, err := tlog.Sign(rand.Reader, secret(b.t, seed), tlog.Checkpoint{Origin: origin, Size: uint64(size), Root: root})
	if err != nil {
		b.t.Fatal(err)
	}
	return note
}

var receipts = tlog.Origin(library.DID("demo"), "receipts")

// commit anchors a tree of the library's at a size, with a proof from an older size.
func (b *book) commit(r *tree, older, size int64) error {
	return b.apply(library, &tx.AnchorCommit{Checkpoint: b.sign(2, receipts, size, r.root(size)), Proof: r.proof(older, size, false)})
}

func (b *book) must(err error) {
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) wantRule(err error, rule hufu.Rule) {
	if hufu.RuleOf(err) != rule {
		b.t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}

func TestCommit(t *testing.T) {
	b := newBook(t)
	r := (&tree{t: t}).add(numbered("entry", 20)...)
	b.must(b.commit(r, 0, 3))
	b.ctx.Height, b.ctx.Time, b.ctx.TxID = 8, 1_800_000_060, hufu.Digest{10}
	b.must(b.commit(r, 3, 20))
	got, err := anchors.Get(b.o, library, "receipts")
	want := anchors.Log{
		Owner: library, Name: "receipts", Size: 20, Root: r.root(20), Checkpoint: b.sign(2, receipts, 20, r.root(20)), Count: 2,
		Height: 8, Time: 1_800_000_060, Tx: hufu.Digest{10},
	}
	if err != nil || *got != want {
		t.Fatalf("got %+v, %v\nwant %+v", got, err, want)
	}
	// A method is as good as a control key, and logs of other names have lives of their own.
	looks := tlog.Origin(library.DID("demo"), "looks")
	b.must(b.apply(library, &tx.AnchorCommit{Checkpoint: b.sign(4, looks, 2, r.root(2))}))
	for _, c := range []struct {
		owner hufu.ID
		name  string
	}{{stranger, "receipts"}, {library, "receipt"}} {
		if got, err := anchors.Get(b.o, c.owner, c.name); got != nil || err != nil {
			t.Errorf("%v: %+v, %v", c, got, err)
		}
	}
}

func TestCommitRefused(t *testing.T) {
	r, other := (&tree{t: t}).add(numbered("entry", 9)...), (&tree{t: t}).add(numbered("other", 9)...)
	commit := func(b *book, author hufu.ID, note string, proof ...hufu.Digest) error {
		return b.apply(author, &tx.AnchorCommit{Checkpoint: note, Proof: proof})
	}
	for _, c := range []struct {
		name string
		rule hufu.Rule
		act  func(b *book) error
	}{
		{"somebody else's log", anchors.RuleOwner, func(b *book) error { return commit(b, stranger, b.sign(2, receipts, 3, r.root(3))) }},
		{"another network's log", anchors.RuleOwner, func(b *book) error {
			return commit(b, library, b.sign(2, tlog.Origin(library.DID("other"), "receipts"), 3, r.root(3)))
		}},
		{"nobody's log", did.RuleUnknown, func(b *book) error {
			return commit(b, library, b.sign(2, tlog.Origin(hufu.ID{7}.DID("demo"), "receipts"), 3, r.root(3)))
		}},
		{"a stranger's signature", anchors.RuleSignature, func(b *book) error { return commit(b, library, b.sign(6, receipts, 3, r.root(3))) }},
		{"a past key", anchors.RuleSignature, func(b *book) error { return commit(b, library, b.sign(1, receipts, 3, r.root(3))) }},
		{"a fallen key", anchors.RuleSignature, func(b *book) error { return commit(b, library, b.sign(3, receipts, 3, r.root(3))) }},
		{"a key for other purposes", anchors.RuleSignature, func(b *book) error { return commit(b, library, b.sign(5, receipts, 3, r.root(3))) }},
		{"a signature of another size", anchors.RuleSignature, func(b *book) error {
			note := b.sign(2, receipts, 3, r.root(3))
			return commit(b, library, string(bytes.Replace([]byte(note), []byte("\n3\n"), []byte("\n4\n"), 1)))
		}},
		{"a proof of nothing", anchors.RuleInconsistent, func(b *book) error {
			return commit(b, library, b.sign(2, receipts, 3, r.root(3)), hufu.Digest{1})
		}},
		{"smaller", anchors.RuleSmaller, func(b *book) error {
			b.must(b.commit(r, 0, 5))
			return b.commit(r, 0, 4)
		}},
		{"the same", anchors.RuleUnchanged, func(b *book) error {
			b.must(b.commit(r, 0, 5))
			return b.commit(r, 5, 5)
		}},
		{"a fork of one size", anchors.RuleInconsistent, func(b *book) error {
			b.must(b.commit(r, 0, 5))
			return b.commit(other, 5, 5)
		}},
		{"a fork of more entries", anchors.RuleInconsistent, func(b *book) error {
			b.must(b.commit(r, 0, 5))
			return b.commit(other, 5, 9)
		}},
		{"without a proof", anchors.RuleInconsistent, func(b *book) error {
			b.must(b.commit(r, 0, 5))
			return b.commit(r, 0, 9)
		}},
		{"with a proof from another size", anchors.RuleInconsistent, func(b *book) error {
			b.must(b.commit(r, 0, 5))
			return b.commit(r, 4, 9)
		}},
		{"after a conviction", anchors.RuleForked, func(b *book) error {
			b.must(b.commit(r, 0, 5))
			b.must(b.report(r, other, 5, 9))
			return b.commit(r, 5, 9)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBook(t)
			b.wantRule(c.act(b), c.rule)
		})
	}
}

// report is a stranger's, of one tree at a smaller and another at a larger size.
func (b *book) report(x, y *tree, m, n int64) error {
	return b.apply(stranger, &tx.AnchorReport{First: b.sign(1, receipts, m, x.root(m)), Second: b.sign(2, receipts, n, y.root(n)), Path: y.proof(m, n, true)})
}

func TestReport(t *testing.T) {
	r, other := (&tree{t: t}).add(numbered("entry", 9)...), (&tree{t: t}).add(numbered("other", 9)...)
	for _, sizes := range [][2]int64{{5, 5}, {5, 9}, {4, 9}, {1, 2}} {
		b := newBook(t)
		b.must(b.report(r, other, sizes[0], sizes[1]))
		got, err := anchors.GetFork(b.o, library, "receipts")
		if err != nil || got == nil || got.Reporter != stranger || got.Height != 7 || got.Time != 1_800_000_000 || got.Tx != (hufu.Digest{9}) || got.Owner != library || got.Name != "receipts" {
			t.Fatalf("%+v, %v", got, err)
		}
		again := &tx.AnchorReport{First: got.First, Second: got.Second, Path: got.Path}
		if err := again.Validate(); err != nil {
			t.Errorf("what is kept is no evidence: %v", err)
		}
		b.wantRule(b.apply(stranger, again), anchors.RuleReported)
	}
}

func TestReportRefused(t *testing.T) {
	r, other := (&tree{t: t}).add(numbered("entry", 9)...), (&tree{t: t}).add(numbered("other", 9)...)
	for _, c := range []struct {
		name          string
		origin        string
		first, second byte // signers
		rule          hufu.Rule
	}{
		{"a stranger signed the first", receipts, 6, 2, anchors.RuleSignature},
		{"a stranger signed the second", receipts, 2, 6, anchors.RuleSignature},
		{"a fallen key", receipts, 3, 2, anchors.RuleSignature},
		{"a key for other purposes", receipts, 2, 5, anchors.RuleSignature},
		{"another network", tlog.Origin(library.DID("other"), "receipts"), 2, 2, anchors.RuleOwner},
		{"nobody's", tlog.Origin(hufu.ID{7}.DID("demo"), "receipts"), 2, 2, did.RuleUnknown},
	} {
		b := newBook(t)
		err := b.apply(stranger, &tx.AnchorReport{
			First: b.sign(c.first, c.origin, 4, r.root(4)), Second: b.sign(c.second, c.origin, 9, other.root(9)), Path: other.proof(4, 9, true),
		})
		if hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: got %v, want a refusal by %s", c.name, err, c.rule)
		}
	}
}

// Whatever a log's owner sends in whatever order, the ledger's checkpoint goes from trees to their
// continuations alone; and an owner who signed two histories can be convicted, and one who did not cannot.
func TestOnlyContinuations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(t)
		common := rapid.IntRange(0, 20).Draw(t, "common")
		logs := [2]*tree{{t: t}, {t: t}}
		for i, what := range []string{"one", "other"} {
			logs[i].add(numbered("entry", common)...).add(numbered(what, 30)...)
		}
		at, on := int64(0), 0
		for range rapid.IntRange(1, 12).Draw(t, "commits") {
			log := rapid.IntRange(0, 1).Draw(t, "log")
			size := rapid.Int64Range(1, logs[log].size).Draw(t, "size")
			from := at
			if rapid.IntRange(0, 4).Draw(t, "bad proof") == 0 {
				from = rapid.Int64Range(0, size).Draw(t, "from")
			}
			from = min(from, size)
			err := b.commit(logs[log], from, size)
			continues := size > at && from == at && (at == 0 || logs[log].root(at) == logs[on].root(at))
			if accepted := err == nil; accepted != continues && (at != 0 || from == 0) {
				t.Fatalf("from %d of log %d to %d of log %d with a proof from %d: %v", at, on, size, log, from, err)
			}
			if err == nil {
				at, on = size, log
			}
		}
		m := rapid.Int64Range(1, 20).Draw(t, "m")
		n := rapid.Int64Range(m, 30).Draw(t, "n")
		report := &tx.AnchorReport{First: b.sign(2, receipts, m, logs[0].root(m)), Second: b.sign(2, receipts, n, logs[1].root(n)), Path: logs[1].proof(m, n, true)}
		forked := m > int64(common)
		if (report.Validate() == nil) != forked {
			t.Fatalf("%d in common, %d and %d: %v", common, m, n, report.Validate())
		}
		if forked {
			b.must(b.apply(stranger, report))
			b.wantRule(b.commit(logs[on], at, logs[on].size), anchors.RuleForked)
		}
	})
}

func TestOtherKindsAreNotForThisRoom(t *testing.T) {
	b := newBook(t)
	if err := b.apply(library, &tx.DIDDeactivate{}); err == nil || hufu.RuleOf(err) != "" {
		t.Fatalf("%v is a refusal, not a mistake of the caller", err)
	}
}

// unreadable fails on keys that begin as one does.
type unreadable struct {
	state.Reader
	prefix string
}

var errDisk = errors.New("disk")

func (u unreadable) Get(key []byte) ([]byte, error) {
	if bytes.HasPrefix(key, []byte(u.prefix)) {
		return nil, errDisk
	}
	return u.Reader.Get(key)
}

func TestUnreadableStateIsNoRefusal(t *testing.T) {
	r := (&tree{t: t}).add(numbered("entry", 9)...)
	for _, prefix := range []string{"did/", "anchors/log/", "anchors/fork/"} {
		b := newBook(t)
		b.o = state.NewOverlay(unreadable{b.o, prefix})
		if err := b.commit(r, 0, 5); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", prefix, err)
		}
		if prefix == "anchors/log/" {
			continue // a report does not read it
		}
		if err := b.report(r, (&tree{t: t}).add(numbered("other", 9)...), 5, 9); !errors.Is(err, errDisk) {
			t.Errorf("%s: %v", prefix, err)
		}
	}
}
