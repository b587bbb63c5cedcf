//go:build !pkcs11 || !cgo

package keystore_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/hufu-id/hufu/keys/keystore"
)

// The usual program knows no tokens, and says so.
func TestNoPKCS11(t *testing.T) {
	s, err := keystore.Create(filepath.Join(t.TempDir(), "keys.age"), quick("p"))
	if err != nil {
		t.Fatal(err)
	}
	u := keystore.TokenURI{Token: "t", ModulePath: "/m", PINSource: "/p"}
	if err := s.UseToken(u); !errors.Is(err, keystore.ErrNoPKCS11) {
		t.Error(err)
	}
	if _, ok := s.Token(); ok {
		t.Error("a token that was refused is used")
	}
}
