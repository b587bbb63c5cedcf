package sdjwt_test

import (
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
)

// TestJSON: the reader of this package at its edges.
func TestJSON(t *testing.T) {
	s := newScene(t, keys.P256)
	for _, text := range []string{
		`1`, `-0`, `0.5`, `1e5`, `1E+5`, `-1.25e-3`, `true`, `false`, `null`, `""`, `"\u00e9\n\/"`, `"é"`, ` [ ] `, "\t{\r\n}", `[1,[2,[3]],{"b":{}}]`,
		`"\ud83d\udc2f\ud83d\udc2f"`, `"\\ud800"`,
	} {
		if _, err := s.verifyForged(t, forgery{payload: `{"vct":"x","a":` + text + `}`}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{
		``, `tru`, `True`, `nul`, `falsy`, `nan`, `+1`, `-`, `.5`, `1.`, `1.e5`, `1e`, `1e+`, `00`, `0x1`, `1_000`, `'a'`, `[1,]`, `[,1]`, `[1 2]`, `[1`, `]`,
		`{"b"}`, `{"b":}`, `{"b":1,}`, `{b:1}`, `{1:1}`, `{"b" 1}`, `{,}`, `{"b":1 "c":2}`, `{"b":1`, `{"`, `"`, `"\`, `"\"`, `"\u12"`, `"\u12g4"`,
		`"\ud800"`, `"\ud800a\udc00"`, `"\ud800\n\udc00"`, `"\ud800\ud800\udc00"`, `"\udc00"`, "\"\t\"", "\"\x00\"", "\"\x7f\xff\"", `1 2`, "\uFEFF1", "\v1",
	} {
		for _, payload := range []string{`{"vct":"x","a":` + text + `}`, `{"vct":"x","a":` + text} {
			_, err := s.verifyForged(t, forgery{payload: payload})
			if hufu.RuleOf(err) != sdjwt.RuleMalformed {
				t.Errorf("%s: %v", payload, err)
			}
		}
	}
}
