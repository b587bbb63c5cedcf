package mdoc_test

import (
	"encoding/json"
	"reflect"
	"testing"

	"github.com/fxamacker/cbor/v2"

	"github.com/hufu-id/hufu/credential/mdoc"
)

// Values of others' documents have one form in JSON (RFC 8949 §6.1), or none and are refused.
func TestValuesOfOthers(t *testing.T) {
	s := newScene(t)
	presentation := s.present(s.issue(s.params()), "name")
	raw := func(b ...byte) cbor.RawMessage { return b }
	for name, c := range map[string]struct {
		value any
		want  any
		bad   bool
	}{
		"text":               {"x", "x", false},
		"bytes":              {[]byte{1, 2}, "AQI", false},
		"number":             {uint64(1) << 63, json.Number("9223372036854775808"), false},
		"negative":           {-5, json.Number("-5"), false},
		"half":               {raw(0xf9, 0x3e, 0x00), json.Number("1.5"), false},
		"float":              {float32(0.5), json.Number("0.5"), false},
		"double":             {1e300, json.Number("1e+300"), false},
		"true":               {true, true, false},
		"false":              {false, false, false},
		"null":               {nil, nil, false},
		"undefined":          {raw(0xf7), nil, false},
		"date":               {cbor.Tag{Number: 1004, Content: "2026-02-28"}, "2026-02-28", false},
		"date and time":      {cbor.Tag{Number: 0, Content: "2026-02-28T12:00:00Z"}, "2026-02-28T12:00:00Z", false},
		"list":               {[]any{1, "a", []any{}}, []any{json.Number("1"), "a", []any{}}, false},
		"map":                {map[string]any{"a": map[string]any{"b": []byte{0}}}, map[string]any{"a": map[string]any{"b": "AA"}}, false},
		"indefinite text":    {raw(0x7f, 0x61, 'a', 0x61, 'b', 0xff), "ab", false},
		"indefinite list":    {raw(0x9f, 1, 0xff), []any{json.Number("1")}, false},
		"not a number":       {raw(0xf9, 0x7e, 0x00), nil, true},
		"infinity":           {raw(0xf9, 0x7c, 0x00), nil, true},
		"simple 16":          {raw(0xf0), nil, true},
		"epoch time":         {cbor.Tag{Number: 1, Content: 5}, nil, true},
		"big number":         {cbor.Tag{Number: 2, Content: []byte{1}}, nil, true},
		"date as number":     {cbor.Tag{Number: 1004, Content: 5}, nil, true},
		"no such time":       {cbor.Tag{Number: 0, Content: "2026-02-30T12:00:00Z"}, nil, true},
		"list with one bad":  {[]any{1, cbor.Tag{Number: 2, Content: []byte{1}}}, nil, true},
		"map with one bad":   {map[string]any{"a": cbor.Tag{Number: 2, Content: []byte{1}}}, nil, true},
		"map of numbers":     {map[int]any{1: 1}, nil, true},
		"text that is bytes": {raw(0x61, 0xff), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			f := s.forge(presentation)
			f.resign, f.items[0]["elementValue"] = s.signer, c.value
			v, err := mdoc.Verify(f.put(), s.verifyParams())
			if c.bad {
				if err == nil {
					t.Fatal("accepted")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := v.Elements[vct]["name"]; !reflect.DeepEqual(got, c.want) {
				t.Errorf("%#v, want %#v", got, c.want)
			}
		})
	}
}

// What is issued reads back as what it was.
func TestValuesOfOurs(t *testing.T) {
	s := newScene(t)
	for name, c := range map[string]struct{ value, want any }{
		"int":          {7, json.Number("7")},
		"int64":        {int64(-7), json.Number("-7")},
		"uint64":       {uint64(1) << 63, json.Number("9223372036854775808")},
		"number":       {json.Number("12"), json.Number("12")},
		"large number": {json.Number("18446744073709551615"), json.Number("18446744073709551615")},
		"texts":        {[]string{"a", "b"}, []any{"a", "b"}},
		"object":       {map[string]any{"a": nil}, map[string]any{"a": nil}},
		"date":         {mdoc.Date("2026-02-28"), "2026-02-28"},
	} {
		p := s.params()
		p.Elements = []mdoc.Element{{Namespace: vct, Identifier: "x", Value: c.value}}
		if got := s.issue(p).Elements[vct]["x"]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %#v, want %#v", name, got, c.want)
		}
	}
	for name, value := range map[string]any{
		"bad inside a list":    []any{struct{}{}},
		"bad inside an object": map[string]any{"a": struct{}{}},
		"number above 64 bits": json.Number("18446744073709551616"),
	} {
		p := s.params()
		p.Elements = []mdoc.Element{{Namespace: vct, Identifier: "x", Value: value}}
		if _, err := mdoc.Issue(nil, p); err == nil {
			t.Errorf("%s: was issued", name)
		}
	}
}
