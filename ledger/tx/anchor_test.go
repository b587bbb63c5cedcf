package tx_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/tlog"
)

// checkpoint is of a log of identifier 1.
func checkpoint(t testing.TB, name string, size uint64, root hufu.Digest) string {
	t.Helper()
	c := tlog.Checkpoint{Origin: tlog.Origin(id(1).DID(network), name), Size: size, Root: root}
	note, err := tlog.Sign(rand.Reader, key(t, keys.Ed25519, 1), c)
	if err != nil {
		t.Fatal(err)
	}
	return note
}

func anchor(t testing.TB) *tx.AnchorCommit {
	return &tx.AnchorCommit{Checkpoint: checkpoint(t, "receipts", 5, hufu.Digest{5}), Proof: []hufu.Digest{{1}, {2}}}
}

// forkReport shows a tree of one entry that is not the first of a tree of two.
func forkReport(t testing.TB) *tx.AnchorReport {
	path := []hufu.Digest{tlog.LeafHash([]byte("a")), tlog.LeafHash([]byte("b"))}
	pair := sha256.Sum256(slices.Concat([]byte{1}, path[0][:], path[1][:]))
	return &tx.AnchorReport{
		First: checkpoint(t, "receipts", 1, hufu.Digest{9}), Second: checkpoint(t, "receipts", 2, pair), Path: path,
	}
}

// The bytes of both bodies are frozen, but for the notes, which package tlog freezes.
const (
	goldenCommit = `
a2                                                 # map of 2
  01 FIRST                                         # checkpoint: signed note
  02 82                                            # proof: 2 digests
     5820 0100000000000000000000000000000000000000000000000000000000000000 #
     5820 0200000000000000000000000000000000000000000000000000000000000000 #
`
	goldenReport = `
a3                                                 # map of 3
  01 FIRST                                         # first checkpoint
  02 SECOND                                        # second checkpoint
  03 82                                            # path: 2 digests
     5820 022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c # leaf "a"
     5820 57eb35615d47f34ec714cacdf5fd74608a5e8e102724e80b24b287c0c27b6a31 # leaf "b"
`
)

func TestGoldenAnchors(t *testing.T) {
	text := func(note string) string {
		return "79" + hex.EncodeToString([]byte{byte(len(note) >> 8), byte(len(note))}) + hex.EncodeToString([]byte(note))
	}
	commit, report := anchor(t), forkReport(t)
	for _, c := range []struct {
		body          tx.Body
		golden        string
		first, second string
	}{
		{commit, goldenCommit, commit.Checkpoint, ""},
		{report, goldenReport, report.First, report.Second},
	} {
		want := strings.NewReplacer("FIRST", text(c.first), "SECOND", text(c.second)).Replace(annotated(c.golden))
		if got := hex.EncodeToString(marshal(t, c.body)); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func TestRefusedAnchors(t *testing.T) {
	type C = *tx.AnchorCommit
	refuse(t, func() C { return anchor(t) }, []change[C]{
		{"no checkpoint", func(b C) { b.Checkpoint = "" }},
		{"not a checkpoint", func(b C) { b.Checkpoint = "hello\n" }},
		{"an empty log", func(b C) { b.Checkpoint = checkpoint(t, "receipts", 0, tlog.EmptyRoot()) }},
		{"long proof", func(b C) { b.Proof = repeat(hufu.Digest{}, tlog.MaxProof+1) }},
	}...)
	type R = *tx.AnchorReport
	refuse(t, func() R { return forkReport(t) }, []change[R]{
		{"no first", func(b R) { b.First = "" }},
		{"no second", func(b R) { b.Second = "" }},
		{"another log's", func(b R) { b.First = checkpoint(t, "looks", 1, hufu.Digest{9}) }},
		{"the other order", func(b R) { b.First, b.Second = b.Second, b.First }},
		{"the same twice", func(b R) { b.Second, b.Path = b.First, nil }},
		{"no contradiction", func(b R) { b.First = checkpoint(t, "receipts", 1, b.Path[0]) }},
		{"no path", func(b R) { b.Path = nil }},
		{"a path of another tree", func(b R) { b.Path[1][0] ^= 1 }},
		{"long path", func(b R) { b.Path = repeat(hufu.Digest{}, tlog.MaxProof+2) }},
	}...)
}
