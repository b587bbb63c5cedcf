package encoding

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"
)

// CheckCBOR reports whether data is exactly one item in the deterministic form that [Unmarshal]
// accepts. It allocates nothing and looks at each byte once.
func CheckCBOR(data []byte) error {
	rest, err := checkItem(data, 0)
	if err != nil {
		return fmt.Errorf("cbor: at byte %d: %w", len(data)-len(rest), err)
	}
	if len(rest) != 0 {
		return fmt.Errorf("cbor: %d trailing bytes", len(rest))
	}
	return nil
}

var (
	errTruncated = errors.New("truncated")
	errDepth     = fmt.Errorf("nested deeper than %d", MaxCBORDepth)
	errElements  = fmt.Errorf("more than %d elements", MaxCBORElements)
	errUTF8      = errors.New("text is not UTF-8")
	errLongInt   = fmt.Errorf("integer or length not in its shortest form: %w", ErrNotDeterministic)
	errIndef     = fmt.Errorf("indefinite length: %w", ErrNotDeterministic)
	errOrder     = fmt.Errorf("map keys unsorted or duplicate: %w", ErrNotDeterministic)
	errSimple    = errors.New("floats and simple values other than false, true and null are not used")
)

// checkItem checks the item at the start of data and returns what follows it; with an error, what
// was left where it was found.
func checkItem(data []byte, depth int) ([]byte, error) {
	if depth > MaxCBORDepth {
		return data, errDepth
	}
	if len(data) == 0 {
		return data, errTruncated
	}
	major, info := data[0]>>5, data[0]&0x1f
	if major == 7 {
		if info < 20 || info > 22 {
			return data, errSimple
		}
		return data[1:], nil
	}
	n, rest, err := checkHead(data, info)
	if err != nil {
		return data, err
	}
	switch major {
	case 0, 1: // integers
		return rest, nil
	case 2, 3: // byte and text strings
		if n > uint64(len(rest)) {
			return data, errTruncated
		}
		if major == 3 && !utf8.Valid(rest[:n]) {
			return data, errUTF8
		}
		return rest[n:], nil
	case 4: // arrays
		if n > MaxCBORElements {
			return data, errElements
		}
		for range n {
			if rest, err = checkItem(rest, depth+1); err != nil {
				return rest, err
			}
		}
		return rest, nil
	case 5: // maps, keys in bytewise order of their encodings
		if n > MaxCBORElements {
			return data, errElements
		}
		var last []byte
		for range n {
			at := rest
			if rest, err = checkItem(rest, depth+1); err != nil {
				return rest, err
			}
			key := at[:len(at)-len(rest)]
			if last != nil && bytes.Compare(last, key) >= 0 {
				return at, errOrder
			}
			last = key
			if rest, err = checkItem(rest, depth+1); err != nil {
				return rest, err
			}
		}
		return rest, nil
	default: // tags
		return checkItem(rest, depth+1)
	}
}

// checkHead reads the argument of an item's head (RFC 8949 §3) and refuses a form longer than needed.
func checkHead(data []byte, info byte) (uint64, []byte, error) {
	var n uint64
	switch size := 1 << (info - 24) & 0xf; {
	case info < 24:
		return uint64(info), data[1:], nil
	case info == 31:
		return 0, nil, errIndef
	case info > 27:
		return 0, nil, errors.New("reserved length")
	case len(data) < 1+size:
		return 0, nil, errTruncated
	case size == 1:
		if n = uint64(data[1]); n < 24 {
			return 0, nil, errLongInt
		}
		return n, data[2:], nil
	case size == 2:
		if n = uint64(binary.BigEndian.Uint16(data[1:])); n <= 0xff {
			return 0, nil, errLongInt
		}
		return n, data[3:], nil
	case size == 4:
		if n = uint64(binary.BigEndian.Uint32(data[1:])); n <= 0xffff {
			return 0, nil, errLongInt
		}
		return n, data[5:], nil
	default:
		if n = binary.BigEndian.Uint64(data[1:]); n <= 0xffffffff {
			return 0, nil, errLongInt
		}
		return n, data[9:], nil
	}
}
