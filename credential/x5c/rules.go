package x5c

import (
	"crypto/x509"
	"encoding/asn1"
	"time"

	"github.com/hufu-id/hufu"
)

// Limits on what is read. They are checked before anything is decoded.
const (
	MaxCertificates    = 5       // a leaf, its authority and room for a foreign hierarchy
	MaxCertificateSize = 8 << 10 // bytes of DER of one; a web server's with all its log proofs has about 2,000
	MaxDNSNames        = 32      // names in one leaf
)

// Limits on what is made (ISO/IEC 18013-5 Annex B): certificates that live longer are refused by
// readers that hold to it.
const (
	MaxAuthorityLife      = 20 * 366 * 24 * time.Hour
	MaxDocumentSignerLife = 457 * 24 * time.Hour
	MaxReaderLife         = 1187 * 24 * time.Hour
)

// The rules a chain can be refused by, in the order of the checks.
const (
	RuleTooLarge  hufu.Rule = "x5c.too-large"   // over MaxCertificates, MaxCertificateSize or MaxDNSNames
	RuleMalformed hufu.Rule = "x5c.malformed"   // no certificate, or one that RFC 5280 does not allow
	RuleAlg       hufu.Rule = "x5c.alg"         // another algorithm than ECDSA with P-256 and SHA-256
	RuleExtension hufu.Rule = "x5c.extension"   // a critical extension that is not understood, or constraints on names or policies
	RuleSelf      hufu.Rule = "x5c.self-signed" // the leaf certifies itself, or is an authority
	RuleUsage     hufu.Rule = "x5c.usage"       // the leaf's key is for something else
	RuleExpired   hufu.Rule = "x5c.expired"
	RuleEarly     hufu.Rule = "x5c.not-yet-valid"
	RuleAuthority hufu.Rule = "x5c.authority" // a certificate above the leaf is no authority, or not for so long a path
	RuleOrder     hufu.Rule = "x5c.order"     // a certificate does not follow from the next one
	RuleName      hufu.Rule = "x5c.name"      // not exactly one identifier in the leaf's names
	RuleAnchor    hufu.Rule = "x5c.anchor"    // the authority's key is none of the identifier's
	RuleSignature hufu.Rule = "x5c.signature" // a certificate is not signed by the one above
)

// Use says what a leaf's key signs. It is in the certificate as extended key usage, so that a gate's
// certificate cannot issue and an issuer's cannot ask.
type Use int

// The uses. A leaf without extended key usage serves for CredentialSigner and RequestSigner.
const (
	CredentialSigner Use = iota // credentials in any format but mdoc
	DocumentSigner              // mdoc, and credentials in every other format (ISO/IEC 18013-5 B.1.4)
	RequestSigner               // requests of a verifier; a web server's certificate serves too
	Reader                      // requests of a verifier for mdoc, and any other (ISO/IEC 18013-5 B.1.7)
)

var (
	oidDocumentSigner = asn1.ObjectIdentifier{1, 0, 18013, 5, 1, 2}
	oidReader         = asn1.ObjectIdentifier{1, 0, 18013, 5, 1, 6}

	oidSubjectAltName  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidIssuerAltName   = asn1.ObjectIdentifier{2, 5, 29, 18}
	oidExtKeyUsage     = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidKeyUsage        = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasic           = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidPolicyMappings  = asn1.ObjectIdentifier{2, 5, 29, 33}
	oidPolicyConstr    = asn1.ObjectIdentifier{2, 5, 29, 36}
)

// oid is the extended key usage that a leaf made for this use has, or nil.
func (u Use) oid() asn1.ObjectIdentifier {
	switch u {
	case DocumentSigner:
		return oidDocumentSigner
	case Reader:
		return oidReader
	}
	return nil
}

// maxLife is the longest a leaf for this use may live.
func (u Use) maxLife() time.Duration {
	if u == DocumentSigner || u == CredentialSigner {
		return MaxDocumentSignerLife
	}
	return MaxReaderLife
}

// allows reports whether a leaf may be used so.
func (u Use) allows(leaf *x509.Certificate) bool {
	none := len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0
	signs, asks := false, false
	for _, o := range leaf.UnknownExtKeyUsage {
		signs = signs || o.Equal(oidDocumentSigner)
		asks = asks || o.Equal(oidReader)
	}
	web := false
	for _, k := range leaf.ExtKeyUsage {
		web = web || k == x509.ExtKeyUsageServerAuth || k == x509.ExtKeyUsageClientAuth
	}
	switch u {
	case CredentialSigner:
		return none || signs
	case DocumentSigner:
		return signs
	case RequestSigner:
		return none || asks || web
	case Reader:
		return asks
	}
	return false
}
