package status_test

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/status"
	"pgregory.net/rapid"
)

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}

// §4.1 of the draft, both examples: the values, the packed bytes and the published compression.
func TestPacking(t *testing.T) {
	for _, c := range []struct {
		bits       uint8
		values     []hufu.Status
		packed     string
		compressed string
	}{
		{1, []hufu.Status{1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1}, "b9a3", "78dadbb918000217015d"},
		{2, []hufu.Status{1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3}, "c944f9", "78da3be9f2130003df0207"},
	} {
		l, err := status.NewList(c.bits, uint64(len(c.values)))
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range c.values {
			if err := l.Set(uint64(i), v); err != nil {
				t.Fatal(err)
			}
		}
		if got := hex.EncodeToString(l.Bytes()); got != c.packed {
			t.Errorf("packed %s, want %s", got, c.packed)
		}
		raw, _ := hex.DecodeString(c.compressed)
		published, err := status.Decompress(c.bits, raw)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range c.values {
			if got, err := published.Get(uint64(i)); err != nil || got != v {
				t.Errorf("%d bits, index %d: %v %v, want %v", c.bits, i, got, err, v)
			}
		}
	}
}

type draftVector struct {
	Bits   uint8       `json:"bits"`
	Size   uint64      `json:"size"`
	Status [][2]uint64 `json:"status"`
	Lst    string      `json:"lst"`
}

// The draft's test vectors for 2^20 entries. The lists are compared decompressed: DEFLATE leaves the
// compressor free, and this one need not choose as the draft's did.
func TestDraftVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/draft-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []draftVector
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	if len(vectors) != 4 {
		t.Fatalf("%d vectors", len(vectors))
	}
	for _, v := range vectors {
		built, err := status.NewList(v.Bits, v.Size)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range v.Status {
			if err := built.Set(s[0], hufu.Status(s[1])); err != nil {
				t.Fatal(err)
			}
		}
		compressed, err := jws.DecodeBase64(v.Lst)
		if err != nil {
			t.Fatal(err)
		}
		published, err := status.Decompress(v.Bits, compressed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(built.Bytes(), published.Bytes()) {
			t.Errorf("%d bits: not the published list", v.Bits)
		}
		own, err := built.Compress()
		if err != nil {
			t.Fatal(err)
		}
		again, err := status.Decompress(v.Bits, own)
		if err != nil || !bytes.Equal(again.Bytes(), published.Bytes()) {
			t.Errorf("%d bits: own compression does not come back: %v", v.Bits, err)
		}
		t.Logf("%d bits: %d bytes compressed, published %d, same bytes: %v", v.Bits, len(own), len(compressed), bytes.Equal(own, compressed))
	}
}

