package jwe

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
)

// Alg is the one key management algorithm: direct key agreement (RFC 7518 §4.6).
const Alg = "ECDH-ES"

// The content encryptions (RFC 7518 §5.3).
const (
	A128GCM = "A128GCM"
	A256GCM = "A256GCM"
)

// Encs lists the content encryptions, the stronger first, for metadata.
func Encs() []string { return []string{A256GCM, A128GCM} }

// The rules a message can be refused by.
const (
	RuleTooLarge    hufu.Rule = "jwe.too-large"   // more bytes than the caller allows
	RuleMalformed   hufu.Rule = "jwe.malformed"   // not the one spelling of a compact JWE
	RuleAlg         hufu.Rule = "jwe.alg"         // alg is not ECDH-ES
	RuleEnc         hufu.Rule = "jwe.enc"         // enc is none of Encs
	RuleUnsupported hufu.Rule = "jwe.unsupported" // a header that changes how the message is processed
	RuleKey         hufu.Rule = "jwe.key"         // not a key for encryption, or encrypted to another key
	RuleDecrypt     hufu.Rule = "jwe.decrypt"     // not encrypted to the key, or altered since
)

// Sizes in bytes. A header holds little beside one public key and two short party names.
const (
	MaxHeader    = 4 << 10
	MaxPartyInfo = 512 // apu and apv each, decoded

	ivLen  = 12 // RFC 7518 §5.3
	tagLen = 16
)

// Header is what a sender may choose. Other header parameters are set from the key.
type Header struct {
	Enc string // one of [Encs]
	APU []byte // agreement PartyUInfo, or nil (RFC 7518 §4.6.1.2)
	APV []byte // agreement PartyVInfo, or nil (RFC 7518 §4.6.1.3)
	Typ string // media type of the whole, or ""
	Cty string // media type of the content, or "" (RFC 7516 §4.1.12)
}

// headerJSON fixes the order of what Encrypt writes.
type headerJSON struct {
	Alg string `json:"alg"`
	Enc string `json:"enc"`
	Kid string `json:"kid,omitempty"`
	Typ string `json:"typ,omitempty"`
	Cty string `json:"cty,omitempty"`
	APU string `json:"apu,omitempty"`
	APV string `json:"apv,omitempty"`
	EPK JWK    `json:"epk"`
}

// Encrypt writes plaintext as a compact JWE that only the holder of to's private half can read. rand gives
// the ephemeral key and the IV and must be cryptographically strong.
func Encrypt(rand io.Reader, to PublicKey, h Header, plaintext []byte) (string, error) {
	if to.IsZero() {
		return "", hufu.Refuse(RuleKey, "no key to encrypt to")
	}
	if keyLen(h.Enc) == 0 {
		return "", hufu.Refuse(RuleEnc, "enc is neither A128GCM nor A256GCM")
	}
	if len(h.APU) > MaxPartyInfo || len(h.APV) > MaxPartyInfo {
		return "", hufu.Refuse(RuleMalformed, "apu or apv is longer than %d bytes", MaxPartyInfo)
	}
	ephemeral, err := GenerateKey(rand, "")
	if err != nil {
		return "", fmt.Errorf("jwe: ephemeral key: %w", err)
	}
	iv := make([]byte, ivLen)
	if _, err := io.ReadFull(rand, iv); err != nil {
		return "", fmt.Errorf("jwe: iv: %w", err)
	}
	raw, err := jws.MarshalJSON(headerJSON{
		Alg: Alg, Enc: h.Enc, Kid: to.KeyID, Typ: h.Typ, Cty: h.Cty,
		APU: jws.EncodeBase64(h.APU), APV: jws.EncodeBase64(h.APV), EPK: ephemeral.pub.point(),
	})
	if err != nil {
		return "", fmt.Errorf("jwe: header: %w", err)
	}
	if len(raw) > MaxHeader {
		return "", hufu.Refuse(RuleMalformed, "header is longer than %d bytes", MaxHeader)
	}
	aead, err := contentCipher(ephemeral, to, h.Enc, h.APU, h.APV)
	if err != nil {
		return "", err
	}
	protected := jws.EncodeBase64(raw)
	sealed := aead.Seal(nil, iv, plaintext, []byte(protected))
	body, tag := sealed[:len(plaintext)], sealed[len(plaintext):]
	return protected + ".." + jws.EncodeBase64(iv) + "." + jws.EncodeBase64(body) + "." + jws.EncodeBase64(tag), nil
}

// Message is a compact JWE taken apart. Nothing in it is authenticated before Decrypt.
type Message struct {
	Header
	KeyID string // "kid" of the key it says it is encrypted to, or ""

	protected string // the header as sent, which is the additional authenticated data
	epk       PublicKey
	iv        []byte
	sealed    []byte // ciphertext and tag
}

