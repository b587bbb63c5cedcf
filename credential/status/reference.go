package status

import (
	"encoding/json"
	"net/url"
	"strconv"

	"github.com/hufu-id/hufu"
)

// MaxURILen bounds the URI of a list, in bytes.
const MaxURILen = 512

// maxSafe is the largest whole number that every JSON implementation reads alike (RFC 7493 §2.2).
const maxSafe = 1<<53 - 1

// Reference is a credential's pointer to its status: one entry of one list (§6.2).
type Reference struct {
	URI   string
	Index uint64
}

// Claim is the reference as the value of a credential's "status" claim.
func (r Reference) Claim() map[string]any {
	return map[string]any{"status_list": map[string]any{"idx": r.Index, "uri": r.URI}}
}

// ReferenceOf reads the reference out of a credential's claims, decoded from JSON. Without a "status"
// claim it is nil. A "status" that names no entry of a status list is refused with [RuleReference]: a
// credential that has a status which cannot be looked up must not pass for one that has none.
func ReferenceOf(claims map[string]any) (*Reference, error) {
	claim, there := claims["status"]
	if !there {
		return nil, nil
	}
	mechanisms, _ := claim.(map[string]any)
	list, ok := mechanisms["status_list"].(map[string]any)
	if !ok {
		return nil, hufu.Refuse(RuleReference, "status names no status list")
	}
	index, err := wholeNumber(list["idx"], maxSafe)
	if err != nil {
		return nil, hufu.Refuse(RuleReference, "idx: %v", err)
	}
	uri, _ := list["uri"].(string)
	if !validURI(uri) {
		return nil, hufu.Refuse(RuleReference, "uri is not an absolute URI of at most %d bytes", MaxURILen)
	}
	return &Reference{URI: uri, Index: index}, nil
}

func validURI(s string) bool {
	if len(s) > MaxURILen {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' {
			return false
		}
	}
	u, err := url.Parse(s)
	return err == nil && u.IsAbs() && (u.Host != "" || u.Opaque != "")
}

// wholeNumber reads a number of decoded JSON, 0 to most. Claims that were never text hold uint64.
func wholeNumber(v any, most uint64) (uint64, error) {
	switch v := v.(type) {
	case uint64:
		if v <= most {
			return v, nil
		}
	case json.Number:
		if n, err := strconv.ParseUint(string(v), 10, 64); err == nil && n <= most {
			return n, nil
		}
	}
	return 0, errNumber(most)
}
