package oid4vp

import (
	"errors"
	"io"
	"net/url"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/credential/x5c"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/protocol/jwe"
)

// Sign writes the request object as a JWS whose kid is keyID, a DID URL of r.Verifier.
func (r *Request) Sign(rand io.Reader, signer keys.Signer, keyID string) (string, error) {
	return r.sign(rand, signer, jws.Header{"typ": RequestType, "kid": keyID})
}

// SignX5C writes the request object as a JWS under a chain of certificates, the leaf, which is signer's,
// first. r.ClientID has one of the x509 prefixes.
func (r *Request) SignX5C(rand io.Reader, signer keys.Signer, ders ...[]byte) (string, error) {
	return r.sign(rand, signer, jws.Header{"typ": RequestType, "x5c": x5c.Header(ders...)})
}

func (r *Request) sign(rand io.Reader, signer keys.Signer, header jws.Header) (string, error) {
	p, err := r.payload(signed)
	if err != nil {
		return "", err
	}
	body, err := jws.MarshalJSON(p)
	if err != nil {
		return "", err
	}
	token, err := jws.Sign(rand, header, body, signer)
	if err != nil {
		return "", err
	}
	if len(token) > MaxRequest {
		return "", hufu.Refuse(RuleRequest, "a request object of more than %d bytes", MaxRequest)
	}
	return token, nil
}

// SignedRequest is a request that was read but whose signature was not checked.
type SignedRequest struct {
	Request
	KeyID string    // DID URL of the key it says it is signed with, a key of Verifier; "" with a certificate
	Chain x5c.Chain // the certificates it says it is signed under; unverified
	token *jws.Message
}

// Certified reports whether the request is signed under a certificate, in which case the key for
// [SignedRequest.Verify] is the leaf's, once Chain was verified.
func (s *SignedRequest) Certified() bool { return s.KeyID == "" }

// ParseRequest reads a request object strictly, without checking its signature. Errors are refusals.
func ParseRequest(token string) (*SignedRequest, error) {
	t, err := jws.Parse(token, MaxRequest)
	if err != nil {
		return nil, hufu.Refuse(RuleRequest, "not a JWS")
	}
	if t.Header.Text("typ") != RequestType {
		return nil, hufu.Refuse(RuleRequest, "typ is not %s", RequestType)
	}
	r, err := ParsePayload(t.Payload)
	if err != nil {
		return nil, err
	}
	s := &SignedRequest{Request: *r, token: t}
	prefix, name, err := splitClientID(r.ClientID)
	if err != nil {
		return nil, err
	}
	if prefix == PrefixDID {
		s.KeyID = t.Header.Text("kid")
		if did, _, err := hufu.SplitDIDURL(s.KeyID); err != nil || did != r.Verifier {
			return nil, hufu.Refuse(RuleSignature, "kid is no key of the client identifier")
		}
		return s, nil
	}
	if s.Chain, err = x5c.ParseHeader(t.Header["x5c"]); err != nil {
		return nil, hufu.Refuse(RuleSignature, "x5c: %s", detail(err))
	}
	leaf := s.Chain.Leaf()
	s.Verifier = leaf.DID
	return s, matchLeaf(prefix, name, leaf)
}

// Decrypt opens a request object that was encrypted to the wallet's key (§5.10).
func Decrypt(token string, key *jwe.PrivateKey) (string, error) {
	m, err := jwe.Parse(token, 2*MaxRequest)
	if err != nil {
		return "", hufu.Refuse(RuleRequest, "not a JWE: %s", detail(err))
	}
	signed, err := m.Decrypt(key)
	if err != nil {
		return "", hufu.Refuse(RuleRequest, "does not decrypt")
	}
	return string(signed), nil
}

// Encrypt encrypts a signed request object to the wallet's key.
func Encrypt(rand io.Reader, to jwe.PublicKey, enc, token string) (string, error) {
	return jwe.Encrypt(rand, to, jwe.Header{Enc: enc, Typ: RequestType, Cty: RequestType}, []byte(token))
}

// Verify checks the signature with key, which the caller took from the ledger for s.KeyID or from the
// verified Chain, and the times, with skew for clocks that differ. A request without times has none to check.
func (s *SignedRequest) Verify(key keys.PublicKey, now time.Time, skew time.Duration) error {
	if err := s.token.Verify(key); err != nil {
		return hufu.Refuse(RuleSignature, "the request is not signed by its client's key")
	}
	return s.checkTimes(now, skew)
}

func (r *Request) checkTimes(now time.Time, skew time.Duration) error {
	if !r.IssuedAt.IsZero() && now.Add(skew).Before(r.IssuedAt) {
		return hufu.Refuse(RuleExpired, "the request is dated in the future")
	}
	if !r.ExpiresAt.IsZero() && !now.Add(-skew).Before(r.ExpiresAt) {
		return hufu.Refuse(RuleExpired, "the request has expired")
	}
	return nil
}

// VerifyUnsigned checks what can be checked of a request that nobody signed: its times.
func (r *Request) VerifyUnsigned(now time.Time, skew time.Duration) error {
	return r.checkTimes(now, skew)
}

// FromOrigin checks that a signed request over the Digital Credentials API was meant for the origin that
// the browser says it came from (§A.2).
func (r *Request) FromOrigin(origin string) error {
	if !slices.Contains(r.Origins, origin) {
		return hufu.Refuse(RuleRequest, "the request is for other origins than the one it comes from")
	}
	return nil
}

// detail is what a refusal says, without its rule.
func detail(err error) string {
	var r *hufu.Refusal
	if errors.As(err, &r) {
		return r.Detail
	}
	return "unreadable"
}

func hostOf(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return u.Hostname()
}

// Check refuses a request that [Request.Sign] would refuse, without signing it.
func (r *Request) Check() error {
	_, err := r.payload(signed)
	return err
}
