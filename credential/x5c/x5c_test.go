package x5c_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
)

var (
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	agency = hufu.ID{1}.DID("test")
	other  = hufu.ID{2}.DID("test")
)

const year = 365 * 24 * time.Hour

func newKey(t testing.TB, s *keys.Suite) keys.Signer {
	t.Helper()
	k, err := s.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// authority is an agency's: its key is what the ledger has.
type authority struct {
	signer keys.Signer
	der    []byte
}

func newAuthority(t testing.TB) authority {
	t.Helper()
	s := newKey(t, keys.P256)
	der, err := x5c.MakeCA(rand.Reader, s, agency, x5c.Subject{CommonName: "Agency CA", Organization: "Agency", Country: "CN"}, now.Add(-year), now.Add(5*year))
	if err != nil {
		t.Fatal(err)
	}
	return authority{s, der}
}

func leafOf(key keys.PublicKey) x5c.Leaf {
	return x5c.Leaf{
		Key: key, DID: agency, DNS: []string{"issuer.example"}, Use: x5c.DocumentSigner,
		Subject:   x5c.Subject{CommonName: "Agency signer 1", Country: "CN"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
	}
}

func (a authority) leaf(t testing.TB, l x5c.Leaf) []byte {
	t.Helper()
	der, err := x5c.MakeLeaf(rand.Reader, a.der, a.signer, l)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// params accept the authority for the agency.
func (a authority) params() x5c.VerifyParams {
	return x5c.VerifyParams{
		Now: now, Use: x5c.DocumentSigner,
		Authorities: func(did hufu.DID, _ time.Time) ([]keys.PublicKey, error) {
			if did != agency {
				return nil, nil
			}
			return []keys.PublicKey{a.signer.Public()}, nil
		},
	}
}

func verify(t testing.TB, p x5c.VerifyParams, ders ...[]byte) (x5c.Certified, error) {
	t.Helper()
	c, err := x5c.Parse(ders)
	if err != nil {
		return x5c.Certified{}, err
	}
	return c.Verify(p)
}

func wantRule(t testing.TB, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}

func TestVerify(t *testing.T) {
	a := newAuthority(t)
	key := newKey(t, keys.P256).Public()
	der := a.leaf(t, leafOf(key))
	for name, ders := range map[string][][]byte{"leaf alone": {der}, "with its authority": {der, a.der}} {
		t.Run(name, func(t *testing.T) {
			c, err := x5c.ParseHeader(x5c.Header(ders...))
			if err != nil {
				t.Fatal(err)
			}
			got, err := c.Verify(a.params())
			if err != nil {
				t.Fatal(err)
			}
			want := x5c.Certified{
				Key: key, DID: agency, DNS: []string{"issuer.example"}, Country: "CN",
				Thumbprint: sha256.Sum256(der), NotBefore: now.Add(-time.Hour), NotAfter: now.Add(30 * 24 * time.Hour),
			}
			if !got.Key.Equal(want.Key) || got.DID != want.DID || !slices.Equal(got.DNS, want.DNS) || got.Country != want.Country ||
				got.Thumbprint != want.Thumbprint || !got.NotBefore.Equal(want.NotBefore) || !got.NotAfter.Equal(want.NotAfter) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if !slices.EqualFunc(c.DER(), ders, bytes.Equal) {
				t.Error("DER gives other certificates back")
			}
		})
	}
}

// An authority given by its key needs no identifier, and is asked for nobody else.
func TestVerifyUnderGivenKey(t *testing.T) {
	a := newAuthority(t)
	der := a.leaf(t, leafOf(newKey(t, keys.P256).Public()))
	if _, err := verify(t, x5c.VerifyParams{Now: now, Use: x5c.DocumentSigner, CA: a.signer.Public()}, der); err != nil {
		t.Error(err)
	}
	_, err := verify(t, x5c.VerifyParams{Now: now, Use: x5c.DocumentSigner, CA: newKey(t, keys.P256).Public()}, der)
	wantRule(t, err, x5c.RuleAnchor)
}

// The ledger is asked for the keys as of the authority's signature.
func TestAuthoritiesAreAskedAsOfIssue(t *testing.T) {
	a := newAuthority(t)
	der := a.leaf(t, leafOf(newKey(t, keys.P256).Public()))
	for _, ders := range [][][]byte{{der}, {der, a.der}} {
		p, asked := a.params(), 0
		p.Authorities = func(did hufu.DID, at time.Time) ([]keys.PublicKey, error) {
			asked++
			if did != agency || !at.Equal(now.Add(-time.Hour)) {
				t.Errorf("asked for %s at %s", did, at)
			}
			return []keys.PublicKey{newKey(t, keys.SM2).Public(), newKey(t, keys.P256).Public(), a.signer.Public()}, nil
		}
		if _, err := verify(t, p, ders...); err != nil || asked != 1 {
			t.Errorf("asked %d times: %v", asked, err)
		}
		refusal := hufu.Refuse("did.key-fallen", "signatures with the key no longer stand")
		p.Authorities = func(hufu.DID, time.Time) ([]keys.PublicKey, error) { return nil, refusal }
		if _, err := verify(t, p, ders...); !errors.Is(err, refusal) {
			t.Errorf("the lookup's refusal became %v", err)
		}
		p.Authorities = func(hufu.DID, time.Time) ([]keys.PublicKey, error) { return nil, nil }
		_, err := verify(t, p, ders...)
		wantRule(t, err, x5c.RuleAnchor)
	}
}

func TestVerifyFailsClosed(t *testing.T) {
	a := newAuthority(t)
	der := a.leaf(t, leafOf(newKey(t, keys.P256).Public()))
	for name, p := range map[string]x5c.VerifyParams{
		"no anchor": {Now: now, Use: x5c.DocumentSigner},
		"no time":   {Use: x5c.DocumentSigner, CA: a.signer.Public()},
	} {
		if _, err := verify(t, p, der); err == nil || hufu.RuleOf(err) != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := (x5c.Chain{}).Verify(a.params()); hufu.RuleOf(err) != x5c.RuleMalformed {
		t.Errorf("the empty chain: %v", err)
	}
}

func TestTimes(t *testing.T) {
	a := newAuthority(t)
	der := a.leaf(t, leafOf(newKey(t, keys.P256).Public()))
	from, until := now.Add(-time.Hour), now.Add(30*24*time.Hour)
	for _, c := range []struct {
		at   time.Time
		skew time.Duration
		rule hufu.Rule
	}{
		{from, 0, ""},
		{from.Add(-time.Second), 0, x5c.RuleEarly},
		{from.Add(-time.Second), time.Second, ""},
		{until, 0, ""},
		{until.Add(time.Second), 0, x5c.RuleExpired},
		{until.Add(time.Second), time.Second, ""},
	} {
		p := a.params()
		p.Now, p.ClockSkew = c.at, c.skew
		_, err := verify(t, p, der)
		wantRule(t, err, c.rule)
	}
	// The authority's own certificate counts when it is sent.
	short := authority{signer: a.signer}
	var err error
	short.der, err = x5c.MakeCA(rand.Reader, a.signer, agency, x5c.Subject{CommonName: "Agency CA", Organization: "Agency", Country: "CN"}, now.Add(-2*year), now.Add(-year))
	if err != nil {
		t.Fatal(err)
	}
	_, err = verify(t, a.params(), der, short.der)
	wantRule(t, err, x5c.RuleExpired)
}

func TestUses(t *testing.T) {
	a := newAuthority(t)
	allowed := map[x5c.Use][]x5c.Use{ // made for → usable for
		x5c.CredentialSigner: {x5c.CredentialSigner, x5c.RequestSigner},
		x5c.DocumentSigner:   {x5c.CredentialSigner, x5c.DocumentSigner},
		x5c.RequestSigner:    {x5c.CredentialSigner, x5c.RequestSigner},
		x5c.Reader:           {x5c.RequestSigner, x5c.Reader},
	}
	for made, usable := range allowed {
		l := leafOf(newKey(t, keys.P256).Public())
		l.Use = made
		der := a.leaf(t, l)
		for _, use := range []x5c.Use{x5c.CredentialSigner, x5c.DocumentSigner, x5c.RequestSigner, x5c.Reader} {
			p := a.params()
			p.Use = use
			_, err := verify(t, p, der)
			if slices.Contains(usable, use) {
				wantRule(t, err, "")
			} else {
				wantRule(t, err, x5c.RuleUsage)
			}
		}
		p := a.params()
		p.Use = 99
		_, err := verify(t, p, der)
		wantRule(t, err, x5c.RuleUsage)
	}
}

// forge makes certificates that MakeCA and MakeLeaf would not.
type forge struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func p256(t *testing.T) *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func uri(t *testing.T, s string) *url.URL {
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// under makes a certificate for a new key, signed by the parent, or by itself without one.
func under(t *testing.T, parent *forge, change func(*x509.Certificate)) *forge {
	t.Helper()
	key := p256(t)
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{uri(t, string(agency))},
		UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 0, 18013, 5, 1, 2}},
	}
	change(tmpl)
	return signed(t, parent, tmpl, key)
}

func signed(t *testing.T, parent *forge, tmpl *x509.Certificate, key *ecdsa.PrivateKey) *forge {
	t.Helper()
	if parent == nil {
		parent = &forge{t: t, cert: tmpl, key: key}
	}
	return finish(t, parent.cert, tmpl, &key.PublicKey, parent.key, key)
}

func finish(t *testing.T, parent, tmpl *x509.Certificate, pub any, by crypto.Signer, key *ecdsa.PrivateKey) *forge {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &forge{t: t, cert: cert, key: key}
}

func asCA(name string, change func(*x509.Certificate)) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		c.Subject.CommonName, c.IsCA, c.BasicConstraintsValid = name, true, true
		c.KeyUsage = x509.KeyUsageCertSign
		c.UnknownExtKeyUsage = nil
		change(c)
	}
}

