package audit

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"

	"github.com/emmansun/gmsm/sm3"
)

// Search looks for values in bytes, in every form somebody might have written them down in: plain,
// hexadecimal, base64 (both alphabets, any alignment), and the SHA-256 and SM3 digests in the same
// forms. It keeps no account of what a found value is, only of which one it is.
type Search struct {
	forms  map[uint64][]form // by their first keyLen bytes
	found  map[int]bool
	values int
}

type form struct {
	text  string
	value int
}

// keyLen is how many leading bytes forms are found by; a shorter value would be found everywhere.
const keyLen = 5

// NewSearch is a search for nothing yet.
func NewSearch() *Search {
	return &Search{forms: map[uint64][]form{}, found: map[int]bool{}}
}

// Add adds a value to look for. One of fewer than 5 bytes is not looked for in plain form.
func (s *Search) Add(value string) {
	n := s.values
	s.values++
	digest256, digest3 := sha256.Sum256([]byte(value)), sm3.Sum([]byte(value))
	for _, raw := range []string{value, string(digest256[:]), string(digest3[:])} {
		s.addForms(n, raw)
	}
}

func (s *Search) addForms(n int, raw string) {
	forms := map[string]bool{raw: true, hex.EncodeToString([]byte(raw)): true}
	forms[strings.ToUpper(hex.EncodeToString([]byte(raw)))] = true
	for _, enc := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		for shift := range 3 {
			forms[aligned(enc, raw, shift)] = true
		}
	}
	for f := range forms {
		if len(f) >= keyLen {
			k := key(f)
			s.forms[k] = append(s.forms[k], form{f, n})
		}
	}
}

// aligned is what stays the same of raw's base64 form, whatever stands before it (shift bytes, mod 3)
// and after it.
func aligned(enc *base64.Encoding, raw string, shift int) string {
	text := enc.EncodeToString([]byte(strings.Repeat("\x00", shift) + raw))
	start := (shift*8 + 5) / 6
	end := (shift + len(raw)) * 8 / 6
	if start >= end {
		return ""
	}
	return text[start:end]
}

func key[T string | []byte](b T) uint64 {
	return uint64(b[0]) | uint64(b[1])<<8 | uint64(b[2])<<16 | uint64(b[3])<<24 | uint64(b[4])<<32
}

// In searches data. A value that is cut by the end of data is not found: records are searched whole.
func (s *Search) In(data []byte) {
	if len(data) < keyLen {
		return
	}
	k := key(data) << 8
	for i := 0; i+keyLen <= len(data); i++ {
		k = k>>8&0xffffffff | uint64(data[i+keyLen-1])<<32
		for _, f := range s.forms[k] {
			if len(f.text) <= len(data)-i && string(data[i:i+len(f.text)]) == f.text {
				s.found[f.value] = true
			}
		}
	}
}

// Found is how many of the values were found.
func (s *Search) Found() int { return len(s.found) }

// Has reports whether the value added as number n, from 0, was found.
func (s *Search) Has(n int) bool { return s.found[n] }

// Values is how many values are looked for.
func (s *Search) Values() int { return s.values }
