package oauth

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// The rules a message can be refused by. [CodeOf] gives the standard's error code for each.
const (
	RuleRequest      hufu.Rule = "oauth.invalid-request"               // missing, repeated or malformed parameters
	RuleClient       hufu.Rule = "oauth.invalid-client"                // the client did not prove who it is
	RuleGrant        hufu.Rule = "oauth.invalid-grant"                 // a code, refresh token or verifier that is wrong, old, used or another's
	RuleUnauthorized hufu.Rule = "oauth.unauthorized-client"           // the client may not use this grant
	RuleGrantType    hufu.Rule = "oauth.unsupported-grant-type"        //
	RuleResponseType hufu.Rule = "oauth.unsupported-response-type"     //
	RuleScope        hufu.Rule = "oauth.invalid-scope"                 // nothing that is asked for can be given
	RuleDetails      hufu.Rule = "oauth.invalid-authorization-details" // RFC 9396 §5
	RuleDenied       hufu.Rule = "oauth.access-denied"                 // the person, or the server, said no
	RuleToken        hufu.Rule = "oauth.invalid-token"                 // an access token that is unknown, old or bound to another key
	RuleNotAllowed   hufu.Rule = "oauth.insufficient-scope"            // a good token, for something else
	RuleDPoP         hufu.Rule = "oauth.invalid-dpop-proof"            // RFC 9449 §5
	RuleDPoPNonce    hufu.Rule = "oauth.use-dpop-nonce"                // RFC 9449 §8: try again with the nonce in the answer
	RuleAttestation  hufu.Rule = "oauth.invalid-client-attestation"    // the wallet's attestation or its proof is wrong
	RuleStale        hufu.Rule = "oauth.use-fresh-attestation"         // the wallet's attestation is too old
	RuleChallenge    hufu.Rule = "oauth.use-attestation-challenge"     // try again with the challenge in the answer
	RuleUnavailable  hufu.Rule = "oauth.temporarily-unavailable"       // try again later
	RuleResponse     hufu.Rule = "oauth.invalid-response"              // the server's answer is not understood
)

var codes = map[hufu.Rule]string{
	RuleRequest:      "invalid_request",
	RuleClient:       "invalid_client",
	RuleGrant:        "invalid_grant",
	RuleUnauthorized: "unauthorized_client",
	RuleGrantType:    "unsupported_grant_type",
	RuleResponseType: "unsupported_response_type",
	RuleScope:        "invalid_scope",
	RuleDetails:      "invalid_authorization_details",
	RuleDenied:       "access_denied",
	RuleToken:        "invalid_token",
	RuleNotAllowed:   "insufficient_scope",
	RuleDPoP:         "invalid_dpop_proof",
	RuleDPoPNonce:    "use_dpop_nonce",
	RuleAttestation:  "invalid_client_attestation",
	RuleStale:        "use_fresh_attestation",
	RuleChallenge:    "use_attestation_challenge",
	RuleUnavailable:  "temporarily_unavailable",
}

// CodeOf is the error code for an error; server_error for one that is no refusal by this package's rules.
func CodeOf(err error) string {
	if code, ok := codes[hufu.RuleOf(err)]; ok {
		return code
	}
	return "server_error"
}

// ErrorResponse is the body of an error answer (RFC 6749 §5.2).
type ErrorResponse struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// MaxErrorBytes bounds the body of an error answer that [ParseErrorResponse] reads.
const MaxErrorBytes = 16 << 10

// NewErrorResponse is the body for an error. What is no refusal says nothing of itself.
func NewErrorResponse(err error) *ErrorResponse {
	r := &ErrorResponse{Error: CodeOf(err)}
	if r.Error != "server_error" {
		r.Description = Description(err)
	}
	return r
}

// ParseErrorResponse reads the body of an error answer. It refuses with [RuleResponse].
func ParseErrorResponse(raw []byte) (*ErrorResponse, error) {
	r := new(ErrorResponse)
	if err := encoding.UnmarshalJSON(raw, MaxErrorBytes, r); err != nil {
		return nil, hufu.Refuse(RuleResponse, "an error answer: %v", err)
	}
	if r.Error == "" || len(r.Error) > maxCode || Printable(r.Error) != r.Error {
		return nil, hufu.Refuse(RuleResponse, "an error answer without an error code")
	}
	r.Description = Printable(r.Description)
	return r, nil
}

// maxCode bounds an error code: the longest of any standard here has 32 bytes.
const maxCode = 64

// Description is the text of an error that an error_description may hold.
func Description(err error) string { return Printable(err.Error()) }

// maxDescription bounds an error_description: two lines for a person to read.
const maxDescription = 256

// Printable keeps text to the characters that error_description allows, %x20-21 / %x23-5B / %x5D-7E
// (RFC 6749 §5.2), and to 256 of them; others become "'" or "?".
func Printable(text string) string {
	out := make([]byte, 0, min(len(text), maxDescription))
	for _, c := range text {
		if len(out) == maxDescription {
			break
		}
		switch {
		case c == '"' || c == '\\':
			c = '\''
		case c < 0x20 || c > 0x7e:
			c = '?'
		}
		out = append(out, byte(c))
	}
	return string(out)
}
