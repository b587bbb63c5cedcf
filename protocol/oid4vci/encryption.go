package oid4vci

import (
	"encoding/json"
	"io"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/protocol/jwe"
)

// EncryptedMediaType is the content type of encrypted requests and responses (§10).
const EncryptedMediaType = "application/jwt"

// maxEncrypted is the longest a message of n bytes becomes by encryption: a third more in base64url, and the
// header.
func maxEncrypted(n int) int { return n/3*4 + 8<<10 }

// ResponseEncryption asks for the response to be encrypted (§8.2).
type ResponseEncryption struct {
	Key jwe.PublicKey // jwk
	Enc string        // one of [jwe.Encs]
}

type responseEncryptionJSON struct {
	Key json.RawMessage `json:"jwk"`
	Enc string          `json:"enc"`
	Zip *string         `json:"zip,omitempty"`
}

// MarshalJSON writes the request parameter.
func (e *ResponseEncryption) MarshalJSON() ([]byte, error) {
	key, err := json.Marshal(e.Key.JWK())
	if err != nil {
		return nil, err
	}
	return json.Marshal(responseEncryptionJSON{Key: key, Enc: e.Enc})
}

func parseResponseEncryption(raw json.RawMessage) (*ResponseEncryption, error) {
	if raw == nil {
		return nil, nil
	}
	var (
		j   *responseEncryptionJSON
		key map[string]any
	)
	if json.Unmarshal(raw, &j) != nil || j == nil || json.Unmarshal(j.Key, &key) != nil {
		return nil, hufu.Refuse(RuleEncryption, "credential_response_encryption has no jwk or no enc")
	}
	if j.Zip != nil {
		return nil, hufu.Refuse(RuleEncryption, "compression is not supported")
	}
	if !slices.Contains(jwe.Encs(), j.Enc) {
		return nil, hufu.Refuse(RuleEncryption, "enc is not supported")
	}
	if key["alg"] != jwe.Alg {
		return nil, hufu.Refuse(RuleEncryption, "the alg of the jwk is not %s", jwe.Alg)
	}
	k, err := jwe.KeyOf(key)
	if err != nil {
		return nil, hufu.Refuse(RuleEncryption, "%v", err)
	}
	return &ResponseEncryption{Key: k, Enc: j.Enc}, nil
}

// Encrypt writes a message as a JWT that only the key's holder can read (§10).
func Encrypt(rand io.Reader, to jwe.PublicKey, enc string, message any) (string, error) {
	raw, err := jws.MarshalJSON(message)
	if err != nil {
		return "", err
	}
	return jwe.Encrypt(rand, to, jwe.Header{Enc: enc, Cty: "json"}, raw)
}

// DecryptRequest reads an encrypted request with the issuer's key of the kid it names. It refuses with
// [RuleEncryption]. What it returns anybody could have written.
func DecryptRequest(token string, key func(kid string) (*jwe.PrivateKey, bool)) ([]byte, error) {
	raw, err := decrypt(token, MaxRequestBytes, key)
	if err != nil {
		return nil, hufu.Refuse(RuleEncryption, "%v", err)
	}
	return raw, nil
}

// DecryptResponse reads an encrypted response with the wallet's key. It refuses with [RuleResponse].
func DecryptResponse(token string, key *jwe.PrivateKey) ([]byte, error) {
	raw, err := decrypt(token, MaxResponseBytes, func(string) (*jwe.PrivateKey, bool) { return key, true })
	if err != nil {
		return nil, hufu.Refuse(RuleResponse, "%v", err)
	}
	return raw, nil
}

func decrypt(token string, most int, key func(kid string) (*jwe.PrivateKey, bool)) ([]byte, error) {
	m, err := jwe.Parse(token, maxEncrypted(most))
	if err != nil {
		return nil, err
	}
	k, ok := key(m.KeyID)
	if !ok {
		return nil, hufu.Refuse(jwe.RuleKey, "encrypted to a key that is not here")
	}
	raw, err := m.Decrypt(k)
	if err != nil {
		return nil, err
	}
	return raw, encoding.CheckJSON(raw, most)
}
