package tlog_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"
	sumdb "golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/tlog"
)

var origin = tlog.Origin(hufu.ID{1}.DID("demo"), "receipts")

func signer(t testing.TB, seed byte) keys.Signer {
	t.Helper()
	k, err := keys.Ed25519.Load(bytes.Repeat([]byte{seed}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// tree is a log kept by another implementation of RFC 9162's trees.
type tree struct {
	t      rapid.TB
	hashes []sumdb.Hash
	size   int64
}

func (r *tree) ReadHashes(indexes []int64) ([]sumdb.Hash, error) {
	out := make([]sumdb.Hash, len(indexes))
	for i, at := range indexes {
		if at >= int64(len(r.hashes)) {
			return nil, errors.New("no such hash")
		}
		out[i] = r.hashes[at]
	}
	return out, nil
}

func (r *tree) add(entry string) {
	h, err := sumdb.StoredHashes(r.size, []byte(entry), r)
	r.must(err)
	r.hashes, r.size = append(r.hashes, h...), r.size+1
}

func (r *tree) must(err error) {
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *tree) at(size int64) *tlog.Checkpoint {
	h, err := sumdb.TreeHash(size, r)
	r.must(err)
	return &tlog.Checkpoint{Origin: origin, Size: uint64(size), Root: hufu.Digest(h)}
}

func digests(in []sumdb.Hash) []hufu.Digest {
	out := make([]hufu.Digest, len(in))
	for i, h := range in {
		out[i] = hufu.Digest(h)
	}
	return out
}

// consistency is the proof between two sizes, empty where there is nothing to prove.
func (r *tree) consistency(older, newer int64) []hufu.Digest {
	if older == newer || older == 0 {
		return nil
	}
	p, err := sumdb.ProveTree(newer, older, r)
	r.must(err)
	return digests(p)
}

// path is the consistency proof with the older root in front always.
func (r *tree) path(older, newer int64) []hufu.Digest {
	p := r.consistency(older, newer)
	if older != newer && older&(older-1) == 0 {
		p = append([]hufu.Digest{r.at(older).Root}, p...)
	}
	return p
}

func grow(t rapid.TB, entries ...string) *tree {
	r := &tree{t: t}
	for _, e := range entries {
		r.add(e)
	}
	return r
}

func numbered(what string, n int64) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%s %d", what, i)
	}
	return out
}

// Every pair of sizes, and every entry, of a log of some size with the proofs of another implementation.
func TestProofs(t *testing.T) {
	const n = 40
	r := grow(t, numbered("entry", n)...)
	for newer := int64(0); newer <= n; newer++ {
		for older := int64(0); older <= newer; older++ {
			if err := tlog.CheckConsistency(r.at(older), r.at(newer), r.consistency(older, newer)); err != nil {
				t.Fatalf("%d to %d: %v", older, newer, err)
			}
		}
		for i := range newer {
			p, err := sumdb.ProveRecord(newer, i, r)
			r.must(err)
			leaf := tlog.LeafHash(fmt.Appendf(nil, "entry %d", i))
			if err := tlog.CheckInclusion(r.at(newer), uint64(i), leaf, digests(p)); err != nil {
				t.Fatalf("%d in %d: %v", i, newer, err)
			}
		}
	}
}

// drawLogs draws two logs that have the first common entries in common and then differ, or do not.
func drawLogs(t *rapid.T) (a, b *tree, same bool) {
	common := rapid.Int64Range(0, 70).Draw(t, "common")
	same = rapid.Bool().Draw(t, "same")
	a, b = grow(t, numbered("entry", common)...), grow(t, numbered("entry", common)...)
	other := "other"
	if same {
		other = "more"
	}
	for i := range rapid.Int64Range(1, 70).Draw(t, "more") {
		a.add(fmt.Sprintf("more %d", i))
		b.add(fmt.Sprintf("%s %d", other, i))
	}
	for i := range rapid.Int64Range(0, 70).Draw(t, "still more") {
		b.add(fmt.Sprintf("last %d", i))
	}
	return a, b, same
}

// A log is accepted as another's continuation exactly when it is that, and the two contradict each other
// exactly when it is not.
func TestOnlyContinuations(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, same := drawLogs(t)
		older, newer := a.at(a.size), b.at(b.size)
		err := tlog.CheckConsistency(older, newer, b.consistency(a.size, b.size))
		if (err == nil) != same {
			t.Fatalf("the same: %v; %v", same, err)
		}
		if err := tlog.CheckConflict(older, newer, b.path(a.size, b.size)); (err == nil) == same {
			t.Fatalf("the same: %v; conflict: %v", same, err)
		}
	})
}

