package oauth

import (
	"crypto/sha256"
	"crypto/subtle"
	"io"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
)

// ChallengeMethod is the one code_challenge_method: a plain challenge proves nothing to whoever saw
// the request (RFC 7636 §7.2).
const ChallengeMethod = "S256"

// NewVerifier draws a code_verifier of 256 bits (RFC 7636 §4.1).
func NewVerifier(rand io.Reader) (string, error) {
	var b [32]byte
	if _, err := io.ReadFull(rand, b[:]); err != nil {
		return "", err
	}
	return jws.EncodeBase64(b[:]), nil
}

// Challenge is the S256 code_challenge of a verifier (§4.2).
func Challenge(verifier string) string { return tokenHash(verifier) }

// CheckChallenge refuses with [RuleRequest] what no verifier has as its S256 challenge.
func CheckChallenge(challenge, method string) error {
	switch {
	case challenge == "":
		return hufu.Refuse(RuleRequest, "a code_challenge is needed")
	case method != ChallengeMethod:
		return hufu.Refuse(RuleRequest, "code_challenge_method is not %s", ChallengeMethod)
	}
	if raw, err := jws.DecodeBase64(challenge); err != nil || len(raw) != sha256.Size {
		return hufu.Refuse(RuleRequest, "code_challenge is no SHA-256 in base64url")
	}
	return nil
}

// VerifyChallenge checks the verifier in a token request (§4.6). It refuses with [RuleRequest] one that
// is missing or malformed and with [RuleGrant] a wrong one.
func VerifyChallenge(challenge, verifier string) error {
	if n := len(verifier); n < 43 || n > 128 {
		return hufu.Refuse(RuleRequest, "code_verifier is not 43 to 128 characters")
	}
	for i := range len(verifier) {
		if !unreserved(verifier[i]) {
			return hufu.Refuse(RuleRequest, "code_verifier has a character it may not have")
		}
	}
	if subtle.ConstantTimeCompare([]byte(challenge), []byte(Challenge(verifier))) != 1 {
		return hufu.Refuse(RuleGrant, "code_verifier is not what code_challenge was made of")
	}
	return nil
}
