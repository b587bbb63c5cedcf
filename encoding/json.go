package encoding

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/gowebpki/jcs"
)

// MaxJSONDepth bounds nesting in any JSON this project reads. The deepest real document, a DCQL
// query inside a request, has 9 levels.
const MaxJSONDepth = 32

// ErrDuplicateName is wrapped by the error for a JSON object that has a member name twice.
var ErrDuplicateName = errors.New("duplicate member name")

// UnmarshalJSON reads one JSON document of at most maxBytes into v: UTF-8, at most [MaxJSONDepth]
// deep, no duplicate member names, nothing after it. Numbers decode as encoding/json does unless v
// says otherwise. Unknown members are left to v's type, as JSON formats grow by them.
func UnmarshalJSON(data []byte, maxBytes int, v any) error {
	if err := CheckJSON(data, maxBytes); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("json: %w", err)
	}
	return nil
}

// CheckJSON applies the rules of [UnmarshalJSON] without decoding.
func CheckJSON(data []byte, maxBytes int) error {
	if len(data) > maxBytes {
		return fmt.Errorf("json: %d bytes, more than %d", len(data), maxBytes)
	}
	if !utf8.Valid(data) {
		return errors.New("json: not UTF-8")
	}
	s := scanner{data: data}
	if err := s.document(); err != nil {
		return fmt.Errorf("json: at byte %d: %w", s.at, err)
	}
	return nil
}

// JCS writes v in the JSON Canonicalization Scheme (RFC 8785), for signing and hashing.
func JCS(v any) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return jcs.Transform(raw)
}
