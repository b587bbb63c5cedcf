package encoding_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"pgregory.net/rapid"
)

type sample struct {
	Count uint64           `cbor:"1,keyasint"`
	Name  string           `cbor:"2,keyasint,omitempty"`
	Raw   []byte           `cbor:"3,keyasint"`
	List  []int64          `cbor:"4,keyasint"`
	More  *sample          `cbor:"5,keyasint,omitempty"`
	Item  encoding.RawCBOR `cbor:"6,keyasint,omitempty"`
}

// The bytes are frozen: a change here changes every hash and signature on a ledger.
func TestGoldenBytes(t *testing.T) {
	v := sample{Count: 500, Name: "符", Raw: nil, List: []int64{0, 23, 24, -1, -25, 1 << 32}, Item: encoding.RawCBOR{0xf6}}
	want := strings.Join([]string{
		"a5",                             // map of 5
		"01 1901f4",                      // 1: 500 in two bytes
		"02 63e7aca6",                    // 2: text of 3 bytes
		"03 40",                          // 3: nil is written as the empty byte string
		"04 86",                          // 4: array of 6
		"00", "17", "1818", "20", "3818", // 0, 23, 24, -1, -25
		"1b0000000100000000", // 2^32
		"06 f6",              // 6: null, kept as it stood
	}, "")
	want = strings.ReplaceAll(want, " ", "")
	got, err := encoding.Marshal(v)
	if err != nil || hex.EncodeToString(got) != want {
		t.Fatalf("Marshal: %x %v\nwant     %s", got, err, want)
	}
	var back sample
	if err := encoding.Unmarshal(got, &back); err != nil {
		t.Fatal(err)
	}
	if again, err := encoding.Marshal(back); err != nil || !bytes.Equal(again, got) {
		t.Fatalf("second time %x %v", again, err)
	}
}

func TestMapsAreSorted(t *testing.T) {
	got, err := encoding.Marshal(map[any]int{"b": 1, "a": 2, 10: 3, -1: 4, 100: 5, "aa": 6})
	// RFC 8949 §4.2.1's own order of keys: 10, 100, -1, "a"…, "aa".
	if err != nil || hex.EncodeToString(got) != "a6"+"0a03"+"186405"+"2004"+"616102"+"616201"+"62616106" {
		t.Fatalf("%x %v", got, err)
	}
}

func nested(opener byte, n int) string {
	return strings.Repeat(hex.EncodeToString([]byte{opener}), n) + "00"
}

