package oauth

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// MetadataName is the well-known name of an authorization server's metadata (RFC 8414 §3).
const MetadataName = "oauth-authorization-server"

// MaxMetadataBytes bounds metadata that is read.
const MaxMetadataBytes = 256 << 10

// The ways in which clients say who they are at the token endpoint.
const (
	AuthNone        = "none"
	AuthAttestation = "attest_jwt_client_auth"
)

// ServerMetadata describes an authorization server (RFC 8414 §2 and the documents that add to it).
type ServerMetadata struct {
	Issuer                 string   `json:"issuer"`
	AuthorizationEndpoint  string   `json:"authorization_endpoint,omitempty"`
	TokenEndpoint          string   `json:"token_endpoint"`
	PushedEndpoint         string   `json:"pushed_authorization_request_endpoint,omitempty"`
	PushedRequired         bool     `json:"require_pushed_authorization_requests,omitempty"`
	ChallengeEndpoint      string   `json:"challenge_endpoint,omitempty"`
	Scopes                 []string `json:"scopes_supported,omitempty"`
	ResponseTypes          []string `json:"response_types_supported,omitempty"`
	ResponseModes          []string `json:"response_modes_supported,omitempty"`
	Grants                 []string `json:"grant_types_supported,omitempty"`
	ClientAuth             []string `json:"token_endpoint_auth_methods_supported,omitempty"`
	ChallengeMethods       []string `json:"code_challenge_methods_supported,omitempty"`
	DPoPAlgs               []string `json:"dpop_signing_alg_values_supported,omitempty"`
	IssuerInResponse       bool     `json:"authorization_response_iss_parameter_supported,omitempty"`
	AnonymousPreAuthorized bool     `json:"pre-authorized_grant_anonymous_access_supported,omitempty"`
	DetailsTypes           []string `json:"authorization_details_types_supported,omitempty"`
	AttestationAlgs        []string `json:"client_attestation_signing_alg_values_supported,omitempty"`
	AttestationPoPAlgs     []string `json:"client_attestation_pop_signing_alg_values_supported,omitempty"`
	UILocales              []string `json:"ui_locales_supported,omitempty"`
}

// ParseServerMetadata reads the metadata that was fetched for an issuer. It refuses with
// [RuleResponse] those of another issuer (RFC 8414 §3.3) and addresses that nothing may be sent to.
func ParseServerMetadata(raw []byte, issuer string) (*ServerMetadata, error) {
	m := new(ServerMetadata)
	if err := encoding.UnmarshalJSON(raw, MaxMetadataBytes, m); err != nil {
		return nil, hufu.Refuse(RuleResponse, "%v", err)
	}
	if m.Issuer != issuer || issuer == "" {
		return nil, hufu.Refuse(RuleResponse, "metadata of another issuer")
	}
	if m.TokenEndpoint == "" {
		return nil, hufu.Refuse(RuleResponse, "no token_endpoint")
	}
	for _, endpoint := range []string{m.AuthorizationEndpoint, m.TokenEndpoint, m.PushedEndpoint, m.ChallengeEndpoint} {
		if endpoint == "" {
			continue
		}
		if err := CheckEndpoint(endpoint); err != nil {
			return nil, hufu.Refuse(RuleResponse, "%v", err)
		}
	}
	return m, nil
}

// Offers reports whether the server takes a grant. One that does not say takes codes (RFC 8414 §2).
func (m *ServerMetadata) Offers(grant string) bool {
	if m.Grants == nil {
		return grant == GrantCode
	}
	return slices.Contains(m.Grants, grant)
}
