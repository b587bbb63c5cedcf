package dcql

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

var errPath = errors.New("dcql: the path selects nothing")

// Select applies a claims path pointer to the claims of a JSON-based credential (§7.1.1) and returns
// the selected elements, at least one. The claims are values as encoding/json decodes them.
func Select(claims map[string]any, path Path) ([]any, error) {
	selected := []any{claims}
	for _, part := range path {
		var next []any
		for _, element := range selected {
			switch part := part.(type) {
			case string:
				object, ok := element.(map[string]any)
				if !ok {
					return nil, errPath
				}
				if v, ok := object[part]; ok {
					next = append(next, v)
				}
			case nil:
				array, ok := element.([]any)
				if !ok {
					return nil, errPath
				}
				next = append(next, array...)
			case int:
				array, ok := element.([]any)
				if !ok {
					return nil, errPath
				}
				if part >= 0 && part < len(array) {
					next = append(next, array[part])
				}
			default:
				return nil, errPath
			}
		}
		selected = next
	}
	if len(selected) == 0 || len(path) == 0 {
		return nil, errPath
	}
	return selected, nil
}

// PathString writes a path for people: address.street, degrees[*].type, names[0].
func PathString(path Path) string {
	var b strings.Builder
	for _, part := range path {
		switch part := part.(type) {
		case string:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(clip(part))
		case int:
			b.WriteString("[" + strconv.Itoa(part) + "]")
		default:
			b.WriteString("[*]")
		}
	}
	return b.String()
}

// named is Select for the usual path, of names only, without building lists. Its second answer is
// false when the path is of another kind or leads nowhere.
func named(claims map[string]any, path Path) (any, bool) {
	var v any = claims
	for _, part := range path {
		name, ok := part.(string)
		if !ok {
			return nil, false
		}
		object, ok := v.(map[string]any)
		if !ok {
			return nil, false
		}
		if v, ok = object[name]; !ok {
			return nil, false
		}
	}
	return v, true
}

// has reports whether claims hold what a claims query asks for. Where the path selects several
// elements, one of the wanted values among them is enough.
func (c *ClaimQuery) has(claims map[string]any) (found, matched bool) {
	v, ok := named(claims, c.Path)
	if ok && len(c.Values) == 0 {
		return true, true
	}
	selected := []any{v}
	if !ok {
		var err error
		if selected, err = Select(claims, c.Path); err != nil {
			return false, false
		}
	}
	if len(c.Values) == 0 {
		return true, true
	}
	for _, element := range selected {
		for _, want := range c.Values {
			if sameValue(element, want) {
				return true, true
			}
		}
	}
	return true, false
}

// sameValue compares type and value exactly (§6.3). Numbers are integers in every Go form that a
// JSON decoder gives them.
func sameValue(have, want any) bool {
	switch want := want.(type) {
	case string:
		s, ok := have.(string)
		return ok && s == want
	case bool:
		b, ok := have.(bool)
		return ok && b == want
	case int64:
		i, ok := Integer(have)
		return ok && i == want
	}
	return false
}

// Integer reads an integer in any form that a JSON decoder may have given it. A number with a
// fraction or beyond 64 bits is none.
func Integer(v any) (int64, bool) {
	switch v := v.(type) {
	case int:
		return int64(v), true
	case int64:
		return v, true
	case uint64:
		return int64(v), v < 1<<63
	case json.Number:
		i, err := strconv.ParseInt(string(v), 10, 64)
		return i, err == nil
	}
	return 0, false
}