// No proof but the right one is accepted, and no false contradiction comes of a bad path.
func TestBrokenProofs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(2, 130).Draw(t, "n")
		m := rapid.Int64Range(1, n-1).Draw(t, "m")
		r := grow(t, numbered("entry", n)...)
		good := r.consistency(m, n)
		leaf := tlog.LeafHash(fmt.Appendf(nil, "entry %d", m))
		in, err := sumdb.ProveRecord(n, m, r)
		r.must(err)
		spoil := func(p []hufu.Digest) []hufu.Digest {
			p = slices.Clone(p)
			switch at := rapid.IntRange(0, len(p)-1).Draw(t, "at"); rapid.IntRange(0, 3).Draw(t, "how") {
			case 0:
				p[at][rapid.IntRange(0, 31).Draw(t, "byte")] ^= 1
			case 1:
				p = slices.Delete(p, at, at+1)
			case 2:
				p = slices.Insert(p, at, hufu.Digest{1})
			default:
				p = append(p, hufu.Digest{2})
			}
			return p
		}
		wantRule(t, tlog.CheckConsistency(r.at(m), r.at(n), spoil(good)), tlog.RuleProof)
		wantRule(t, tlog.CheckConflict(r.at(m), r.at(n), spoil(r.path(m, n))), tlog.RuleProof)
		wantRule(t, tlog.CheckInclusion(r.at(n), uint64(m), leaf, spoil(digests(in))), tlog.RuleProof)
		wantRule(t, tlog.CheckInclusion(r.at(n), uint64(m), tlog.LeafHash([]byte("never")), digests(in)), tlog.RuleProof)
		wantRule(t, tlog.CheckInclusion(r.at(n), uint64(n), leaf, digests(in)), tlog.RuleProof)
	})
}

func wantRule(t rapid.TB, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Fatalf("got %v, want a refusal by %s", err, rule)
	}
}

func TestProofsRefused(t *testing.T) {
	r, o := grow(t, numbered("entry", 9)...), grow(t, numbered("other", 9)...)
	elsewhere := r.at(9)
	elsewhere.Origin += "-2"
	long := slices.Repeat([]hufu.Digest{{}}, tlog.MaxProof+2)
	for _, c := range []struct {
		name string
		err  error
		rule hufu.Rule
	}{
		{"smaller", tlog.CheckConsistency(r.at(9), r.at(8), nil), tlog.RuleProof},
		{"another root", tlog.CheckConsistency(r.at(9), o.at(9), nil), tlog.RuleProof},
		{"a proof of nothing", tlog.CheckConsistency(r.at(9), r.at(9), []hufu.Digest{{}}), tlog.RuleProof},
		{"a proof from nothing", tlog.CheckConsistency(r.at(0), r.at(9), []hufu.Digest{{}}), tlog.RuleProof},
		{"no proof", tlog.CheckConsistency(r.at(3), r.at(9), nil), tlog.RuleProof},
		{"long", tlog.CheckConsistency(r.at(3), r.at(9), long), tlog.RuleProof},
		{"long inclusion", tlog.CheckInclusion(r.at(9), 1, hufu.Digest{}, long), tlog.RuleProof},
		{"two logs", tlog.CheckConflict(r.at(9), elsewhere, nil), tlog.RuleNotAConflict},
		{"the same", tlog.CheckConflict(r.at(9), r.at(9), nil), tlog.RuleNotAConflict},
		{"the other order", tlog.CheckConflict(r.at(9), o.at(3), nil), tlog.RuleNotAConflict},
		{"nothing", tlog.CheckConflict(r.at(0), o.at(3), nil), tlog.RuleNotAConflict},
		{"a path too many", tlog.CheckConflict(r.at(9), o.at(9), []hufu.Digest{{}}), tlog.RuleProof},
		{"a path of another tree", tlog.CheckConflict(r.at(3), o.at(9), r.path(3, 9)), tlog.RuleProof},
	} {
		if hufu.RuleOf(c.err) != c.rule {
			t.Errorf("%s: got %v, want a refusal by %s", c.name, c.err, c.rule)
		}
	}
}

const golden = "did:hufu:demo:z4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM/receipts\n3\nlPvQ3YNvUDAWkubQ6t5yjuGexSv/8WBu2AfIV11aqhk=\n\n" +
	"\u2014 did:hufu:demo:z4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM/receipts " +
	"NRKgCKTdIW1h5VUCYqFrzH+nmanJaYmFjJnJRJZ0bzbcp55cWezSKjT9AahGf05N6Bazvj+8QcEZhmWO3RpCZutOsQk=\n"

