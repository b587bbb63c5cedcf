package node

import (
	"crypto/rand"
	"sync"
	"testing"

	"github.com/hufu-id/hufu/keys"
)

// Whatever batches form, each check is answered by itself, before and after others, and nobody waits
// for ever.
func TestVerifierAnswersEach(t *testing.T) {
	v := newVerifier()
	message := []byte("message")
	var signers []keys.Signer
	for _, suite := range keys.Suites() {
		s, err := suite.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
	}
	var group sync.WaitGroup
	for i := range 600 {
		signer := signers[i%len(signers)]
		if i%4 > 0 {
			signer = signers[0] // most are Ed25519
		}
		sig, err := signer.Sign(rand.Reader, message)
		if err != nil {
			t.Fatal(err)
		}
		good := i%7 > 0
		if !good {
			sig[5] ^= 1
		}
		group.Go(func() {
			c := &check{key: signer.Public(), message: message, sig: sig}
			if !v.admit([]*check{c}, "") {
				t.Error("refused as too many")
			}
			if c.ok != good {
				t.Errorf("check %d of %s: %v", i, signer.Public().Suite(), c.ok)
			}
		})
	}
	group.Wait()
	v.close()
	if v.admit([]*check{{key: signers[0].Public(), message: message, sig: make([]byte, keys.SignatureLen)}}, "") {
		t.Error("admitted after close")
	}
	if v.verified.Load() != 600 {
		t.Errorf("%d signatures were verified", v.verified.Load())
	}
}
