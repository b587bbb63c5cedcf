//go:build !pkcs11 || !cgo

package keystore

import "fmt"

// openToken says that there are no tokens for this program. Stores that refer to keys in them can be read.
func openToken(u TokenURI) (token, error) {
	return nil, fmt.Errorf("%w (token %q)", ErrNoPKCS11, u.Token)
}
