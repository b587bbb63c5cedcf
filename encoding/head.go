package encoding

import "encoding/binary"

// CBOR's major types (RFC 8949 §3.1), for the few forms that are common enough to be read and written by hand.
const (
	MajorUint byte = iota
	MajorNegint
	MajorBytes
	MajorText
	MajorArray
	MajorMap
	MajorTag
)

// AppendHead writes an item's head (RFC 8949 §3) in its shortest form.
func AppendHead(b []byte, major byte, n uint64) []byte {
	major <<= 5
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= 0xff:
		return append(b, major|24, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n <= 0xffffffff:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

// AppendBytes writes a byte string.
func AppendBytes(b, s []byte) []byte { return append(AppendHead(b, MajorBytes, uint64(len(s))), s...) }

// AppendField writes the number of a map's field and an unsigned integer as its value.
func AppendField(b []byte, field byte, n uint64) []byte {
	return AppendHead(AppendHead(b, MajorUint, uint64(field)), MajorUint, n)
}

// AppendBytesField writes the number of a map's field and a byte string as its value.
func AppendBytesField(b []byte, field byte, s []byte) []byte {
	return AppendBytes(AppendHead(b, MajorUint, uint64(field)), s)
}
