package mdoc

import (
	"fmt"
	"io"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/cose"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// Credential is a document in its holder's hands. Parsing does not verify it.
type Credential struct {
	Content
	issued *issued
	raw    string
}

// Parse reads a document as an issuer sends it, checking its form. Use [Credential.Verify] to know
// whether it is the issuer's.
func Parse(credential string) (*Credential, error) {
	raw, err := decode(credential)
	if err != nil {
		return nil, err
	}
	d, err := parseIssued(raw)
	if err != nil {
		return nil, err
	}
	return &Credential{Content: d.Content, issued: d, raw: credential}, nil
}

// String is the document as it was parsed.
func (c *Credential) String() string { return c.raw }

// ElementID names one element.
type ElementID struct{ Namespace, Identifier string }

// Present makes a response (DeviceResponse in base64url) with this document, the elements named and no
// others, signed for one session by the holder's key. It refuses an element that the document has not
// with [RuleUnknownClaim] and a signer that is not the holder's with [RuleDeviceKey].
func (c *Credential) Present(rand io.Reader, show []ElementID, session Transcript, signer keys.Signer) (string, error) {
	if c.noDevice != nil {
		return "", c.noDevice
	}
	if !signer.Public().Equal(c.DeviceKey) {
		return "", hufu.Refuse(RuleDeviceKey, "the document is bound to another key than the signer's")
	}
	out := issuerSigned{IssuerAuth: c.issued.authRaw}
	chosen := make(map[ElementID]bool, len(show))
	for i, id := range show {
		if _, there := c.Elements[id.Namespace][id.Identifier]; !there {
			return "", hufu.Refuse(RuleUnknownClaim, "element %d to show is not in the document", i+1)
		}
		chosen[id] = true
	}
	for i := range c.issued.items {
		it := &c.issued.items[i]
		if !chosen[ElementID{it.namespace, it.Identifier}] {
			continue
		}
		if out.NameSpaces == nil {
			out.NameSpaces = map[string][]encoding.RawCBOR{}
		}
		out.NameSpaces[it.namespace] = append(out.NameSpaces[it.namespace], it.raw)
	}
	raw, err := c.respond(rand, &out, session, signer)
	if err != nil {
		return "", err
	}
	if len(raw) > MaxSize {
		return "", hufu.Refuse(RuleTooLarge, "%d bytes, more than %d", len(raw), MaxSize)
	}
	return jws.EncodeBase64(raw), nil
}

func (c *Credential) respond(rand io.Reader, shown *issuerSigned, session Transcript, signer keys.Signer) ([]byte, error) {
	none, err := embed([]byte{0xa0}) // the holder adds no elements of its own
	if err != nil {
		return nil, err
	}
	message, err := deviceAuthentication(session, c.DocType, none)
	if err != nil {
		return nil, err
	}
	signature, err := cose.SignDetached(rand, cose.Header{}, message, signer)
	if err != nil {
		return nil, fmt.Errorf("mdoc: %w", err)
	}
	doc := document{DocType: c.DocType}
	if doc.IssuerSigned, err = encoding.MarshalForeign(shown); err != nil {
		return nil, err
	}
	if doc.DeviceSigned, err = encoding.Marshal(&deviceSigned{NameSpaces: none, DeviceAuth: deviceAuth{Signature: signature}}); err != nil {
		return nil, err
	}
	raw, err := encoding.MarshalForeign(&doc)
	if err != nil {
		return nil, err
	}
	return encoding.MarshalForeign(&deviceResponse{Version: "1.0", Documents: []encoding.RawCBOR{raw}})
}
