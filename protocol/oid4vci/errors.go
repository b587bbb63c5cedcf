package oid4vci

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// The rules a message can be refused by. [CodeOf] gives the standard's error code for each.
const (
	RuleRequest        hufu.Rule = "oid4vci.invalid-request"       // not understood, or asks for what is not supported
	RuleConfiguration  hufu.Rule = "oid4vci.unknown-configuration" // no such credential configuration
	RuleIdentifier     hufu.Rule = "oid4vci.unknown-identifier"    // no such credential identifier
	RuleEncryption     hufu.Rule = "oid4vci.encryption"            // not encrypted as it has to be, or cannot be
	RuleProof          hufu.Rule = "oid4vci.invalid-proof"         // a key proof is missing or wrong
	RuleNonce          hufu.Rule = "oid4vci.invalid-nonce"         // get a new nonce and try again
	RuleDenied         hufu.Rule = "oid4vci.denied"                // trying again does not help
	RuleTransaction    hufu.Rule = "oid4vci.invalid-transaction"   // no such deferred issuance, or it is over
	RuleNotification   hufu.Rule = "oid4vci.invalid-notification"  // not understood
	RuleNotificationID hufu.Rule = "oid4vci.unknown-notification"  // no such notification_id
	RuleOffer          hufu.Rule = "oid4vci.invalid-offer"         // a credential offer is not understood
	RuleMetadata       hufu.Rule = "oid4vci.invalid-metadata"      // an issuer's metadata are not understood, or another's
	RuleResponse       hufu.Rule = "oid4vci.invalid-response"      // the issuer's answer is not understood
)

var codes = map[hufu.Rule]string{
	RuleRequest:        "invalid_credential_request",
	RuleConfiguration:  "unknown_credential_configuration",
	RuleIdentifier:     "unknown_credential_identifier",
	RuleEncryption:     "invalid_encryption_parameters",
	RuleProof:          "invalid_proof",
	RuleNonce:          "invalid_nonce",
	RuleTransaction:    "invalid_transaction_id",
	RuleNotification:   "invalid_notification_request",
	RuleNotificationID: "invalid_notification_id",
	RuleDenied:         "credential_request_denied",
}

// CodeOf is the error code (OpenID4VCI 1.0 §8.3.1.2, §9.3, §11.3) for an error. Errors that are no
// refusals by this package's rules are credential_request_denied.
func CodeOf(err error) string {
	if code, ok := codes[hufu.RuleOf(err)]; ok {
		return code
	}
	return codes[RuleDenied]
}

// ErrorResponse is the body of an error answer (§8.3.1.2).
type ErrorResponse struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// NewErrorResponse is the body for a refusal by this package's rules. Any other error says nothing of
// itself.
func NewErrorResponse(err error) *ErrorResponse {
	r := &ErrorResponse{Error: CodeOf(err)}
	if _, ours := codes[hufu.RuleOf(err)]; ours {
		r.Description = oauth.Description(err)
	}
	return r
}

// ParseErrorResponse reads the body of an error answer and gives the refusal that its code stands for:
// by a rule of this package or, for codes of the authorization server, of package oauth.
func ParseErrorResponse(raw []byte) error {
	r, err := oauth.ParseErrorResponse(raw)
	if err != nil {
		return hufu.Refuse(RuleResponse, "%v", err)
	}
	for rule, code := range codes {
		if code != r.Error {
			continue
		}
		if r.Description == "" {
			return hufu.Refuse(rule, "the issuer says %s", code)
		}
		return hufu.Refuse(rule, "the issuer says %s: %s", code, r.Description)
	}
	return oauth.ErrorOf(r.Error, r.Description)
}
