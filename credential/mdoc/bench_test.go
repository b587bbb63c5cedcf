package mdoc_test

import (
	"crypto/rand"
	"testing"

	"github.com/hufu-id/hufu/credential/mdoc"
	"github.com/hufu-id/hufu/keys"
)

// BenchmarkVerify is one presentation of two elements; beside it, the signatures in it: the holder's, the
// issuer's, and the authority's on the certificate.
func BenchmarkVerify(b *testing.B) {
	s := newScene(b)
	presentation, p := s.present(s.issue(s.params()), "name", "age_equal_or_over.18"), s.verifyParams()
	b.Run("presentation", func(b *testing.B) {
		for b.Loop() {
			if _, err := mdoc.Verify(presentation, p); err != nil {
				b.Fatal(err)
			}
		}
	})
	message := make([]byte, 500)
	signature := must(s.signer.Sign(rand.Reader, message))
	b.Run("signatures", func(b *testing.B) {
		for b.Loop() {
			for range 3 {
				if !s.signer.Public().Verify(message, signature) {
					b.Fatal("does not verify")
				}
			}
		}
	})
}

// BenchmarkIssue is one copy.
func BenchmarkIssue(b *testing.B) {
	s := newScene(b)
	p := s.params()
	holder := p.DeviceKey
	p.DeviceKey, p.Status = keys.PublicKey{}, nil
	copies := []mdoc.Copy{{DeviceKey: holder}}
	for b.Loop() {
		if _, err := mdoc.IssueBatch(rand.Reader, p, copies); err != nil {
			b.Fatal(err)
		}
	}
}
