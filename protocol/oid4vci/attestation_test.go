package oid4vci_test

import (
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/oid4vci"
)

// attested is a wallet provider and the keys it attests.
type attested struct {
	*testing.T
	provider keys.Signer
	holders  []keys.Signer
}

func newAttested(t *testing.T, n int) *attested {
	a := &attested{T: t, provider: holder(t, keys.P256)}
	for range n {
		a.holders = append(a.holders, holder(t, keys.P256))
	}
	return a
}

func (a *attested) trust(h jws.Header, iss string) (keys.PublicKey, error) {
	if h.Text("kid") != "provider-1" || iss != "https://provider.example" {
		return keys.PublicKey{}, errors.New("nobody known")
	}
	return a.provider.Public(), nil
}

func (a *attested) token(change func(*oid4vci.KeyAttestation)) string {
	a.Helper()
	k := &oid4vci.KeyAttestation{
		Issuer: "https://provider.example", IssuedAt: now, ExpiresAt: now.Add(time.Hour), Nonce: nonce,
		KeyStorage: []string{oid4vci.ResistsHigh}, UserAuthentication: []string{oid4vci.ResistsBasic},
	}
	for _, h := range a.holders {
		k.Keys = append(k.Keys, h.Public())
	}
	if change != nil {
		change(k)
	}
	token, err := oid4vci.MakeKeyAttestation(rand.Reader, jws.Header{"kid": "provider-1"}, a.provider, k)
	if err != nil {
		a.Fatal(err)
	}
	return token
}

func (a *attested) params() oid4vci.ProofParams {
	p := params()
	p.Attester = a.trust
	return p
}

