package mdoc

import (
	"errors"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/cose"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// VerifyParams is what a document or presentation is checked against.
type VerifyParams struct {
	Now       time.Time
	ClockSkew time.Duration // how far the clocks of issuer and verifier may be off, in either direction

	Session Transcript // of this session, made by the verifier itself; not used for a document without presentation
	DocType string     // the one accepted; "": any

	// Authorities are the keys of an identifier at a time: see [x5c.VerifyParams].
	Authorities func(did hufu.DID, at time.Time) ([]keys.PublicKey, error)
	// AnyAuthority accepts a chain that nobody vouches for, when Authorities is nil: a holder may keep a
	// stranger's document. Verified.Issuer is then "".
	AnyAuthority bool
}

// Verified is what a presentation proves: Issuer said it and, for a presentation, the holder of DeviceKey
// shows it in this session.
type Verified struct {
	Content
	Issuer hufu.DID
}

var (
	errNoTime    = errors.New("mdoc: Now is not set")
	errNoSession = errors.New("mdoc: Session is not set")
	errNoIssuer  = errors.New("mdoc: Authorities is nil")
)

func (p *VerifyParams) check() error {
	switch {
	case p.Now.IsZero():
		return errNoTime
	case (p.Authorities == nil) != p.AnyAuthority:
		return errNoIssuer
	}
	return nil
}

// Verify checks a response with one document and returns what it proves. It refuses with the rules of
// this package, of package x5c and of p.Authorities. Any other error says nothing about the response: a
// mistake in p, or Authorities could not look. What is left to the caller: whether the elements are those
// that were asked for, accreditation, status, contract.
func Verify(response string, p VerifyParams) (*Verified, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if len(p.Session) == 0 {
		return nil, errNoSession
	}
	doc, d, err := parseResponse(response)
	if err != nil {
		return nil, err
	}
	if doc.DocType != d.DocType {
		return nil, hufu.Refuse(RuleDocType, "the document type is not the one that was signed")
	}
	if err := d.checkHolding(&p); err != nil {
		return nil, err
	}
	if err := d.verifyDevice(doc, p.Session); err != nil {
		return nil, err
	}
	return d.verifyIssuer(&p)
}

// Verify checks what a holder received from an issuer.
func (c *Credential) Verify(p VerifyParams) (*Verified, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	if err := c.issued.checkHolding(&p); err != nil {
		return nil, err
	}
	return c.issued.verifyIssuer(&p)
}

// parseResponse reads a DeviceResponse with exactly one document, as OpenID4VP sends them.
func parseResponse(response string) (*document, *issued, error) {
	raw, err := decode(response)
	if err != nil {
		return nil, nil, err
	}
	var r deviceResponse
	if err := read(raw, &r, "the response"); err != nil {
		return nil, nil, err
	}
	if err := checkVersion(r.Version); err != nil {
		return nil, nil, err
	}
	if r.Status != 0 || r.DocumentErrors != nil || len(r.Documents) != 1 {
		return nil, nil, hufu.Refuse(RuleAnswer, "status %d with %d documents, not 0 with exactly one", r.Status, len(r.Documents))
	}
	var doc document
	if err := read(r.Documents[0], &doc, "the document"); err != nil {
		return nil, nil, err
	}
	if doc.Errors != nil {
		return nil, nil, hufu.Refuse(RuleAnswer, "the document comes with errors")
	}
	d, err := parseIssued(doc.IssuerSigned)
	return &doc, d, err
}

// checkHolding checks type, times and digests.
func (d *issued) checkHolding(p *VerifyParams) error {
	if p.DocType != "" && p.DocType != d.DocType {
		return hufu.Refuse(RuleDocType, "another document type than the one asked for")
	}
	early, late := p.Now.Add(-p.ClockSkew), p.Now.Add(p.ClockSkew)
	switch {
	case !early.Before(d.ValidUntil):
		return hufu.Refuse(RuleExpired, "valid until %s", d.ValidUntil.Format(time.RFC3339))
	case late.Before(d.Signed):
		return hufu.Refuse(RuleFuture, "signed at %s", d.Signed.Format(time.RFC3339))
	case late.Before(d.ValidFrom):
		return hufu.Refuse(RuleNotYetValid, "valid from %s", d.ValidFrom.Format(time.RFC3339))
	}
	return d.checkDigests()
}

// verifyDevice checks the holder's signature over the session (ISO/IEC 18013-5 §9.1.3).
func (d *issued) verifyDevice(doc *document, session Transcript) error {
	var s deviceSigned
	if err := read(doc.DeviceSigned, &s, "DeviceSigned"); err != nil {
		return err
	}
	inner, err := unembed(s.NameSpaces)
	if err != nil {
		return err
	}
	var added map[string]encoding.RawCBOR
	if err := read(inner, &added, "DeviceNameSpaces"); err != nil {
		return err
	}
	switch {
	case len(added) > 0:
		return hufu.Refuse(RuleDeviceElements, "the holder added elements; none are authorised")
	case d.noDevice != nil:
		return d.noDevice
	case s.DeviceAuth.Signature == nil && s.DeviceAuth.MAC != nil:
		return hufu.Refuse(RuleDeviceMAC, "device authentication by MAC is not supported")
	case s.DeviceAuth.Signature == nil || s.DeviceAuth.MAC != nil:
		return hufu.Refuse(RuleDeviceMissing, "not exactly one device authentication")
	}
	m, err := cose.Parse(s.DeviceAuth.Signature, MaxSize)
	if err != nil || m.Tagged {
		return hufu.Refuse(RuleDeviceSignature, "deviceSignature is no untagged COSE_Sign1 message")
	}
	message, err := deviceAuthentication(session, d.DocType, s.NameSpaces)
	if err != nil {
		return err
	}
	if err := m.VerifyDetached(d.DeviceKey, message); err != nil {
		return refuseAs(RuleDeviceSignature, "deviceSignature", err)
	}
	return nil
}

// verifyIssuer checks the chain, then the signature under it (§9.3.1).
func (d *issued) verifyIssuer(p *VerifyParams) (*Verified, error) {
	v := &Verified{Content: d.Content}
	leaf := d.chain.Leaf()
	if p.AnyAuthority {
		if err := d.chain.Check(p.Now, p.ClockSkew, x5c.DocumentSigner); err != nil {
			return nil, err
		}
	} else {
		certified, err := d.chain.Verify(x5c.VerifyParams{
			Now: p.Now, ClockSkew: p.ClockSkew, Use: x5c.DocumentSigner, Authorities: d.heldThroughout(p.Authorities),
		})
		if err != nil {
			return nil, err
		}
		v.Issuer = certified.DID
	}
	if d.Signed.Before(leaf.NotBefore) || d.Signed.After(leaf.NotAfter) {
		return nil, hufu.Refuse(RuleSignedThen, "signed at %s, when the certificate did not hold", d.Signed.Format(time.RFC3339))
	}
	if err := d.auth.Verify(leaf.Key); err != nil {
		return nil, refuseAs(RuleSignature, "issuerAuth", err)
	}
	return v, nil
}

// heldThroughout looks for authorities' keys that held both when the certificate was made and when the
// document was signed: whoever ended an authority is not bound by what its certificates sign later.
func (d *issued) heldThroughout(authorities func(hufu.DID, time.Time) ([]keys.PublicKey, error)) func(hufu.DID, time.Time) ([]keys.PublicKey, error) {
	return func(did hufu.DID, at time.Time) ([]keys.PublicKey, error) {
		made, err := authorities(did, at)
		if err != nil {
			return nil, err
		}
		then, err := authorities(did, d.Signed)
		return slices.DeleteFunc(slices.Clone(made), func(k keys.PublicKey) bool { return !slices.ContainsFunc(then, k.Equal) }), err
	}
}
