package sdjwt_test

import (
	"crypto/rand"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
)

// scene is an issuer, a holder and a verifier at one moment.
type scene struct {
	issuer, holder keys.Signer
	now            time.Time
	claims         map[string]any
	decoys         int
	disclosable    func(sdjwt.Path) bool
}

const (
	issuerDID   = "did:hufu:demo:zIssuer"
	issuerKeyID = issuerDID + "#assert"
	residentVCT = "https://example.org/resident/1"
	audience    = "decentralized_identifier:did:hufu:demo:zGate"
	nonce       = "n-0S6_WzA2Mj"
)

func newScene(t testing.TB, suite *keys.Suite) *scene {
	t.Helper()
	s := &scene{now: time.Unix(1_750_000_000, 0)}
	var err error
	if s.issuer, err = suite.Generate(rand.Reader); err != nil {
		t.Fatal(err)
	}
	if s.holder, err = suite.Generate(rand.Reader); err != nil {
		t.Fatal(err)
	}
	s.claims = map[string]any{
		"given_name": "小虎", "family_name": "符", "birthdate": "1990-02-28", "sex": 1, "nationality": "CN",
		"resident_number": "990101199002281234",
		"address":         map[string]any{"region": "CN-33", "street": "西湖区\"文\"三路 \\ 1", "postal_code": "310000"},
		"age_equal_or_over": map[string]any{
			"14": true, "16": true, "18": true, "60": false,
		},
		"roles": []any{"resident", map[string]any{"guardian_of": "x"}, json.Number("3.14"), nil},
	}
	return s
}

func (s *scene) issueParams() sdjwt.IssueParams {
	return sdjwt.IssueParams{
		Type: residentVCT, Issuer: issuerDID, KeyID: issuerKeyID, Signer: s.issuer,
		Claims: s.claims, Decoys: s.decoys, Disclosable: s.disclosable, HolderKey: s.holder.Public(),
		IssuedAt: s.now.Add(-time.Hour), ExpiresAt: s.now.Add(time.Hour),
		Status: &sdjwt.StatusRef{URI: "https://ledger.example/statuslists/" + issuerDID + "/1", Index: 4711},
	}
}

func (s *scene) issue(t testing.TB) string {
	t.Helper()
	c, err := sdjwt.Issue(rand.Reader, s.issueParams())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *scene) credential(t testing.TB) *sdjwt.Credential {
	t.Helper()
	c, err := sdjwt.Parse(s.issue(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *scene) keyBinding() sdjwt.KeyBinding {
	return sdjwt.KeyBinding{Audience: audience, Nonce: nonce, IssuedAt: s.now, Signer: s.holder}
}

func (s *scene) present(t testing.TB, disclose ...sdjwt.Path) string {
	t.Helper()
	p, err := s.credential(t).Present(rand.Reader, disclose, s.keyBinding())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (s *scene) resolve(iss, kid, _ string, _ int64) (keys.PublicKey, error) {
	if iss != issuerDID || kid != issuerKeyID {
		return keys.PublicKey{}, hufu.Refuse("test.unknown-key", "no such key")
	}
	return s.issuer.Public(), nil
}

func (s *scene) params() sdjwt.VerifyParams {
	return sdjwt.VerifyParams{
		Now: s.now, RequireKeyBinding: true, Audience: audience, Nonce: nonce, ResolveKey: s.resolve,
	}
}

func (s *scene) copies(t testing.TB, n int) []sdjwt.Copy {
	t.Helper()
	copies := make([]sdjwt.Copy, n)
	for i := range copies {
		k, err := s.issuer.Public().Suite().Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		copies[i] = sdjwt.Copy{HolderKey: k.Public(), Status: &sdjwt.StatusRef{URI: "https://ledger.example/1", Index: uint64(i * 7)}}
	}
	return copies
}

type signatureCheck struct {
	key          keys.PublicKey
	message, sig []byte
}

// signatures are the two checks in a presentation, ready to be made.
func (s *scene) signatures(t testing.TB, presentation string) []signatureCheck {
	t.Helper()
	parts := strings.Split(presentation, "~")
	out := []signatureCheck{{key: s.issuer.Public()}, {key: s.holder.Public()}}
	for i, token := range []string{parts[0], parts[len(parts)-1]} {
		m, err := jws.Parse(token, sdjwt.MaxSize)
		if err != nil {
			t.Fatal(err)
		}
		out[i].message, out[i].sig = []byte(m.SigningInput), m.Signature
	}
	return out
}

// bare is what an issuer has to sign and to hash at least.
func (s *scene) bare(t testing.TB) (message []byte, disclosures [][]byte) {
	t.Helper()
	parts := strings.Split(s.issue(t), "~")
	for _, d := range parts[1 : len(parts)-1] {
		disclosures = append(disclosures, []byte(d))
	}
	return []byte(parts[0][:strings.LastIndexByte(parts[0], '.')]), disclosures
}
