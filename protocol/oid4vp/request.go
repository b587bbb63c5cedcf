package oid4vp

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// Fixed values of the standard.
const (
	RequestType  = "oauth-authz-req+jwt"       // typ of a request object (§5)
	Audience     = "https://self-issued.me/v2" // aud of a request to a wallet found statically (§5.8)
	ClientPrefix = "decentralized_identifier:" // client identifier prefix (§5.9.3)
	Format       = "dc+sd-jwt"                 // credential format identifier (§B.3.1)

	responseType = "vp_token"
	responseMode = "direct_post"
)

// MaxRequest bounds a request object, in bytes of its compact form. A contract's text is at most 32 KiB.
const MaxRequest = 64 << 10

// MaxLifetime is the longest time between iat and exp that a request may have.
const MaxLifetime = time.Hour

// Rules that messages are refused by.
const (
	RuleRequest     hufu.Rule = "oid4vp.request"     // not a request object of this profile
	RuleUnsupported hufu.Rule = "oid4vp.unsupported" // well formed, but asks for what is not supported
	RuleSignature   hufu.Rule = "oid4vp.signature"   // not signed by a key of the client it names
	RuleExpired     hufu.Rule = "oid4vp.expired"     // outside iat and exp
	RuleResponse    hufu.Rule = "oid4vp.response"    // not a response of this profile
)

// Request is the request object of a gate (§5).
type Request struct {
	Verifier    hufu.DID        // the client identifier without its prefix
	ResponseURI string          // where the response is to be posted; https, or http on loopback
	Nonce       string          // fresh, at least 128 bits of randomness
	State       string          // names the gate's session
	Query       json.RawMessage // the DCQL query, as JSON
	Contract    hufu.ContractID // the published contract that Query comes from
	Version     uint32          // of Contract
	IssuedAt    time.Time       // whole seconds
	ExpiresAt   time.Time       // whole seconds
}

// ClientID is the full client identifier of a gate, which presentations name as their audience (§14.1.2).
func ClientID(verifier hufu.DID) string { return ClientPrefix + string(verifier) }

type requestPayload struct {
	ClientID       string          `json:"client_id"`
	ResponseType   string          `json:"response_type"`
	ResponseMode   string          `json:"response_mode"`
	ResponseURI    string          `json:"response_uri"`
	Audience       string          `json:"aud"`
	Nonce          string          `json:"nonce"`
	State          string          `json:"state"`
	Query          json.RawMessage `json:"dcql_query"`
	ClientMetadata *clientMetadata `json:"client_metadata,omitempty"`
	Contract       *contractRef    `json:"hufu_contract"`
	IssuedAt       int64           `json:"iat"`
	ExpiresAt      int64           `json:"exp"`

	// What must not be there.
	RedirectURI     json.RawMessage `json:"redirect_uri,omitempty"`
	Scope           json.RawMessage `json:"scope,omitempty"`
	TransactionData json.RawMessage `json:"transaction_data,omitempty"`
	Request         json.RawMessage `json:"request,omitempty"`
	RequestURI      json.RawMessage `json:"request_uri,omitempty"`
}

type contractRef struct {
	ID      hufu.ContractID `json:"id"`
	Version uint32          `json:"version"`
}

// clientMetadata says which formats and algorithms the verifier takes (§11.1, §B.3.4).
type clientMetadata struct {
	Formats map[string]formatMetadata `json:"vp_formats_supported"`
}

type formatMetadata struct {
	IssuerAlgs  []string `json:"sd-jwt_alg_values"`
	BindingAlgs []string `json:"kb-jwt_alg_values"`
}

func metadata() *clientMetadata {
	var algs []string
	for _, s := range keys.Suites() {
		algs = append(algs, s.JOSEAlg())
	}
	return &clientMetadata{Formats: map[string]formatMetadata{Format: {IssuerAlgs: algs, BindingAlgs: algs}}}
}

// Sign writes the request object as a JWS whose kid is keyID, a DID URL of r.Verifier.
func (r *Request) Sign(rand io.Reader, signer keys.Signer, keyID string) (string, error) {
	p := requestPayload{
		ClientID: ClientID(r.Verifier), ResponseType: responseType, ResponseMode: responseMode,
		ResponseURI: r.ResponseURI, Audience: Audience, Nonce: r.Nonce, State: r.State, Query: r.Query,
		ClientMetadata: metadata(), Contract: &contractRef{ID: r.Contract, Version: r.Version},
		IssuedAt: r.IssuedAt.Unix(), ExpiresAt: r.ExpiresAt.Unix(),
	}
	if _, err := p.request(); err != nil {
		return "", err
	}
	body, err := jws.MarshalJSON(p)
	if err != nil {
		return "", err
	}
	return jws.Sign(rand, jws.Header{"typ": RequestType, "kid": keyID}, body, signer)
}

