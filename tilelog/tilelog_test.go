package tilelog_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/transparency-dev/tessera/api/layout"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state/anchors"
	"github.com/hufu-id/hufu/tilelog"
	"github.com/hufu-id/hufu/tlog"
)

var origin = tlog.Origin(hufu.ID{1}.DID("demo"), "receipts")

func signer(t *testing.T) keys.Signer {
	t.Helper()
	k, err := keys.Ed25519.Load(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func entry(i int) hufu.Digest { return sha256.Sum256(fmt.Appendf(nil, "entry %d", i)) }

// database is a source.
type database []hufu.Digest

func (d *database) grow(n int) {
	for len(*d) < n {
		*d = append(*d, entry(len(*d)))
	}
}

func (d *database) source(_ context.Context, from uint64, limit int) ([]hufu.Digest, error) {
	if from >= uint64(len(*d)) {
		return nil, nil
	}
	return (*d)[from:min(len(*d), int(from)+limit)], nil
}

func open(t *testing.T, dir string) *tilelog.Log {
	t.Helper()
	l, err := tilelog.Open(t.Context(), dir, origin, signer(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func follow(t *testing.T, l *tilelog.Log, d *database) {
	t.Helper()
	size, err := l.Follow(t.Context(), d.source, nil)
	if err != nil || size != uint64(len(*d)) {
		t.Fatalf("%d entries of %d: %v", size, len(*d), err)
	}
}

func checkpoint(t *testing.T, l *tilelog.Log) *tlog.Checkpoint {
	t.Helper()
	s, err := l.Checkpoint(t.Context())
	if err != nil || !s.IsBy(signer(t).Public()) || s.Origin != origin {
		t.Fatalf("%+v, %v", s, err)
	}
	return &s.Checkpoint
}

// A log that is closed and opened again, by one process or two, follows its database, and readers over HTTP
// get proofs that hold.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	var d database
	follow(t, l, &d)
	d.grow(3)
	follow(t, l, &d)
	first := checkpoint(t, l)
	second := open(t, dir)
	d.grow(700)
	follow(t, second, &d)
	follow(t, l, &d)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, dir)
	defer l.Close() //nolint:errcheck // nothing was added
	follow(t, l, &d)
	newest := checkpoint(t, l)
	if first.Size != 3 || newest.Size != 700 {
		t.Fatalf("%d, then %d entries", first.Size, newest.Size)
	}
	anchor, err := l.Anchor(t.Context(), &anchors.Log{Size: first.Size, Root: first.Root})
	if err != nil {
		t.Fatal(err)
	}
	s, err := tlog.Parse(anchor.Checkpoint)
	if err != nil || s.Checkpoint != *newest || tlog.CheckConsistency(first, newest, anchor.Proof) != nil {
		t.Fatalf("%+v %v", anchor, err)
	}
	if anchor, err := l.Anchor(t.Context(), nil); err != nil || anchor.Validate() != nil || anchor.Proof != nil {
		t.Errorf("a first anchor: %+v, %v", anchor, err)
	}
	if anchor, err := l.Anchor(t.Context(), &anchors.Log{Size: newest.Size, Root: newest.Root}); anchor != nil || err != nil {
		t.Errorf("anchored what did not grow: %+v, %v", anchor, err)
	}
	for _, last := range []*anchors.Log{{Size: 701}, {Size: 700}, {Size: 3, Root: newest.Root}} { // the last is of another log
		if _, err := l.Anchor(t.Context(), last); hufu.RuleOf(err) != tilelog.RuleBehind {
			t.Errorf("the ledger knows more: %v", err)
		}
	}
	r := remote(t, l)
	for _, i := range []int{0, 2, 255, 256, 511, 699} {
		proof, err := r.Inclusion(t.Context(), uint64(i), 700)
		if err != nil {
			t.Fatal(err)
		}
		e := entry(i)
		if err := tlog.CheckInclusion(newest, uint64(i), tlog.LeafHash(e[:]), proof); err != nil {
			t.Errorf("entry %d: %v", i, err)
		}
	}
}

// A log is made again from its database as long as that leads to what the ledger has of it. From an older one, or one that went on
// from an older one, nothing is added: the log would sign what contradicts its checkpoint there.
func TestFollowOldDatabase(t *testing.T) {
	var d database
	d.grow(300)
	l := open(t, t.TempDir())
	defer l.Close() //nolint:errcheck // the test is over
	follow(t, l, &d)
	c := checkpoint(t, l)
	last := &anchors.Log{Size: c.Size, Root: c.Root}
	d.grow(310)
	older := slices.Clone(d[:299])
	other := append(slices.Clone(d[:299]), entry(1000), entry(1001))
	for name, c := range map[string]struct {
		has  database
		last *anchors.Log
		size uint64 // of the log afterwards
		rule hufu.Rule
	}{
		"newer":                         {d, last, 310, ""},
		"the same":                      {slices.Clone(d[:300]), last, 300, ""},
		"older":                         {older, last, 0, tilelog.RuleBehind},
		"went on from an older one":     {other, last, 0, tilelog.RuleBehind},
		"the ledger has nothing of it":  {older, nil, 299, ""},
		"one entry that is another one": {append(database{entry(7)}, d[1:]...), last, 0, tilelog.RuleBehind},
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir())
			defer l.Close() //nolint:errcheck // the test is over
			if size, err := l.Follow(t.Context(), c.has.source, c.last); size != c.size || hufu.RuleOf(err) != c.rule || c.rule == "" && err != nil {
				t.Errorf("%d entries: %v", size, err)
			}
			if now := checkpoint(t, l); now.Size != c.size {
				t.Errorf("signed for %d entries", now.Size)
			}
		})
	}
	// One that has gone on adds nothing, either.
	gone := open(t, t.TempDir())
	defer gone.Close() //nolint:errcheck // the test is over
	follow(t, gone, &other)
	other = append(other, entry(1002))
	if size, err := gone.Follow(t.Context(), other.source, last); size != 301 || hufu.RuleOf(err) != tilelog.RuleBehind {
		t.Errorf("%d entries: %v", size, err)
	}
	if anchor, err := open(t, t.TempDir()).Anchor(t.Context(), last); anchor != nil || hufu.RuleOf(err) != tilelog.RuleBehind {
		t.Errorf("an empty log: %+v, %v", anchor, err)
	}
}

