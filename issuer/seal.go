package issuer

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// PersonRef names a person within one issuer: a keyed digest of the resident number. It says nothing
// to anybody without the issuer's master key.
type PersonRef [16]byte

// String is the hexadecimal form.
func (p PersonRef) String() string { return hex.EncodeToString(p[:]) }

// ParsePersonRef reads the hexadecimal form.
func ParsePersonRef(s string) (p PersonRef, err error) {
	if len(s) != 2*len(p) {
		return p, fmt.Errorf("issuer: a person's reference has %d hexadecimal digits", 2*len(p))
	}
	if _, err = hex.Decode(p[:], []byte(s)); err != nil {
		return PersonRef{}, fmt.Errorf("issuer: a person's reference has %d hexadecimal digits", 2*len(p))
	}
	return p, nil
}

// vault derives every key from the master key and seals under them. Safe for concurrent use.
type vault struct {
	rand   io.Reader
	idKey  []byte
	mark   []byte
	nonce  []byte
	master cipher.AEAD

	// What is exchanged with wallets.
	offers     []byte // codes of offers, and digests of transaction codes
	dpop       []byte // nonces of DPoP proofs
	challenges []byte // of wallet attestations
	passcodes  []byte // goes into their hashes
	encryption []byte // seed of the key that requests are encrypted to
}

const keyLen = chacha20poly1305.KeySize

func newVault(rand io.Reader, master [32]byte) (*vault, error) {
	derive := func(purpose string) ([]byte, error) {
		return hkdf.Key(sha256.New, master[:], nil, "hufu/issuer/v1/"+purpose, keyLen)
	}
	v := &vault{rand: rand}
	var seal []byte
	for purpose, key := range map[string]*[]byte{
		"person": &v.idKey, "mark": &v.mark, "nonce": &v.nonce, "seal": &seal, "offers": &v.offers, "dpop-nonce": &v.dpop,
		"attestation-challenge": &v.challenges, "passcodes": &v.passcodes, "request-encryption": &v.encryption,
	} {
		var err error
		if *key, err = derive(purpose); err != nil {
			return nil, fmt.Errorf("issuer: %w", err)
		}
	}
	var err error
	v.master, err = chacha20poly1305.NewX(seal)
	return v, err
}

func mac(key, data []byte) (out [16]byte) {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	copy(out[:], h.Sum(nil))
	return out
}

func (v *vault) ref(residentNumber string) PersonRef { return mac(v.idKey, []byte(residentNumber)) }

func (v *vault) markOf(row []byte) []byte {
	m := mac(v.mark, row)
	return m[:]
}

// What is sealed is bound to what it is and whose, so that nothing can be put in another's place.
func boundTo(what string, person PersonRef) []byte { return append([]byte(what+"\x00"), person[:]...) }

var errSealed = errors.New("issuer: sealed data was altered or is under another key")

func (v *vault) seal(under cipher.AEAD, what string, person PersonRef, plain []byte) ([]byte, error) {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	if _, err := io.ReadFull(v.rand, nonce); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return under.Seal(nonce, nonce, plain, boundTo(what, person)), nil
}

func open(under cipher.AEAD, what string, person PersonRef, sealed []byte) ([]byte, error) {
	if len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, errSealed
	}
	nonce, box := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	plain, err := under.Open(nil, nonce, box, boundTo(what, person))
	if err != nil {
		return nil, errSealed
	}
	return plain, nil
}

// newDataKey makes a person's key and its sealed form.
func (v *vault) newDataKey(person PersonRef) (cipher.AEAD, []byte, error) {
	key := make([]byte, keyLen)
	if _, err := io.ReadFull(v.rand, key); err != nil {
		return nil, nil, fmt.Errorf("issuer: %w", err)
	}
	sealed, err := v.seal(v.master, "data-key", person, key)
	if err != nil {
		return nil, nil, err
	}
	aead, err := chacha20poly1305.NewX(key)
	return aead, sealed, err
}

func (v *vault) dataKey(person PersonRef, sealed []byte) (cipher.AEAD, error) {
	key, err := open(v.master, "data-key", person, sealed)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(key)
}
