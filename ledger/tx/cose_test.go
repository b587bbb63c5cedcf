package tx_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"io"
	"testing"

	"github.com/veraison/go-cose"

	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
)

var external = []byte("hufu/tx/v1\x00" + network)

// edCOSE signs as the COSE library wants it.
type edCOSE struct{ seed []byte }

func (e edCOSE) Public() crypto.PublicKey { return ed25519.NewKeyFromSeed(e.seed).Public() }

func (e edCOSE) Sign(_ io.Reader, message []byte, _ crypto.SignerOpts) ([]byte, error) {
	return ed25519.Sign(ed25519.NewKeyFromSeed(e.seed), message), nil
}

func cosigned(t *testing.T) ([]byte, keys.Signer, keys.Signer) {
	ed, p256 := key(t, keys.Ed25519, 1), key(t, keys.P256, 3)
	body := inception(t)
	body.Keys = append(body.Keys, p256.Public().Multikey())
	body.Threshold = 2
	return build(t, tx.Payload{Network: network, Expires: 1000}, body,
		tx.SignerRef{Signer: p256, KeyIndex: 1}, tx.SignerRef{Signer: ed}), ed, p256
}

// Another COSE library accepts our transactions.
func TestCOSELibraryVerifies(t *testing.T) {
	raw, ed, p256 := cosigned(t)
	var m cose.SignMessage
	if err := m.UnmarshalCBOR(raw); err != nil {
		t.Fatal(err)
	}
	x, y := elliptic.UnmarshalCompressed(elliptic.P256(), p256.Public().Raw())
	v0, err0 := cose.NewVerifier(cose.AlgorithmEdDSA, ed25519.PublicKey(ed.Public().Raw()))
	v1, err1 := cose.NewVerifier(cose.AlgorithmES256, &ecdsa.PublicKey{Curve: elliptic.P256(), X: x, Y: y})
	if err0 != nil || err1 != nil {
		t.Fatal(err0, err1)
	}
	if err := m.Verify(external, v0, v1); err != nil {
		t.Error(err)
	}
	if err := m.Verify([]byte("hufu/tx/v1\x00other"), v0, v1); err == nil {
		t.Error("holds for another network")
	}
}

// Another COSE library makes the same bytes, and what it signs is ours to parse.
func TestCOSELibraryProduces(t *testing.T) {
	raw := build(t, tx.Payload{Network: network, Expires: 100}, inception(t), tx.SignerRef{Signer: key(t, keys.Ed25519, 1)})
	ours := parse(t, raw)
	var payload cose.SignMessage
	if err := payload.UnmarshalCBOR(raw); err != nil {
		t.Fatal(err)
	}
	m := cose.NewSignMessage()
	m.Payload = payload.Payload
	sig := cose.NewSignature()
	sig.Headers.Protected.SetAlgorithm(cose.AlgorithmEdDSA)
	sig.Headers.Protected[cose.HeaderLabelKeyID] = append(bytes.Clone(ours.Payload.Author[:]), 0)
	m.Signatures = append(m.Signatures, sig)
	signer, err := cose.NewSigner(cose.AlgorithmEdDSA, edCOSE{bytes.Repeat([]byte{1}, 32)})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Sign(rand.Reader, external, signer); err != nil {
		t.Fatal(err)
	}
	theirs, err := m.MarshalCBOR()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(theirs, raw) {
		t.Errorf("theirs\n%x\nours\n%x", theirs, raw)
	}
}

// What we parse out of a signature holds under the suites' own rule, SM2 included.
func TestSigningBytes(t *testing.T) {
	for _, s := range keys.Suites() {
		k := key(t, s, 7)
		body := inception(t)
		body.Keys = [][]byte{k.Public().Multikey()}
		parsed := parse(t, build(t, tx.Payload{Network: network, Expires: 9}, body, tx.SignerRef{Signer: k}))
		if parsed.Signatures[0].Alg != s.COSEAlg() {
			t.Errorf("%s: algorithm %d", s, parsed.Signatures[0].Alg)
		}
		if !k.Public().VerifyConsensus(parsed.SigningBytes(0), parsed.Signatures[0].Sig) {
			t.Errorf("%s: does not hold", s)
		}
		if got := parsed.ControlKeys(); len(got) != 1 || !got[0].Equal(k.Public()) {
			t.Errorf("%s: control keys %v", s, got)
		}
	}
}
