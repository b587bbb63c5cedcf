package proof

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"testing"

	ics23 "github.com/cosmos/ics23/go"
	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
)

// Roots of records(n), computed by an independent program from the definition.
const (
	golden1 = "263f3134568bd91568a048cb99c08729973fd146db930b054d91a3f79e7a346a"
	golden2 = "978e1405e68c6035b3d130831dde63ae9c8225e591448286d456124dbb41a025"
	golden9 = "c58a6c5be22ee5e7d0448461ee57d7671b10c44bb950efa0f156efd62ef31113"
)

// TestPairs compares what is hashed in one piece with sha256.Sum256 of the same.
func TestPairs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		digest := rapid.Custom(func(t *rapid.T) hufu.Digest {
			return hufu.Digest(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
		})
		a, b := digest.Draw(t, "a"), digest.Draw(t, "b")
		if got, want := HashInner(&a, &b), sha256.Sum256(slices.Concat([]byte{1}, a[:], b[:])); got != want {
			t.Errorf("an inner node: %x, not %x", got, want)
		}
		if got, want := NewLeaf(a, b).Hash, sha256.Sum256(slices.Concat([]byte{0}, a[:], b[:])); got != want {
			t.Errorf("a leaf: %x, not %x", got, want)
		}
	})
}

// naive is a whole trie by the definition, for proofs.
type naive struct{ records map[hufu.Digest]KV }

func newNaive(records []KV) *naive {
	n := &naive{records: map[hufu.Digest]KV{}}
	for _, r := range records {
		n.records[HashKey(r.Key)] = r
	}
	return n
}

func (n *naive) sorted() []hufu.Digest {
	var out []hufu.Digest
	for kh := range n.records {
		out = append(out, kh)
	}
	slices.SortFunc(out, func(a, b hufu.Digest) int { return bytes.Compare(a[:], b[:]) })
	return out
}

func (n *naive) leaves() []Leaf {
	var out []Leaf
	for _, kh := range n.sorted() {
		out = append(out, Leaf{KeyHash: kh, Hash: HashLeaf(kh, n.records[kh].Value)})
	}
	return out
}

func (n *naive) membership(i int) *Membership {
	leaves := n.leaves()
	return &Membership{KV: n.records[leaves[i].KeyHash], Path: PathIn(leaves, 0, i, nil)}
}

// prove is the honest proof about key.
func (n *naive) prove(key []byte) []byte {
	kh := HashKey(key)
	at, found := slices.BinarySearchFunc(n.sorted(), kh, func(a, b hufu.Digest) int { return bytes.Compare(a[:], b[:]) })
	if found {
		return n.membership(at).Encode()
	}
	var left, right *Membership
	if at > 0 {
		left = n.membership(at - 1)
	}
	if at < len(n.records) {
		right = n.membership(at)
	}
	return EncodeAbsence(key, left, right)
}

// all is the records in the order of their leaves.
func (n *naive) all() []KV {
	var out []KV
	for _, kh := range n.sorted() {
		out = append(out, n.records[kh])
	}
	return out
}

func records(n int) []KV {
	var out []KV
	for i := range n {
		out = append(out, KV{Key: fmt.Appendf(nil, "key %d", i), Value: fmt.Appendf(nil, "value %d", i)})
	}
	return out
}

func mustRoot(t testing.TB, r []KV) hufu.Digest {
	root, err := Root(r)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// TestGolden pins the form of the trie: changing it would change every app hash.
func TestGolden(t *testing.T) {
	for n, want := range map[int]string{
		0: "0000000000000000000000000000000000000000000000000000000000000000",
		1: golden1,
		2: golden2,
		9: golden9,
	} {
		if got := mustRoot(t, records(n)); got.String() != want {
			t.Errorf("root of %d records is %s, not %s", n, got, want)
		}
	}
}

func TestSpecIsTheStandardSMT(t *testing.T) {
	ours, err := Spec().Marshal()
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ics23.SmtSpec.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours, theirs) {
		t.Fatalf("%x is not %x", ours, theirs)
	}
}

func TestRootRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		records []KV
		want    error
	}{
		"empty key":   {[]KV{{Value: []byte("v")}}, ErrEmptyRecord},
		"empty value": {[]KV{{Key: []byte("k")}}, ErrEmptyRecord},
		"duplicate":   {append(records(3), records(1)...), ErrDuplicateKey},
	} {
		if _, err := Root(tt.records); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAnySet(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		keys := rapid.SliceOfDistinct(rapid.StringN(1, 8, 32), rapid.ID[string]).Draw(rt, "keys")
		var all []KV
		for _, k := range keys {
			all = append(all, KV{Key: []byte(k), Value: []byte(rapid.StringN(1, 8, 32).Draw(rt, "value"))})
		}
		absent := rapid.StringN(1, 8, 32).Filter(func(k string) bool { return !slices.Contains(keys, k) }).Draw(rt, "absent")
		root, n := mustRoot(t, all), newNaive(all)
		for _, r := range append(all, KV{Key: []byte(absent)}) {
			p := n.prove(r.Key)
			if err := VerifyValue(root, r.Key, r.Value, p); err != nil {
				rt.Fatal(err)
			}
			if r.Value != nil && VerifyValue(root, r.Key, nil, p) == nil {
				rt.Fatal("a record proven absent")
			}
			if VerifyValue(root, r.Key, append([]byte("x"), r.Value...), p) == nil {
				rt.Fatal("another value proven")
			}
			if key, value, err := Open(root, p); len(all) > 0 && (err != nil || !bytes.Equal(key, r.Key) || !bytes.Equal(value, r.Value) || (value == nil) != (r.Value == nil)) {
				rt.Fatalf("opened: %q = %q, %v", key, value, err)
			}
			if all := n.all(); !bytes.Equal(Prove(all, [][]byte{r.Key})[0], p) {
				rt.Fatal("another proof")
			}
		}
		slices.Reverse(all)
		if mustRoot(t, all) != root {
			rt.Fatal("the order of records matters")
		}
	})
}

// TestForged gives VerifyValue proofs that a liar would make.
func TestForged(t *testing.T) {
	all := records(40)
	root, n := mustRoot(t, all), newNaive(all)
	inner := func(p *ics23.CommitmentProof) *ics23.InnerOp { return p.GetExist().Path[0] }
	present, absent := all[7], []byte("absent")
	presence := func(change func(*ics23.CommitmentProof)) []byte { return reencode(t, n.prove(present.Key), change) }
	absence := func(change func(*ics23.CommitmentProof)) []byte { return reencode(t, n.prove(absent), change) }
	leaves := n.leaves()
	gap, _ := slices.BinarySearchFunc(leaves, HashKey(absent), func(l Leaf, kh hufu.Digest) int { return bytes.Compare(l.KeyHash[:], kh[:]) })
	around := func(left, right *Membership) []byte { return EncodeAbsence(absent, left, right) }
	around(n.membership(gap-1), n.membership(gap)) // the honest one exists: gap is in the middle
	hidden := leaves[7].KeyHash
	hide := EncodeAbsence(n.records[hidden].Key, n.membership(6), n.membership(8))
	for name, tt := range map[string]struct {
		key, value, proof []byte
		want              hufu.Rule
	}{
		"nothing":                {present.Key, present.Value, nil, RuleMalformed},
		"garbage":                {present.Key, present.Value, []byte("garbage"), RuleMalformed},
		"too large":              {present.Key, present.Value, make([]byte, MaxProofSize+1), RuleMalformed},
		"trailing field":         {present.Key, present.Value, append(n.prove(present.Key), 0x7a, 0), RuleMalformed},
		"presence of absent":     {absent, []byte("v"), n.prove(absent), RuleNotProven},
		"absence of present":     {present.Key, nil, n.prove(present.Key), RuleNotProven},
		"absence of another":     {[]byte("other"), nil, n.prove(absent), RuleNotProven},
		"hidden by neighbours":   {n.records[hidden].Key, nil, hide, RuleNotProven},
		"gap too wide left":      {absent, nil, around(n.membership(gap-2), n.membership(gap)), RuleNotProven},
		"gap too wide right":     {absent, nil, around(n.membership(gap-1), n.membership(gap+1)), RuleNotProven},
		"not leftmost":           {absent, nil, around(nil, n.membership(gap)), RuleNotProven},
		"not rightmost":          {absent, nil, around(n.membership(gap-1), nil), RuleNotProven},
		"one side twice":         {absent, nil, around(n.membership(gap), n.membership(gap)), RuleNotProven},
		"swapped":                {absent, nil, around(n.membership(gap), n.membership(gap-1)), RuleNotProven},
		"leaf as another prefix": {present.Key, present.Value, presence(func(p *ics23.CommitmentProof) { p.GetExist().Leaf.Prefix = []byte{1} }), RuleNotProven},
		"no leaf":                {present.Key, present.Value, presence(func(p *ics23.CommitmentProof) { p.GetExist().Leaf = nil }), RuleNotProven},
		"value not hashed":       {present.Key, present.Value, presence(func(p *ics23.CommitmentProof) { p.GetExist().Leaf.PrehashValue = 0 }), RuleNotProven},
		"inner as leaf":          {present.Key, present.Value, presence(func(p *ics23.CommitmentProof) { inner(p).Prefix = []byte{0} }), RuleNotProven},
		"short path":             {present.Key, present.Value, presence(func(p *ics23.CommitmentProof) { p.GetExist().Path = p.GetExist().Path[1:] }), RuleNotProven},
		"long path":              {present.Key, present.Value, presence(func(p *ics23.CommitmentProof) { p.GetExist().Path = append(p.GetExist().Path, inner(p)) }), RuleNotProven},
		"very long path":         {present.Key, present.Value, presence(func(p *ics23.CommitmentProof) { p.GetExist().Path = slices.Repeat(p.GetExist().Path, 60) }), RuleNotProven},
		"no neighbours":          {absent, nil, absence(func(p *ics23.CommitmentProof) { p.GetNonexist().Left, p.GetNonexist().Right = nil, nil }), RuleNotProven},
		"batch":                  {present.Key, present.Value, batch(t, n.prove(present.Key), false), RuleMalformed},
		"compressed":             {present.Key, present.Value, batch(t, n.prove(present.Key), true), RuleMalformed},
		"hostile compressed":     {present.Key, present.Value, hostile(t), RuleMalformed},
		"empty key":              {nil, nil, n.prove(absent), RuleNotProven},
		"empty value":            {present.Key, []byte{}, n.prove(present.Key), RuleNotProven},
	} {
		if err := VerifyValue(root, tt.key, tt.value, tt.proof); hufu.RuleOf(err) != tt.want {
			t.Errorf("%s: %v, want %s", name, err, tt.want)
		}
		// What it does prove, if anything, is true.
		key, value, err := Open(root, tt.proof)
		if err == nil && !bytes.Equal(n.records[HashKey(key)].Value, value) {
			t.Errorf("%s: opened as %q = %q", name, key, value)
		}
		if claim := slices.Contains([]string{"empty key", "empty value", "presence of absent", "absence of present", "absence of another"}, name); (err == nil) != claim {
			t.Errorf("%s: opened with %v", name, err)
		}
	}
}

