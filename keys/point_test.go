package keys_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/hufu-id/hufu/keys"
)

func TestNewPublicKeyFromPoint(t *testing.T) {
	for _, s := range []*keys.Suite{keys.P256, keys.SM2} {
		for range 8 { // both parities of y
			signer, err := s.Generate(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			x, y := signer.Public().Coordinates()
			k, err := keys.NewPublicKeyFromPoint(s, x, y)
			if err != nil || !k.Equal(signer.Public()) {
				t.Fatalf("%s: another key came back: %v", s, err)
			}
			message := []byte("one message")
			sig, err := signer.Sign(rand.Reader, message)
			if err != nil || !k.Verify(message, sig) {
				t.Fatalf("%s: the key read from coordinates does not verify: %v", s, err)
			}
			off := bytes.Clone(y)
			off[31] ^= 1
			for name, c := range map[string][2][]byte{
				"off the curve": {x, off}, "short x": {x[1:], y}, "long y": {x, append([]byte{0}, y...)}, "zero": {make([]byte, 32), make([]byte, 32)},
			} {
				if _, err := keys.NewPublicKeyFromPoint(s, c[0], c[1]); err == nil {
					t.Errorf("%s: accepted coordinates %s", s, name)
				}
			}
		}
	}
	if _, err := keys.NewPublicKeyFromPoint(keys.Ed25519, make([]byte, 32), make([]byte, 32)); err == nil {
		t.Error("Ed25519 accepted coordinates")
	}
}
