package sdjwt_test

import (
	"crypto/rand"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/hufu-id/hufu/credential/sdjwt"
	"github.com/hufu-id/hufu/keys"
)

// The ratios that matter: Verify to BareSignatures, Issue to BareSigning.

func BenchmarkVerify(b *testing.B) {
	s := newScene(b, keys.P256)
	p := s.present(b, sdjwt.Path{"age_equal_or_over", "18"}, sdjwt.Path{"address", "region"})
	params := s.params()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sdjwt.Verify(p, params); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareSignatures(b *testing.B) {
	s := newScene(b, keys.P256)
	p := s.present(b, sdjwt.Path{"age_equal_or_over", "18"}, sdjwt.Path{"address", "region"})
	checks := s.signatures(b, p)
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range checks {
			if !c.key.Verify(c.message, c.sig) {
				b.Fatal("signature")
			}
		}
	}
}

// BenchmarkVerifyOverBare alternates both, so that a busy machine disturbs them alike, and reports the
// ratio of their times.
func BenchmarkVerifyOverBare(b *testing.B) {
	s := newScene(b, keys.P256)
	p := s.present(b, sdjwt.Path{"age_equal_or_over", "18"}, sdjwt.Path{"address", "region"})
	params, checks := s.params(), s.signatures(b, p)
	var whole, bare time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := sdjwt.Verify(p, params); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		for _, c := range checks {
			if !c.key.Verify(c.message, c.sig) {
				b.Fatal("signature")
			}
		}
		whole, bare = whole+between.Sub(start), bare+time.Since(between)
	}
	b.ReportMetric(float64(whole)/float64(bare), "ratio")
}

// BenchmarkIssueOverBare is the same for issuing.
func BenchmarkIssueOverBare(b *testing.B) {
	s := newScene(b, keys.P256)
	p := s.issueParams()
	copies := s.copies(b, 8)
	p.HolderKey, p.Status = keys.PublicKey{}, nil
	message, disclosures := s.bare(b)
	var whole, bare time.Duration
	for b.Loop() {
		start := time.Now()
		if _, err := sdjwt.IssueBatch(rand.Reader, p, copies); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		for range copies {
			for _, d := range disclosures {
				_ = sha256.Sum256(d)
			}
			if _, err := s.issuer.Sign(rand.Reader, message); err != nil {
				b.Fatal(err)
			}
		}
		whole, bare = whole+between.Sub(start), bare+time.Since(between)
	}
	b.ReportMetric(float64(whole)/float64(bare), "ratio")
}

func BenchmarkIssue(b *testing.B) {
	s := newScene(b, keys.P256)
	p := s.issueParams()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sdjwt.Issue(rand.Reader, p); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssueBatchOf8(b *testing.B) {
	s := newScene(b, keys.P256)
	p := s.issueParams()
	copies := s.copies(b, 8)
	p.HolderKey, p.Status = keys.PublicKey{}, nil
	b.ReportAllocs()
	for b.Loop() {
		if _, err := sdjwt.IssueBatch(rand.Reader, p, copies); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBareSigning(b *testing.B) {
	s := newScene(b, keys.P256)
	message, disclosures := s.bare(b)
	b.ReportAllocs()
	for b.Loop() {
		for _, d := range disclosures {
			_ = sha256.Sum256(d)
		}
		if _, err := s.issuer.Sign(rand.Reader, message); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPresent(b *testing.B) {
	s := newScene(b, keys.P256)
	c := s.credential(b)
	kb := s.keyBinding()
	disclose := []sdjwt.Path{{"age_equal_or_over", "18"}, {"address", "region"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Present(rand.Reader, disclose, kb); err != nil {
			b.Fatal(err)
		}
	}
}
