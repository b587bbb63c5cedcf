package gate

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/jwe"
)

// What a session's parts are known by is drawn with 192 bits and stored as a digest, so that who reads
// the store cannot act as the service or as the page.
const secretBytes = 24

// vault seals the keys that answers are encrypted to. Safe for concurrent use.
type vault struct {
	rand io.Reader
	aead cipher.AEAD
}

func newVault(random io.Reader, key [32]byte) (*vault, error) {
	if key == [32]byte{} {
		if _, err := io.ReadFull(rand.Reader, key[:]); err != nil {
			return nil, fmt.Errorf("gate: %w", err)
		}
	}
	seal, err := hkdf.Key(sha256.New, key[:], nil, "hufu/gate/v1/response-key", chacha20poly1305.KeySize)
	if err != nil {
		return nil, fmt.Errorf("gate: %w", err)
	}
	aead, err := chacha20poly1305.NewX(seal)
	return &vault{rand: random, aead: aead}, err
}

// newKey makes the key of one session's answer, named by its state, and what the store keeps of it.
func (v *vault) newKey(state string) (jwe.PublicKey, []byte, error) {
	key, err := jwe.GenerateKey(v.rand, state)
	if err != nil {
		return jwe.PublicKey{}, nil, fmt.Errorf("gate: %w", err)
	}
	nonce := make([]byte, v.aead.NonceSize(), v.aead.NonceSize()+64)
	if _, err := io.ReadFull(v.rand, nonce); err != nil {
		return jwe.PublicKey{}, nil, fmt.Errorf("gate: %w", err)
	}
	return key.Public(), v.aead.Seal(nonce, nonce, key.Secret(), []byte(state)), nil
}

var errSealed = errors.New("gate: the session's key was sealed by another process, or altered")

func (v *vault) key(state string, sealed []byte) (*jwe.PrivateKey, error) {
	if len(sealed) < v.aead.NonceSize() {
		return nil, errSealed
	}
	secret, err := v.aead.Open(nil, sealed[:v.aead.NonceSize()], sealed[v.aead.NonceSize():], []byte(state))
	if err != nil {
		return nil, errSealed
	}
	return jwe.LoadKey(secret, state)
}

// newSecret draws what somebody knows a session by.
func newSecret(random io.Reader) (string, hufu.Digest, error) {
	raw := make([]byte, secretBytes)
	if _, err := io.ReadFull(random, raw); err != nil {
		return "", hufu.Digest{}, fmt.Errorf("gate: %w", err)
	}
	text := base64.RawURLEncoding.EncodeToString(raw)
	return text, digestOf(text), nil
}

func digestOf(secret string) hufu.Digest { return sha256.Sum256([]byte(secret)) }

// claimsKey is the key that claims are sealed to: it follows from what only the service knows the
// session by, so that neither the store nor the gate can open what is kept for the service.
func claimsKey(id string) (*jwe.PrivateKey, error) {
	stream, err := hkdf.Key(sha256.New, []byte(id), nil, "hufu/gate/v1/claims", 8*32) // more than enough tries
	if err != nil {
		return nil, err
	}
	return jwe.GenerateKey(bytes.NewReader(stream), "")
}

// sealClaims seals what was shown to the key in a session's settings.
func (v *vault) sealClaims(key string, claims map[string]Credential) ([]byte, error) {
	to, err := jwe.ParseKey([]byte(key))
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(claims)
	if err != nil {
		return nil, err
	}
	token, err := jwe.Encrypt(v.rand, to, jwe.Header{Enc: jwe.A256GCM}, raw)
	return []byte(token), err
}

func openClaims(id string, sealed []byte) (map[string]Credential, error) {
	key, err := claimsKey(id)
	if err != nil {
		return nil, err
	}
	m, err := jwe.Parse(string(sealed), len(sealed))
	if err != nil {
		return nil, err
	}
	raw, err := m.Decrypt(key)
	if err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var claims map[string]Credential
	return claims, d.Decode(&claims)
}
