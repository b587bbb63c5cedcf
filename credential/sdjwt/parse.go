package sdjwt

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
)

// base64url is read in its one spelling, without loose trailing bits.
var base64url = base64.RawURLEncoding.Strict()

// sdJWT is an SD-JWT taken apart and its payload put together. Nothing in it is verified.
type sdJWT struct {
	tree
	raw         string
	signed      []byte // what a key binding signs: all up to the last "~" (RFC 9901 §4.3.1)
	jwt         *jwt
	kb          *jwt  // nil: no key binding
	payload     int32 // processed: disclosures in place, digests gone
	kbPayload   int32
	disclosures []disclosure
	digests     digests
	met         int // digests found so far
}

// jwt is one of the two tokens in an SD-JWT. Its header stays in the tree: few of its members are
// looked at.
type jwt struct {
	header           int32
	alg              string
	input, signature []byte // what is signed, and its signature
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
	s := &sdJWT{raw: raw, disclosures: make([]disclosure, count-1)}
	d := decoder{in: []byte(raw)}
	d.out.Grow(len(raw) * 3 / 4)
	s.signed = d.in[:last+1]
	issued, err := d.token("credential", 0, first)
	if err != nil {
		return nil, err
	}
	var kb token
	if last+1 < len(raw) {
		if kb, err = d.token("key binding", last+1, len(raw)); err != nil {
			return nil, err
		}
	}
	texts, err := d.disclosures(s, first+1)
	if err != nil {
		return nil, err
	}
	// One text for all that was decoded, one slice of nodes for all that is read from it.
	s.all = d.out.String()
	s.nodes = make([]node, 1, 32+len(raw)/48)
	if s.jwt, s.payload, err = s.readToken("credential", &d, &issued); err != nil {
		return nil, err
	}
	if last+1 < len(raw) {
		if s.kb, s.kbPayload, err = s.readToken("key binding", &d, &kb); err != nil {
			return nil, err
		}
	}
	if err := s.readDisclosures(texts); err != nil {
		return nil, err
	}
	return s, s.merge()
}

// decoder decodes the parts of an SD-JWT one behind the other.
type decoder struct {
	in  []byte
	out strings.Builder
}

// span is a part of a text.
type span struct{ from, to int }

func (x span) of(text string) string { return text[x.from:x.to] }

// decode takes the base64url between two places of the input.
func (d *decoder) decode(from, to int) (x span, ok bool) {
	x.from = d.out.Len()
	var piece [768]byte // of 1024 characters: whole groups of four, so that only the last piece may end in less
	for ; from < to; from += 1024 {
		n, err := base64url.Decode(piece[:], d.in[from:min(from+1024, to)])
		if err != nil {
			return x, false
		}
		d.out.Write(piece[:n])
	}
	x.to = d.out.Len()
	return x, true
}

// token is a decoded compact JWS (RFC 7515 §3.1).
type token struct {
	header, payload, signature span
	signed                     span // in the input: the signing input
}

func (d *decoder) token(what string, from, to int) (t token, err error) {
	in := d.in[from:to]
	header := bytes.IndexByte(in, '.')
	payload := bytes.LastIndexByte(in, '.')
	if header < 0 || payload == header || bytes.IndexByte(in[header+1:payload], '.') >= 0 {
		return t, hufu.Refuse(RuleMalformed, "%s: not three parts with two dots", what)
	}
	t.signed = span{from, from + payload}
	var ok [3]bool
	t.header, ok[0] = d.decode(from, from+header)
	t.payload, ok[1] = d.decode(from+header+1, from+payload)
	t.signature, ok[2] = d.decode(from+payload+1, to)
	if ok != [3]bool{true, true, true} {
		return t, hufu.Refuse(RuleMalformed, "%s: not base64url without padding", what)
	}
	if n := t.signature.to - t.signature.from; n != keys.SignatureLen {
		return t, hufu.Refuse(RuleMalformed, "%s: a signature of %d bytes", what, n)
	}
	return t, nil
}

// disclosures decodes and hashes each disclosure, followed by "~" as it is, from a place of the input
// on, and notes its digest.
func (d *decoder) disclosures(s *sdJWT, from int) ([]span, error) {
	texts := make([]span, len(s.disclosures))
	sums := make([]byte, 0, digestLen*len(texts))
	for i := range texts {
		to := from + bytes.IndexByte(d.in[from:], '~')
		sum := sha256.Sum256(d.in[from:to])
		sums = base64url.AppendEncode(sums, sum[:])
		var ok bool
		if texts[i], ok = d.decode(from, to); !ok {
			return nil, hufu.Refuse(RuleMalformed, "disclosure %d is not base64url without padding", i+1)
		}
		s.disclosures[i].encoded = s.raw[from:to]
		from = to + 1
	}
	return texts, s.digests.wait(string(sums), len(texts))
}

func (s *sdJWT) readObject(what string, part span) (int32, error) {
	root, err := s.read(what, part)
	if err == nil && s.nodes[root].kind != object {
		err = hufu.Refuse(RuleMalformed, "%s: not an object", what)
	}
	return root, err
}

// readToken reads header and payload of one of the two JWS in an SD-JWT.
func (s *sdJWT) readToken(what string, d *decoder, t *token) (*jwt, int32, error) {
	header, err := s.readObject(what+" header", t.header)
	if err != nil {
		return nil, none, err
	}
	m := &jwt{
		header:    header,
		alg:       s.memberText(header, "alg"),
		input:     d.in[t.signed.from:t.signed.to],
		signature: []byte(t.signature.of(s.all)),
	}
	if err := jws.CheckHeader(m.alg, func(name string) bool { return s.member(header, name) != none }); err != nil {
		rule := RuleHeader
		if hufu.RuleOf(err) == jws.RuleAlg {
			rule = RuleAlg
		}
		return nil, none, refuseAs(rule, what, err)
	}
	if !knownAlg(m.alg) {
		return nil, none, hufu.Refuse(RuleAlg, "%s: not a signature algorithm of this network", what)
	}
	payload, err := s.readObject(what, t.payload)
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
