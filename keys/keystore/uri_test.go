package keystore_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/hufu-id/hufu/keys/keystore"
)

func TestTokenURI(t *testing.T) {
	for text, want := range map[string]keystore.TokenURI{
		"pkcs11:token=hufu?module-path=/lib/p.so&pin-source=file:/run/pin": {Token: "hufu", ModulePath: "/lib/p.so", PINSource: "/run/pin"},
		"pkcs11:serial=0a%3B1;token=The%20token;model=m;manufacturer=Snake%20Oil,%20Inc.?pin-source=/dev/fd/3&module-path=/lib/p.so": {
			Token: "The token", Serial: "0a;1", Model: "m", Manufacturer: "Snake Oil, Inc.", ModulePath: "/lib/p.so", PINSource: "/dev/fd/3",
		},
	} {
		got, err := keystore.ParseTokenURI(text)
		if err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
		if again, err := keystore.ParseTokenURI(got.String()); err != nil || again != got {
			t.Errorf("%s: %+v, %v", got, again, err)
		}
	}
	const good = "pkcs11:token=t?module-path=/m&pin-source=/p"
	if _, err := keystore.ParseTokenURI(good); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"empty": "", "another scheme": "http:token=t?module-path=/m&pin-source=/p", "no token": "pkcs11:serial=1?module-path=/m&pin-source=/p",
		"nothing but the scheme": "pkcs11:", "empty token": "pkcs11:token=?module-path=/m&pin-source=/p",
		"token twice": "pkcs11:token=t;token=t?module-path=/m&pin-source=/p", "no module": "pkcs11:token=t?pin-source=/p",
		"relative module": "pkcs11:token=t?module-path=m&pin-source=/p", "no PIN": "pkcs11:token=t?module-path=/m",
		"a relative PIN": "pkcs11:token=t?module-path=/m&pin-source=p", "a command": "pkcs11:token=t?module-path=/m&pin-source=|cat",
		"a PIN": good + "&pin-value=4711", "a PIN in the path": "pkcs11:token=t;pin-value=4711?module-path=/m&pin-source=/p", "a key": "pkcs11:token=t;object=k?module-path=/m&pin-source=/p",
		"an unknown attribute": good + "&x-vendor=1", "bad escape": "pkcs11:token=%zz?module-path=/m&pin-source=/p",
		"control character": "pkcs11:token=a%00b?module-path=/m&pin-source=/p", "no UTF-8": "pkcs11:token=%ff?module-path=/m&pin-source=/p",
		"too long": good + strings.Repeat("x", 2048), "no value": "pkcs11:token?module-path=/m&pin-source=/p", "path in query": "pkcs11:token=t?module-path=/m&pin-source=/p&serial=1",
	} {
		_, err := keystore.ParseTokenURI(text)
		if !errors.Is(err, keystore.ErrTokenURI) {
			t.Errorf("%s: %v", name, err)
		} else if strings.Contains(err.Error(), "4711") {
			t.Errorf("%s: the error holds the PIN", name)
		}
	}
}

func FuzzTokenURI(f *testing.F) {
	f.Add("pkcs11:token=hufu?module-path=/lib/p.so&pin-source=file:/run/pin")
	f.Add("pkcs11:serial=0a%3B1;token=The%20token;model=m;manufacturer=S?pin-source=/dev/fd/3&module-path=/lib/p.so")
	f.Add("pkcs11:token=t?module-path=/m&pin-value=1")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := keystore.ParseTokenURI(text)
		if err != nil {
			return
		}
		if again, err := keystore.ParseTokenURI(u.String()); err != nil || again != u {
			t.Fatalf("%q: %+v comes back as %+v, %v", text, u, again, err)
		}
	})
}
