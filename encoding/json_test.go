package encoding_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/hufu-id/hufu/encoding"
	"pgregory.net/rapid"
)

const plenty = 1 << 20

func TestJSONRefused(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, c := range []struct{ name, text, want string }{
		{"nothing", "", "unexpected end"},
		{"only space", " \n", "unexpected end"},
		{"open object", "{", "unexpected end"},
		{"open array", "[1,", "unexpected end"},
		{"name only", `{"a"`, "unexpected end"},
		{"name and colon", `{"a":`, "unexpected end"},
		{"value, no close", `{"a":1`, "unexpected end"},
		{"open string", `"abc`, "unexpected end"},
		{"escape at the end", `"abc\`, "unexpected end"},
		{"second document", "{} {}", "follows"},
		{"trailing comma", "[1,]", "syntax"},
		{"trailing comma, object", `{"a":1,}`, "syntax"},
		{"leading comma", "[,1]", "syntax"},
		{"two commas", "[1,,2]", "syntax"},
		{"no colon", `{"a" 1}`, "syntax"},
		{"name no string", `{a:1}`, "syntax"},
		{"number as name", `{1:1}`, "syntax"},
		{"crossed", "[{]}", "syntax"},
		{"wrong close", `{"a":1]`, "syntax"},
		{"array closed as object", `[1}`, "syntax"},
		{"elements unseparated", "[1 2]", "syntax"},
		{"colon in an array", "[1:2]", "syntax"},
		{"leading zero", "01", "syntax"},
		{"plus", "+1", "syntax"},
		{"bare point", "1.", "syntax"},
		{"NaN", "NaN", "syntax"},
		{"True", "True", "syntax"},
		{"single quotes", "'a'", "syntax"},
		{"comment", "/* */ 1", "syntax"},
		{"bad escape", `"\x41"`, "syntax"},
		{"short unicode escape", `"\u12"`, "syntax"},
		{"tab in a string", "\"a\tb\"", "control"},
		{"newline in a name", "{\"a\nb\":1}", "control"},
		{"vertical tab as space", "\v1", "syntax"},
		{"byte order mark", "\ufeff{}", "syntax"},
		{"not UTF-8", "\"\xff\"", "UTF-8"},
		{"33 deep", deep(encoding.MaxJSONDepth + 1), "deeper"},
		{"10,000 deep", deep(10_000), "deeper"},
		{"10,000 objects deep", strings.Repeat(`{"a":`, 10_000), "deeper"},
		{"10 MB string", `"` + strings.Repeat("a", 10<<20) + `"`, "more than"},
		{"duplicate name", `{"a":1,"a":2}`, "duplicate"},
		{"third is a duplicate", `{"a":1,"b":2,"a":3}`, "duplicate"},
		{"duplicate of the second", `{"a":1,"b":2,"b":3}`, "duplicate"},
		{"duplicate by escape", `{"alg":1,"\u0061lg":2}`, "duplicate"},
		{"duplicate inside", `[{"x":{"a":1,"a":2}}]`, "duplicate"},
		{"duplicate after a nested object", `{"a":{"a":1},"a":2}`, "duplicate"},
		{"duplicate empty name", `{"":1,"":2}`, "duplicate"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var v any
			for _, err := range []error{encoding.CheckJSON([]byte(c.text), plenty), encoding.UnmarshalJSON([]byte(c.text), plenty, &v)} {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error %v, want one about %q", err, c.want)
				}
				if errors.Is(err, encoding.ErrDuplicateName) != (c.want == "duplicate") {
					t.Fatalf("ErrDuplicateName in %v", err)
				}
			}
		})
	}
	for _, good := range []string{deep(encoding.MaxJSONDepth), `{"a":{"a":1},"b":[{"a":1},{"a":2}]}`, " [ ] ", "{ }", `{"a":[],"b":{}}`, "-0.5e+3", `"\ud83d\ude00"`, "null"} {
		if err := encoding.CheckJSON([]byte(good), plenty); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	if encoding.CheckJSON([]byte("[1]"), 3) != nil || encoding.CheckJSON([]byte("[1]"), 2) == nil {
		t.Error("the limit is not inclusive")
	}
}

func TestUnmarshalJSONKeepsNumbers(t *testing.T) {
	var v map[string]any
	if err := encoding.UnmarshalJSON([]byte(`{"n":12345678901234567890}`), plenty, &v); err != nil || v["n"] != json.Number("12345678901234567890") {
		t.Fatal(v, err)
	}
	var s struct{ N string }
	if err := encoding.UnmarshalJSON([]byte(`{"N":1}`), plenty, &s); err == nil {
		t.Fatal("number decoded into a string")
	}
}

// oracle is a second reader, by way of the standard library's token stream: valid, no deeper than
// allowed, and no name twice.
func oracle(data []byte) (ok, dup bool) {
	if !utf8.Valid(data) || !json.Valid(data) {
		return false, false
	}
	d := json.NewDecoder(bytes.NewReader(data))
	type level struct {
		names map[string]bool
		name  bool
	}
	var stack []level
	for {
		tok, err := d.Token()
		if err == io.EOF {
			return !dup, dup
		}
		if err != nil {
			return false, false
		}
		top := len(stack) - 1
		switch tok {
		case json.Delim('{'), json.Delim('['):
			if top >= 0 {
				stack[top].name = true
			}
			l := level{}
			if tok == json.Delim('{') {
				l = level{names: map[string]bool{}, name: true}
			}
			if stack = append(stack, l); len(stack) > encoding.MaxJSONDepth {
				return false, false
			}
			continue
		case json.Delim('}'), json.Delim(']'):
			stack = stack[:top]
			continue
		}
		if top >= 0 && stack[top].names != nil {
			if stack[top].name {
				n := tok.(string)
				dup = dup || stack[top].names[n]
				stack[top].names[n] = true
			}
			stack[top].name = !stack[top].name
		}
	}
}

func compare(t interface{ Fatalf(string, ...any) }, data []byte) {
	ok, dup := oracle(data)
	err := encoding.CheckJSON(data, plenty)
	if ok != (err == nil) || dup && !errors.Is(err, encoding.ErrDuplicateName) {
		t.Fatalf("%q: the oracle says %v, CheckJSON %v", data, ok, err)
	}
	if err == nil {
		var v any
		if err := encoding.UnmarshalJSON(data, plenty, &v); err != nil {
			t.Fatalf("%q: checked but not decoded: %v", data, err)
		}
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{
		`{"a":1,"b":[true,false,null,"x\n",{"c":-1.5e9}]}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `[[[[]]]]`, `{"":{"":{}}}`,
		` { "x" : [ 1 , 2 ] } `, `"\ud800"`, `{"\ud800":1,"\ud801":2}`, `1e`, `[1,]`, `{"a":}`, "[\"\x7f\"]",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) { compare(t, data) })
}

func TestJSONAgreesWithOracle(t *testing.T) {
	alphabet := []string{"{", "}", "[", "]", ",", ":", `"a"`, `"b"`, `"\u0061"`, `""`, "1", "-0", "true", "null", " ", "\n", "x", `"`, `\`}
	rapid.Check(t, func(t *rapid.T) {
		var text string
		if rapid.Bool().Draw(t, "valid start") {
			b, err := json.Marshal(genJSON(3).Draw(t, "value"))
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
			for range rapid.IntRange(0, 2).Draw(t, "splices") {
				i := rapid.IntRange(0, len(text)).Draw(t, "at")
				text = text[:i] + rapid.SampledFrom(alphabet).Draw(t, "token") + text[i:]
			}
		} else {
			text = strings.Join(rapid.SliceOfN(rapid.SampledFrom(alphabet), 0, 12).Draw(t, "tokens"), "")
		}
		compare(t, []byte(text))
	})
}

func genJSON(depth int) *rapid.Generator[any] {
	leaf := rapid.OneOf(rapid.String().AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny(), rapid.Just[any](nil))
	if depth == 0 {
		return leaf
	}
	inner := rapid.Deferred(func() *rapid.Generator[any] { return genJSON(depth - 1) })
	return rapid.OneOf(leaf, rapid.SliceOfN(inner, 0, 4).AsAny(), rapid.MapOfN(rapid.SampledFrom([]string{"a", "b", "c", "\u0000", "\"", "é"}), inner, 0, 4).AsAny())
}

// RFC 8785 §3.2.2 and §3.2.3.
func TestJCS(t *testing.T) {
	got, err := encoding.JCS(map[string]any{"\u20ac": "Euro Sign", "\r": "Carriage Return", "1": "One", "a": []any{1e30, 4.5, json.Number("2e-3"), "<\u000f>"}})
	want := `{"\r":"Carriage Return","1":"One","a":[1e+30,4.5,0.002,"<\u000f>"],"€":"Euro Sign"}`
	if err != nil || string(got) != want {
		t.Fatalf("%s %v", got, err)
	}
}
