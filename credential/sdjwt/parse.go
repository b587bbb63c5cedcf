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
	signed      []byte // what a key binding signs: all up to the last "~" (RFC 9901 §4.3.1)
	jwt         *jws.Message
	kb          *jws.Message // nil: no key binding
	payload     int32        // processed: disclosures in place, digests gone
	kbPayload   int32
	disclosures []disclosure
	digests     digests
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
	first, last := strings.IndexByte(raw, '~'), strings.LastIndexByte(raw, '~')
	s := &sdJWT{raw: raw, signed: []byte(raw[:last+1])}
	s.nodes = make([]node, 1, 32+len(raw)/48)
	var err error
	if s.jwt, s.payload, err = s.token("credential", raw[:first]); err != nil {
		return nil, err
	}
	if kb := raw[last+1:]; kb != "" {
		if s.kb, s.kbPayload, err = s.token("key binding", kb); err != nil {
			return nil, err
		}
	}
	if err := s.readDisclosures(raw[first+1:last+1], s.signed[first+1:], count-1); err != nil {
		return nil, err
	}
	return s, s.merge()
}

func (s *sdJWT) readObject(what, in string) (int32, error) {
	root, err := s.read(what, in)
	if err == nil && s.nodes[root].kind != object {
		err = hufu.Refuse(RuleMalformed, "%s: not an object", what)
	}
	return root, err
}

// token reads one of the two JWS in an SD-JWT and its payload, an object.
func (s *sdJWT) token(what, compact string) (*jws.Message, int32, error) {
	m, err := jws.Split(compact, MaxSize)
	if err != nil {
		return nil, none, refuseAs(RuleMalformed, what, err)
	}
	header, err := s.readObject(what+" header", string(m.HeaderRaw))
	if err != nil {
		return nil, none, err
	}
	m.Header = s.members(header)
	if err := m.Header.Check(); err != nil {
		rule := RuleHeader
		if hufu.RuleOf(err) == jws.RuleAlg {
			rule = RuleAlg
		}
		return nil, none, refuseAs(rule, what, err)
	}
	if !knownAlg(m.Header.Text("alg")) {
		return nil, none, hufu.Refuse(RuleAlg, "%s: not a signature algorithm of this network", what)
	}
	payload, err := s.readObject(what, string(m.Payload))
	return m, payload, err
}

// refuseAs gives a refusal by another package a rule of this one.
func refuseAs(rule hufu.Rule, what string, err error) error {
	var r *hufu.Refusal
	if !errors.As(err, &r) {
		return err
	}
	return hufu.Refuse(rule, "%s: %s", what, r.Detail)
}
