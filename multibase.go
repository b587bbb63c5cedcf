package hufu

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
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
	limbs := make([]uint32, 0, 16) // in base 58^5, the least first; enough for 58 bytes
	for rest := data[zeros:]; len(rest) > 0; {
		// As many bytes at once as bring the number to a whole count of words.
		n := (len(rest)-1)%4 + 1
		carry := uint64(0)
		for _, b := range rest[:n] {
			carry = carry<<8 | uint64(b)
		}
		for i := range limbs {
			carry += uint64(limbs[i]) << (8 * n)
			limbs[i], carry = uint32(carry%limbBase), carry/limbBase
		}
		for ; carry > 0; carry /= limbBase {
			limbs = append(limbs, uint32(carry%limbBase))
		}
		rest = rest[n:]
	}
	out := make([]byte, 1+zeros+limbDigits*len(limbs))
	out[0] = 'z'
	at := len(out)
	for _, limb := range limbs {
		for range limbDigits {
			at--
			out[at], limb = base58Alphabet[limb%58], limb/58
		}
	}
	first := 1 + zeros // of the digits; the highest limb has zeros in front
	for at = first; at < len(out) && out[at] == '1'; {
		at++
	}
	for i := 1; i < first; i++ {
		out[i] = '1'
	}
	return string(append(out[:first], out[at:]...))
}

// Five digits fit in 32 bits.
const (
	limbDigits = 5
	limbBase   = 58 * 58 * 58 * 58 * 58
)

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
	words := make([]uint32, 0, 16) // the least first; enough for 64 bytes
	for rest := s[zeros:]; len(rest) > 0; {
		n := (len(rest)-1)%limbDigits + 1
		carry, by := uint64(0), uint64(1)
		for _, c := range []byte(rest[:n]) {
			digit := base58Value[c]
			if digit < 0 {
				return nil, errors.New("a character outside the base58btc alphabet")
			}
			carry, by = carry*58+uint64(digit), by*58
		}
		for i := range words {
			carry += uint64(words[i]) * by
			words[i], carry = uint32(carry), carry>>32
		}
		if carry > 0 {
			words = append(words, uint32(carry))
		}
		rest = rest[n:]
	}
	out := make([]byte, zeros, zeros+4*len(words))
	for i, word := range slices.Backward(words) {
		if i == len(words)-1 {
			for shift := 24; shift >= 0; shift -= 8 {
				if word>>shift != 0 {
					out = append(out, byte(word>>shift))
				}
			}
			continue
		}
		out = binary.BigEndian.AppendUint32(out, word)
	}
	if len(out) > maxBytes {
		return nil, fmt.Errorf("more than %d bytes", maxBytes)
	}
	return out, nil
}
