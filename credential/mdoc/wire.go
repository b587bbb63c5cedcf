package mdoc

import (
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// The structures of ISO/IEC 18013-5 §8.3.2.1.2.2 and §9.1.2.4 as they are written. Where digests or
// signatures go over an item, it stays the bytes it came as.

type deviceResponse struct {
	Version        string             `cbor:"version"`
	Documents      []encoding.RawCBOR `cbor:"documents,omitempty"`
	DocumentErrors encoding.RawCBOR   `cbor:"documentErrors,omitempty"`
	Status         uint64             `cbor:"status"`
}

type document struct {
	DocType      string           `cbor:"docType"`
	IssuerSigned encoding.RawCBOR `cbor:"issuerSigned"`
	DeviceSigned encoding.RawCBOR `cbor:"deviceSigned"`
	Errors       encoding.RawCBOR `cbor:"errors,omitempty"`
}

type issuerSigned struct {
	NameSpaces map[string][]encoding.RawCBOR `cbor:"nameSpaces,omitempty"`
	IssuerAuth encoding.RawCBOR              `cbor:"issuerAuth"`
}

type issuerSignedItem struct {
	DigestID   uint64           `cbor:"digestID"`
	Random     []byte           `cbor:"random"`
	Identifier string           `cbor:"elementIdentifier"`
	Value      encoding.RawCBOR `cbor:"elementValue"`
}

type deviceSigned struct {
	NameSpaces encoding.RawCBOR `cbor:"nameSpaces"`
	DeviceAuth deviceAuth       `cbor:"deviceAuth"`
}

type deviceAuth struct {
	Signature encoding.RawCBOR `cbor:"deviceSignature,omitempty"`
	MAC       encoding.RawCBOR `cbor:"deviceMac,omitempty"`
}

type securityObject struct {
	Version       string                       `cbor:"version"`
	DigestAlg     string                       `cbor:"digestAlgorithm"`
	ValueDigests  map[string]map[uint64][]byte `cbor:"valueDigests"`
	DeviceKeyInfo deviceKeyInfo                `cbor:"deviceKeyInfo"`
	DocType       string                       `cbor:"docType"`
	ValidityInfo  validityInfo                 `cbor:"validityInfo"`
	Status        encoding.RawCBOR             `cbor:"status,omitempty"`
}

type deviceKeyInfo struct {
	DeviceKey encoding.RawCBOR `cbor:"deviceKey"`
}

type validityInfo struct {
	Signed     encoding.RawCBOR `cbor:"signed"`
	ValidFrom  encoding.RawCBOR `cbor:"validFrom"`
	ValidUntil encoding.RawCBOR `cbor:"validUntil"`
}

// statusWire is the Status structure (Token Status List §6.3).
type statusWire struct {
	List *statusListInfo `cbor:"status_list"`
}

type statusListInfo struct {
	Index encoding.RawCBOR `cbor:"idx"`
	URI   string           `cbor:"uri"`
}

// Tags of RFC 8949 §3.4 and RFC 8943.
const (
	tagDateTime = 0
	tagCBOR     = 24
	tagFullDate = 1004
)

const digestAlg = "SHA-256"

// embed writes #6.24(bstr .cbor item).
func embed(item []byte) (encoding.RawCBOR, error) {
	inner, err := encoding.Marshal(item)
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(encoding.Tag{Number: tagCBOR, Content: inner})
}

// unembed reads #6.24(bstr .cbor item).
func unembed(raw encoding.RawCBOR) ([]byte, error) {
	var tag encoding.Tag
	var item []byte
	if err := encoding.UnmarshalForeign(raw, MaxSize, &tag); err != nil || tag.Number != tagCBOR || tag.Content[0]>>5 != 2 {
		return nil, hufu.Refuse(RuleMalformed, "no CBOR embedded in a byte string where there should be")
	}
	if err := encoding.UnmarshalForeign(tag.Content, MaxSize, &item); err != nil {
		return nil, hufu.Refuse(RuleMalformed, "no CBOR embedded in a byte string where there should be")
	}
	return item, nil
}

// read reads a structure.
func read(raw []byte, v any, what string) error {
	if err := encoding.UnmarshalForeign(raw, MaxSize, v); err != nil {
		return hufu.Refuse(RuleMalformed, "%s is not of its structure", what)
	}
	return nil
}

// writeTime writes a tdate: whole seconds in UTC (ISO/IEC 18013-5 §9.1.2.4).
func writeTime(t time.Time) (encoding.RawCBOR, error) {
	text, err := encoding.Marshal(t.UTC().Format(time.RFC3339))
	if err != nil {
		return nil, err
	}
	return encoding.Marshal(encoding.Tag{Number: tagDateTime, Content: text})
}

func readTime(raw encoding.RawCBOR, what string) (time.Time, error) {
	var tag encoding.Tag
	var text string
	if len(raw) == 0 || encoding.UnmarshalForeign(raw, MaxSize, &tag) != nil || tag.Number != tagDateTime ||
		encoding.UnmarshalForeign(tag.Content, MaxSize, &text) != nil {
		return time.Time{}, hufu.Refuse(RuleMalformed, "%s is no date and time", what)
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil || t.Unix() <= 0 || t.Year() > 9999 {
		return time.Time{}, hufu.Refuse(RuleMalformed, "%s is no date and time", what)
	}
	return t.UTC(), nil
}

func checkVersion(v string) error {
	if !strings.HasPrefix(v, "1.") {
		return hufu.Refuse(RuleVersion, "not version 1 of the format")
	}
	return nil
}

// StatusRef points to one entry of a status list.
type StatusRef struct {
	URI   string
	Index uint64
}

// readStatus reads a reference to a status list. Another mechanism is refused: a status that nobody
// here can look up must not pass for none.
func readStatus(raw encoding.RawCBOR) (*StatusRef, error) {
	if raw == nil {
		return nil, nil
	}
	var s statusWire
	var index uint64
	if encoding.UnmarshalForeign(raw, MaxSize, &s) != nil || s.List == nil || s.List.URI == "" || len(s.List.Index) == 0 ||
		s.List.Index[0]>>5 != 0 || encoding.UnmarshalForeign(s.List.Index, MaxSize, &index) != nil {
		return nil, hufu.Refuse(RuleStatusForm, "status is no status_list with idx and uri")
	}
	return &StatusRef{URI: s.List.URI, Index: index}, nil
}