func TestCBORRefused(t *testing.T) {
	for _, c := range []struct{ name, hex, want string }{
		{"nothing", "", "truncated"},
		{"truncated head", "19 01", "truncated"},
		{"truncated 4-byte head", "1a 000100", "truncated"},
		{"truncated 8-byte head", "1b 00000001000000", "truncated"},
		{"truncated 1-byte head", "18", "truncated"},
		{"truncated bytes", "43 0102", "truncated"},
		{"bytes of 2^64-1", "5b ffffffffffffffff 00", "truncated"},
		{"truncated text", "62 61", "truncated"},
		{"truncated array", "82 01", "truncated"},
		{"truncated map", "a1 01", "truncated"},
		{"tag without content", "c1", "truncated"},
		{"trailing bytes", "01 01", "trailing"},
		{"1-byte form of 23", "18 17", "shortest"},
		{"2-byte form of 255", "19 00ff", "shortest"},
		{"4-byte form of 65535", "1a 0000ffff", "shortest"},
		{"8-byte form of 2^32-1", "1b 00000000ffffffff", "shortest"},
		{"long negative", "38 00", "shortest"},
		{"long byte string length", "58 01 00", "shortest"},
		{"long text length", "78 01 61", "shortest"},
		{"long array length", "98 01 00", "shortest"},
		{"long map length", "b8 01 00 00", "shortest"},
		{"long tag", "d8 01 00", "shortest"},
		{"reserved 28", "1c", "reserved"},
		{"reserved 29", "1d", "reserved"},
		{"reserved 30", "1e", "reserved"},
		{"indefinite bytes", "5f 41 00 ff", "indefinite"},
		{"indefinite text", "7f 61 61 ff", "indefinite"},
		{"indefinite array", "9f ff", "indefinite"},
		{"indefinite map", "bf ff", "indefinite"},
		{"break", "ff", "simple"},
		{"half float", "f9 0000", "simple"},
		{"float", "fa 00000000", "simple"},
		{"double", "fb 0000000000000000", "simple"},
		{"undefined", "f7", "simple"},
		{"simple 16", "f0", "simple"},
		{"simple 32", "f8 20", "simple"},
		{"unsorted keys", "a2 02 00 01 00", "unsorted"},
		{"shorter text key later", "a2 62 6161 00 61 62 00", "unsorted"},
		{"duplicate keys", "a2 01 00 01 01", "unsorted"},
		{"duplicate keys inside", "81 a2 61 61 00 61 61 01", "unsorted"},
		{"not UTF-8", "61 ff", "UTF-8"},
		{"surrogate in text", "63 eda080", "UTF-8"},
		{"overlong UTF-8", "62 c080", "UTF-8"},
		{"17 arrays deep", nested(0x81, encoding.MaxCBORDepth+1), "deeper"},
		{"17 tags deep", nested(0xc6, encoding.MaxCBORDepth+1), "deeper"},
		{"100,000 deep", strings.Repeat("81", 100_000), "deeper"},
		{"array of 65537", "9a 00010001" + strings.Repeat("00", 65537), "elements"},
		{"map of 2^32", "bb 0000000100000000", "elements"},
		{"deep in a map's key", "a1 " + nested(0x81, encoding.MaxCBORDepth) + "00", "deeper"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data, err := hex.DecodeString(strings.ReplaceAll(c.hex, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			var v any
			for _, err := range []error{encoding.CheckCBOR(data), encoding.Unmarshal(data, &v)} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error %v, want one about %q", err, c.want)
				}
			}
			det := c.want == "shortest" || c.want == "indefinite" || c.want == "unsorted"
			if errors.Is(encoding.CheckCBOR(data), encoding.ErrNotDeterministic) != det {
				t.Fatalf("ErrNotDeterministic should be %v", det)
			}
		})
	}
	if err := encoding.CheckCBOR(unhex(nested(0x81, encoding.MaxCBORDepth))); err != nil {
		t.Fatalf("the deepest allowed: %v", err)
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// What is deterministic CBOR but not what the type says is refused as well.
func TestUnmarshalRefused(t *testing.T) {
	for name, data := range map[string]string{
		"unknown field":           "a1 07 00",
		"text key, never a field": "a1 61 61 00",
		"negative for unsigned":   "a1 01 20",
		"text for a number":       "a1 01 61 31",
		"array for a struct":      "80",
		"number above int64":      "a1 04 81 1b ffffffffffffffff",
	} {
		var v sample
		raw := unhex(strings.ReplaceAll(data, " ", ""))
		if err := encoding.CheckCBOR(raw); err != nil {
			t.Fatalf("%s: not even deterministic: %v", name, err)
		}
		if err := encoding.Unmarshal(raw, &v); err == nil {
			t.Errorf("%s accepted", name)
		}
	}
}

// fixed is a type that the decoder alone would fill from items that are not how it is written.
type fixed struct {
	Digest hufu.Digest      `cbor:"1,keyasint"`
	Sub    *fixed           `cbor:"2,keyasint,omitempty"`
	Number uint64           `cbor:"3,keyasint"`
	List   []hufu.ID        `cbor:"4,keyasint,omitempty"`
	Item   encoding.RawCBOR `cbor:"5,keyasint,omitempty"`
}

// Every value has one form: what the decoder would bend to its type is refused.
func TestOnlyTheWrittenForm(t *testing.T) {
	digest := func(n int) string {
		if n < 24 {
			return hex.EncodeToString([]byte{0x40 + byte(n)}) + strings.Repeat("07", n)
		}
		return "58" + hex.EncodeToString([]byte{byte(n)}) + strings.Repeat("07", n)
	}
	good := "a2 01" + digest(32) + "03 05"
	for name, c := range map[string]struct {
		data string
		ok   bool
	}{
		"as written":                   {good, true},
		"with a list":                  {"a3 01" + digest(32) + "03 05 04 82" + digest(32) + digest(32), true},
		"with an item kept as it is":   {"a3 01" + digest(32) + "03 05 05 c2 41 05", true},
		"31 bytes":                     {"a2 01" + digest(31) + "03 05", false},
		"33 bytes":                     {"a2 01" + digest(33) + "03 05", false},
		"no bytes":                     {"a2 01" + digest(0) + "03 05", false},
		"31 bytes further down":        {"a3 01" + digest(32) + "02 a2 01" + digest(31) + "03 05" + "03 05", false},
		"33 bytes in a list":           {"a3 01" + digest(32) + "03 05 04 82" + digest(32) + digest(33), false},
		"null for the bytes":           {"a2 01 f6 03 05", false},
		"numbers for the bytes":        {"a2 01 98 20" + strings.Repeat("07", 32) + "03 05", false},
		"text for the bytes":           {"a2 01 78 20" + strings.Repeat("61", 32) + "03 05", false},
		"null for a number":            {"a2 01" + digest(32) + "03 f6", false},
		"a tagged number":              {"a2 01" + digest(32) + "03 d8 64 05", false},
		"a big number":                 {"a2 01" + digest(32) + "03 c2 41 05", false},
		"no number":                    {"a1 01" + digest(32), false},
		"no digest":                    {"a1 03 05", false},
		"null where it may be absent":  {"a3 01" + digest(32) + "02 f6 03 05", false},
		"empty where it may be absent": {"a3 01" + digest(32) + "03 05 04 80", false},
		"null for it all":              {"f6", false},
		"a tag around it all":          {"d8 64" + good, false},
	} {
		raw := unhex(strings.ReplaceAll(c.data, " ", ""))
		if err := encoding.CheckCBOR(raw); err != nil {
			t.Fatalf("%s: not even deterministic: %v", name, err)
		}
		var v fixed
		if err := encoding.Unmarshal(raw, &v); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	for n := range 70 {
		var d hufu.Digest
		if err := encoding.Unmarshal(unhex(digest(n)), &d); errors.Is(err, encoding.ErrOtherForm) == (n == 32) || (err == nil) != (n == 32) {
			t.Errorf("a digest of %d bytes: %v", n, err)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	whole, err := encoding.Marshal(fixed{Sub: &fixed{List: []hufu.ID{{}}}, Item: encoding.RawCBOR{0xf6}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Fuzz(func(t *testing.T, data []byte) {
		var v fixed
		if encoding.Unmarshal(data, &v) != nil {
			return
		}
		if again, err := encoding.Marshal(&v); err != nil || !bytes.Equal(again, data) {
			t.Fatalf("%x parses, and is written %x, %v", data, again, err)
		}
	})
}

// What others write is read in any form, and still not in every one.
func TestUnmarshalForeign(t *testing.T) {
	type field struct {
		A int64  `cbor:"a"`
		B []byte `cbor:"b"`
	}
	for name, c := range map[string]struct {
		data string
		ok   bool
	}{
		"deterministic":         {"a2 6161 01 6162 41 00", true},
		"other order":           {"a2 6162 41 00 6161 01", true},
		"long lengths":          {"b9 0002 6161 18 01 6162 58 01 00", true},
		"indefinite":            {"bf 6161 01 6162 5f 41 00 ff ff", true},
		"unknown field":         {"a2 6161 01 617a f4", true},
		"another case":          {"a1 6141 18 63", true}, // no field of ours: ignored
		"key twice":             {"a2 6161 01 6161 02", false},
		"unknown key twice":     {"a2 617a 01 617a 02", false},
		"trailing":              {"a0 00", false},
		"truncated":             {"a1 6161", false},
		"text that is no UTF-8": {"a1 61ff 00", false},
		"too deep":              {"a1 617a " + nested(0x81, encoding.MaxCBORDepth), false},
		"text for a number":     {"a1 6161 6131", false},
		"more than allowed":     {"a1 617a 58 40" + strings.Repeat("00", 64), false},
	} {
		var v field
		err := encoding.UnmarshalForeign(unhex(strings.ReplaceAll(c.data, " ", "")), 60, &v)
		if (err == nil) != c.ok || name == "another case" && v.A != 0 {
			t.Errorf("%s: %v %+v", name, err, v)
		}
	}
}

func TestMarshalForeign(t *testing.T) {
	loose := encoding.RawCBOR(unhex("9f01ff"))
	got, err := encoding.MarshalForeign(map[string]any{"b": loose, "a": 1})
	if err != nil || hex.EncodeToString(got) != "a2"+"616101"+"61629f01ff" {
		t.Errorf("%x, %v", got, err)
	}
	if _, err := encoding.Marshal(loose); err == nil {
		t.Error("the deterministic form has an item of indefinite length")
	}
	if _, err := encoding.MarshalForeign(encoding.RawCBOR(unhex("9f01"))); err == nil {
		t.Error("wrote what is no item")
	}
}

func TestErrorsHoldNoContent(t *testing.T) {
	err := encoding.CheckCBOR(append([]byte{0x66}, "secret!"...))
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Fatal(err)
	}
}

func genValue(depth int) *rapid.Generator[any] {
	leaves := []*rapid.Generator[any]{
		rapid.Uint64().AsAny(), rapid.Int64().AsAny(), rapid.String().AsAny(), rapid.Bool().AsAny(),
		rapid.SliceOfN(rapid.Byte(), 0, 300).AsAny(), rapid.Just[any](nil),
	}
	if depth == 0 {
		return rapid.OneOf(leaves...)
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return genValue(depth - 1) })
	return rapid.OneOf(append(leaves,
		rapid.SliceOfN(inner, 0, 5).AsAny(),
		rapid.MapOfN(rapid.String(), inner, 0, 5).AsAny(),
		rapid.MapOfN(rapid.Int64(), inner, 0, 5).AsAny(),
	)...)
}

func TestCBORRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data, err := encoding.Marshal(genValue(4).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		var v any
		if err := encoding.Unmarshal(data, &v); err != nil {
			t.Fatalf("%x: %v", data, err)
		}
		again, err := encoding.Marshal(v)
		if err != nil || !bytes.Equal(data, again) {
			t.Fatalf("%x became %x, %v", data, again, err)
		}
	})
}

// CheckCBOR is written by hand; fxamacker/cbor says the same of every input made by damaging a good
// one: an item is deterministic when decoding and encoding it again gives its bytes.
func FuzzCheckCBOR(f *testing.F) {
	for _, s := range []string{"a2010002820304", "8301207f", "6161", "a1616101", "f6", "d8641a00010000", "a26161016162a10102", "5818" + strings.Repeat("00", 24)} {
		f.Add(unhex(s))
	}
	lax, err := cbor.DecOptions{
		DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, UTF8: cbor.UTF8RejectInvalid,
		MaxNestedLevels: 64, TimeTag: cbor.DecTagIgnored, BignumTag: cbor.BignumTagForbidden,
	}.DecMode()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		checked := encoding.CheckCBOR(data)
		if checked == nil && lax.Wellformed(data) != nil {
			t.Fatalf("%x passes but is not well-formed", data)
		}
		var v any
		if err := encoding.Unmarshal(data, &v); err == nil {
			again, err := encoding.Marshal(v)
			if err != nil || !bytes.Equal(again, data) {
				t.Fatalf("%x parses, and is written %x, %v", data, again, err)
			}
		}
		v = nil
		if lax.Unmarshal(data, &v) == nil && hasOnlyOurs(v, 0) {
			again, err := encoding.Marshal(v)
			if err == nil && bytes.Equal(again, data) != (checked == nil) {
				t.Fatalf("%x: CheckCBOR says %v, encoding it again gives %x", data, checked, again)
			}
		}
	})
}