// SignedRequest is a request that was read but whose signature was not checked.
type SignedRequest struct {
	Request
	KeyID string // DID URL of the key it says it is signed with; a key of Verifier
	token *jws.Message
}

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
	s := &SignedRequest{Request: *r, KeyID: t.Header.Text("kid"), token: t}
	if did, _, err := hufu.SplitDIDURL(s.KeyID); err != nil || did != r.Verifier {
		return nil, hufu.Refuse(RuleSignature, "kid is no key of the client identifier")
	}
	return s, nil
}

// ParsePayload reads the claims of a request object.
func ParsePayload(data []byte) (*Request, error) {
	var p requestPayload
	if err := encoding.UnmarshalJSON(data, MaxRequest, &p); err != nil {
		return nil, hufu.Refuse(RuleRequest, "payload is not a request object")
	}
	return p.request()
}

func (p *requestPayload) request() (*Request, error) {
	switch {
	case p.TransactionData != nil:
		return nil, hufu.Refuse(RuleUnsupported, "transaction_data is not understood")
	case p.ResponseType != responseType:
		return nil, hufu.Refuse(RuleUnsupported, "response_type is not %s", responseType)
	case p.ResponseMode != responseMode:
		return nil, hufu.Refuse(RuleUnsupported, "response_mode is not %s", responseMode)
	case p.Scope != nil:
		return nil, hufu.Refuse(RuleRequest, "scope beside dcql_query")
	case p.RedirectURI != nil:
		return nil, hufu.Refuse(RuleRequest, "redirect_uri with response_mode %s", responseMode)
	case p.Request != nil || p.RequestURI != nil:
		return nil, hufu.Refuse(RuleRequest, "a request inside a request")
	case p.Audience != Audience:
		return nil, hufu.Refuse(RuleRequest, "aud is not %s", Audience)
	case !urlSafe(p.Nonce) || len(p.Nonce) < 16 || len(p.Nonce) > 128:
		return nil, hufu.Refuse(RuleRequest, "nonce is not 16 to 128 URL-safe characters")
	case !urlSafe(p.State) || len(p.State) > 128:
		return nil, hufu.Refuse(RuleRequest, "state is not 1 to 128 URL-safe characters")
	case len(p.Query) == 0 || p.Query[0] != '{':
		return nil, hufu.Refuse(RuleRequest, "no dcql_query")
	case p.Contract == nil || p.Contract.Version == 0:
		return nil, hufu.Refuse(RuleRequest, "hufu_contract names no contract")
	case p.IssuedAt <= 0 || p.ExpiresAt <= p.IssuedAt || p.ExpiresAt-p.IssuedAt > int64(MaxLifetime/time.Second):
		return nil, hufu.Refuse(RuleRequest, "iat and exp are no period of at most %s", MaxLifetime)
	}
	verifier, ok := strings.CutPrefix(p.ClientID, ClientPrefix)
	if !ok {
		return nil, hufu.Refuse(RuleUnsupported, "client identifier prefix is not %s", ClientPrefix)
	}
	if _, _, err := hufu.DID(verifier).Parse(); err != nil {
		return nil, hufu.Refuse(RuleRequest, "client_id holds no did:hufu identifier")
	}
	if err := checkResponseURI(p.ResponseURI); err != nil {
		return nil, hufu.Refuse(RuleRequest, "response_uri %v", err)
	}
	return &Request{
		Verifier: hufu.DID(verifier), ResponseURI: p.ResponseURI, Nonce: p.Nonce, State: p.State, Query: p.Query,
		Contract: p.Contract.ID, Version: p.Contract.Version,
		IssuedAt: time.Unix(p.IssuedAt, 0).UTC(), ExpiresAt: time.Unix(p.ExpiresAt, 0).UTC(),
	}, nil
}

// Verify checks the signature with key, which the caller took from the ledger for s.KeyID, and the times,
// with skew for clocks that differ.
func (s *SignedRequest) Verify(key keys.PublicKey, now time.Time, skew time.Duration) error {
	if err := s.token.Verify(key); err != nil {
		return hufu.Refuse(RuleSignature, "the request is not signed by its client's key")
	}
	if now.Add(skew).Before(s.IssuedAt) {
		return hufu.Refuse(RuleExpired, "the request is dated in the future")
	}
	if !now.Add(-skew).Before(s.ExpiresAt) {
		return hufu.Refuse(RuleExpired, "the request has expired")
	}
	return nil
}

// urlSafe reports whether s is of the characters §5.2 allows in a nonce and a state.
func urlSafe(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~", c) >= 0:
		default:
			return false
		}
	}
	return s != ""
}

func checkResponseURI(s string) error {
	u, err := url.Parse(s)
	if err != nil || len(s) > 2048 || u.Host == "" || u.User != nil || u.Fragment != "" {
		return errors.New("is no URL to post to")
	}
	if h := u.Hostname(); u.Scheme != "https" && (u.Scheme != "http" || h != "localhost" && h != "127.0.0.1" && h != "::1") {
		return errors.New("is neither https nor http on loopback")
	}
	return nil
}