// What we sign, another implementation of signed notes accepts, and the reverse.
func TestNotesOfOthers(t *testing.T) {
	k := signer(t, 1)
	c := grow(t, numbered("entry", 3)...).at(3)
	signed, err := tlog.Sign(rand.Reader, k, *c)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewEd25519VerifierKey(origin, ed25519.PublicKey(k.Public().Raw()))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(v)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	if err != nil || len(opened.Sigs) != 1 {
		t.Fatalf("%v, %+v", err, opened)
	}
	secret := fmt.Sprintf("PRIVATE+KEY+%s+%08x+%s", origin, tlog.KeyID(origin, k.Public().Raw()), base64.StdEncoding.EncodeToString(append([]byte{1}, k.(interface{ Secret() []byte }).Secret()...)))
	theirs, err := note.NewSigner(secret)
	if err != nil {
		t.Fatal(err)
	}
	again, err := note.Sign(&note.Note{Text: opened.Text}, theirs)
	if err != nil || string(again) != signed {
		t.Fatalf("%v\n%s\n%s", err, again, signed)
	}
	s, err := tlog.Parse(signed)
	if err != nil || !s.IsBy(k.Public()) || !s.MayBeBy(k.Public().Raw()) || s.Checkpoint != *c || s.String() != signed {
		t.Fatalf("%v, %+v", err, s)
	}
	if signed != golden {
		t.Errorf("got\n%s\nwant\n%s", signed, golden)
	}
}

