package x5c

import (
	"bytes"
	"crypto/x509"
	"errors"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// VerifyParams is what a chain is checked against.
type VerifyParams struct {
	Now       time.Time
	ClockSkew time.Duration // how far the clocks of authority and verifier may be off, in either direction
	Use       Use

	// Authorities returns the P-256 keys that did had at a time for assertions, on the ledger. The
	// time is when the authority's signature on the topmost certificate below it claims to be made. A
	// refusal it returns is Verify's.
	Authorities func(did hufu.DID, at time.Time) ([]keys.PublicKey, error)
	// CA is the one authority to accept, in place of Authorities; the leaf need name no identifier.
	CA keys.PublicKey
}

var (
	errNoAnchor = errors.New("x5c: neither Authorities nor CA is given")
	errNoTime   = errors.New("x5c: Now is not set")
)

// Verify checks that the chain leads from an authority of the identifier that the leaf names to the
// leaf. The authority's own certificate may be in the chain or not. It refuses with the rules of this
// package and those of Authorities; any other error says nothing about the chain.
func (c Chain) Verify(p VerifyParams) (Certified, error) {
	if p.Authorities == nil && p.CA.IsZero() {
		return Certified{}, errNoAnchor
	}
	if err := c.Check(p.Now, p.ClockSkew, p.Use); err != nil {
		return Certified{}, err
	}
	candidates, err := c.candidates(&p)
	if err != nil {
		return Certified{}, err
	}
	top := c.certs[len(c.certs)-1]
	if selfIssued(top) {
		own, err := publicKey(top)
		if err != nil {
			return Certified{}, hufu.Refuse(RuleMalformed, "the authority's certificate has no usable key")
		}
		for _, k := range candidates {
			if k.Equal(own) { // its signatures were checked by Check
				return c.leaf, nil
			}
		}
		return Certified{}, errAnchor
	}
	for _, k := range candidates {
		pub, err := certKey(k)
		if err != nil {
			continue // a key of another suite signs no certificates
		}
		if signedBy(top, pub) {
			return c.leaf, nil
		}
	}
	return Certified{}, errAnchor
}

var errAnchor = hufu.Refuse(RuleAnchor, "the chain does not lead to a key of the identifier that the leaf names")

func (c Chain) candidates(p *VerifyParams) ([]keys.PublicKey, error) {
	if !p.CA.IsZero() {
		return []keys.PublicKey{p.CA}, nil
	}
	if c.leaf.DID == "" {
		return nil, hufu.Refuse(RuleName, "the leaf names no identifier of a ledger")
	}
	made := c.certs[len(c.certs)-1]
	if selfIssued(made) {
		made = c.certs[len(c.certs)-2] // Check refused a self-issued leaf
	}
	return p.Authorities(c.leaf.DID, made.NotBefore)
}

// Check is everything of [Chain.Verify] but the authority: a chain that passes hangs together and is
// for this use, and nobody vouches for it. It is for a wallet, which shows a stranger as a stranger.
func (c Chain) Check(now time.Time, skew time.Duration, use Use) error {
	switch {
	case now.IsZero():
		return errNoTime
	case len(c.certs) == 0:
		return hufu.Refuse(RuleMalformed, "no certificate")
	}
	leaf := c.certs[0]
	switch {
	case selfIssued(leaf):
		return hufu.Refuse(RuleSelf, "the leaf is issued by itself")
	case leaf.IsCA:
		return hufu.Refuse(RuleSelf, "the leaf is an authority")
	case leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 || leaf.KeyUsage&x509.KeyUsageCertSign != 0:
		return hufu.Refuse(RuleUsage, "the leaf's key is not for signatures alone")
	case !use.allows(leaf):
		return hufu.Refuse(RuleUsage, "the leaf's extended key usage is for something else")
	}
	for i, cert := range c.certs {
		switch {
		case now.Add(-skew).After(cert.NotAfter):
			return hufu.Refuse(RuleExpired, "certificate %d expired at %s", i, stamp(cert.NotAfter))
		case now.Add(skew).Before(cert.NotBefore):
			return hufu.Refuse(RuleEarly, "certificate %d is valid from %s", i, stamp(cert.NotBefore))
		}
		if err := c.checkAuthority(i); err != nil {
			return err
		}
	}
	for i := range c.certs {
		if err := c.checkLink(i); err != nil {
			return err
		}
	}
	return nil
}

// checkAuthority checks that certificate i may stand above those below it (RFC 5280 §6.1.4 k–n).
func (c Chain) checkAuthority(i int) error {
	if i == 0 {
		return nil
	}
	cert := c.certs[i]
	switch {
	case !cert.BasicConstraintsValid || !cert.IsCA:
		return hufu.Refuse(RuleAuthority, "certificate %d is no authority", i)
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return hufu.Refuse(RuleAuthority, "certificate %d is not for signing certificates", i)
	case (cert.MaxPathLen > 0 || cert.MaxPathLenZero) && i-1 > cert.MaxPathLen:
		return hufu.Refuse(RuleAuthority, "certificate %d allows %d authorities below it and there are %d", i, cert.MaxPathLen, i-1)
	case selfIssued(cert) && i != len(c.certs)-1:
		return hufu.Refuse(RuleOrder, "certificate %d is issued by itself and not the last", i)
	}
	return nil
}

// checkLink checks that certificate i follows from the next one, or from itself.
func (c Chain) checkLink(i int) error {
	cert, above := c.certs[i], c.certs[i]
	if i+1 < len(c.certs) {
		above = c.certs[i+1]
	} else if !selfIssued(cert) {
		return nil // the authority is known by its key alone
	}
	if !bytes.Equal(cert.RawIssuer, above.RawSubject) {
		return hufu.Refuse(RuleOrder, "certificate %d is issued by another name than the next one's", i)
	}
	if len(cert.AuthorityKeyId) > 0 && len(above.SubjectKeyId) > 0 && !bytes.Equal(cert.AuthorityKeyId, above.SubjectKeyId) {
		return hufu.Refuse(RuleOrder, "certificate %d is issued by another key than the next one's", i)
	}
	if !signedBy(cert, above.PublicKey) {
		return hufu.Refuse(RuleSignature, "certificate %d is not signed by the one above it", i)
	}
	return nil
}

// signedBy reports whether a key signed a certificate.
func signedBy(cert *x509.Certificate, key any) bool {
	signer := x509.Certificate{PublicKeyAlgorithm: x509.ECDSA, PublicKey: key}
	return signer.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature) == nil
}
