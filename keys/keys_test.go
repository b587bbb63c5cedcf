package keys_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/hufu-id/hufu/keys"
)

// Every suite signs what it verifies, under both rules, and nothing else.
func TestSuites(t *testing.T) {
	for _, s := range keys.Suites() {
		t.Run(s.Name(), func(t *testing.T) {
			k, err := s.Generate(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			pub, err := keys.ParseMultibase(k.Public().Multibase())
			if err != nil || !pub.Equal(k.Public()) {
				t.Fatalf("multibase round trip: %v", err)
			}
			again, err := s.Load(k.(keys.Secret).Secret())
			if err != nil || !again.Public().Equal(pub) {
				t.Fatalf("secret round trip: %v", err)
			}
			msg := []byte("tally")
			sig, err := k.Sign(rand.Reader, msg)
			if err != nil {
				t.Fatal(err)
			}
			if !pub.Verify(msg, sig) || !pub.VerifyConsensus(msg, sig) {
				t.Fatal("own signature refused")
			}
			for i := range sig {
				bad := bytes.Clone(sig)
				bad[i] ^= 1
				if pub.Verify(msg, bad) || pub.VerifyConsensus(msg, bad) {
					t.Fatalf("altered signature accepted at byte %d", i)
				}
			}
			if pub.Verify([]byte("other"), sig) || pub.Verify(msg, sig[:63]) || (keys.PublicKey{}).Verify(msg, sig) {
				t.Fatal("accepted what it must not")
			}
		})
	}
}
