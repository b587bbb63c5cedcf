package cose

import (
	"errors"
	"fmt"
	"io"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// The rules a message can be refused by.
const (
	RuleTooLarge    hufu.Rule = "cose.too-large"   // more bytes than the caller allows
	RuleMalformed   hufu.Rule = "cose.malformed"   // not a COSE_Sign1 message
	RuleUnsupported hufu.Rule = "cose.unsupported" // a critical header, or one that stands in both places
	RuleAlg         hufu.Rule = "cose.alg"         // not the algorithm of the key
	RuleSignature   hufu.Rule = "cose.signature"   // not signed by the key
	RuleKey         hufu.Rule = "cose.key"         // not a COSE_Key of one of the suites
)

// Labels of header parameters (IANA "COSE Header Parameters").
const (
	labelAlg     = 1
	labelCrit    = 2
	labelKeyID   = 4
	labelType    = 16 // RFC 9596
	labelX5Chain = 33 // RFC 9360
)

const (
	tagSign1       = 18
	contextSign1   = "Signature1"
	maxHeaderItems = 32
)

// Header is the parameters that are known here. In [Sign], the type is protected, the others are not.
type Header struct {
	Type    string   // media type (RFC 9596)
	KeyID   []byte   // kid
	X5Chain [][]byte // certificates in DER, the leaf first (RFC 9360 §2)
}

// Message is a COSE_Sign1 taken apart. Nothing in it is to be believed before Verify.
type Message struct {
	Header
	Alg       int64
	Tagged    bool   // it came with tag 18
	Payload   []byte // nil: detached
	Signature []byte
	protected []byte // as it was signed
}

// wire is the array of RFC 9052 §4.2.
type wire struct {
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected encoding.RawCBOR
	Payload     encoding.RawCBOR
	Signature   []byte
}

// Sign makes an untagged message around a payload.
func Sign(rand io.Reader, h Header, payload []byte, signer keys.Signer) ([]byte, error) {
	embedded, err := encoding.Marshal(payload)
	if err != nil {
		return nil, err
	}
	return sign(rand, h, payload, embedded, signer)
}

// SignDetached makes an untagged message that signs payload without containing it.
func SignDetached(rand io.Reader, h Header, payload []byte, signer keys.Signer) ([]byte, error) {
	return sign(rand, h, payload, encoding.RawCBOR{0xf6}, signer)
}

// Tag puts the tag of COSE_Sign1 on a message.
func Tag(message []byte) []byte { return append([]byte{0xc0 | tagSign1}, message...) }

func sign(rand io.Reader, h Header, payload []byte, embedded encoding.RawCBOR, signer keys.Signer) ([]byte, error) {
	protected := map[int64]any{labelAlg: signer.Public().Suite().COSEAlg()}
	if h.Type != "" {
		protected[labelType] = h.Type
	}
	unprotected := map[int64]any{}
	if len(h.KeyID) > 0 {
		unprotected[labelKeyID] = h.KeyID
	}
	switch len(h.X5Chain) {
	case 0:
	case 1:
		unprotected[labelX5Chain] = h.X5Chain[0]
	default:
		unprotected[labelX5Chain] = h.X5Chain
	}
	w := wire{Payload: embedded}
	var err error
	if w.Protected, err = encoding.Marshal(protected); err != nil {
		return nil, fmt.Errorf("cose: header: %w", err)
	}
	if w.Unprotected, err = encoding.Marshal(unprotected); err != nil {
		return nil, fmt.Errorf("cose: header: %w", err)
	}
	message, err := toBeSigned(w.Protected, payload)
	if err != nil {
		return nil, err
	}
	if w.Signature, err = signer.Sign(rand, message); err != nil {
		return nil, fmt.Errorf("cose: sign: %w", err)
	}
	return encoding.Marshal(&w)
}

// toBeSigned is Sig_structure (RFC 9052 §4.4) without external data.
func toBeSigned(protected, payload []byte) ([]byte, error) {
	return encoding.Marshal([]any{contextSign1, protected, []byte{}, payload})
}

// Parse reads a message of at most most bytes, tagged or not.
func Parse(data []byte, most int) (*Message, error) {
	if len(data) > most {
		return nil, hufu.Refuse(RuleTooLarge, "%d bytes, more than %d", len(data), most)
	}
	m := &Message{}
	if len(data) > 0 && data[0]>>5 == 6 {
		var tag encoding.Tag
		if err := encoding.UnmarshalForeign(data, most, &tag); err != nil || tag.Number != tagSign1 {
			return nil, hufu.Refuse(RuleMalformed, "not a COSE_Sign1 message")
		}
		m.Tagged, data = true, tag.Content
	}
	var w wire
	if err := encoding.UnmarshalForeign(data, most, &w); err != nil || data[0]>>5 != 4 {
		return nil, hufu.Refuse(RuleMalformed, "not a COSE_Sign1 message")
	}
	if !isNull(w.Payload) {
		if err := encoding.UnmarshalForeign(w.Payload, most, &m.Payload); err != nil || w.Payload[0]>>5 != 2 {
			return nil, hufu.Refuse(RuleMalformed, "the payload is no byte string")
		}
		if m.Payload == nil {
			m.Payload = []byte{}
		}
	}
	m.protected, m.Signature = w.Protected, w.Signature
	return m, m.readHeaders(&w)
}

func isNull(item []byte) bool { return len(item) == 1 && item[0] == 0xf6 }

func (m *Message) readHeaders(w *wire) error {
	var protected, unprotected map[any]encoding.RawCBOR
	if err := encoding.UnmarshalForeign(w.Protected, len(w.Protected), &protected); err != nil || protected == nil {
		return hufu.Refuse(RuleMalformed, "the protected header is no map")
	}
	if err := encoding.UnmarshalForeign(w.Unprotected, len(w.Unprotected), &unprotected); err != nil || unprotected == nil {
		return hufu.Refuse(RuleMalformed, "the unprotected header is no map")
	}
	if len(protected)+len(unprotected) > maxHeaderItems {
		return hufu.Refuse(RuleTooLarge, "%d header parameters, more than %d", len(protected)+len(unprotected), maxHeaderItems)
	}
	for label := range protected {
		if _, both := unprotected[label]; both {
			return hufu.Refuse(RuleUnsupported, "a header parameter stands in both headers")
		}
	}
	// Every critical parameter would have to be understood and none that is needs to be marked so.
	for _, h := range []map[any]encoding.RawCBOR{protected, unprotected} {
		if _, there := h[uint64(labelCrit)]; there {
			return hufu.Refuse(RuleUnsupported, "critical header parameters are not understood")
		}
	}
	alg, there := protected[uint64(labelAlg)]
	if !there || encoding.UnmarshalForeign(alg, len(alg), &m.Alg) != nil {
		return hufu.Refuse(RuleAlg, "no alg among the protected parameters")
	}
	if typ, there := protected[uint64(labelType)]; there && encoding.UnmarshalForeign(typ, len(typ), &m.Type) != nil {
		m.Type = "" // a CoAP content format number, which is the type of nothing here
	}
	either := func(label uint64) encoding.RawCBOR {
		if v, there := protected[label]; there {
			return v
		}
		return unprotected[label]
	}
	if kid := either(labelKeyID); kid != nil && encoding.UnmarshalForeign(kid, len(kid), &m.KeyID) != nil {
		return hufu.Refuse(RuleMalformed, "kid is no byte string")
	}
	return m.readChain(either(labelX5Chain))
}

// readChain reads one certificate or an array of them.
func (m *Message) readChain(x5chain encoding.RawCBOR) error {
	if x5chain == nil {
		return nil
	}
	if x5chain[0]>>5 == 2 {
		m.X5Chain = make([][]byte, 1)
		if err := encoding.UnmarshalForeign(x5chain, len(x5chain), &m.X5Chain[0]); err == nil {
			return nil
		}
	} else if err := encoding.UnmarshalForeign(x5chain, len(x5chain), &m.X5Chain); err == nil && len(m.X5Chain) > 0 {
		return nil
	}
	return hufu.Refuse(RuleMalformed, "x5chain is neither a certificate nor a list of them")
}

// Verify checks that key signed the message with its payload.
func (m *Message) Verify(key keys.PublicKey) error {
	if m.Payload == nil {
		return hufu.Refuse(RuleMalformed, "the payload is detached")
	}
	return m.verify(key, m.Payload)
}

// VerifyDetached checks that key signed the message around a payload that it does not contain.
func (m *Message) VerifyDetached(key keys.PublicKey, payload []byte) error {
	if m.Payload != nil {
		return hufu.Refuse(RuleMalformed, "the payload is not detached")
	}
	return m.verify(key, payload)
}

var errNoKey = errors.New("cose: no key to verify with")

func (m *Message) verify(key keys.PublicKey, payload []byte) error {
	if key.IsZero() {
		return errNoKey
	}
	if !fits(m.Alg, key.Suite()) {
		return hufu.Refuse(RuleAlg, "alg %d is not the algorithm of the %s key", m.Alg, key.Suite())
	}
	message, err := toBeSigned(m.protected, payload)
	if err != nil {
		return err
	}
	if !key.Verify(message, m.Signature) {
		return hufu.Refuse(RuleSignature, "not signed by the key")
	}
	return nil
}

// fits reports whether an algorithm is a suite's, by its old number or the one that also says the
// curve (RFC 9864 §2.2).
func fits(alg int64, s *keys.Suite) bool {
	const esp256, ed25519 = -9, -19
	return alg == s.COSEAlg() || alg == esp256 && s == keys.P256 || alg == ed25519 && s == keys.Ed25519
}
