package mdoc

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
)

// Separator joins the names of a claim's path into an element identifier.
const Separator = "."

// Element is one data element of a document.
type Element struct {
	Namespace  string
	Identifier string
	Value      any // a JSON value: nil, bool, string, json.Number, []any, map[string]any
}

// Date as the value of an element to issue is written as a full-date (RFC 8943): YYYY-MM-DD.
type Date string

// ElementsOf writes claims as the elements of this network's documents: the namespace is vct, each
// leaf is an element, and its identifier is the names that lead to it with dots between them. isDate
// says which leaves are dates; nil: none. A claim name with a dot, an empty one, and an empty object
// have no such form and are refused.
func ElementsOf(vct string, claims map[string]any, isDate func(path []string) bool) ([]Element, error) {
	return appendElements(nil, vct, claims, nil, isDate)
}

func appendElements(out []Element, vct string, claims map[string]any, path []string, isDate func([]string) bool) ([]Element, error) {
	if len(claims) == 0 && len(path) > 0 {
		return nil, errors.New("mdoc: a claim that is an empty object is no element")
	}
	if len(path) >= encoding.MaxCBORDepth {
		return nil, errors.New("mdoc: claims nested too deep")
	}
	names := make([]string, 0, len(claims))
	for name := range claims {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if name == "" || strings.Contains(name, Separator) {
			return nil, fmt.Errorf("mdoc: a claim's name is empty or has a %q in it", Separator)
		}
		at := append(slices.Clone(path), name)
		if object, ok := claims[name].(map[string]any); ok {
			var err error
			if out, err = appendElements(out, vct, object, at, isDate); err != nil {
				return nil, err
			}
			continue
		}
		value := claims[name]
		if text, ok := value.(string); ok && isDate != nil && isDate(at) {
			value = Date(text)
		}
		out = append(out, Element{Namespace: vct, Identifier: strings.Join(at, Separator), Value: value})
	}
	return out, nil
}

// claimsOf is the reverse of [ElementsOf] for the elements of one namespace. An element beside one that
// lies within it is refused.
func claimsOf(elements map[string]any) (map[string]any, error) {
	claims := map[string]any{}
	objects := map[string]map[string]any{"": claims} // made here, by the identifier that leads to them
	names := make([]string, 0, len(elements))
	for id := range elements {
		names = append(names, id)
	}
	slices.Sort(names)
	for _, id := range names {
		in, path := claims, strings.Split(id, Separator)
		for i, name := range path[:len(path)-1] {
			prefix := strings.Join(path[:i+1], Separator)
			next, made := objects[prefix]
			if _, taken := in[name]; taken && !made {
				return nil, hufu.Refuse(RuleValue, "an element lies within another element")
			}
			if !made {
				next = map[string]any{}
				objects[prefix], in[name] = next, next
			}
			in = next
		}
		last := path[len(path)-1]
		if _, taken := in[last]; taken {
			return nil, hufu.Refuse(RuleValue, "an element lies within another element")
		}
		in[last] = elements[id]
	}
	return claims, nil
}

// writeValue writes a JSON value or a [Date] as an element's value.
func writeValue(v any, depth int) (encoding.RawCBOR, error) {
	if depth > encoding.MaxCBORDepth/2 {
		return nil, errors.New("mdoc: a value nested too deep")
	}
	switch v := v.(type) {
	case nil, bool, string, int, int64, uint64:
		return encoding.Marshal(v)
	case json.Number:
		if i, err := strconv.ParseInt(string(v), 10, 64); err == nil {
			return encoding.Marshal(i)
		}
		if u, err := strconv.ParseUint(string(v), 10, 64); err == nil {
			return encoding.Marshal(u)
		}
		return nil, errors.New("mdoc: a number that is not whole")
	case Date:
		if _, err := time.Parse(time.DateOnly, string(v)); err != nil {
			return nil, errors.New("mdoc: a date is written YYYY-MM-DD")
		}
		text, err := encoding.Marshal(string(v))
		if err != nil {
			return nil, err
		}
		return encoding.Marshal(encoding.Tag{Number: tagFullDate, Content: text})
	case []string:
		items := make([]any, len(v))
		for i, s := range v {
			items[i] = s
		}
		return writeValue(items, depth)
	case []any:
		items := make([]encoding.RawCBOR, len(v))
		for i := range v {
			var err error
			if items[i], err = writeValue(v[i], depth+1); err != nil {
				return nil, err
			}
		}
		return encoding.Marshal(items)
	case map[string]any:
		members := make(map[string]encoding.RawCBOR, len(v))
		for name, m := range v {
			var err error
			if members[name], err = writeValue(m, depth+1); err != nil {
				return nil, err
			}
		}
		return encoding.Marshal(members)
	}
	return nil, fmt.Errorf("mdoc: a %T is no value of a claim", v)
}

