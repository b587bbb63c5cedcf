package status

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"io"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
)

// The rules something about a status list can be refused by.
const (
	RuleMalformed hufu.Rule = "status.malformed"     // not a status list or a status list token
	RuleTooLarge  hufu.Rule = "status.too-large"     // token or decompressed list over its limit
	RuleType      hufu.Rule = "status.type"          // a signed token of another type
	RuleURI       hufu.Rule = "status.uri"           // not the list that the credential names
	RuleFuture    hufu.Rule = "status.not-yet-valid" // issued in the future
	RuleExpired   hufu.Rule = "status.expired"       // past its exp
	RuleStale     hufu.Rule = "status.stale"         // issued longer ago than the verifier accepts
	RuleAlg       hufu.Rule = "status.alg"           // not the algorithm of the issuer's key
	RuleSignature hufu.Rule = "status.signature"     // not signed by the issuer's key
	RuleIndex     hufu.Rule = "status.index"         // an index that the list has not
	RuleValue     hufu.Rule = "status.value"         // a status that does not fit the list's bits
	RuleReference hufu.Rule = "status.reference"     // a status claim that names no entry of a list
)

// MaxListBytes bounds a list after decompression: 2^24 entries of 8 bits.
const MaxListBytes = 16 << 20

// List is a status list in memory: entries of 1, 2, 4 or 8 bits, packed from the least significant
// bit of each byte (§4.1 of the draft).
type List struct {
	bits  uint8
	bytes []byte
}

// NewList makes a list of at least size entries, all valid. The size is rounded up to whole bytes.
func NewList(bits uint8, size uint64) (*List, error) {
	if !validBits(bits) {
		return nil, hufu.Refuse(RuleMalformed, "entries of %d bits; there are 1, 2, 4 and 8", bits)
	}
	if size == 0 || size > MaxListBytes*8/uint64(bits) {
		return nil, hufu.Refuse(RuleTooLarge, "a list has 1 to %d entries of %d bits, not %d", MaxListBytes*8/uint64(bits), bits, size)
	}
	per := 8 / uint64(bits)
	return &List{bits: bits, bytes: make([]byte, (size+per-1)/per)}, nil
}

// FromBytes makes a list of packed bytes, which it keeps.
func FromBytes(bits uint8, packed []byte) (*List, error) {
	switch {
	case !validBits(bits):
		return nil, hufu.Refuse(RuleMalformed, "entries of %d bits; there are 1, 2, 4 and 8", bits)
	case len(packed) == 0:
		return nil, hufu.Refuse(RuleMalformed, "a list without entries")
	case len(packed) > MaxListBytes:
		return nil, hufu.Refuse(RuleTooLarge, "a list of %d bytes, more than %d", len(packed), MaxListBytes)
	}
	return &List{bits: bits, bytes: packed}, nil
}

func validBits(bits uint8) bool { return bits == 1 || bits == 2 || bits == 4 || bits == 8 }

// Bits is the number of bits of one entry.
func (l *List) Bits() uint8 { return l.bits }

// Size is the number of entries.
func (l *List) Size() uint64 { return uint64(len(l.bytes)) * 8 / uint64(l.bits) }

// Bytes is the packed list. The caller must not change it.
func (l *List) Bytes() []byte { return l.bytes }

// Get returns the status at an index. It refuses with [RuleIndex]: of an index out of bounds nothing
// can be said (§8.3).
func (l *List) Get(index uint64) (hufu.Status, error) {
	if index >= l.Size() {
		return 0, hufu.Refuse(RuleIndex, "index %d in a list of %d entries", index, l.Size())
	}
	at, shift := l.place(index)
	return hufu.Status(l.bytes[at] >> shift & l.mask()), nil
}

// Set puts a status at an index. It refuses with [RuleIndex] and [RuleValue].
func (l *List) Set(index uint64, s hufu.Status) error {
	if index >= l.Size() {
		return hufu.Refuse(RuleIndex, "index %d in a list of %d entries", index, l.Size())
	}
	if byte(s) > l.mask() {
		return hufu.Refuse(RuleValue, "status %d in entries of %d bits", s, l.bits)
	}
	at, shift := l.place(index)
	l.bytes[at] = l.bytes[at]&^(l.mask()<<shift) | byte(s)<<shift
	return nil
}

// place is the byte an index lies in and how far from its least significant bit.
func (l *List) place(index uint64) (at uint64, shift uint8) {
	bit := index * uint64(l.bits)
	return bit / 8, uint8(bit % 8)
}

func (l *List) mask() byte { return byte(1<<l.bits - 1) }

// Compress writes the list in the ZLIB format (RFC 1950) at the highest level. Its bytes may differ
// between versions of the compressor; what they decompress to does not.
func (l *List) Compress() ([]byte, error) {
	var b bytes.Buffer
	w, err := zlib.NewWriterLevel(&b, zlib.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(l.bytes); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Decompress reads a list in the ZLIB format: one stream, its checksum right, nothing after it, and
// never more than [MaxListBytes] of memory's worth.
func Decompress(bits uint8, compressed []byte) (*List, error) {
	in := bytes.NewReader(compressed)
	z, err := zlib.NewReader(in)
	if err != nil {
		return nil, hufu.Refuse(RuleMalformed, "list: %v", err)
	}
	packed, err := io.ReadAll(io.LimitReader(z, MaxListBytes+1))
	switch {
	case err != nil:
		return nil, hufu.Refuse(RuleMalformed, "list: %v", err)
	case len(packed) > MaxListBytes:
		return nil, hufu.Refuse(RuleTooLarge, "a list of more than %d bytes", MaxListBytes)
	case in.Len() != 0:
		return nil, hufu.Refuse(RuleMalformed, "list: %d bytes after its end", in.Len())
	}
	return FromBytes(bits, packed)
}

// listClaim is the JSON form of a list (§4.2). aggregation_uri is not used.
type listClaim struct {
	Bits uint8  `json:"bits"`
	Lst  string `json:"lst"`
}

// MarshalJSON writes the StatusList structure (§4.2).
func (l *List) MarshalJSON() ([]byte, error) {
	lst, err := l.Compress()
	if err != nil {
		return nil, err
	}
	return jws.MarshalJSON(listClaim{Bits: l.bits, Lst: jws.EncodeBase64(lst)})
}

// listOf reads the StatusList structure from decoded JSON.
func listOf(claim any) (*List, error) {
	m, ok := claim.(map[string]any)
	if !ok {
		return nil, hufu.Refuse(RuleMalformed, "status_list is no object")
	}
	bits, err := wholeNumber(m["bits"], 8)
	if err != nil {
		return nil, hufu.Refuse(RuleMalformed, "bits: %v", err)
	}
	text, ok := m["lst"].(string)
	if !ok {
		return nil, hufu.Refuse(RuleMalformed, "lst is no string")
	}
	lst, err := jws.DecodeBase64(text)
	if err != nil {
		return nil, hufu.Refuse(RuleMalformed, "lst: %v", err)
	}
	return Decompress(uint8(bits), lst)
}

// errNumber says what was wanted where a JSON number belongs.
func errNumber(most uint64) error { return fmt.Errorf("not a whole number from 0 to %d", most) }
