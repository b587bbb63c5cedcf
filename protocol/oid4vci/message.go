package oid4vci

import (
	"encoding/json"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// Limits on messages.
const (
	MaxProofs        = 64        // copies asked for in one request
	MaxRequestBytes  = 512 << 10 // MaxProofs proofs and room
	MaxResponseBytes = 8 << 20   // MaxProofs credentials
)

// The rules a message can be refused by. [CodeOf] gives the standard's error code for each.
const (
	RuleRequest       hufu.Rule = "oid4vci.invalid-request"       // not understood, or asks for what is not supported
	RuleConfiguration hufu.Rule = "oid4vci.unknown-configuration" // no such credential configuration
	RuleIdentifier    hufu.Rule = "oid4vci.unknown-identifier"    // credential identifiers are not used
	RuleEncryption    hufu.Rule = "oid4vci.encryption"            // encrypted responses are not supported
	RuleProof         hufu.Rule = "oid4vci.invalid-proof"         // a key proof is missing or wrong
	RuleNonce         hufu.Rule = "oid4vci.invalid-nonce"         // get a new nonce and try again
	RuleDenied        hufu.Rule = "oid4vci.denied"                // trying again does not help
	RuleResponse      hufu.Rule = "oid4vci.invalid-response"      // the issuer's answer is not understood
)

// CodeOf is the error code (OpenID4VCI 1.0 §8.3.1.2) for an error. Errors that are no refusals by
// this package's rules are credential_request_denied.
func CodeOf(err error) string {
	switch hufu.RuleOf(err) {
	case RuleRequest:
		return "invalid_credential_request"
	case RuleConfiguration:
		return "unknown_credential_configuration"
	case RuleIdentifier:
		return "unknown_credential_identifier"
	case RuleEncryption:
		return "invalid_encryption_parameters"
	case RuleProof:
		return "invalid_proof"
	case RuleNonce:
		return "invalid_nonce"
	}
	return "credential_request_denied"
}

// ErrorResponse is the body of an error answer (§8.3.1.2).
type ErrorResponse struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// NonceResponse is the body of a nonce endpoint's answer (§7.2).
type NonceResponse struct {
	Nonce string `json:"c_nonce"`
}

// CredentialRequest asks for one copy of a credential for each proof (§8.2).
type CredentialRequest struct {
	ConfigurationID string `json:"credential_configuration_id"`
	Proofs          Proofs `json:"proofs"`
}

// Proofs are the key proofs of a request.
type Proofs struct {
	JWT []string `json:"jwt"`
}

// ParseCredentialRequest reads a credential request. The proofs in it are not verified. It refuses
// with the rules of this package.
func ParseCredentialRequest(raw []byte) (*CredentialRequest, error) {
	var m map[string]json.RawMessage
	if err := encoding.UnmarshalJSON(raw, MaxRequestBytes, &m); err != nil {
		return nil, hufu.Refuse(RuleRequest, "%v", err)
	}
	if _, there := m["credential_identifier"]; there {
		return nil, hufu.Refuse(RuleIdentifier, "credential_identifier is not used")
	}
	if _, there := m["credential_response_encryption"]; there {
		return nil, hufu.Refuse(RuleEncryption, "encrypted responses are not supported")
	}
	r := new(CredentialRequest)
	if json.Unmarshal(m["credential_configuration_id"], &r.ConfigurationID) != nil || r.ConfigurationID == "" {
		return nil, hufu.Refuse(RuleRequest, "no credential_configuration_id")
	}
	var proofs map[string]json.RawMessage
	if _, there := m["proofs"]; !there {
		return nil, hufu.Refuse(RuleProof, "no proofs")
	}
	if json.Unmarshal(m["proofs"], &proofs) != nil || len(proofs) != 1 || proofs["jwt"] == nil {
		return nil, hufu.Refuse(RuleProof, "proofs is not an object with the one member jwt")
	}
	if json.Unmarshal(proofs["jwt"], &r.Proofs.JWT) != nil {
		return nil, hufu.Refuse(RuleProof, "proofs.jwt is not an array of strings")
	}
	if n := len(r.Proofs.JWT); n == 0 || n > MaxProofs {
		return nil, hufu.Refuse(RuleProof, "%d proofs, not 1 to %d", n, MaxProofs)
	}
	return r, nil
}

// CredentialResponse carries the copies that were asked for, in the order of the proofs (§8.3).
type CredentialResponse struct {
	Credentials []IssuedCredential `json:"credentials"`
}

// IssuedCredential is one copy.
type IssuedCredential struct {
	Credential string `json:"credential"`
}

// NewCredentialResponse wraps copies.
func NewCredentialResponse(copies []string) *CredentialResponse {
	r := &CredentialResponse{Credentials: make([]IssuedCredential, len(copies))}
	for i, c := range copies {
		r.Credentials[i].Credential = c
	}
	return r
}

// ParseCredentialResponse reads an issuer's answer. Credentials that are no strings, and deferral, are
// refused with [RuleResponse]. The credentials are not verified.
func ParseCredentialResponse(raw []byte) (*CredentialResponse, error) {
	r := new(CredentialResponse)
	if err := encoding.UnmarshalJSON(raw, MaxResponseBytes, r); err != nil {
		return nil, hufu.Refuse(RuleResponse, "%v", err)
	}
	if n := len(r.Credentials); n == 0 || n > MaxProofs {
		return nil, hufu.Refuse(RuleResponse, "%d credentials, not 1 to %d", n, MaxProofs)
	}
	for _, c := range r.Credentials {
		if c.Credential == "" {
			return nil, hufu.Refuse(RuleResponse, "an empty credential")
		}
	}
	return r, nil
}