var errValue = hufu.Refuse(RuleValue, "an element's value has no JSON form")

// CBOR's major types and the simple values of RFC 8949 §3.3.
const (
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorTag    = 6
	majorSimple = 7
)

// readValue converts an element's value to JSON (RFC 8949 §6.1): byte strings become base64url, dates
// and times their text, numbers json.Number.
func readValue(raw encoding.RawCBOR) (any, error) {
	if len(raw) == 0 {
		return nil, errValue
	}
	switch raw[0] >> 5 {
	case majorBytes:
		var b []byte
		if encoding.UnmarshalForeign(raw, MaxSize, &b) != nil {
			return nil, errValue
		}
		return jws.EncodeBase64(b), nil
	case majorText:
		var s string
		if encoding.UnmarshalForeign(raw, MaxSize, &s) != nil {
			return nil, errValue
		}
		return s, nil
	case majorArray:
		return readArray(raw)
	case majorMap:
		return readMap(raw)
	case majorTag:
		var tag encoding.Tag
		if encoding.UnmarshalForeign(raw, MaxSize, &tag) != nil {
			return nil, errValue
		}
		return readTagged(tag)
	case majorSimple:
		return readSimple(raw)
	}
	var i int64
	if encoding.UnmarshalForeign(raw, MaxSize, &i) == nil {
		return json.Number(strconv.FormatInt(i, 10)), nil
	}
	var u uint64
	if encoding.UnmarshalForeign(raw, MaxSize, &u) != nil {
		return nil, errValue
	}
	return json.Number(strconv.FormatUint(u, 10)), nil
}

func readArray(raw encoding.RawCBOR) (any, error) {
	var items []encoding.RawCBOR
	if encoding.UnmarshalForeign(raw, MaxSize, &items) != nil {
		return nil, errValue
	}
	out := make([]any, len(items))
	for i, item := range items {
		var err error
		if out[i], err = readValue(item); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func readMap(raw encoding.RawCBOR) (any, error) {
	var members map[string]encoding.RawCBOR
	if encoding.UnmarshalForeign(raw, MaxSize, &members) != nil {
		return nil, errValue
	}
	out := make(map[string]any, len(members))
	for name, m := range members {
		var err error
		if out[name], err = readValue(m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// readTagged takes the tags that say how a text is meant, and embedded CBOR. The value of any other is
// not what its content says.
func readTagged(tag encoding.Tag) (any, error) {
	if tag.Number != tagDateTime && tag.Number != tagFullDate {
		return nil, errValue
	}
	var text string
	if encoding.UnmarshalForeign(tag.Content, MaxSize, &text) != nil {
		return nil, errValue
	}
	layout := time.DateOnly
	if tag.Number == tagDateTime {
		layout = time.RFC3339
	}
	if _, err := time.Parse(layout, text); err != nil {
		return nil, errValue
	}
	return text, nil
}

func readSimple(raw encoding.RawCBOR) (any, error) {
	switch raw[0] {
	case 0xf4:
		return false, nil
	case 0xf5:
		return true, nil
	case 0xf6, 0xf7: // null, undefined
		return nil, nil
	case 0xf9, 0xfa, 0xfb: // floating point
	default:
		return nil, errValue
	}
	var f float64
	if encoding.UnmarshalForeign(raw, MaxSize, &f) != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		return nil, errValue
	}
	return json.Number(strconv.FormatFloat(f, 'g', -1, 64)), nil
}