func TestEmptyState(t *testing.T) {
	var empty hufu.Digest
	if err := VerifyValue(empty, []byte("k"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := VerifyValue(empty, []byte("k"), []byte("v"), nil); hufu.RuleOf(err) != RuleNotProven {
		t.Fatal(err)
	}
	if err := VerifyValue(empty, []byte("k"), nil, []byte{0}); hufu.RuleOf(err) != RuleMalformed {
		t.Fatal(err)
	}
	if err := VerifyValue(hufu.Digest{1}, []byte("k"), nil, nil); hufu.RuleOf(err) != RuleMalformed {
		t.Fatal("no proof is enough only in the empty state:", err)
	}
}

func reencode(t testing.TB, proof []byte, change func(*ics23.CommitmentProof)) []byte {
	t.Helper()
	var p ics23.CommitmentProof
	if err := p.Unmarshal(proof); err != nil {
		t.Fatal(err)
	}
	change(&p)
	out, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func batch(t testing.TB, proof []byte, compressed bool) []byte {
	t.Helper()
	var p ics23.CommitmentProof
	if err := p.Unmarshal(proof); err != nil {
		t.Fatal(err)
	}
	b, err := ics23.CombineProofs([]*ics23.CommitmentProof{&p})
	if err != nil {
		t.Fatal(err)
	}
	if !compressed {
		b = ics23.Decompress(b)
	}
	out, err := b.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hostile is a compressed proof that makes the library's decompression index out of range.
func hostile(t testing.TB) []byte {
	t.Helper()
	exist := &ics23.CompressedExistenceProof{Key: []byte("k"), Value: []byte("v"), Leaf: Spec().LeafSpec, Path: []int32{1 << 20}}
	entry := &ics23.CompressedBatchEntry{Proof: &ics23.CompressedBatchEntry_Exist{Exist: exist}}
	p := ics23.CommitmentProof{Proof: &ics23.CommitmentProof_Compressed{
		Compressed: &ics23.CompressedBatchProof{Entries: []*ics23.CompressedBatchEntry{entry}},
	}}
	out, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func FuzzVerifyValue(f *testing.F) {
	all := records(20)
	root, n := mustRoot(f, all), newNaive(all)
	f.Add([]byte("key 3"), []byte("value 3"), n.prove([]byte("key 3")))
	f.Add([]byte("absent"), []byte(nil), n.prove([]byte("absent")))
	f.Add([]byte("k"), []byte("v"), hostile(f))
	f.Fuzz(func(t *testing.T, key, value, proof []byte) {
		if len(value) == 0 {
			value = nil
		}
		err := VerifyValue(root, key, value, proof)
		if err == nil {
			if r := n.records[HashKey(key)]; !bytes.Equal(r.Value, value) {
				t.Fatalf("%q = %q was proven", key, value)
			}
		} else if hufu.RuleOf(err) == "" {
			t.Fatalf("not a refusal: %v", err)
		}
		key, value, err = Open(root, proof)
		if err == nil && !bytes.Equal(n.records[HashKey(key)].Value, value) {
			t.Fatalf("%q = %q was opened", key, value)
		} else if err != nil && hufu.RuleOf(err) == "" {
			t.Fatalf("not a refusal: %v", err)
		}
	})
}
