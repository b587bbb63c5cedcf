package tx

import (
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// Purposes of a verification method, as bits (DID Core 1.0 §5.3). A control key has the first two
// and PurposeInvocation.
const (
	PurposeAuthentication uint8 = 1 << 0
	PurposeAssertion      uint8 = 1 << 1 // assertionMethod
	PurposeAgreement      uint8 = 1 << 2 // keyAgreement
	PurposeInvocation     uint8 = 1 << 3 // capabilityInvocation: control keys only

	methodPurposes = PurposeAuthentication | PurposeAssertion | PurposeAgreement
)

// ControlFragment is the prefix of the fragments that control keys have, followed by the key's
// index. No other method or service may have such a fragment.
const ControlFragment = "key-"

// DIDCreate is the inception event of an identifier, which is the digest of this event. It is signed
// by its own Keys.
type DIDCreate struct {
	Keys          [][]byte      `cbor:"1,keyasint" json:"keys"`                        // control keys, Multikeys; index 0 on
	Threshold     uint8         `cbor:"2,keyasint" json:"threshold"`                   // how many of Keys must sign
	Next          []hufu.Digest `cbor:"3,keyasint" json:"next"`                        // digests of the control keys to rotate to ([keys.PublicKey.Digest])
	NextThreshold uint8         `cbor:"4,keyasint" json:"next_threshold"`              // how many of them must sign the rotation
	Methods       []Method      `cbor:"5,keyasint,omitempty" json:"methods,omitempty"` // further verification methods
	Services      []Service     `cbor:"6,keyasint,omitempty" json:"services,omitempty"`
	Salt          []byte        `cbor:"7,keyasint,omitempty" json:"salt,omitempty"`  // nothing or SaltLen random bytes
	Guard         *Guard        `cbor:"8,keyasint,omitempty" json:"guard,omitempty"` // none: nobody can recover it
}

// Method is a verification method besides the control keys (DID Core 1.0 §5.2).
type Method struct {
	Fragment string `cbor:"1,keyasint" json:"fragment"`
	Key      []byte `cbor:"2,keyasint" json:"key"`      // Multikey
	Purposes uint8  `cbor:"3,keyasint" json:"purposes"` // bits, see PurposeAuthentication
}

// Service is an endpoint (DID Core 1.0 §5.4).
type Service struct {
	Fragment string `cbor:"1,keyasint" json:"fragment"`
	Type     string `cbor:"2,keyasint" json:"type"`
	Endpoint string `cbor:"3,keyasint" json:"endpoint"` // URI
}

// DIDRotate replaces all control keys by the ones committed to before. It is signed by the new Keys:
// whoever holds only the present ones cannot rotate, and so cannot change the guardians either.
type DIDRotate struct {
	Keys          [][]byte      `cbor:"1,keyasint"` // exactly those whose digests were committed, in that order
	Threshold     uint8         `cbor:"2,keyasint"`
	Next          []hufu.Digest `cbor:"3,keyasint"`
	NextThreshold uint8         `cbor:"4,keyasint"`
	Fall          bool          `cbor:"5,keyasint,omitempty"` // signatures made with the keys rotated away no longer stand
	Guard         *Guard        `cbor:"6,keyasint,omitempty"` // the new guardians, or none when it is [Guard.IsNone]; nil: as they are
}

// DIDUpdate changes methods and services. Removals come first, so a method can be replaced under its
// fragment in one transaction.
type DIDUpdate struct {
	RemoveMethods []MethodRemoval `cbor:"1,keyasint,omitempty"`
	AddMethods    []Method        `cbor:"2,keyasint,omitempty"`
	SetServices   *[]Service      `cbor:"3,keyasint,omitempty"` // the new whole list, when present
}

// MethodRemoval ends a verification method.
type MethodRemoval struct {
	Fragment string `cbor:"1,keyasint"`
	Fall     bool   `cbor:"2,keyasint,omitempty"` // signatures made with it no longer stand
}

// DIDDeactivate ends the author's identifier for good.
type DIDDeactivate struct{}

// Kind is [KindDIDCreate].
func (*DIDCreate) Kind() Kind { return KindDIDCreate }

// Kind is [KindDIDRotate].
func (*DIDRotate) Kind() Kind { return KindDIDRotate }

// Kind is [KindDIDUpdate].
func (*DIDUpdate) Kind() Kind { return KindDIDUpdate }

// Kind is [KindDIDDeactivate].
func (*DIDDeactivate) Kind() Kind { return KindDIDDeactivate }

// Validate implements [Body].
func (b *DIDCreate) Validate() error {
	_, err := b.check(noKey)
	return err
}

func noKey(int) bool { return false }

// check is Validate, and gives the parsed Keys. That those of deferred are points is left to check.
func (b *DIDCreate) check(deferred func(key int) bool) ([]keys.PublicKey, error) {
	if n := len(b.Salt); n != 0 && n != SaltLen {
		return nil, invalid("a salt of %d bytes, not %d", n, SaltLen)
	}
	if b.Guard != nil {
		if err := b.Guard.Validate(); err != nil {
			return nil, err
		}
	}
	if err := checkMethods(b.Methods); err != nil {
		return nil, err
	}
	if err := checkServices(b.Services); err != nil {
		return nil, err
	}
	return checkControl(b.Keys, b.Threshold, b.Next, b.NextThreshold, deferred)
}

// Validate implements [Body].
func (b *DIDRotate) Validate() error {
	_, err := b.check()
	return err
}

func (b *DIDRotate) check() ([]keys.PublicKey, error) {
	if b.Guard != nil && !b.Guard.IsNone() {
		if err := b.Guard.Validate(); err != nil {
			return nil, err
		}
	}
	return checkControl(b.Keys, b.Threshold, b.Next, b.NextThreshold, noKey)
}

// Validate implements [Body].
func (b *DIDUpdate) Validate() error {
	if len(b.RemoveMethods) == 0 && len(b.AddMethods) == 0 && b.SetServices == nil {
		return invalid("an update that changes nothing")
	}
	if len(b.RemoveMethods) > MaxMethods {
		return invalid("%d methods removed, more than %d", len(b.RemoveMethods), MaxMethods)
	}
	for i, m := range b.RemoveMethods {
		if err := checkFragment(m.Fragment); err != nil {
			return err
		}
		if slices.ContainsFunc(b.RemoveMethods[:i], func(o MethodRemoval) bool { return o.Fragment == m.Fragment }) {
			return invalid("a method removed twice")
		}
	}
	if err := checkMethods(b.AddMethods); err != nil {
		return err
	}
	if b.SetServices != nil {
		return checkServices(*b.SetServices)
	}
	return nil
}

// Validate implements [Body].
func (*DIDDeactivate) Validate() error { return nil }

func checkControl(control [][]byte, threshold uint8, next []hufu.Digest, nextThreshold uint8, deferred func(key int) bool) ([]keys.PublicKey, error) {
	switch {
	case len(control) == 0 || len(control) > MaxControlKeys:
		return nil, invalid("%d control keys, not 1 to %d", len(control), MaxControlKeys)
	case len(next) == 0 || len(next) > MaxControlKeys:
		return nil, invalid("%d next key digests, not 1 to %d", len(next), MaxControlKeys)
	case threshold == 0 || threshold > MaxThreshold || int(threshold) > len(control):
		return nil, invalid("a threshold of %d for %d keys", threshold, len(control))
	case nextThreshold == 0 || nextThreshold > MaxThreshold || int(nextThreshold) > len(next):
		return nil, invalid("a next threshold of %d for %d keys", nextThreshold, len(next))
	}
	parsed := make([]keys.PublicKey, len(control))
	for i, raw := range control {
		read := keys.ParseMultikey
		if deferred(i) {
			read = keys.ReadMultikey
		}
		key, err := read(raw)
		if err != nil {
			return nil, badControlKey(i, err)
		}
		for _, other := range control[:i] {
			if string(other) == string(raw) {
				return nil, invalid("control key %d twice", i)
			}
		}
		// A present key that is also a next one would undo pre-rotation.
		parsed[i] = key
		if slices.Contains(next, sha256.Sum256(raw)) { // its keys.PublicKey.Digest
			return nil, invalid("control key %d is also a next key", i)
		}
	}
	for i, d := range next {
		if slices.Contains(next[:i], d) {
			return nil, invalid("next key digest %d twice", i)
		}
	}
	return parsed, nil
}

func badControlKey(i int, err error) error { return invalid("control key %d: %v", i, err) }

func checkMethods(methods []Method) error {
	if len(methods) > MaxMethods {
		return invalid("%d methods, more than %d", len(methods), MaxMethods)
	}
	for i, m := range methods {
		if err := checkFragment(m.Fragment); err != nil {
			return err
		}
		if slices.ContainsFunc(methods[:i], func(o Method) bool { return o.Fragment == m.Fragment }) {
			return invalid("a method's fragment twice")
		}
		if m.Purposes == 0 || m.Purposes&^methodPurposes != 0 {
			return invalid("method %d has no purpose or an unknown one", i)
		}
		key, err := keys.ParseMultikey(m.Key)
		if err != nil {
			return invalid("method %d: %v", i, err)
		}
		if m.Purposes&PurposeAgreement != 0 && key.Suite() == keys.Ed25519 {
			return invalid("method %d: Ed25519 keys sign and cannot agree on keys", i)
		}
	}
	return nil
}

func checkServices(services []Service) error {
	if len(services) > MaxServices {
		return invalid("%d services, more than %d", len(services), MaxServices)
	}
	for i, s := range services {
		if err := checkFragment(s.Fragment); err != nil {
			return err
		}
		if slices.ContainsFunc(services[:i], func(o Service) bool { return o.Fragment == s.Fragment }) {
			return invalid("a service's fragment twice")
		}
		if err := checkText("service type", s.Type, MaxServiceType); err != nil {
			return err
		}
		if err := checkURI("service endpoint", s.Endpoint); err != nil {
			return err
		}
	}
	return nil
}

func checkFragment(f string) error {
	if f == "" || len(f) > MaxFragment {
		return invalid("a fragment of %d bytes, not 1 to %d", len(f), MaxFragment)
	}
	for _, c := range []byte(f) {
		if !isAlphanumeric(c) && c != '-' && c != '_' {
			return invalid("a fragment with a character other than letters, digits, - and _")
		}
	}
	if strings.HasPrefix(f, ControlFragment) {
		return invalid("fragments that begin with %q are for control keys", ControlFragment)
	}
	return nil
}