func asIs(*x509.Certificate) {}

func (f *forge) pub() keys.PublicKey {
	b, err := f.key.PublicKey.Bytes()
	if err != nil {
		f.t.Fatal(err)
	}
	k, err := keys.NewPublicKeyFromPoint(keys.P256, b[1:33], b[33:])
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

func TestForeignHierarchy(t *testing.T) {
	root := under(t, nil, asCA("root", asIs))
	mid := under(t, root, asCA("mid", asIs))
	leaf := under(t, mid, asIs)
	p := x5c.VerifyParams{Now: now, Use: x5c.DocumentSigner, CA: root.pub()}
	for _, ders := range [][][]byte{{leaf.cert.Raw, mid.cert.Raw}, {leaf.cert.Raw, mid.cert.Raw, root.cert.Raw}} {
		if _, err := verify(t, p, ders...); err != nil {
			t.Error(err)
		}
	}
	_, err := verify(t, p, leaf.cert.Raw)
	wantRule(t, err, x5c.RuleAnchor)
}

func TestRefusals(t *testing.T) {
	root := under(t, nil, asCA("root", asIs))
	otherRoot := under(t, nil, asCA("root", asIs))
	leaf := under(t, root, asIs)
	raw := func(fs ...*forge) (out [][]byte) {
		for _, f := range fs {
			out = append(out, f.cert.Raw)
		}
		return out
	}
	mid := func(change func(*x509.Certificate)) *forge { return under(t, root, asCA("mid", change)) }
	under2 := func(m *forge) [][]byte { return raw(under(t, m, asIs), m) }
	edPub, edKey, _ := ed25519.GenerateKey(rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	plain := func(name string) *x509.Certificate {
		return &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
	}
	sha384 := plain("sha384")
	sha384.SignatureAlgorithm = x509.ECDSAWithSHA384
	ext := func(critical bool, id ...int) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: id, Critical: critical, Value: []byte{5, 0}}}
		}
	}
	bitFlipped := bytes.Clone(leaf.cert.Raw)
	bitFlipped[len(bitFlipped)-1] ^= 1
	selfLeaf := under(t, nil, asIs)
	keyAlone := under(t, root, func(c *x509.Certificate) { c.Subject = pkix.Name{CommonName: "root"} })

	for _, c := range []struct {
		name string
		ders [][]byte
		rule hufu.Rule
	}{
		{"nothing", nil, x5c.RuleMalformed},
		{"no DER", [][]byte{[]byte("hello")}, x5c.RuleMalformed},
		{"empty", [][]byte{{}}, x5c.RuleMalformed},
		{"trailing byte", [][]byte{append(bytes.Clone(leaf.cert.Raw), 0)}, x5c.RuleMalformed},
		{"truncated", [][]byte{leaf.cert.Raw[:len(leaf.cert.Raw)-1]}, x5c.RuleMalformed},
		{"too many", raw(leaf, root, root, root, root, root), x5c.RuleTooLarge},
		{"too large", [][]byte{make([]byte, x5c.MaxCertificateSize+1)}, x5c.RuleTooLarge},
		{"too many names", raw(under(t, root, func(c *x509.Certificate) {
			for i := range x5c.MaxDNSNames + 1 {
				c.DNSNames = append(c.DNSNames, strings.Repeat("a", i+1)+".example")
			}
		})), x5c.RuleTooLarge},
		{"Ed25519 key", raw(finish(t, root.cert, plain("ed"), edPub, root.key, nil)), x5c.RuleAlg},
		{"Ed25519 authority", raw(finish(t, plain("ed root"), plain("leaf"), edPub, edKey, nil)), x5c.RuleAlg},
		{"P-384", raw(finish(t, plain("p384 root"), plain("leaf"), p384.Public(), p384, nil)), x5c.RuleAlg},
		{"SHA-384", raw(finish(t, root.cert, sha384, &p256(t).PublicKey, root.key, nil)), x5c.RuleAlg},
		{"critical unknown", raw(under(t, root, ext(true, 1, 2, 3, 4))), x5c.RuleExtension},
		{"name constraints", under2(mid(func(c *x509.Certificate) {
			c.PermittedDNSDomains = []string{"example"}
		})), x5c.RuleExtension},
		{"name constraints on IP, not critical", under2(mid(func(c *x509.Certificate) {
			_, n, _ := net.ParseCIDR("127.0.0.0/8")
			c.PermittedIPRanges = []*net.IPNet{n}
			c.PermittedDNSDomainsCritical = false
		})), x5c.RuleExtension},
		{"two identifiers", raw(under(t, root, func(c *x509.Certificate) { c.URIs = append(c.URIs, uri(t, string(other))) })), x5c.RuleName},
		{"self-signed leaf", raw(selfLeaf), x5c.RuleSelf},
		{"self-signed leaf under an authority", raw(selfLeaf, root), x5c.RuleSelf},
		{"leaf with its own issuer's name", raw(keyAlone), x5c.RuleSelf},
		{"authority as leaf", raw(mid(func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageDigitalSignature })), x5c.RuleSelf},
		{"no key usage", raw(under(t, root, func(c *x509.Certificate) { c.KeyUsage = 0 })), x5c.RuleUsage},
		{"key agreement", raw(under(t, root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement })), x5c.RuleUsage},
		{"leaf signs certificates", raw(under(t, root, func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign })), x5c.RuleUsage},
		{"no extended key usage", raw(under(t, root, func(c *x509.Certificate) { c.UnknownExtKeyUsage = nil })), x5c.RuleUsage},
		{"web server", raw(under(t, root, func(c *x509.Certificate) {
			c.UnknownExtKeyUsage, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		})), x5c.RuleUsage},
		{"expired authority", raw(under(t, root, asIs), under(t, nil, asCA("root", func(c *x509.Certificate) { c.NotAfter = now.Add(-time.Minute) }))), x5c.RuleExpired},
		{"leaf above a leaf", raw(under(t, leaf, func(c *x509.Certificate) { c.Subject.CommonName = "leaf 2" }), leaf), x5c.RuleAuthority},
		{"no basic constraints", under2(mid(func(c *x509.Certificate) { c.BasicConstraintsValid, c.IsCA = false, false })), x5c.RuleAuthority},
		{"not an authority", under2(mid(func(c *x509.Certificate) { c.IsCA = false })), x5c.RuleAuthority},
		{"authority not for certificates", under2(mid(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageCRLSign })), x5c.RuleAuthority},
		{"path too long", func() [][]byte {
			top := under(t, root, asCA("top", func(c *x509.Certificate) { c.MaxPathLenZero = true }))
			m := under(t, top, asCA("mid", asIs))
			return raw(under(t, m, asIs), m, top)
		}(), x5c.RuleAuthority},
		{"root in the middle", raw(leaf, root, mid(asIs)), x5c.RuleOrder},
		{"wrong order", raw(leaf, mid(asIs)), x5c.RuleOrder},
		{"other key id", raw(leaf, otherRoot), x5c.RuleOrder},
		{"other key, same name", func() [][]byte {
			f := finish(t, &x509.Certificate{Subject: pkix.Name{CommonName: "root"}, SubjectKeyId: root.cert.SubjectKeyId}, &x509.Certificate{
				SerialNumber: big.NewInt(7), Subject: pkix.Name{CommonName: "leaf"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(time.Hour),
				KeyUsage: x509.KeyUsageDigitalSignature, URIs: []*url.URL{uri(t, string(agency))},
				UnknownExtKeyUsage: []asn1.ObjectIdentifier{{1, 0, 18013, 5, 1, 2}},
			}, &p256(t).PublicKey, otherRoot.key, nil)
			return raw(f, root)
		}(), x5c.RuleSignature},
		{"signature altered", [][]byte{bitFlipped, root.cert.Raw}, x5c.RuleSignature},
		{"signature altered, authority not sent", [][]byte{bitFlipped}, x5c.RuleAnchor},
		{"another's authority", raw(under(t, otherRoot, asIs), otherRoot), x5c.RuleAnchor},
		{"another's authority, not sent", raw(under(t, otherRoot, asIs)), x5c.RuleAnchor},
		{"no identifier", raw(under(t, root, func(c *x509.Certificate) { c.URIs = nil })), x5c.RuleName},
		{"another kind of URI", raw(under(t, root, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, "https://issuer.example")} })), x5c.RuleName},
		{"another's identifier", raw(under(t, root, func(c *x509.Certificate) { c.URIs = []*url.URL{uri(t, string(other))} })), x5c.RuleAnchor},
		{"good", raw(leaf), ""},
		{"good with authority", raw(leaf, root), ""},
		{"good with another extension", raw(under(t, root, ext(false, 1, 2, 3, 4))), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := authority{}.params()
			p.Authorities = func(did hufu.DID, _ time.Time) ([]keys.PublicKey, error) {
				if did != agency {
					return nil, nil
				}
				return []keys.PublicKey{root.pub()}, nil
			}
			_, err := verify(t, p, c.ders...)
			wantRule(t, err, c.rule)
		})
	}
}

