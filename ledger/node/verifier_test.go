package node

import (
	"crypto/rand"
	"testing"

	"github.com/hufu-id/hufu/keys"
)

// Whatever is in a batch, each check is answered by itself.
func TestVerifierAnswersEach(t *testing.T) {
	v := &verifier{}
	message := []byte("message")
	var signers []keys.Signer
	for _, suite := range keys.Suites() {
		s, err := suite.Generate(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		signers = append(signers, s)
	}
	var checks []check
	for i := range 600 {
		signer := signers[i%len(signers)]
		if i%4 > 0 {
			signer = signers[0] // most are Ed25519
		}
		sig, err := signer.Sign(rand.Reader, message)
		if err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			sig[5] ^= 1
		}
		checks = append(checks, check{key: signer.Public(), message: message, sig: sig})
	}
	for name, verify := range map[string]func(){
		"one batch": func() { v.run(checks) }, "all": func() { v.all(checks) },
		"one by one": func() {
			for i := range checks {
				v.run(checks[i : i+1])
			}
		},
	} {
		for i := range checks {
			checks[i].ok = false
		}
		verify()
		for i, c := range checks {
			if c.ok != (i%7 > 0) {
				t.Errorf("%s: check %d of %s: %v", name, i, c.key.Suite(), c.ok)
			}
		}
	}
	if v.verified.Load() != 1800 {
		t.Errorf("%d signatures were verified", v.verified.Load())
	}
	if v.all(checks) || !v.all(checks[1:7]) {
		t.Error("all does not say whether all hold")
	}
}
