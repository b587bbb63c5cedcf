package x5c

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// Subject is the name in a certificate. It is for people to read; nothing is decided by it.
type Subject struct {
	CommonName   string
	Organization string
	Country      string // ISO 3166-1 alpha-2; mdoc readers compare it between leaf and authority
}

func (s Subject) name() (pkix.Name, error) {
	n := pkix.Name{CommonName: s.CommonName}
	if s.CommonName == "" || len(s.CommonName) > maxNameLen || len(s.Organization) > maxNameLen {
		return n, fmt.Errorf("x5c: a subject has a common name of 1 to %d bytes and an organization of as many at most", maxNameLen)
	}
	if s.Organization != "" {
		n.Organization = []string{s.Organization}
	}
	if s.Country != "" {
		if len(s.Country) != 2 || strings.Trim(s.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return n, errors.New("x5c: a country is two capital letters")
		}
		n.Country = []string{s.Country}
	}
	return n, nil
}

// maxNameLen is ub-common-name and ub-organization-name of RFC 5280 Appendix A.
const maxNameLen = 64

// MakeCA makes the certificate of an authority: signer's key, signed by itself, for leaves only (path
// length 0). did is the identifier on the ledger that has the key as a verification method.
func MakeCA(rand io.Reader, signer keys.Signer, did hufu.DID, subject Subject, notBefore, notAfter time.Time) ([]byte, error) {
	t, err := template(rand, did, subject, notBefore, notAfter, MaxAuthorityLife)
	if err != nil {
		return nil, err
	}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	key, err := certKey(signer.Public())
	if err != nil {
		return nil, err
	}
	t.SubjectKeyId = keyID(key)
	return create(rand, t, t, key, signer)
}

// Leaf is what [MakeLeaf] puts into a certificate.
type Leaf struct {
	Key                 keys.PublicKey // P-256
	DID                 hufu.DID       // the identifier that the authority belongs to
	DNS                 []string       // further names, for the client identifier prefix x509_san_dns
	Subject             Subject
	Use                 Use
	NotBefore, NotAfter time.Time // within the authority's
}

// MakeLeaf makes a certificate below the authority whose certificate (DER) and signer are given.
func MakeLeaf(rand io.Reader, authority []byte, signer keys.Signer, leaf Leaf) ([]byte, error) {
	ca, err := x509.ParseCertificate(authority)
	if err != nil {
		return nil, fmt.Errorf("x5c: the authority's certificate: %w", err)
	}
	caKey, err := certKey(signer.Public())
	if err != nil {
		return nil, err
	}
	switch {
	case !caKey.Equal(ca.PublicKey):
		return nil, errors.New("x5c: the signer is not the authority's")
	case !ca.IsCA:
		return nil, errors.New("x5c: the certificate to sign under is no authority's")
	case leaf.NotBefore.Before(ca.NotBefore) || leaf.NotAfter.After(ca.NotAfter):
		return nil, fmt.Errorf("x5c: the authority's certificate holds from %s to %s, the leaf would from %s to %s", stamp(ca.NotBefore), stamp(ca.NotAfter), stamp(leaf.NotBefore), stamp(leaf.NotAfter))
	case leaf.Key.Equal(signer.Public()):
		return nil, errors.New("x5c: a leaf has another key than its authority")
	}
	t, err := template(rand, leaf.DID, leaf.Subject, leaf.NotBefore, leaf.NotAfter, leaf.Use.maxLife())
	if err != nil {
		return nil, err
	}
	if len(leaf.DNS) > MaxDNSNames {
		return nil, fmt.Errorf("x5c: %d DNS names, at most %d", len(leaf.DNS), MaxDNSNames)
	}
	for _, name := range leaf.DNS {
		if !validDNS(name) {
			return nil, fmt.Errorf("x5c: %q is no DNS name in lower case", name)
		}
	}
	if t.Subject.String() == ca.Subject.String() {
		return nil, errors.New("x5c: a leaf has another name than its authority, or it would seem to be signed by itself")
	}
	t.DNSNames = leaf.DNS
	t.KeyUsage = x509.KeyUsageDigitalSignature
	if o := leaf.Use.oid(); o != nil {
		ext, err := asn1.Marshal([]asn1.ObjectIdentifier{o})
		if err != nil {
			return nil, err
		}
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: oidExtKeyUsage, Critical: true, Value: ext})
	}
	key, err := certKey(leaf.Key)
	if err != nil {
		return nil, err
	}
	t.SubjectKeyId = keyID(key)
	der, err := create(rand, t, ca, key, signer)
	if err != nil {
		return nil, err
	}
	if len(der) > MaxCertificateSize {
		return nil, fmt.Errorf("x5c: the certificate would have %d bytes, at most %d", len(der), MaxCertificateSize)
	}
	return der, nil
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// template holds what authority and leaf have in common. The identifier is both subject and issuer
// alternative name: an authority signs for its own identifier only.
func template(rand io.Reader, did hufu.DID, subject Subject, notBefore, notAfter time.Time, longest time.Duration) (*x509.Certificate, error) {
	if _, _, err := did.Parse(); err != nil {
		return nil, fmt.Errorf("x5c: %w", err)
	}
	name, err := subject.name()
	if err != nil {
		return nil, err
	}
	notBefore, notAfter = notBefore.UTC().Truncate(time.Second), notAfter.UTC().Truncate(time.Second)
	if !notAfter.After(notBefore) || notAfter.Sub(notBefore) > longest {
		return nil, fmt.Errorf("x5c: a certificate of this kind lives from one second to %d days", longest/(24*time.Hour))
	}
	uri, err := url.Parse(string(did))
	if err != nil {
		return nil, fmt.Errorf("x5c: %w", err)
	}
	const tagURI = 6 // uniformResourceIdentifier of GeneralName (RFC 5280 §4.2.1.6)
	issuerName, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tagURI, Bytes: []byte(did)}})
	if err != nil {
		return nil, err
	}
	serial := make([]byte, 16)
	if _, err := io.ReadFull(rand, serial); err != nil {
		return nil, err
	}
	serial[0] = serial[0]&0x7f | 0x40 // positive and of one length
	return &x509.Certificate{
		SerialNumber:    new(big.Int).SetBytes(serial),
		Subject:         name,
		NotBefore:       notBefore,
		NotAfter:        notAfter,
		URIs:            []*url.URL{uri},
		ExtraExtensions: []pkix.Extension{{Id: oidIssuerAltName, Value: issuerName}},
	}, nil
}

