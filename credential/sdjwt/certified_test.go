package sdjwt_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
)

// TestVerifyCertified shows a credential whose signer is known by a certificate alone, and takes each
// thing away that makes it good.
func TestVerifyCertified(t *testing.T) {
	s := newScene(t, keys.P256)
	did := hufu.ID{1}.DID("demo")
	authority, err := keys.P256.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	subject := x5c.Subject{CommonName: "Agency", Country: "CN"}
	ca, err := x5c.MakeCA(rand.Reader, authority, did, subject, s.now.AddDate(0, -2, 0), s.now.AddDate(2, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x5c.MakeLeaf(rand.Reader, ca, authority, x5c.Leaf{
		Key: s.issuer.Public(), DID: did, Subject: x5c.Subject{CommonName: "Agency signer", Country: "CN"}, Use: x5c.CredentialSigner,
		NotBefore: s.now.AddDate(0, -1, 0), NotAfter: s.now.AddDate(0, 0, 20),
	})
	if err != nil {
		t.Fatal(err)
	}
	p := s.issueParams()
	p.Issuer, p.KeyID, p.Chain, p.ExpiresAt = string(did), "", [][]byte{leaf}, s.now.AddDate(1, 0, 0)
	credential, err := sdjwt.Issue(rand.Reader, p)
	if err != nil {
		t.Fatal(err)
	}
	present := func(credential string, at time.Time) string {
		c, err := sdjwt.Parse(credential)
		if err != nil {
			t.Fatal(err)
		}
		kb := s.keyBinding()
		kb.IssuedAt = at
		out, err := c.Present(rand.Reader, []sdjwt.Path{{"sex"}}, kb)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	asked := func(ks ...keys.Signer) func(hufu.DID, time.Time) ([]keys.PublicKey, error) {
		return func(d hufu.DID, _ time.Time) ([]keys.PublicKey, error) {
			var out []keys.PublicKey
			for _, k := range ks {
				out = append(out, k.Public())
			}
			if d != did {
				t.Errorf("asked about %s", d)
			}
			return out, nil
		}
	}
	atMost := func(last time.Time) func(hufu.DID, time.Time) ([]keys.PublicKey, error) {
		return func(_ hufu.DID, at time.Time) ([]keys.PublicKey, error) {
			if at.After(last) {
				return nil, nil
			}
			return []keys.PublicKey{authority.Public()}, nil
		}
	}
	outage := errors.New("no ledger")
	for name, c := range map[string]struct {
		authorities func(hufu.DID, time.Time) ([]keys.PublicKey, error)
		now         time.Time
		change      func(string) string
		want        hufu.Rule
	}{
		"fine":                              {authorities: asked(authority)},
		"fine, among others":                {authorities: asked(s.holder, authority)},
		"certificates not accepted":         {want: sdjwt.RuleIssuerKey},
		"no authority on the ledger":        {authorities: asked(), want: x5c.RuleAnchor},
		"another authority":                 {authorities: asked(s.holder), want: x5c.RuleAnchor},
		"authority gone when it was issued": {authorities: atMost(s.now.AddDate(0, 0, -1)), want: x5c.RuleAnchor},
		"certificate expired":               {authorities: asked(authority), now: s.now.AddDate(0, 0, 21), want: x5c.RuleExpired},
		"signature altered": {authorities: asked(authority), want: sdjwt.RuleSignature, change: func(p string) string {
			head, rest, _ := strings.Cut(p, "~")
			at := strings.LastIndexByte(head, '.') + 5
			swap := byte('A')
			if head[at] == 'A' {
				swap = 'B'
			}
			return head[:at] + string(swap) + head[at+1:] + "~" + rest
		}},
	} {
		t.Run(name, func(t *testing.T) {
			params := s.params()
			params.Authorities = c.authorities
			if !c.now.IsZero() {
				params.Now = c.now
			}
			credential := credential
			if c.change != nil {
				credential = c.change(credential)
			}
			v, err := sdjwt.Verify(present(credential, params.Now), params)
			wantRule(t, err, c.want)
			if c.want == "" && (err != nil || v.Issuer != string(did)) {
				t.Errorf("%v: %v", v, err)
			}
		})
	}
	params := s.params()
	params.Authorities = func(hufu.DID, time.Time) ([]keys.PublicKey, error) { return nil, outage }
	if _, err := sdjwt.Verify(present(credential, s.now), params); !errors.Is(err, outage) {
		t.Errorf("an outage is %v", err)
	}
	params.Authorities = asked(authority)
	p.KeyID = string(did) + "#gone"
	named, err := sdjwt.Issue(rand.Reader, p)
	if err != nil {
		t.Fatal(err)
	}
	_, err = sdjwt.Verify(present(named, s.now), params)
	wantRule(t, err, "test.unknown-key") // a kid is asked about as ever, whatever certificates there are
}
