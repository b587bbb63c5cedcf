package sdjwt_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
)

// A credential names its signer by a certificate under an authority of the issuer.
func TestIssueUnderACertificate(t *testing.T) {
	did, at := hufu.ID{1}.DID("demo"), time.Unix(1_800_000_000, 0)
	generate := func() keys.Signer {
		k, err := keys.P256.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	authority, signer := generate(), generate()
	subject := x5c.Subject{CommonName: "Agency", Country: "CN"}
	ca, err := x5c.MakeCA(rand.Reader, authority, did, subject, at.Add(-time.Hour), at.AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x5c.MakeLeaf(rand.Reader, ca, authority, x5c.Leaf{
		Key: signer.Public(), DID: did, Subject: x5c.Subject{CommonName: "Agency signer", Country: "CN"}, Use: x5c.DocumentSigner, NotBefore: at.Add(-time.Hour), NotAfter: at.AddDate(0, 6, 0),
	})
	if err != nil {
		t.Fatal(err)
	}
	params := sdjwt.IssueParams{Type: "urn:x", Issuer: string(did), Signer: signer, Chain: [][]byte{leaf}, IssuedAt: at, Claims: map[string]any{"a": true}}
	credential, err := sdjwt.Issue(rand.Reader, params)
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range credential {
		if c == '~' {
			credential = credential[:i]
			break
		}
	}
	m, err := jws.Parse(credential, sdjwt.MaxSize)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := x5c.ParseHeader(m.Header["x5c"])
	if err != nil {
		t.Fatal(err)
	}
	got, err := chain.Verify(x5c.VerifyParams{Now: at, Use: x5c.CredentialSigner, CA: authority.Public()})
	if err != nil || got.DID != did {
		t.Fatal(got, err)
	}
	if err := m.Verify(got.Key); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*sdjwt.IssueParams){
		"another signer": func(p *sdjwt.IssueParams) { p.Signer = generate() },
		"another issuer": func(p *sdjwt.IssueParams) { p.Issuer = string(hufu.ID{2}.DID("demo")) },
		"too early":      func(p *sdjwt.IssueParams) { p.IssuedAt = at.Add(-2 * time.Hour) },
		"no certificate": func(p *sdjwt.IssueParams) { p.Chain = [][]byte{{1}} },
		"the authority":  func(p *sdjwt.IssueParams) { p.Chain = [][]byte{ca} },
	} {
		p := params
		change(&p)
		if _, err := sdjwt.Issue(rand.Reader, p); err == nil {
			t.Errorf("%s: issued", name)
		}
	}
}
