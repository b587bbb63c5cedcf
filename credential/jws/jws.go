package jws

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// The rules a token can be refused by.
const (
	RuleTooLarge    hufu.Rule = "jws.too-large"   // more bytes than the caller allows
	RuleMalformed   hufu.Rule = "jws.malformed"   // not the one spelling of a compact JWS
	RuleUnsupported hufu.Rule = "jws.unsupported" // a header that changes how the token is processed
	RuleAlg         hufu.Rule = "jws.alg"         // not the algorithm of the key
	RuleSignature   hufu.Rule = "jws.signature"   // not signed by the key
	RuleKey         hufu.Rule = "jws.key"         // not a JSON Web Key of one of the suites
)

// Header is a JOSE header (RFC 7515 §4). Read from a token, its numbers are json.Number.
type Header map[string]any

// Text is the string value of a header parameter, or "" when it is absent or no string.
func (h Header) Text(name string) string {
	s, _ := h[name].(string)
	return s
}

// Message is a compact JWS taken apart. Nothing in it is to be believed before Verify.
type Message struct {
	Header       Header
	HeaderRaw    []byte // the header's JSON as it was signed
	Payload      []byte
	SigningInput string // header and payload as they were signed (RFC 7515 §5.1 step 5)
	Signature    []byte
}

// b64 is base64url without padding, refusing loose trailing bits (RFC 7515 §2).
var b64 = base64.RawURLEncoding.Strict()

// Sign makes a compact JWS of payload. The "alg" is set from the signer; header may hold any other
// parameter except those that [Parse] refuses, and is not changed. rand is read by ECDSA and SM2.
func Sign(rand io.Reader, header Header, payload []byte, signer keys.Signer) (string, error) {
	alg := signer.Public().Suite().JOSEAlg()
	full := make(Header, len(header)+1)
	for name, v := range header {
		full[name] = v
	}
	if _, set := full["alg"]; set && full["alg"] != alg {
		return "", fmt.Errorf("jws: header asks for an alg that is not the signer's %s", alg)
	}
	full["alg"] = alg
	if err := full.Check(); err != nil {
		return "", err
	}
	raw, err := MarshalJSON(full)
	if err != nil {
		return "", fmt.Errorf("jws: header: %w", err)
	}
	token := make([]byte, 0, b64.EncodedLen(len(raw))+b64.EncodedLen(len(payload))+b64.EncodedLen(keys.SignatureLen)+2)
	token = append(b64.AppendEncode(token, raw), '.')
	token = b64.AppendEncode(token, payload)
	sig, err := signer.Sign(rand, token)
	if err != nil {
		return "", fmt.Errorf("jws: sign: %w", err)
	}
	token = b64.AppendEncode(append(token, '.'), sig)
	return string(token), nil
}

// MarshalJSON writes v as compact JSON without escaping for HTML, for headers and payloads.
func MarshalJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), nil
}

// Parse takes a compact JWS of at most maxBytes apart. It checks form only. It refuses with
// [RuleTooLarge], [RuleMalformed], [RuleUnsupported] or, without a usable "alg", [RuleAlg].
func Parse(compact string, maxBytes int) (*Message, error) {
	m, err := split(compact, maxBytes)
	if err != nil {
		return nil, err
	}
	if err := encoding.UnmarshalJSON(m.HeaderRaw, maxBytes, &m.Header); err != nil {
		return nil, hufu.Refuse(RuleMalformed, "header: %v", err)
	}
	if err := m.Header.Check(); err != nil {
		return nil, err
	}
	return m, nil
}

// split decodes the three parts and leaves Header nil.
func split(compact string, maxBytes int) (*Message, error) {
	if len(compact) > maxBytes {
		return nil, hufu.Refuse(RuleTooLarge, "token of %d bytes, more than %d", len(compact), maxBytes)
	}
	first := strings.IndexByte(compact, '.')
	last := strings.LastIndexByte(compact, '.')
	if first < 0 || last == first || strings.IndexByte(compact[first+1:last], '.') >= 0 {
		return nil, hufu.Refuse(RuleMalformed, "not three parts with two dots")
	}
	m := &Message{SigningInput: compact[:last]}
	for _, part := range []struct {
		name string
		text string
		into *[]byte
	}{
		{"header", compact[:first], &m.HeaderRaw},
		{"payload", compact[first+1 : last], &m.Payload},
		{"signature", compact[last+1:], &m.Signature},
	} {
		raw, err := DecodeBase64(part.text)
		if err != nil {
			return nil, hufu.Refuse(RuleMalformed, "%s: %v", part.name, err)
		}
		*part.into = raw
	}
	if len(m.Signature) == 0 {
		return nil, hufu.Refuse(RuleMalformed, "no signature")
	}
	return m, nil
}

// Check refuses headers that change how a token is processed, with [RuleUnsupported], and those
// without a signing "alg", with [RuleAlg]. [Parse] does it; whoever makes a [Message] from a token by
// other means has to.
func (h Header) Check() error {
	return CheckHeader(h.Text("alg"), func(name string) bool { _, there := h[name]; return there })
}

// CheckHeader is [Header.Check] for a header in another form: its "alg", and which parameters it has.
func CheckHeader(alg string, has func(name string) bool) error {
	for _, name := range []string{"crit", "b64", "zip", "enc"} {
		if has(name) {
			return hufu.Refuse(RuleUnsupported, "header parameter %s", name)
		}
	}
	if alg == "" || strings.EqualFold(alg, "none") {
		return hufu.Refuse(RuleAlg, "no signature algorithm")
	}
	return nil
}

// ed25519Alg is the fully specified name for what RFC 8037 calls EdDSA with Ed25519 (RFC 9864 §2.2).
const ed25519Alg = "Ed25519"

// Verify checks the signature with a key that the caller has reason to trust. It refuses with
// [RuleAlg] when the header names another algorithm than the key's, and with [RuleSignature].
func (m *Message) Verify(key keys.PublicKey) error {
	return Verify(key, m.Header.Text("alg"), []byte(m.SigningInput), m.Signature)
}

// Verify is [Message.Verify] for a token in another form.
func Verify(key keys.PublicKey, alg string, signingInput, signature []byte) error {
	if key.IsZero() {
		return keys.ErrNoKey
	}
	if alg != key.Suite().JOSEAlg() && (key.Suite() != keys.Ed25519 || alg != ed25519Alg) {
		return hufu.Refuse(RuleAlg, "the key signs with %s and nothing else", key.Suite().JOSEAlg())
	}
	if !key.Verify(signingInput, signature) {
		return hufu.Refuse(RuleSignature, "not signed by the key %s", key)
	}
	return nil
}

var errBase64 = errors.New("not base64url without padding")

// DecodeBase64 reads base64url in its one spelling: no padding, no line breaks, no loose bits.
func DecodeBase64(text string) ([]byte, error) {
	if strings.IndexByte(text, '\n') >= 0 || strings.IndexByte(text, '\r') >= 0 { // which package base64 would skip
		return nil, errBase64
	}
	raw, err := b64.DecodeString(text)
	if err != nil {
		return nil, errBase64
	}
	return raw, nil
}

// EncodeBase64 writes base64url without padding.
func EncodeBase64(raw []byte) string { return b64.EncodeToString(raw) }
