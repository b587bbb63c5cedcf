package wallet

import (
	"strings"
	"unicode"
)

// Plain is a stranger's text as it can be shown to a person: in one line, with U+FFFD for each character
// that steers a terminal, reorders or hides the text around it, or has no agreed look. Names that
// verifiers and issuers give themselves come through it or have only characters that it leaves.
func Plain(text string) string {
	return strings.Map(func(r rune) rune {
		// Control, format (the bidirectional ones, zero widths, tags), private use and line breaks.
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(text, string(unicode.ReplacementChar)))
}
