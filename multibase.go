package hufu

import (
	"errors"
	"fmt"
)

// Multibase base58btc ("z" and the Bitcoin alphabet), the one base that did:hufu identifiers and
// Multikey values are written in (Controlled Identifiers 1.0 §2.4).

const base58Alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

var base58Value = func() (t [256]int8) {
	for i := range t {
		t[i] = -1
	}
	for i, c := range []byte(base58Alphabet) {
		t[c] = int8(i)
	}
	return t
}()

// EncodeMultibase writes data as "z" and base58btc.
func EncodeMultibase(data []byte) string {
	zeros := 0
	for zeros < len(data) && data[zeros] == 0 {
		zeros++
	}
	// log(256)/log(58) < 1.366, so 138/100 digits a byte are always enough.
	digits := make([]byte, (len(data)-zeros)*138/100+1)
	high := len(digits)
	for _, b := range data[zeros:] {
		carry := int(b)
		i := len(digits) - 1
		for ; i >= high || carry != 0; i-- {
			carry += 256 * int(digits[i])
			digits[i] = byte(carry % 58)
			carry /= 58
		}
		high = i + 1
	}
	out := make([]byte, 0, 1+zeros+len(digits)-high)
	out = append(out, 'z')
	for range zeros {
		out = append(out, '1')
	}
	for _, d := range digits[high:] {
		out = append(out, base58Alphabet[d])
	}
	return string(out)
}

// DecodeMultibase reads what [EncodeMultibase] writes. It refuses any other base and anything that
// would be longer than maxBytes.
func DecodeMultibase(s string, maxBytes int) ([]byte, error) {
	if s == "" || s[0] != 'z' {
		return nil, errors.New("not multibase base58btc (no leading z)")
	}
	s = s[1:]
	if len(s) > maxBytes*138/100+1 {
		return nil, fmt.Errorf("more than %d bytes", maxBytes)
	}
	zeros := 0
	for zeros < len(s) && s[zeros] == '1' {
		zeros++
	}
	bytes := make([]byte, len(s)-zeros)
	high := len(bytes)
	for _, c := range []byte(s[zeros:]) {
		carry := int(base58Value[c])
		if carry < 0 {
			return nil, errors.New("a character outside the base58btc alphabet")
		}
		i := len(bytes) - 1
		for ; i >= high || carry != 0; i-- {
			carry += 58 * int(bytes[i])
			bytes[i] = byte(carry)
			carry >>= 8
		}
		high = i + 1
	}
	out := append(make([]byte, zeros, zeros+len(bytes)-high), bytes[high:]...)
	if len(out) > maxBytes {
		return nil, fmt.Errorf("more than %d bytes", maxBytes)
	}
	return out, nil
}
