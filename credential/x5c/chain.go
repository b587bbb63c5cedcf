package x5c

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// Chain is certificates as they came, the leaf first, each in the profile of this package. Nothing
// they say is to be believed before [Chain.Verify].
type Chain struct {
	certs []*x509.Certificate
	leaf  Certified
}

// Certified is what a leaf says.
type Certified struct {
	Key        keys.PublicKey // P-256
	DID        hufu.DID       // the one did:hufu URI among the names, or "" when there is none
	DNS        []string       // in lower case
	Country    string         // of the subject, "" when it has none
	Thumbprint hufu.Digest    // SHA-256 of the certificate, for the client identifier prefix x509_hash
	NotBefore  time.Time
	NotAfter   time.Time
}

// b64 is the base64 of x5c, which is not base64url (RFC 7515 §4.1.6).
var b64 = base64.StdEncoding.Strict()

// ParseHeader reads an x5c header as decoded from JSON: a list of base64 texts.
func ParseHeader(x5c any) (Chain, error) {
	list, ok := x5c.([]any)
	if !ok {
		return Chain{}, hufu.Refuse(RuleMalformed, "x5c is no list")
	}
	if len(list) > MaxCertificates {
		return Chain{}, tooMany(len(list))
	}
	ders := make([][]byte, len(list))
	for i, e := range list {
		text, _ := e.(string)
		if len(text) > b64.EncodedLen(MaxCertificateSize) {
			return Chain{}, hufu.Refuse(RuleTooLarge, "certificate %d is over %d bytes", i, MaxCertificateSize)
		}
		der, err := b64.DecodeString(text)
		if err != nil || strings.ContainsAny(text, "\r\n") {
			return Chain{}, hufu.Refuse(RuleMalformed, "certificate %d is not in base64", i)
		}
		ders[i] = der
	}
	return Parse(ders)
}

func tooMany(n int) error {
	return hufu.Refuse(RuleTooLarge, "%d certificates, at most %d", n, MaxCertificates)
}

// Parse reads a chain, the leaf first. It checks each certificate by itself.
func Parse(ders [][]byte) (Chain, error) {
	if len(ders) == 0 {
		return Chain{}, hufu.Refuse(RuleMalformed, "no certificate")
	}
	if len(ders) > MaxCertificates {
		return Chain{}, tooMany(len(ders))
	}
	c := Chain{certs: make([]*x509.Certificate, len(ders))}
	for i, der := range ders {
		if len(der) > MaxCertificateSize {
			return Chain{}, hufu.Refuse(RuleTooLarge, "certificate %d is over %d bytes", i, MaxCertificateSize)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return Chain{}, hufu.Refuse(RuleMalformed, "certificate %d is none by RFC 5280", i)
		}
		if err := checkForm(cert, i); err != nil {
			return Chain{}, err
		}
		c.certs[i] = cert
	}
	var err error
	c.leaf, err = readLeaf(c.certs[0])
	return c, err
}

func checkForm(cert *x509.Certificate, i int) error {
	pub, ok := cert.PublicKey.(*ecdsa.PublicKey)
	if !ok || pub.Curve != elliptic.P256() || cert.SignatureAlgorithm != x509.ECDSAWithSHA256 {
		return hufu.Refuse(RuleAlg, "certificate %d is not ECDSA with P-256 and SHA-256", i)
	}
	if cert.Version != 3 {
		return hufu.Refuse(RuleMalformed, "certificate %d is not version 3", i)
	}
	for _, e := range cert.Extensions {
		known := e.Id.Equal(oidBasic) || e.Id.Equal(oidKeyUsage) || e.Id.Equal(oidExtKeyUsage) || e.Id.Equal(oidSubjectAltName)
		limits := e.Id.Equal(oidNameConstraints) || e.Id.Equal(oidPolicyConstr) || e.Id.Equal(oidPolicyMappings)
		if e.Critical && !known || limits {
			return hufu.Refuse(RuleExtension, "certificate %d has extension %s, which is not understood", i, e.Id)
		}
	}
	if len(cert.DNSNames)+len(cert.URIs) > MaxDNSNames+1 {
		return hufu.Refuse(RuleTooLarge, "certificate %d has over %d names", i, MaxDNSNames)
	}
	return nil
}

func readLeaf(cert *x509.Certificate) (Certified, error) {
	key, err := publicKey(cert)
	if err != nil {
		return Certified{}, hufu.Refuse(RuleMalformed, "certificate 0 has no usable key")
	}
	l := Certified{Key: key, Thumbprint: sha256.Sum256(cert.Raw), NotBefore: cert.NotBefore, NotAfter: cert.NotAfter}
	for _, name := range cert.DNSNames {
		l.DNS = append(l.DNS, strings.ToLower(name))
	}
	if len(cert.Subject.Country) == 1 {
		l.Country = cert.Subject.Country[0]
	}
	for _, u := range cert.URIs {
		did := hufu.DID(u.String())
		if _, _, err := did.Parse(); err != nil {
			continue
		}
		if l.DID != "" {
			return Certified{}, hufu.Refuse(RuleName, "the leaf names more than one identifier")
		}
		l.DID = did
	}
	return l, nil
}

// publicKey is a certificate's key as a [keys.PublicKey].
func publicKey(cert *x509.Certificate) (keys.PublicKey, error) {
	point, err := cert.PublicKey.(*ecdsa.PublicKey).Bytes()
	if err != nil {
		return keys.PublicKey{}, err
	}
	return keys.NewPublicKeyFromPoint(keys.P256, point[1:33], point[33:])
}

// Leaf is what the leaf says, unverified.
func (c Chain) Leaf() Certified { return c.leaf }

// DER is the certificates as they came. The caller must not change them.
func (c Chain) DER() [][]byte {
	out := make([][]byte, len(c.certs))
	for i, cert := range c.certs {
		out[i] = cert.Raw
	}
	return out
}

// Header is the chain as the value of an x5c header.
func Header(ders ...[]byte) []any {
	out := make([]any, len(ders))
	for i, der := range ders {
		out[i] = b64.EncodeToString(der)
	}
	return out
}

func selfIssued(cert *x509.Certificate) bool {
	return bytes.Equal(cert.RawIssuer, cert.RawSubject)
}
