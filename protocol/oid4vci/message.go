package oid4vci

import (
	"encoding/json"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// Limits on messages.
const (
	MaxProofs        = 64        // copies asked for in one request
	MaxRequestBytes  = 512 << 10 // MaxProofs proofs and room
	MaxResponseBytes = 8 << 20   // MaxProofs credentials
	maxIdentifier    = 256       // bytes of an identifier that an issuer chose
)

// NonceResponse is the body of a nonce endpoint's answer (§7.2).
type NonceResponse struct {
	Nonce string `json:"c_nonce"`
}

// ParseNonceResponse reads a nonce endpoint's answer. It refuses with [RuleResponse].
func ParseNonceResponse(raw []byte) (string, error) {
	var r NonceResponse
	if err := encoding.UnmarshalJSON(raw, oauth.MaxResponseBytes, &r); err != nil {
		return "", hufu.Refuse(RuleResponse, "%v", err)
	}
	if r.Nonce == "" || len(r.Nonce) > maxNonce {
		return "", hufu.Refuse(RuleResponse, "c_nonce is not 1 to %d bytes", maxNonce)
	}
	return r.Nonce, nil
}

// CredentialRequest asks for one copy of a credential for each proof (§8.2). It names the credential in one
// of two ways: by an identifier that came with the token, or by its configuration.
type CredentialRequest struct {
	Identifier      string              `json:"credential_identifier,omitempty"`
	ConfigurationID string              `json:"credential_configuration_id,omitempty"`
	Proofs          Proofs              `json:"proofs"`
	Encryption      *ResponseEncryption `json:"credential_response_encryption,omitempty"`
}

// Proofs are the key proofs of a request, all of one type.
type Proofs struct {
	JWT         []string `json:"jwt,omitempty"`
	Attestation []string `json:"attestation,omitempty"`
}

// The types of proofs (Appendix F).
const (
	ProofJWT         = "jwt"
	ProofAttestation = "attestation"
)

// ParseCredentialRequest reads a credential request. The proofs in it are not verified. It refuses
// with the rules of this package.
func ParseCredentialRequest(raw []byte) (*CredentialRequest, error) {
	var m map[string]json.RawMessage
	if err := encoding.UnmarshalJSON(raw, MaxRequestBytes, &m); err != nil {
		return nil, hufu.Refuse(RuleRequest, "%v", err)
	}
	r := new(CredentialRequest)
	var err error
	if r.Identifier, err = member(m, "credential_identifier", maxIdentifier); err != nil {
		return nil, err
	}
	if r.ConfigurationID, err = member(m, "credential_configuration_id", maxIdentifier); err != nil {
		return nil, err
	}
	if (r.Identifier == "") == (r.ConfigurationID == "") {
		return nil, hufu.Refuse(RuleRequest, "not one of credential_identifier and credential_configuration_id")
	}
	if r.Encryption, err = parseResponseEncryption(m["credential_response_encryption"]); err != nil {
		return nil, err
	}
	return r, r.Proofs.parse(m["proofs"])
}

// member reads a text of at most most bytes, "" when it is not there.
func member(m map[string]json.RawMessage, name string, most int) (string, error) {
	raw, there := m[name]
	if !there {
		return "", nil
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil || *s == "" || len(*s) > most {
		return "", hufu.Refuse(RuleRequest, "%s is no text of 1 to %d bytes", name, most)
	}
	return *s, nil
}

func (p *Proofs) parse(raw json.RawMessage) error {
	if raw == nil {
		return hufu.Refuse(RuleProof, "no proofs")
	}
	var types map[string]json.RawMessage
	if json.Unmarshal(raw, &types) != nil || len(types) != 1 {
		return hufu.Refuse(RuleProof, "proofs is not an object with one member")
	}
	for name, raw := range types {
		var list *[]string
		switch name {
		case ProofJWT:
			list = &p.JWT
		case ProofAttestation:
			list = &p.Attestation
		default:
			return hufu.Refuse(RuleProof, "a type of proof that is not supported")
		}
		if json.Unmarshal(raw, list) != nil {
			return hufu.Refuse(RuleProof, "proofs.%s is not an array of strings", name)
		}
		if n := len(*list); n == 0 || n > MaxProofs {
			return hufu.Refuse(RuleProof, "%d proofs, not 1 to %d", n, MaxProofs)
		}
	}
	if len(p.Attestation) > 1 {
		return hufu.Refuse(RuleProof, "proofs.attestation holds one attestation")
	}
	return nil
}

// CredentialResponse carries the copies that were asked for, in the order of the keys (§8.3), or says
// that they come later (§9).
type CredentialResponse struct {
	Credentials    []IssuedCredential `json:"credentials,omitempty"`
	NotificationID string             `json:"notification_id,omitempty"`
	TransactionID  string             `json:"transaction_id,omitempty"`
	Interval       int64              `json:"interval,omitempty"` // seconds to wait
}

// IssuedCredential is one copy: an SD-JWT VC, or an mdoc's IssuerSigned in base64url.
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

// Deferred reports whether the credentials come later.
func (r *CredentialResponse) Deferred() bool { return r.TransactionID != "" }

// maxInterval bounds how long a wallet is told to wait: a year, after which no token is good.
const maxInterval = 366 * 24 * 3600

// ParseCredentialResponse reads an issuer's answer, deferred or not. Credentials that are no strings
// are refused with [RuleResponse]. The credentials are not verified.
func ParseCredentialResponse(raw []byte) (*CredentialResponse, error) {
	r := new(CredentialResponse)
	if err := encoding.UnmarshalJSON(raw, MaxResponseBytes, r); err != nil {
		return nil, hufu.Refuse(RuleResponse, "%v", err)
	}
	if len(r.NotificationID) > maxIdentifier || len(r.TransactionID) > maxIdentifier {
		return nil, hufu.Refuse(RuleResponse, "an identifier of more than %d bytes", maxIdentifier)
	}
	if r.Deferred() {
		if r.Credentials != nil || r.NotificationID != "" || r.Interval <= 0 || r.Interval > maxInterval {
			return nil, hufu.Refuse(RuleResponse, "neither credentials nor an interval to wait for them")
		}
		return r, nil
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

// DeferredRequest asks for credentials that were promised (§9.1).
type DeferredRequest struct {
	TransactionID string              `json:"transaction_id"`
	Encryption    *ResponseEncryption `json:"credential_response_encryption,omitempty"`
}

// ParseDeferredRequest reads a deferred credential request. It refuses with [RuleRequest] and
// [RuleEncryption].
func ParseDeferredRequest(raw []byte) (*DeferredRequest, error) {
	var m map[string]json.RawMessage
	if err := encoding.UnmarshalJSON(raw, MaxRequestBytes, &m); err != nil {
		return nil, hufu.Refuse(RuleRequest, "%v", err)
	}
	r := new(DeferredRequest)
	var err error
	if r.TransactionID, err = member(m, "transaction_id", maxIdentifier); err != nil {
		return nil, err
	}
	if r.TransactionID == "" {
		return nil, hufu.Refuse(RuleRequest, "no transaction_id")
	}
	r.Encryption, err = parseResponseEncryption(m["credential_response_encryption"])
	return r, err
}

// What a wallet tells of the credentials it got (§11.1).
const (
	EventAccepted = "credential_accepted"
	EventFailure  = "credential_failure"
	EventDeleted  = "credential_deleted"
)

// Notification tells an issuer what became of credentials.
type Notification struct {
	ID          string `json:"notification_id"`
	Event       string `json:"event"`
	Description string `json:"event_description,omitempty"`
}

// MaxNotificationBytes bounds a notification.
const MaxNotificationBytes = 8 << 10

// ParseNotification reads a notification. It refuses with [RuleNotification].
func ParseNotification(raw []byte) (*Notification, error) {
	n := new(Notification)
	if err := encoding.UnmarshalJSON(raw, MaxNotificationBytes, n); err != nil {
		return nil, hufu.Refuse(RuleNotification, "%v", err)
	}
	switch {
	case n.ID == "" || len(n.ID) > maxIdentifier:
		return nil, hufu.Refuse(RuleNotification, "notification_id is not 1 to %d bytes", maxIdentifier)
	case n.Event != EventAccepted && n.Event != EventFailure && n.Event != EventDeleted:
		return nil, hufu.Refuse(RuleNotification, "event is none of the three")
	case len(n.Description) > maxEventDescription || !plain(n.Description):
		return nil, hufu.Refuse(RuleNotification, "event_description is too long or has a character it may not have")
	}
	return n, nil
}

// maxEventDescription bounds what a wallet may say of an event; it goes to a log.
const maxEventDescription = 1024

func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}
