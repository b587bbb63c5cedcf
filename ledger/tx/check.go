package tx

import (
	"unicode/utf8"

	"github.com/hufu-id/hufu"
)

func invalid(format string, args ...any) error { return hufu.Refuse(RuleBody, format, args...) }

func checkID(what string, id hufu.ID) error {
	if id.IsZero() {
		return invalid("%s: no identifier", what)
	}
	return nil
}

// checkText wants 1 to limit bytes of UTF-8 without control characters, which could forge what a
// terminal or a log shows.
func checkText(what, s string, limit int) error {
	if s == "" || len(s) > limit {
		return invalid("%s of %d bytes, not 1 to %d", what, len(s), limit)
	}
	if !utf8.ValidString(s) {
		return invalid("%s is not UTF-8", what)
	}
	for _, c := range s {
		// Besides C0 and C1: the bidirectional controls, which reorder the text around them.
		if c < 0x20 || (c >= 0x7f && c <= 0x9f) || (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) {
			return invalid("%s has a control character", what)
		}
	}
	return nil
}

// checkURI wants an absolute URI's scheme and after it only the characters that RFC 3986 §2 allows.
func checkURI(what, s string) error {
	if s == "" || len(s) > MaxURI {
		return invalid("%s URI of %d bytes, not 1 to %d", what, len(s), MaxURI)
	}
	colon := -1
	for i, c := range []byte(s) {
		switch {
		case isAlphanumeric(c):
		case c == ':' && colon < 0:
			colon = i
		case colon < 0 && c != '+' && c != '-' && c != '.':
			return invalid("%s URI without a scheme", what)
		case c <= 0x20 || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' || c == '^' || c == '`' || c == '{' || c == '|' || c == '}':
			return invalid("%s URI with a character that URIs do not have", what)
		}
	}
	if colon < 1 || colon == len(s)-1 || s[0] < 'A' || (s[0] > 'Z' && s[0] < 'a') {
		return invalid("%s URI without a scheme", what)
	}
	return nil
}

// checkVCT wants printable ASCII: a type's name is compared byte by byte by everybody.
func checkVCT(s string) error {
	if s == "" || len(s) > MaxVCT {
		return invalid("a credential type's name of %d bytes, not 1 to %d", len(s), MaxVCT)
	}
	for _, c := range []byte(s) {
		if c <= 0x20 || c >= 0x7f {
			return invalid("a credential type's name with a character other than printable ASCII")
		}
	}
	return nil
}

// checkLang wants the shape of a language tag: subtags of 1 to 8 letters or digits (RFC 5646 §2.1).
func checkLang(s string) error {
	if len(s) < 2 || len(s) > MaxLanguageTag {
		return invalid("a language tag of %d bytes", len(s))
	}
	run := 0
	for i, c := range []byte(s) {
		switch {
		case isAlphanumeric(c) && run < 8:
			run++
		case c == '-' && run > 0 && i < len(s)-1:
			run = 0
		default:
			return invalid("a language tag that RFC 5646 does not allow")
		}
	}
	return nil
}

func isAlphanumeric(c byte) bool {
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
}
