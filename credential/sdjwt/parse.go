package sdjwt

import (
	"encoding/base64"
	"errors"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
)

// base64url is read in its one spelling, without loose trailing bits.
var base64url = base64.RawURLEncoding.Strict()

// sdJWT is an SD-JWT taken apart and its payload put together. Nothing in it is verified.
type sdJWT struct {
	tree
	raw         string
	signed      string // what a key binding signs: all up to the last "~" (RFC 9901 §4.3.1)
	jwt         *jws.Message
	kb          *jws.Message // nil: no key binding
	payload     int32        // processed: disclosures in place, digests gone
	kbPayload   int32
	disclosures []disclosure
	met         int // digests found so far
}

// parse reads the compact serialization (RFC 9901 §4) and processes the disclosures.
func parse(raw string) (*sdJWT, error) {
	if len(raw) > MaxSize {
		return nil, hufu.Refuse(RuleTooLarge, "%d bytes, more than %d", len(raw), MaxSize)
	}
	if strings.IndexByte(raw, '\n') >= 0 || strings.IndexByte(raw, '\r') >= 0 {
		return nil, hufu.Refuse(RuleMalformed, "a line break") // which package base64 would skip
	}
	count := strings.Count(raw, "~")
	if count == 0 {
		return nil, hufu.Refuse(RuleMalformed, "no ~ after the issuer's token")
	}
	if count-1 > MaxDisclosures {
		return nil, hufu.Refuse(RuleTooLarge, "more than %d disclosures", MaxDisclosures)
	}
	parts := strings.Split(raw, "~")
	encoded, kb := parts[1:count], parts[count]
	s := &sdJWT{raw: raw, signed: raw[:len(raw)-len(kb)]}
	var err error
	if s.jwt, err = parseJWS(parts[0]); err != nil {
		return nil, err
	}
	if kb != "" {
		if s.kb, err = parseJWS(kb); err != nil {
			return nil, err
		}
	}
	if err := s.readAll(encoded); err != nil {
		return nil, err
	}
	return s, s.merge()
}

// readAll decodes everything into one text and parses it into one slice of nodes.
func (s *sdJWT) readAll(encoded []string) error {
	buf := make([]byte, 0, len(s.raw)*3/4)
	ends := make([]int, len(encoded))
	for i, e := range encoded {
		var err error
		if buf, err = base64url.AppendDecode(buf, []byte(e)); err != nil {
			return hufu.Refuse(RuleMalformed, "disclosure %d is not base64url without padding", i+1)
		}
		ends[i] = len(buf)
	}
	buf = append(buf, s.jwt.Payload...)
	payloadEnd := len(buf)
	if s.kb != nil {
		buf = append(buf, s.kb.Payload...)
	}
	all := string(buf)
	decoded := make([]string, len(encoded))
	from := 0
	for i, end := range ends {
		decoded[i] = all[from:end]
		from = end
	}
	s.nodes = make([]node, 1, 16+len(all)/20)
	if err := s.readDisclosures(encoded, decoded); err != nil {
		return err
	}
	var err error
	if s.payload, err = s.readObject("payload", all[from:payloadEnd]); err != nil {
		return err
	}
	if s.kb != nil {
		s.kbPayload, err = s.readObject("key binding", all[payloadEnd:])
	}
	return err
}

func (s *sdJWT) readObject(what, in string) (int32, error) {
	root, err := s.read(what, in)
	if err == nil && s.nodes[root].kind != object {
		err = hufu.Refuse(RuleMalformed, "%s: not an object", what)
	}
	return root, err
}

// parseJWS reads one of the two tokens, with the rules of this package for the refusals of jws.
func parseJWS(compact string) (*jws.Message, error) {
	m, err := jws.Parse(compact, MaxSize)
	if err == nil {
		if alg := m.Header.Text("alg"); !knownAlg(alg) {
			return nil, hufu.Refuse(RuleAlg, "not a signature algorithm of this network")
		}
		return m, nil
	}
	rule := RuleMalformed
	switch hufu.RuleOf(err) {
	case jws.RuleAlg:
		rule = RuleAlg
	case jws.RuleUnsupported:
		rule = RuleHeader
	case jws.RuleMalformed:
		if specific := headerRefusal(compact); specific != nil {
			return nil, specific
		}
	}
	detail := "not a token"
	var r *hufu.Refusal
	if errors.As(err, &r) {
		detail = r.Detail
	}
	return nil, hufu.Refuse(rule, "%s", detail)
}

// headerRefusal finds the more telling rule that a malformed token's header breaks, if it does.
func headerRefusal(compact string) error {
	head, _, _ := strings.Cut(compact, ".")
	raw, err := jws.DecodeBase64(head)
	if err != nil {
		return nil
	}
	t := tree{nodes: make([]node, 1, 16)}
	_, err = t.read("header", string(raw))
	return err
}
