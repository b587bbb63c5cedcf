package oauth

import (
	"encoding/json"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// The grants.
const (
	GrantCode          = "authorization_code"
	GrantPreAuthorized = "urn:ietf:params:oauth:grant-type:pre-authorized_code" // OpenID4VCI 1.0 §4.1.1
	GrantRefresh       = "refresh_token"
)

// The types of access tokens.
const (
	TypeBearer = "Bearer"
	TypeDPoP   = "DPoP"
)

// TokenRequest asks for an access token (RFC 6749 §4.1.3, §6; OpenID4VCI 1.0 §6.1).
type TokenRequest struct {
	Grant       string
	ClientID    string
	Code        string // of the authorization code grant, or pre-authorized_code
	RedirectURI string
	Verifier    string // code_verifier
	TxCode      string
	HasTxCode   bool // tx_code is there, perhaps empty
	Refresh     string
	Scope       []string
	Resource    []string
	Details     []byte // authorization_details: JSON, not looked into
}

// maxTxCode bounds a transaction code: nobody types more.
const maxTxCode = 64

// ParseTokenRequest reads the parameters of a token request. It refuses with [RuleRequest],
// [RuleGrantType] and [RuleScope].
func ParseTokenRequest(f Form) (*TokenRequest, error) {
	var problem error
	r := &TokenRequest{
		Grant: f.Get("grant_type"), ClientID: f.text("client_id", maxText, &problem), Resource: f["resource"],
		Details: []byte(f.Get("authorization_details")),
	}
	scope := f.text("scope", maxText, &problem)
	switch r.Grant {
	case GrantCode:
		r.Code = f.text("code", maxCredential, &problem)
		r.RedirectURI = f.text("redirect_uri", MaxURL, &problem)
		r.Verifier = f.text("code_verifier", maxCredential, &problem)
	case GrantPreAuthorized:
		r.Code = f.text("pre-authorized_code", maxCredential, &problem)
		r.TxCode = f.text("tx_code", maxTxCode, &problem)
		_, r.HasTxCode = f["tx_code"]
	case GrantRefresh:
		r.Refresh = f.text("refresh_token", maxCredential, &problem)
	case "":
		return nil, hufu.Refuse(RuleRequest, "no grant_type")
	default:
		return nil, hufu.Refuse(RuleGrantType, "grant_type is not known")
	}
	switch {
	case problem != nil:
		return nil, problem
	case r.Grant == GrantRefresh && r.Refresh == "":
		return nil, hufu.Refuse(RuleRequest, "no refresh_token")
	case r.Grant != GrantRefresh && r.Code == "":
		return nil, hufu.Refuse(RuleRequest, "no code")
	case r.Grant == GrantCode && r.Verifier == "":
		return nil, hufu.Refuse(RuleRequest, "no code_verifier")
	}
	var err error
	r.Scope, err = ParseScope(scope)
	return r, err
}

// Form writes the request's parameters.
func (r *TokenRequest) Form() Form {
	f := Form{"grant_type": {r.Grant}}
	f.set("client_id", r.ClientID)
	f.set("scope", strings.Join(r.Scope, " "))
	f.set("authorization_details", string(r.Details))
	if len(r.Resource) > 0 {
		f["resource"] = r.Resource
	}
	switch r.Grant {
	case GrantCode:
		f.set("code", r.Code)
		f.set("redirect_uri", r.RedirectURI)
		f.set("code_verifier", r.Verifier)
	case GrantPreAuthorized:
		f.set("pre-authorized_code", r.Code)
		f.set("tx_code", r.TxCode)
	case GrantRefresh:
		f.set("refresh_token", r.Refresh)
	}
	return f
}

// TokenResponse gives an access token (RFC 6749 §5.1).
type TokenResponse struct {
	AccessToken  string          `json:"access_token"`
	Type         string          `json:"token_type"`
	ExpiresIn    int64           `json:"expires_in,omitempty"` // seconds
	RefreshToken string          `json:"refresh_token,omitempty"`
	Scope        string          `json:"scope,omitempty"`
	Details      json.RawMessage `json:"authorization_details,omitempty"`
}

// ParseTokenResponse reads the answer to a token request. It refuses with [RuleResponse]. Type is
// spelled as in this package whatever the server's capitals (§7.1).
func ParseTokenResponse(raw []byte) (*TokenResponse, error) {
	r := new(TokenResponse)
	if err := encoding.UnmarshalJSON(raw, MaxResponseBytes, r); err != nil {
		return nil, hufu.Refuse(RuleResponse, "%v", err)
	}
	switch {
	case !validCredential(r.AccessToken):
		return nil, hufu.Refuse(RuleResponse, "no access token of visible characters and at most %d bytes", maxCredential)
	case r.RefreshToken != "" && !validCredential(r.RefreshToken):
		return nil, hufu.Refuse(RuleResponse, "a refresh token that is none")
	case r.ExpiresIn < 0:
		return nil, hufu.Refuse(RuleResponse, "expires_in is negative")
	}
	switch {
	case strings.EqualFold(r.Type, TypeBearer):
		r.Type = TypeBearer
	case strings.EqualFold(r.Type, TypeDPoP):
		r.Type = TypeDPoP
	default:
		return nil, hufu.Refuse(RuleResponse, "token_type is neither Bearer nor DPoP")
	}
	r.Details = detailsOf(r.Details)
	return r, nil
}

// ParseAuthorization reads an Authorization header with an access token (RFC 6750 §2.1, RFC 9449
// §7.1). It refuses with [RuleToken].
func ParseAuthorization(header string) (tokenType, token string, err error) {
	scheme, token, ok := strings.Cut(header, " ")
	token = strings.TrimLeft(token, " ")
	switch {
	case strings.EqualFold(scheme, TypeBearer):
		tokenType = TypeBearer
	case strings.EqualFold(scheme, TypeDPoP):
		tokenType = TypeDPoP
	}
	if !ok || tokenType == "" || !validCredential(token) {
		return "", "", hufu.Refuse(RuleToken, "no access token in the Authorization header")
	}
	return tokenType, token, nil
}