func TestAttestedKeys(t *testing.T) {
	a := newAttested(t, 3)
	demanding := a.params()
	demanding.Required = &oid4vci.KeyRequirement{KeyStorage: []string{oid4vci.ResistsHigh, oid4vci.ResistsModerate}}
	b, err := oid4vci.VerifyProofs(&oid4vci.Proofs{Attestation: []string{a.token(nil)}}, demanding)
	if err != nil || len(b.Keys) != 3 || len(b.Nonces) != 1 || b.Attestation.KeyStorage[0] != oid4vci.ResistsHigh {
		t.Fatal(b, err)
	}
	for name, c := range map[string]struct {
		token string
		rule  hufu.Rule
	}{
		"nothing":           {"", oid4vci.RuleProof},
		"a status":          {a.token(func(k *oid4vci.KeyAttestation) { k.Status = "any" }), oid4vci.RuleProof}, // nobody looks it up
		"no claims":         {strings.Replace(a.token(nil), ".", ".e30.", 1), oid4vci.RuleProof},
		"unknown provider":  {a.token(func(k *oid4vci.KeyAttestation) { k.Issuer = "" }), oid4vci.RuleProof},
		"no keys":           {a.token(func(k *oid4vci.KeyAttestation) { k.Keys = nil }), oid4vci.RuleProof},
		"a key twice":       {a.token(func(k *oid4vci.KeyAttestation) { k.Keys[1] = k.Keys[0] }), oid4vci.RuleProof},
		"expired":           {a.token(func(k *oid4vci.KeyAttestation) { k.ExpiresAt = now.Add(-time.Minute) }), oid4vci.RuleProof},
		"from the future":   {a.token(func(k *oid4vci.KeyAttestation) { k.IssuedAt = now.Add(time.Minute) }), oid4vci.RuleProof},
		"no nonce":          {a.token(func(k *oid4vci.KeyAttestation) { k.Nonce = "" }), oid4vci.RuleProof},
		"another nonce":     {a.token(func(k *oid4vci.KeyAttestation) { k.Nonce = "stale" }), oid4vci.RuleNonce},
		"weak storage":      {a.token(func(k *oid4vci.KeyAttestation) { k.KeyStorage = []string{oid4vci.ResistsBasic} }), oid4vci.RuleProof},
		"untold storage":    {a.token(func(k *oid4vci.KeyAttestation) { k.KeyStorage = nil }), oid4vci.RuleProof},
		"a proof's type":    {mustProof(t, a.holders[0], oid4vci.ProofOf{Audience: issuer, Nonce: nonce, IssuedAt: now}), oid4vci.RuleProof},
		"too large":         {a.token(nil) + strings.Repeat("A", oid4vci.MaxAttestationBytes), oid4vci.RuleProof},
		"a key of no suite": {a.token(func(k *oid4vci.KeyAttestation) { k.Keys[0] = keys.PublicKey{} }), oid4vci.RuleProof},
	} {
		b, err := oid4vci.VerifyProofs(&oid4vci.Proofs{Attestation: []string{c.token}}, demanding)
		if hufu.RuleOf(err) != c.rule || b != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	few := a.params()
	few.MaxKeys = 2
	_, err = oid4vci.VerifyProofs(&oid4vci.Proofs{Attestation: []string{a.token(nil)}}, few)
	if hufu.RuleOf(err) != oid4vci.RuleProof {
		t.Errorf("three keys where two are the most: %v", err)
	}
	_, err = oid4vci.VerifyProofs(&oid4vci.Proofs{Attestation: []string{a.token(nil)}}, params())
	if hufu.RuleOf(err) != oid4vci.RuleProof {
		t.Errorf("nobody is trusted: %v", err)
	}
}

func mustProof(t *testing.T, by keys.Signer, p oid4vci.ProofOf) string {
	t.Helper()
	token, err := p.Make(rand.Reader, by)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestProofsWithAttestation(t *testing.T) {
	a := newAttested(t, 2)
	stranger := holder(t, keys.P256)
	with := oid4vci.ProofOf{Audience: issuer, Nonce: nonce, IssuedAt: now, Attestation: a.token(nil)}
	without := with
	without.Attestation = ""
	demanding := a.params()
	demanding.Required = &oid4vci.KeyRequirement{}
	verify := func(p oid4vci.ProofParams, proofs ...string) (int, error) {
		b, err := oid4vci.VerifyProofs(&oid4vci.Proofs{JWT: proofs}, p)
		if err != nil {
			return 0, err
		}
		return len(b.Keys), nil
	}
	byPlace := func(kid string) string {
		h := jws.Header{"typ": oid4vci.ProofMediaType, "kid": kid, "key_attestation": with.Attestation}
		token, err := jws.Sign(rand.Reader, h, []byte(`{"aud":"`+issuer+`","iat":1800000000,"nonce":"fresh"}`), a.holders[1])
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, c := range map[string]struct {
		params oid4vci.ProofParams
		proofs []string
		keys   int
	}{
		"one proof for all attested":   {demanding, []string{mustProof(t, a.holders[0], with)}, 2},
		"a proof each":                 {demanding, []string{mustProof(t, a.holders[0], with), mustProof(t, a.holders[1], with)}, 2},
		"by place":                     {demanding, []string{byPlace("1")}, 2},
		"not demanded":                 {a.params(), []string{mustProof(t, stranger, without)}, 1},
		"none, demanded":               {demanding, []string{mustProof(t, a.holders[0], without)}, 0},
		"one of two without, demanded": {demanding, []string{mustProof(t, a.holders[0], with), mustProof(t, stranger, without)}, 0},
		"a key not attested":           {demanding, []string{mustProof(t, stranger, with)}, 0},
		"another's place":              {demanding, []string{byPlace("0")}, 0},
		"no such place":                {demanding, []string{byPlace("2")}, 0},
		"a place spelled oddly":        {demanding, []string{byPlace("01")}, 0},
		"nobody trusted":               {params(), []string{mustProof(t, a.holders[0], with)}, 0},
		"no exp": {demanding, []string{mustProof(t, a.holders[0], oid4vci.ProofOf{
			Audience: issuer, Nonce: nonce, IssuedAt: now, Attestation: a.token(func(k *oid4vci.KeyAttestation) { k.ExpiresAt = time.Time{} }),
		})}, 0},
	} {
		n, err := verify(c.params, c.proofs...)
		if n != c.keys || (c.keys == 0) != (hufu.RuleOf(err) == oid4vci.RuleProof) {
			t.Errorf("%s: %d keys, %v", name, n, err)
		}
	}
}

func TestProofsTogether(t *testing.T) {
	one, two := holder(t, keys.P256), holder(t, keys.Ed25519)
	proof := oid4vci.ProofOf{Audience: issuer, Nonce: nonce, IssuedAt: now}
	other := proof
	other.Nonce = "fresh too"
	p := params()
	p.Nonce = func(n string) bool { return n == nonce || n == other.Nonce }
	client, stranger := proof, proof
	client.ClientID, stranger.ClientID = "wallet", "another"
	p.ClientID = "wallet"
	es256 := p
	es256.Algs = []string{"ES256"}
	few := p
	few.MaxKeys = 1
	for name, c := range map[string]struct {
		params oid4vci.ProofParams
		proofs oid4vci.Proofs
		good   bool
	}{
		"two":                      {p, oid4vci.Proofs{JWT: []string{mustProof(t, one, proof), mustProof(t, two, client)}}, true},
		"none":                     {p, oid4vci.Proofs{}, false},
		"one key twice":            {p, oid4vci.Proofs{JWT: []string{mustProof(t, one, proof), mustProof(t, one, proof)}}, false},
		"two nonces":               {p, oid4vci.Proofs{JWT: []string{mustProof(t, one, proof), mustProof(t, two, other)}}, false},
		"too many":                 {few, oid4vci.Proofs{JWT: []string{mustProof(t, one, proof), mustProof(t, two, proof)}}, false},
		"two types":                {p, oid4vci.Proofs{JWT: []string{mustProof(t, one, proof)}, Attestation: []string{"x"}}, false},
		"two attestations":         {p, oid4vci.Proofs{Attestation: []string{"x", "y"}}, false},
		"another wallet's":         {p, oid4vci.Proofs{JWT: []string{mustProof(t, one, stranger)}}, false},
		"an alg that is not taken": {es256, oid4vci.Proofs{JWT: []string{mustProof(t, two, proof)}}, false},
	} {
		b, err := oid4vci.VerifyProofs(&c.proofs, c.params)
		if (err == nil) != c.good || !c.good && (hufu.RuleOf(err) != oid4vci.RuleProof || b != nil) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzVerifyKeyAttestation(f *testing.F) {
	f.Add("a.b.c")
	f.Add(jws.EncodeBase64([]byte(`{"alg":"ES256","typ":"key-attestation+jwt"}`)) + ".e30.AA")
	f.Fuzz(func(t *testing.T, s string) {
		nobody := func(jws.Header, string) (keys.PublicKey, error) { return keys.PublicKey{}, nil }
		if a, err := oid4vci.VerifyKeyAttestation(s, oid4vci.KeyAttestationParams{Signer: nobody, Now: now}); err == nil || a != nil {
			t.Fatal("nobody signed this")
		}
	})
}