func TestHeaderRefusals(t *testing.T) {
	a := newAuthority(t)
	good := base64.StdEncoding.EncodeToString(a.leaf(t, leafOf(newKey(t, keys.P256).Public())))
	for name, c := range map[string]struct {
		header any
		rule   hufu.Rule
	}{
		"a text":       {good, x5c.RuleMalformed},
		"nothing":      {nil, x5c.RuleMalformed},
		"empty":        {[]any{}, x5c.RuleMalformed},
		"a number":     {[]any{1}, x5c.RuleMalformed},
		"line break":   {[]any{good[:64] + "\n" + good[64:]}, x5c.RuleMalformed},
		"base64url":    {[]any{base64.RawURLEncoding.EncodeToString([]byte{0xfb, 0xff})}, x5c.RuleMalformed},
		"too large":    {[]any{strings.Repeat("A", base64.StdEncoding.EncodedLen(x5c.MaxCertificateSize)+4)}, x5c.RuleTooLarge},
		"too many":     {[]any{good, good, good, good, good, good}, x5c.RuleTooLarge},
		"as it is due": {[]any{good}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := x5c.ParseHeader(c.header)
			wantRule(t, err, c.rule)
		})
	}
}

func TestMakeRefusals(t *testing.T) {
	a := newAuthority(t)
	key := newKey(t, keys.P256).Public()
	for name, change := range map[string]func(*x5c.Leaf){
		"no identifier": func(l *x5c.Leaf) { l.DID = "" },
		"the authority's name": func(l *x5c.Leaf) {
			l.Subject = x5c.Subject{CommonName: "Agency CA", Organization: "Agency", Country: "CN"}
		},
		"no name":              func(l *x5c.Leaf) { l.Subject.CommonName = "" },
		"long name":            func(l *x5c.Leaf) { l.Subject.Organization = strings.Repeat("x", 65) },
		"no country":           func(l *x5c.Leaf) { l.Subject.Country = "cn" },
		"no time":              func(l *x5c.Leaf) { l.NotAfter = l.NotBefore },
		"too long a life":      func(l *x5c.Leaf) { l.NotAfter = l.NotBefore.Add(x5c.MaxDocumentSignerLife + time.Second) },
		"before the authority": func(l *x5c.Leaf) { l.NotBefore = now.Add(-2 * year) },
		"after the authority":  func(l *x5c.Leaf) { l.NotBefore, l.NotAfter = now.Add(5*year-time.Hour), now.Add(5*year+time.Hour) },
		"wildcard":             func(l *x5c.Leaf) { l.DNS = []string{"*.example"} },
		"capitals":             func(l *x5c.Leaf) { l.DNS = []string{"Issuer.example"} },
		"too many names":       func(l *x5c.Leaf) { l.DNS = slices.Repeat([]string{"a.example"}, x5c.MaxDNSNames+1) },
		"too large": func(l *x5c.Leaf) {
			l.DNS = slices.Repeat([]string{strings.Repeat(strings.Repeat("a", 62)+".", 4) + "b"}, x5c.MaxDNSNames)
		},
		"Ed25519":           func(l *x5c.Leaf) { l.Key = newKey(t, keys.Ed25519).Public() },
		"no key":            func(l *x5c.Leaf) { l.Key = keys.PublicKey{} },
		"the authority key": func(l *x5c.Leaf) { l.Key = a.signer.Public() },
	} {
		t.Run(name, func(t *testing.T) {
			l := leafOf(key)
			change(&l)
			if _, err := x5c.MakeLeaf(rand.Reader, a.der, a.signer, l); err == nil {
				t.Error("was made")
			}
		})
	}
	if _, err := x5c.MakeLeaf(rand.Reader, a.der, newKey(t, keys.P256), leafOf(key)); err == nil {
		t.Error("made under an authority by another's key")
	}
	if _, err := x5c.MakeLeaf(rand.Reader, a.leaf(t, leafOf(key)), a.signer, leafOf(newKey(t, keys.P256).Public())); err == nil {
		t.Error("made under a leaf")
	}
	if _, err := x5c.MakeCA(rand.Reader, newKey(t, keys.Ed25519), agency, x5c.Subject{CommonName: "x"}, now, now.Add(year)); err == nil {
		t.Error("an authority with an Ed25519 key")
	}
	if _, err := x5c.MakeCA(rand.Reader, a.signer, agency, x5c.Subject{CommonName: "x"}, now, now.Add(21*year)); err == nil {
		t.Error("an authority for 21 years")
	}
}

func FuzzParse(f *testing.F) {
	a := newAuthority(f)
	der := a.leaf(f, leafOf(newKey(f, keys.P256).Public()))
	f.Add(der)
	f.Add(a.der)
	f.Fuzz(func(t *testing.T, der []byte) {
		c, err := x5c.Parse([][]byte{der})
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("no refusal: %v", err)
			}
			return
		}
		if !bytes.Equal(c.DER()[0], der) {
			t.Fatal("other bytes came back")
		}
		got, err := c.Verify(a.params())
		if err == nil && got.DID != agency {
			t.Fatal("verified for another identifier")
		}
	})
}