// remote reads a log over HTTP.
func remote(t *testing.T, l *tilelog.Log) *tilelog.Reader {
	srv := httptest.NewServer(l)
	t.Cleanup(srv.Close)
	get := func(name string) ([]byte, error) {
		resp, err := http.Get(srv.URL + "/" + name)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return nil, fs.ErrNotExist
		}
		return io.ReadAll(resp.Body)
	}
	return &tilelog.Reader{Tile: func(_ context.Context, level, index uint64, partial uint8) ([]byte, error) {
		raw, err := get(layout.TilePath(level, index, partial))
		if err != nil && partial > 0 {
			return get(layout.TilePath(level, index, 0))
		}
		return raw, err
	}}
}

// A log does not go on from a database that lost or changed what was logged.
func TestDatabaseContradicts(t *testing.T) {
	l := open(t, t.TempDir())
	defer l.Close() //nolint:errcheck // what it has is published
	var d database
	d.grow(5)
	follow(t, l, &d)
	lost := d[:4]
	if _, err := l.Follow(t.Context(), lost.source, nil); hufu.RuleOf(err) != tilelog.RuleAhead {
		t.Errorf("a lost entry: %v", err)
	}
	other := append(database{}, d...)
	other[4] = hufu.Digest{}
	other.grow(9)
	if _, err := l.Follow(t.Context(), other.source, nil); hufu.RuleOf(err) != tilelog.RuleOther {
		t.Errorf("a changed entry: %v", err)
	}
	if c := checkpoint(t, l); c.Size != 5 {
		t.Errorf("the log has %d entries", c.Size)
	}
}

func TestOpenRefused(t *testing.T) {
	p256, err := keys.P256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tilelog.Open(t.Context(), t.TempDir(), origin, p256); err == nil {
		t.Error("a key that signs no checkpoints")
	}
	if _, err := tilelog.Open(t.Context(), t.TempDir(), "receipts", signer(t)); hufu.RuleOf(err) != tlog.RuleOrigin {
		t.Errorf("an origin of nobody: %v", err)
	}
}

// Only the log's own resources are served, and only to read.
func TestServe(t *testing.T) {
	l := open(t, t.TempDir())
	defer l.Close() //nolint:errcheck // what it has is published
	d := database{}
	d.grow(2)
	follow(t, l, &d)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{"GET", "/checkpoint", 200},
		{"GET", "/tile/0/000.p/2", 200},
		{"GET", "/tile/entries/000.p/2", 200},
		{"GET", "/tile/0/000.p/1", 404},
		{"GET", "/tile/0/000", 404},
		{"GET", "/tile/64/000", 404},
		{"GET", "/", 404},
		{"GET", "/writer.lock", 404},
		{"GET", "/.state/treeState", 404},
		{"GET", "/tile/../.state/treeState", 404},
		{"POST", "/checkpoint", 405},
	} {
		w := httptest.NewRecorder()
		l.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, w.Code, c.status)
		}
	}
}