// hasOnlyOurs reports whether a decoded value keeps to the kinds and depth of the profile, so that
// the only question left is the form of its bytes.
func hasOnlyOurs(v any, depth int) bool {
	if depth > encoding.MaxCBORDepth {
		return false
	}
	switch v := v.(type) {
	case uint64, int64, string, []byte, bool, nil:
		return true
	case []any:
		for _, e := range v {
			if !hasOnlyOurs(e, depth+1) {
				return false
			}
		}
		return true
	case map[any]any:
		for k, e := range v {
			if !hasOnlyOurs(k, depth+1) || !hasOnlyOurs(e, depth+1) {
				return false
			}
		}
		return true
	}
	return false
}

func TestCheckAgreesOnDamaged(t *testing.T) {
	lax, err := cbor.DecOptions{DupMapKey: cbor.DupMapKeyEnforcedAPF, IndefLength: cbor.IndefLengthForbidden, UTF8: cbor.UTF8RejectInvalid, BignumTag: cbor.BignumTagForbidden, TimeTag: cbor.DecTagIgnored}.DecMode()
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		data, err := encoding.Marshal(genValue(3).Draw(t, "value"))
		if err != nil {
			t.Fatal(err)
		}
		i := rapid.IntRange(0, len(data)-1).Draw(t, "at")
		data[i] ^= byte(1 << rapid.IntRange(0, 7).Draw(t, "bit"))
		var v any
		if lax.Unmarshal(data, &v) != nil || !hasOnlyOurs(v, 0) {
			return
		}
		again, err := encoding.Marshal(v)
		if checked := encoding.CheckCBOR(data); err == nil && bytes.Equal(again, data) != (checked == nil) {
			t.Fatalf("%x: CheckCBOR says %v, encoding it again gives %x", data, checked, again)
		}
	})
}

func BenchmarkCheckCBOR(b *testing.B) {
	data, err := encoding.Marshal(sample{Count: 1, Name: "name", Raw: make([]byte, 600), List: make([]int64, 100)})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if err := encoding.CheckCBOR(data); err != nil {
			b.Fatal(err)
		}
	}
}