func TestSignature(t *testing.T) {
	k, c := signer(t, 1), grow(t, "a", "b").at(2)
	signed, err := tlog.Sign(rand.Reader, k, *c)
	if err != nil {
		t.Fatal(err)
	}
	read := func(note string) *tlog.Signed {
		s, err := tlog.Parse(note)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := read(signed); s.IsBy(signer(t, 2).Public()) || s.MayBeBy(signer(t, 2).Public().Raw()) {
		t.Error("by another key")
	}
	if read(strings.Replace(signed, "\n2\n", "\n3\n", 1)).IsBy(k.Public()) {
		t.Error("another size")
	}
	witness := "\u2014 witness.example " + base64.StdEncoding.EncodeToString(make([]byte, 76)) + "\n"
	if !read(signed + witness).IsBy(k.Public()) {
		t.Error("a witness's signature takes the log's away")
	}
	// The key's name is part of what a signature is found by, so another name's is not the log's.
	if read(strings.Replace(signed, "\u2014 "+origin, "\u2014 elsewhere", 1)).IsBy(k.Public()) {
		t.Error("under another name")
	}
	p256, err := keys.P256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if read(signed).IsBy(p256.Public()) {
		t.Error("by a key of another suite")
	}
	_, err = tlog.Sign(rand.Reader, p256, *c)
	wantRule(t, err, tlog.RuleMalformed)
	_, err = tlog.Sign(rand.Reader, k, tlog.Checkpoint{Origin: "x", Size: 1})
	wantRule(t, err, tlog.RuleOrigin)
}

func TestParseRefused(t *testing.T) {
	good, err := tlog.Sign(rand.Reader, signer(t, 1), *grow(t, "a", "b").at(2))
	if err != nil {
		t.Fatal(err)
	}
	text, sig, _ := strings.Cut(good, "\n\n")
	lines := strings.Split(text, "\n")
	did := strings.TrimSuffix(origin, "/receipts")
	made := func(origin, size, root, sigs string) string {
		return origin + "\n" + size + "\n" + root + "\n\n" + sigs
	}
	with := func(sigs string) string { return text + "\n\n" + sigs }
	id := base64.StdEncoding.EncodeToString
	for _, c := range []struct {
		name, note string
		rule       hufu.Rule
	}{
		{"nothing", "", tlog.RuleMalformed},
		{"long", good + strings.Repeat("x", tlog.MaxNote), tlog.RuleMalformed},
		{"no signatures", text + "\n", tlog.RuleMalformed},
		{"no signatures after the line", text + "\n\n", tlog.RuleMalformed},
		{"an extension", text + "\nmore\n\n" + sig, tlog.RuleMalformed},
		{"no size", lines[0] + "\n" + lines[2] + "\n\n" + sig, tlog.RuleMalformed},
		{"size with a zero in front", made(lines[0], "02", lines[2], sig), tlog.RuleMalformed},
		{"size with a sign", made(lines[0], "+2", lines[2], sig), tlog.RuleMalformed},
		{"negative size", made(lines[0], "-2", lines[2], sig), tlog.RuleMalformed},
		{"large size", made(lines[0], "9223372036854775808", lines[2], sig), tlog.RuleMalformed},
		{"short root", made(lines[0], "2", id(make([]byte, 31)), sig), tlog.RuleMalformed},
		{"root with stray bits", made(lines[0], "2", lines[2][:42]+"/=", sig), tlog.RuleMalformed},
		{"root not base64", made(lines[0], "2", "~", sig), tlog.RuleMalformed},
		{"root with a line break", made(lines[0], "2", lines[2]+"\r", sig), tlog.RuleMalformed},
		{"empty, with another root", made(lines[0], "0", lines[2], sig), tlog.RuleMalformed},
		{"origin without a name", made(did, "2", lines[2], sig), tlog.RuleOrigin},
		{"origin with an empty name", made(did+"/", "2", lines[2], sig), tlog.RuleOrigin},
		{"origin with capitals", made(did+"/Receipts", "2", lines[2], sig), tlog.RuleOrigin},
		{"origin with two names", made(did+"/a/b", "2", lines[2], sig), tlog.RuleOrigin},
		{"origin with a long name", made(did+"/"+strings.Repeat("a", tlog.MaxName+1), "2", lines[2], sig), tlog.RuleOrigin},
		{"origin of nobody", made(tlog.Origin(hufu.ID{}.DID("demo"), "a"), "2", lines[2], sig), tlog.RuleOrigin},
		{"another method's origin", made("did:web:x.example/receipts", "2", lines[2], sig), tlog.RuleOrigin},
		{"no dash", with(strings.TrimPrefix(sig, "\u2014 ")), tlog.RuleMalformed},
		{"no name", with("\u2014  " + id(make([]byte, 68)) + "\n"), tlog.RuleMalformed},
		{"name with a plus", with("\u2014 a+b " + id(make([]byte, 68)) + "\n"), tlog.RuleMalformed},
		{"no signature", with("\u2014 a\n"), tlog.RuleMalformed},
		{"an id alone", with("\u2014 a " + id(make([]byte, 4)) + "\n"), tlog.RuleMalformed},
		{"not base64", with("\u2014 a ~~\n"), tlog.RuleMalformed},
		{"no end of line", strings.TrimSuffix(good, "\n"), tlog.RuleMalformed},
		{"a signature twice", good + sig, tlog.RuleMalformed},
		{"too many", good + "\u2014 a AAAAAAA=\n\u2014 b AAAAAAA=\n\u2014 c AAAAAAA=\n\u2014 d AAAAAAA=\n", tlog.RuleMalformed},
		{"an empty line after", good + "\n", tlog.RuleMalformed},
	} {
		if _, err := tlog.Parse(c.note); hufu.RuleOf(err) != c.rule {
			t.Errorf("%s: got %v, want a refusal by %s", c.name, err, c.rule)
		}
	}
}

func FuzzParse(f *testing.F) {
	good, err := tlog.Sign(rand.Reader, signer(f, 1), *grow(f, "a", "b").at(2))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good + "\u2014 witness.example AAAAAAA=\n")
	f.Add(strings.Replace(good, "\n2\n", "\n0\n", 1))
	f.Add("")
	f.Fuzz(func(t *testing.T, in string) {
		s, err := tlog.Parse(in)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("refused without a rule: %v", err)
			}
			return
		}
		if s.String() != in {
			t.Fatalf("read %q, would write %q", in, s)
		}
	})
}

// Whatever the sizes, a made-up path neither runs long nor proves anything.
func FuzzPath(f *testing.F) {
	f.Add(uint64(1), uint64(2), []byte("path"))
	f.Add(uint64(1<<62), uint64(tlog.MaxSize), bytes.Repeat([]byte{7}, 32*64))
	f.Fuzz(func(t *testing.T, m, n uint64, raw []byte) {
		var path []hufu.Digest
		for len(raw) >= 32 {
			path, raw = append(path, hufu.Digest(raw[:32])), raw[32:]
		}
		a, b := &tlog.Checkpoint{Size: m, Root: hufu.Digest{1}}, &tlog.Checkpoint{Size: n, Root: hufu.Digest{2}}
		if m != 0 && tlog.CheckConsistency(a, b, path) == nil {
			t.Error("consistent")
		}
		if m != n && tlog.CheckConflict(a, b, path) == nil {
			t.Error("a conflict")
		}
		if tlog.CheckInclusion(b, m, hufu.Digest{3}, path) == nil {
			t.Error("included")
		}
	})
}