// Parse takes a compact JWE of at most maxBytes apart. It checks form only. It refuses with
// [RuleTooLarge], [RuleMalformed], [RuleAlg], [RuleEnc], [RuleUnsupported] or [RuleKey].
func Parse(compact string, maxBytes int) (*Message, error) {
	if len(compact) > maxBytes {
		return nil, hufu.Refuse(RuleTooLarge, "message of %d bytes, more than %d", len(compact), maxBytes)
	}
	if strings.Count(compact, ".") != 4 {
		return nil, hufu.Refuse(RuleMalformed, "not five parts with four dots")
	}
	part := strings.Split(compact, ".")
	var raw [5][]byte
	for i, text := range part {
		var err error
		if raw[i], err = jws.DecodeBase64(text); err != nil {
			return nil, hufu.Refuse(RuleMalformed, "part %d: %v", i+1, err)
		}
	}
	m := &Message{protected: part[0], iv: raw[2], sealed: append(raw[3], raw[4]...)}
	if err := m.readHeader(raw[0]); err != nil {
		return nil, err
	}
	switch { // after the header, which says what the other parts have to be
	case part[1] != "":
		return nil, hufu.Refuse(RuleMalformed, "an encrypted key with direct key agreement")
	case len(raw[2]) != ivLen:
		return nil, hufu.Refuse(RuleMalformed, "iv of %d bytes, not %d", len(raw[2]), ivLen)
	case len(raw[4]) != tagLen:
		return nil, hufu.Refuse(RuleMalformed, "tag of %d bytes, not %d", len(raw[4]), tagLen)
	}
	return m, nil
}

// understood are the header parameters that are acted upon; they have to be of the right type.
// RFC 7516 §4 tells a reader to ignore ones it does not know, which is safe for all but those in
// changing: these make the message mean something else, or point at keys that the sender chose.
var (
	understood = []string{"alg", "enc", "kid", "typ", "cty", "apu", "apv"}
	changing   = []string{"crit", "zip", "b64", "jku", "jwk", "x5u", "x5c", "p2s", "p2c", "iv", "tag"}
)

func (m *Message) readHeader(raw []byte) error {
	var h jws.Header
	if err := encoding.UnmarshalJSON(raw, MaxHeader, &h); err != nil || h == nil {
		return hufu.Refuse(RuleMalformed, "header is no JSON object of at most %d bytes", MaxHeader)
	}
	for _, name := range changing {
		if _, there := h[name]; there {
			return hufu.Refuse(RuleUnsupported, "header parameter %s", name)
		}
	}
	for _, name := range understood {
		if v, there := h[name]; there {
			if _, isText := v.(string); !isText {
				return hufu.Refuse(RuleMalformed, "header parameter %s is no string", name)
			}
		}
	}
	if h.Text("alg") != Alg {
		return hufu.Refuse(RuleAlg, "alg is not %s", Alg)
	}
	if keyLen(h.Text("enc")) == 0 {
		return hufu.Refuse(RuleEnc, "enc is neither A128GCM nor A256GCM")
	}
	m.Enc, m.KeyID, m.Typ, m.Cty = h.Text("enc"), h.Text("kid"), h.Text("typ"), h.Text("cty")
	if len(m.KeyID) > MaxKeyIDLen {
		return hufu.Refuse(RuleMalformed, "kid is longer than %d bytes", MaxKeyIDLen)
	}
	var errU, errV error
	m.APU, errU = jws.DecodeBase64(h.Text("apu"))
	m.APV, errV = jws.DecodeBase64(h.Text("apv"))
	if errU != nil || errV != nil || len(m.APU) > MaxPartyInfo || len(m.APV) > MaxPartyInfo {
		return hufu.Refuse(RuleMalformed, "apu or apv is not base64url of at most %d bytes", MaxPartyInfo)
	}
	epk, isObject := h["epk"].(map[string]any)
	if !isObject {
		return hufu.Refuse(RuleMalformed, "no epk")
	}
	var err error
	m.epk, err = KeyOf(epk) // on the curve, so no small-subgroup or invalid-curve trick reaches Decrypt
	return err
}

// Decrypt returns the content. It refuses with [RuleKey] a message that names another key, and with
// [RuleDecrypt] one that was not encrypted to key or was altered in any part, the header included.
func (m *Message) Decrypt(key *PrivateKey) ([]byte, error) {
	if m.KeyID != "" && key.pub.KeyID != "" && m.KeyID != key.pub.KeyID {
		return nil, hufu.Refuse(RuleKey, "encrypted to another key")
	}
	aead, err := contentCipher(key, m.epk, m.Enc, m.APU, m.APV)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, m.iv, m.sealed, []byte(m.protected))
	if err != nil {
		return nil, hufu.Refuse(RuleDecrypt, "does not decrypt with the key")
	}
	return plaintext, nil
}

func keyLen(enc string) int {
	switch enc {
	case A128GCM:
		return 16
	case A256GCM:
		return 32
	}
	return 0
}

func contentCipher(own *PrivateKey, other PublicKey, enc string, apu, apv []byte) (cipher.AEAD, error) {
	z, err := own.key.ECDH(other.key)
	if err != nil {
		return nil, hufu.Refuse(RuleKey, "no shared secret with the key")
	}
	block, err := aes.NewCipher(deriveKey(z, enc, apu, apv))
	if err != nil {
		return nil, fmt.Errorf("jwe: %w", err)
	}
	return cipher.NewGCM(block)
}

// deriveKey is the Concat KDF of NIST SP 800-56A §5.8.1 as RFC 7518 §4.6.2 fills it in. One round of
// SHA-256 gives as many bytes as the longest key has.
func deriveKey(z []byte, enc string, apu, apv []byte) []byte {
	n := keyLen(enc)
	info := slices.Concat([]byte{0, 0, 0, 1}, z, counted([]byte(enc)), counted(apu), counted(apv))
	info = binary.BigEndian.AppendUint32(info, uint32(8*n)) // SuppPubInfo: key length in bits
	return digest(info)[:n]
}

func counted(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

func digest(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