func compress(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func TestListRefuses(t *testing.T) {
	good := compress(t, []byte{0xb9, 0xa3})
	checksum := bytes.Clone(good)
	checksum[len(checksum)-1] ^= 1
	for name, c := range map[string]struct {
		make func() (*status.List, error)
		rule hufu.Rule
	}{
		"new of 3 bits":       {func() (*status.List, error) { return status.NewList(3, 8) }, status.RuleMalformed},
		"new of 0 bits":       {func() (*status.List, error) { return status.NewList(0, 8) }, status.RuleMalformed},
		"new empty":           {func() (*status.List, error) { return status.NewList(1, 0) }, status.RuleTooLarge},
		"new too large":       {func() (*status.List, error) { return status.NewList(8, status.MaxListBytes+1) }, status.RuleTooLarge},
		"new overflow":        {func() (*status.List, error) { return status.NewList(1, 1<<63) }, status.RuleTooLarge},
		"bytes of 16 bits":    {func() (*status.List, error) { return status.FromBytes(16, []byte{0}) }, status.RuleMalformed},
		"no bytes":            {func() (*status.List, error) { return status.FromBytes(1, nil) }, status.RuleMalformed},
		"bytes too many":      {func() (*status.List, error) { return status.FromBytes(1, make([]byte, status.MaxListBytes+1)) }, status.RuleTooLarge},
		"no zlib":             {func() (*status.List, error) { return status.Decompress(1, []byte("plain")) }, status.RuleMalformed},
		"truncated":           {func() (*status.List, error) { return status.Decompress(1, good[:len(good)-1]) }, status.RuleMalformed},
		"checksum":            {func() (*status.List, error) { return status.Decompress(1, checksum) }, status.RuleMalformed},
		"trailing":            {func() (*status.List, error) { return status.Decompress(1, append(bytes.Clone(good), 0)) }, status.RuleMalformed},
		"decompresses to nil": {func() (*status.List, error) { return status.Decompress(1, compress(t, nil)) }, status.RuleMalformed},
		"bomb": {func() (*status.List, error) {
			return status.Decompress(1, compress(t, make([]byte, 3*status.MaxListBytes)))
		}, status.RuleTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.make()
			wantRule(t, err, c.rule)
		})
	}
	// The largest list is a list.
	for name, largest := range map[string]func() (*status.List, error){
		"new":      func() (*status.List, error) { return status.NewList(8, status.MaxListBytes) },
		"of bytes": func() (*status.List, error) { return status.FromBytes(1, make([]byte, status.MaxListBytes)) },
		"decompressed": func() (*status.List, error) {
			return status.Decompress(1, compress(t, make([]byte, status.MaxListBytes)))
		},
	} {
		if l, err := largest(); err != nil || len(l.Bytes()) != status.MaxListBytes {
			t.Errorf("%s: %v", name, err)
		}
	}
	l, err := status.NewList(2, 5)
	if err != nil {
		t.Fatal(err)
	}
	if l.Size() != 8 || l.Bits() != 2 {
		t.Errorf("size %d of %d bits", l.Size(), l.Bits())
	}
	_, err = l.Get(8)
	wantRule(t, err, status.RuleIndex)
	wantRule(t, l.Set(8, 0), status.RuleIndex)
	wantRule(t, l.Set(0, 4), status.RuleValue)
	if !bytes.Equal(l.Bytes(), []byte{0, 0}) {
		t.Error("a refused Set changed the list")
	}
}

// A list behaves as the plain array it stands for, and survives compression.
func TestListIsAnArray(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bits := rapid.SampledFrom([]uint8{1, 2, 4, 8}).Draw(t, "bits")
		size := rapid.Uint64Range(1, 300).Draw(t, "size")
		l, err := status.NewList(bits, size)
		if err != nil {
			t.Fatal(err)
		}
		model := make([]hufu.Status, l.Size())
		for range rapid.IntRange(0, 50).Draw(t, "sets") {
			i := rapid.Uint64Range(0, l.Size()-1).Draw(t, "index")
			v := hufu.Status(rapid.Uint8Range(0, byte(1<<bits-1)).Draw(t, "value"))
			if err := l.Set(i, v); err != nil {
				t.Fatal(err)
			}
			model[i] = v
		}
		packed, err := l.Compress()
		if err != nil {
			t.Fatal(err)
		}
		again, err := status.Decompress(bits, packed)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range model {
			if got, err := again.Get(uint64(i)); err != nil || got != v {
				t.Fatalf("index %d: %v %v, want %v", i, got, err, v)
			}
		}
	})
}

func FuzzDecompress(f *testing.F) {
	raw, _ := hex.DecodeString("78dadbb918000217015d")
	f.Add(uint8(1), raw)
	f.Add(uint8(2), []byte{0x78, 0xda})
	f.Fuzz(func(t *testing.T, bits uint8, data []byte) {
		l, err := status.Decompress(bits, data)
		if err != nil {
			return
		}
		if _, err := l.Get(l.Size() - 1); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Get(l.Size()); err == nil {
			t.Fatal("an entry after the last")
		}
	})
}
