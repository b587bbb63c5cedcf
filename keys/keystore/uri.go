package keystore

import (
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// TokenURI names a PKCS#11 token and how to reach it, as RFC 7512 has it:
//
//	pkcs11:token=hufu?module-path=/usr/lib/softhsm/libsofthsm2.so&pin-source=file:/run/credentials/pin
//
// Token is its label and is required, as are the module and where the PIN is read from. The others tell
// tokens of one label apart. A PIN itself is refused in a URI (RFC 7512 §2.4 has pin-value): it would end in histories
// and lists of processes.
type TokenURI struct {
	Token, Manufacturer, Model, Serial string
	ModulePath                         string // absolute path of the token's library
	PINSource                          string // path of a file whose first line is the PIN; /dev/fd/N works
}

// maxURI bounds a token's URI, in bytes.
const maxURI = 2048

// ErrTokenURI means that a text names no token.
var ErrTokenURI = errors.New("keystore: not a PKCS#11 token's URI")

// ParseTokenURI reads a token's URI. Attributes that mean nothing here are refused, as RFC 7512 §2.3 wants it. Errors
// wrap [ErrTokenURI] and hold nothing of the text, which may have a PIN in it.
func ParseTokenURI(text string) (u TokenURI, err error) {
	refuse := func(why string) error { return fmt.Errorf("%w: %s", ErrTokenURI, why) }
	if len(text) > maxURI {
		return TokenURI{}, refuse("it is too long")
	}
	rest, ok := strings.CutPrefix(text, "pkcs11:")
	if !ok {
		return TokenURI{}, refuse(`it begins with "pkcs11:"`)
	}
	path, query, _ := strings.Cut(rest, "?")
	set := func(attribute string, fields map[string]*string) error {
		name, raw, ok := strings.Cut(attribute, "=")
		to := fields[name]
		value, err := url.PathUnescape(raw)
		switch {
		case name == "pin-value":
			return errors.New("a PIN must not be in a URI: put it into a file and name that with pin-source")
		case to == nil:
			return errors.New("it has an attribute other than token, manufacturer, model, serial, module-path and pin-source")
		case !ok || err != nil || value == "" || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }):
			return errors.New("an attribute has no value, or one that does not read")
		case *to != "":
			return errors.New("it has an attribute twice")
		}
		*to = value
		return nil
	}
	for _, a := range strings.Split(path, ";") {
		if err := set(a, map[string]*string{"token": &u.Token, "manufacturer": &u.Manufacturer, "model": &u.Model, "serial": &u.Serial}); err != nil {
			return TokenURI{}, refuse(err.Error())
		}
	}
	for _, a := range strings.Split(query, "&") {
		if err := set(a, map[string]*string{"module-path": &u.ModulePath, "pin-source": &u.PINSource}); err != nil {
			return TokenURI{}, refuse(err.Error())
		}
	}
	u.PINSource = strings.TrimPrefix(u.PINSource, "file:")
	switch {
	case u.Token == "":
		return TokenURI{}, refuse("token=LABEL is missing")
	case !filepath.IsAbs(u.ModulePath):
		return TokenURI{}, refuse("module-path is missing, or no absolute path of the token's library")
	case !filepath.IsAbs(u.PINSource):
		return TokenURI{}, refuse("pin-source is missing, or no absolute path (file:/PATH) of a file with the PIN")
	}
	return u, nil
}

// String is the URI. It holds no secret.
func (u TokenURI) String() string {
	var b strings.Builder
	b.WriteString("pkcs11:token=" + escape(u.Token))
	for _, a := range []struct{ name, value string }{{"manufacturer", u.Manufacturer}, {"model", u.Model}, {"serial", u.Serial}} {
		if a.value != "" {
			b.WriteString(";" + a.name + "=" + escape(a.value))
		}
	}
	b.WriteString("?module-path=" + escape(u.ModulePath) + "&pin-source=file:" + escape(u.PINSource))
	return b.String()
}

// escape leaves what RFC 7512 §2.3 allows in every attribute, and slashes, which it allows in the query.
func escape(text string) string {
	const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"
	var b strings.Builder
	for _, c := range []byte(text) {
		if strings.IndexByte(plain, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
