package sdjwt

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/hufu-id/hufu/encoding"
)

// maxClaimsDepth leaves room for the levels that digests add around a claim.
const maxClaimsDepth = encoding.MaxJSONDepth - 4

var (
	errClaimsDepth = fmt.Errorf("sdjwt: claims nested deeper than %d", maxClaimsDepth)
	errClaimsUTF8  = errors.New("sdjwt: text that is not UTF-8")
)

// appendJSON writes a claim's value, with members in the order of their names. It takes what
// encoding/json decodes to with UseNumber, and integers and lists of strings as Go has them.
func appendJSON(b []byte, v any, depth int) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case string:
		return appendString(b, v)
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case uint64:
		return strconv.AppendUint(b, v, 10), nil
	case json.Number:
		return appendNumber(b, v)
	}
	if depth > maxClaimsDepth {
		return nil, errClaimsDepth
	}
	switch v := v.(type) {
	case []any:
		return appendList(b, v, depth)
	case []string:
		return appendList(b, v, depth)
	case map[string]any:
		b = append(b, '{')
		for i, name := range slices.Sorted(maps.Keys(v)) {
			if err := checkName(name); err != nil {
				return nil, err
			}
			if i > 0 {
				b = append(b, ',')
			}
			var err error
			if b, err = appendString(b, name); err != nil {
				return nil, err
			}
			if b, err = appendJSON(append(b, ':'), v[name], depth+1); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	return nil, fmt.Errorf("sdjwt: a claim of Go type %T; JSON values are nil, bool, string, json.Number, int, int64, uint64, []any, []string and map[string]any", v)
}

func appendList[T any](b []byte, list []T, depth int) ([]byte, error) {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendJSON(b, e, depth+1); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// checkName refuses the names that SD-JWT has a meaning of its own for (RFC 9901 §4.1).
func checkName(name string) error {
	switch name {
	case nameDigests, nameHashAlg, nameElement:
		return fmt.Errorf("sdjwt: no claim can be called %s", name)
	}
	return nil
}

func appendNumber(b []byte, n json.Number) ([]byte, error) {
	if t, root, err := document("number", string(n)); err != nil || t.nodes[root].kind != number {
		return nil, errors.New("sdjwt: a json.Number that is no number")
	}
	return append(b, n...), nil
}

const hexDigits = "0123456789abcdef"

func appendString(b []byte, s string) ([]byte, error) {
	if !utf8.ValidString(s) {
		return nil, errClaimsUTF8
	}
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		b = append(b, s[from:i]...)
		if c < 0x20 {
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		} else {
			b = append(b, '\\', c)
		}
		from = i + 1
	}
	return append(append(b, s[from:]...), '"'), nil
}
