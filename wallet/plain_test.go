package wallet_test

import (
	"testing"

	"github.com/hufu-id/hufu/wallet"
)

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"":                          "",
		"Lib\u00adrary":             "Lib�rary", // a hyphen that is not seen
		"图书馆 Bücherei 🐯":            "图书馆 Bücherei 🐯",
		"a\nWho asks:  a ministry":  "a�Who asks:  a ministry",
		"\x1b[2J\x1b[31mred":        "�[2J�[31mred",
		"\u009b31m":                 "�31m", // CSI in one character
		"\u202eyrarbil":             "�yrarbil",
		"\u2066x\u2069\u200f\u061c": "�x���",
		"pay\u200bpal\ufeff":        "pay�pal�",
		"a\u2028b\u2029c":           "a�b�c",
		"\U000e0041\ue000":          "��",
		"\xff\xfe":                  "�",
		"tab\there":                 "tab�here",
	} {
		if got := wallet.Plain(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
