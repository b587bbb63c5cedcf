package sdjwt

import (
	"strings"

	"github.com/hufu-id/hufu"
)

// Compact rewrites an SD-JWT in flattened JSON serialization (RFC 9901 §8.2), with or without key
// binding, as the compact serialization that everything else here reads. It checks nothing but the
// form of what it rewrites. Unprotected header parameters other than disclosures and kb_jwt are
// dropped, as nothing protects them.
func Compact(flattened string) (string, error) {
	if len(flattened) > MaxSize {
		return "", hufu.Refuse(RuleTooLarge, "%d bytes, more than %d", len(flattened), MaxSize)
	}
	t, root, err := document("JSON serialization", flattened)
	if err != nil {
		return "", err
	}
	wrong := hufu.Refuse(RuleMalformed, "not a flattened JSON serialization")
	part := func(object int32, name string) (string, bool) {
		at := t.member(object, name)
		if at == none {
			return "", false
		}
		s, ok := t.text(at)
		return s, ok && !strings.ContainsAny(s, "~.")
	}
	protected, ok1 := part(root, "protected")
	payload, ok2 := part(root, "payload")
	signature, ok3 := part(root, "signature")
	header := t.member(root, "header")
	if !ok1 || !ok2 || !ok3 || header == none {
		return "", wrong
	}
	out := protected + "." + payload + "." + signature + "~"
	list := t.member(header, "disclosures")
	if list == none || t.nodes[list].kind != array {
		return "", wrong
	}
	for c := t.nodes[list].first; c != none; c = t.nodes[c].next {
		d, ok := t.text(c)
		if !ok || strings.Contains(d, "~") {
			return "", wrong
		}
		out += d + "~"
	}
	if kb := t.member(header, "kb_jwt"); kb != none {
		token, ok := t.text(kb)
		if !ok || strings.Contains(token, "~") {
			return "", wrong
		}
		out += token
	}
	return out, nil
}