func create(rand io.Reader, t, parent *x509.Certificate, key *ecdsa.PublicKey, signer keys.Signer) ([]byte, error) {
	own, err := certKey(signer.Public())
	if err != nil {
		return nil, err
	}
	t.SignatureAlgorithm = x509.ECDSAWithSHA256
	der, err := x509.CreateCertificate(rand, t, parent, key, messageSigner{signer, own})
	if err != nil {
		return nil, fmt.Errorf("x5c: %w", err)
	}
	return der, nil
}

// certKey is a P-256 key in the form of crypto/x509.
func certKey(k keys.PublicKey) (*ecdsa.PublicKey, error) {
	if k.Suite() != keys.P256 {
		return nil, errors.New("x5c: certificates are for P-256 keys")
	}
	x, y := k.Coordinates()
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(append([]byte{4}, x...), y...))
}

// keyID is a subject key identifier (RFC 7093 §2 method 1).
func keyID(k *ecdsa.PublicKey) []byte {
	point, err := k.Bytes()
	if err != nil {
		return nil // unreachable: the key was made from a point of the curve
	}
	sum := sha256.Sum256(point)
	return sum[:20]
}

// messageSigner is a [keys.Signer] as crypto/x509 wants it: the message is hashed inside, the
// signature is DER.
type messageSigner struct {
	keys.Signer
	pub *ecdsa.PublicKey
}

func (s messageSigner) Public() crypto.PublicKey { return s.pub }

func (s messageSigner) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("x5c: the key signs messages, not digests")
}

func (s messageSigner) SignMessage(rand io.Reader, message []byte, opts crypto.SignerOpts) ([]byte, error) {
	if opts.HashFunc() != crypto.SHA256 {
		return nil, errors.New("x5c: the key signs with SHA-256")
	}
	sig, err := s.Signer.Sign(rand, message)
	if err != nil {
		return nil, err
	}
	half := len(sig) / 2
	return asn1.Marshal(struct{ R, S *big.Int }{new(big.Int).SetBytes(sig[:half]), new(big.Int).SetBytes(sig[half:])})
}

// validDNS takes a host name in lower case, without wildcard (RFC 1123 §2.1).
func validDNS(name string) bool {
	if name == "" || len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	return true
}
