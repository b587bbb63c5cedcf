package encoding

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/fxamacker/cbor/v2"
)

// Limits of every CBOR item this project reads. A transaction is at most 64 KiB; the largest state
// value is a contract's text beside its metadata.
const (
	MaxCBORDepth    = 16      // deepest real structure: transaction, body, list, entry, map: 9
	MaxCBORElements = 1 << 16 // a 64 KiB message cannot hold more one-byte elements
)

var (
	encMode = must(func() (cbor.EncMode, error) {
		o := cbor.CoreDetEncOptions()
		o.IndefLength = cbor.IndefLengthForbidden
		o.NilContainers = cbor.NilContainerAsEmpty
		o.TagsMd = cbor.TagsAllowed
		return o.EncMode()
	}())
	looseMode = must(func() (cbor.EncMode, error) {
		o := cbor.CoreDetEncOptions()
		o.IndefLength = cbor.IndefLengthAllowed
		o.NilContainers = cbor.NilContainerAsEmpty
		o.TagsMd = cbor.TagsAllowed
		return o.EncMode()
	}())
	decMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		IndefLength:       cbor.IndefLengthForbidden,
		ExtraReturnErrors: cbor.ExtraDecErrorUnknownField,
		UTF8:              cbor.UTF8RejectInvalid,
		IntDec:            cbor.IntDecConvertNone,
		MaxNestedLevels:   MaxCBORDepth,
		MaxArrayElements:  MaxCBORElements,
		MaxMapPairs:       MaxCBORElements,
		TagsMd:            cbor.TagsAllowed,
	}.DecMode())
	laxMode = must(cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		UTF8:              cbor.UTF8RejectInvalid,
		IntDec:            cbor.IntDecConvertNone,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		BignumTag:         cbor.BignumTagForbidden,
		MaxNestedLevels:   MaxCBORDepth,
		MaxArrayElements:  MaxCBORElements,
		MaxMapPairs:       MaxCBORElements,
		TagsMd:            cbor.TagsAllowed,
	}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // options are constants: unreachable unless the library changes
	}
	return v
}

// RawCBOR is an encoded item kept as it stands, to be decoded later.
type RawCBOR = cbor.RawMessage

// Tag is a CBOR tag number with the encoded item inside it.
type Tag = cbor.RawTag

// Marshal writes v in the deterministic form. Nil slices and maps are written as empty ones.
func Marshal(v any) ([]byte, error) { return encMode.Marshal(v) }

// MarshalForeign writes v as [Marshal] does, but for the items in it that are kept as others wrote them
// ([RawCBOR]): those stay as they are, in any form.
func MarshalForeign(v any) ([]byte, error) { return looseMode.Marshal(v) }

// Unmarshal reads one whole item in the deterministic form into v. Anything else is refused:
// trailing bytes, a longer integer than needed, unsorted or duplicate map keys, indefinite lengths,
// floats, simple values other than false, true and null, text that is not UTF-8, unknown fields.
//
// The decoder alone would still bend some items to the type of v: a byte string of another length to
// an array, null to a number, an integer in a tag to a plain one, an absent field to its zero value.
// So v is written again, and unless that gives data back it is refused with [ErrOtherForm]; v is then
// of no use.
func Unmarshal(data []byte, v any) error {
	if err := CheckCBOR(data); err != nil {
		return err
	}
	if err := decMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("cbor: %w", err)
	}
	again, err := encMode.Marshal(v)
	if err != nil {
		return fmt.Errorf("cbor: %w", err)
	}
	if !bytes.Equal(again, data) {
		return ErrOtherForm
	}
	return nil
}

// UnmarshalForeign reads one whole CBOR item of at most maxBytes that was written by others, in
// whatever form they write: well-formed, at most [MaxCBORDepth] deep, the text read in UTF-8, no map with a key
// twice, nothing after it. Unknown fields are left to v's type, as formats grow by them. What such an
// item is hashed or signed as must be its bytes, never v written again.
func UnmarshalForeign(data []byte, maxBytes int, v any) error {
	if len(data) > maxBytes {
		return fmt.Errorf("cbor: %d bytes, more than %d", len(data), maxBytes)
	}
	if err := laxMode.Unmarshal(data, v); err != nil {
		return fmt.Errorf("cbor: %w", err)
	}
	return nil
}

// ErrOtherForm is returned by [Unmarshal] for an item that is deterministic but is not how its value
// is written.
var ErrOtherForm = errors.New("cbor: a field is missing, empty where it should be absent, or of the wrong length or type")

// ErrNotDeterministic is wrapped by every error that [CheckCBOR] gives for bytes that are CBOR but
// not the one deterministic encoding.
var ErrNotDeterministic = errors.New("not deterministic CBOR (RFC 8949 §4.2.1)")
