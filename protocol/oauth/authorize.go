package oauth

import (
	"crypto/subtle"
	"encoding/json"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// RequestURIPrefix begins every request_uri that a pushed authorization request gives (RFC 9126 §2.2).
const RequestURIPrefix = "urn:ietf:params:oauth:request_uri:"

// AuthorizationRequest is a request for an authorization code (RFC 6749 §4.1.1, with RFC 7636,
// RFC 9396, RFC 9449 §10 and OpenID4VCI 1.0 §5.1).
type AuthorizationRequest struct {
	ClientID    string
	RedirectURI string
	State       string
	Scope       []string
	Resource    []string
	Challenge   string // code_challenge, of method S256
	Details     []byte // authorization_details: JSON, not looked into
	IssuerState string // of the credential offer
	DPoPKey     string // dpop_jkt: thumbprint of the key that the token is to be bound to
	Prompt      string
	Locales     string // ui_locales: BCP 47 tags, the best first, with spaces between (OpenID Connect Core §3.1.2.1)
}

// ParseAuthorizationRequest reads the parameters of a pushed or a direct authorization request. It
// refuses with [RuleRequest], [RuleResponseType] and [RuleScope]. A request is never the client's word
// for where a browser may be sent: only after this may an error go to RedirectURI.
func ParseAuthorizationRequest(f Form) (*AuthorizationRequest, error) {
	var problem error
	r := &AuthorizationRequest{
		ClientID: f.text("client_id", maxText, &problem), RedirectURI: f.text("redirect_uri", MaxURL, &problem),
		State: f.text("state", maxText, &problem), Challenge: f.text("code_challenge", maxText, &problem),
		IssuerState: f.text("issuer_state", maxText, &problem), DPoPKey: f.text("dpop_jkt", maxText, &problem),
		Details: []byte(f.Get("authorization_details")), Prompt: f.text("prompt", maxText, &problem),
		Locales: f.text("ui_locales", maxText, &problem),
	}
	scope := f.text("scope", maxText, &problem)
	switch {
	case problem != nil:
		return nil, problem
	case r.ClientID == "":
		return nil, hufu.Refuse(RuleRequest, "no client_id")
	case !visible(r.ClientID) || !visible(r.State):
		return nil, hufu.Refuse(RuleRequest, "client_id or state has a character that none may have (RFC 6749 appendix A)")
	case r.RedirectURI == "":
		return nil, hufu.Refuse(RuleRequest, "no redirect_uri")
	case f.Get("request") != "" || f.Get("request_uri") != "":
		return nil, hufu.Refuse(RuleRequest, "a request object or reference inside a request")
	case f.Get("response_type") == "":
		return nil, hufu.Refuse(RuleRequest, "no response_type")
	case f.Get("response_type") != "code":
		return nil, hufu.Refuse(RuleResponseType, "response_type is not code")
	case f.Get("response_mode") != "" && f.Get("response_mode") != "query":
		return nil, hufu.Refuse(RuleRequest, "response_mode is not query")
	}
	if err := CheckRedirect(r.RedirectURI); err != nil {
		return nil, err
	}
	if err := CheckChallenge(r.Challenge, f.Get("code_challenge_method")); err != nil {
		return nil, err
	}
	if r.DPoPKey != "" {
		if err := CheckChallenge(r.DPoPKey, ChallengeMethod); err != nil {
			return nil, hufu.Refuse(RuleRequest, "dpop_jkt is no SHA-256 in base64url")
		}
	}
	r.Resource = f["resource"]
	var err error
	r.Scope, err = ParseScope(scope)
	return r, err
}

// ParseScope splits a scope (RFC 6749 §3.3). It refuses with [RuleScope].
func ParseScope(scope string) ([]string, error) {
	var out []string
	for s := range strings.SplitSeq(scope, " ") {
		if s == "" {
			continue
		}
		if Printable(s) != s {
			return nil, hufu.Refuse(RuleScope, "scope has a character it may not have")
		}
		out = append(out, s)
	}
	return out, nil
}

// Form writes the request's parameters.
func (r *AuthorizationRequest) Form() Form {
	f := Form{"response_type": {"code"}, "code_challenge_method": {ChallengeMethod}}
	f.set("client_id", r.ClientID)
	f.set("redirect_uri", r.RedirectURI)
	f.set("state", r.State)
	f.set("scope", strings.Join(r.Scope, " "))
	f.set("code_challenge", r.Challenge)
	f.set("authorization_details", string(r.Details))
	f.set("issuer_state", r.IssuerState)
	f.set("dpop_jkt", r.DPoPKey)
	f.set("prompt", r.Prompt)
	f.set("ui_locales", r.Locales)
	if len(r.Resource) > 0 {
		f["resource"] = r.Resource
	}
	return f
}

// PushedResponse answers a pushed authorization request (RFC 9126 §2.2).
type PushedResponse struct {
	RequestURI string `json:"request_uri"`
	ExpiresIn  int64  `json:"expires_in"` // seconds
}

// MaxResponseBytes bounds the answers that wallets read here.
const MaxResponseBytes = 256 << 10

// ParsePushedResponse reads the answer. It refuses with [RuleResponse].
func ParsePushedResponse(raw []byte) (*PushedResponse, error) {
	r := new(PushedResponse)
	if err := encoding.UnmarshalJSON(raw, MaxResponseBytes, r); err != nil {
		return nil, hufu.Refuse(RuleResponse, "%v", err)
	}
	if r.RequestURI == "" || len(r.RequestURI) > MaxURL || r.ExpiresIn <= 0 {
		return nil, hufu.Refuse(RuleResponse, "no request_uri that lasts")
	}
	return r, nil
}

// AuthorizationResponse is what comes back with the browser: a code or an error (RFC 6749 §4.1.2).
type AuthorizationResponse struct {
	Code        string
	State       string
	Issuer      string // iss (RFC 9207)
	Error       string
	Description string
}

// URL is the redirect_uri with the answer in its query.
func (r *AuthorizationResponse) URL(redirect string) string {
	f := Form{}
	f.set("code", r.Code)
	f.set("error", r.Error)
	f.set("error_description", r.Description)
	f.set("state", r.State)
	f.set("iss", r.Issuer)
	return Redirect(redirect, f)
}

// ParseAuthorizationResponse reads the answer to a request with the given state, made to the given
// issuer. issNeeded says that the issuer's metadata promises iss (RFC 9207 §2.4). It refuses with
// [RuleResponse] an answer to something else or from somebody else, before anything in it is used; an
// error that the server reports is a refusal by the rule of its code.
func ParseAuthorizationResponse(query, state, issuer string, issNeeded bool) (code string, err error) {
	f, err := ParseForm(query)
	if err != nil {
		return "", hufu.Refuse(RuleResponse, "%v", err)
	}
	iss, there := f["iss"]
	switch {
	case subtle.ConstantTimeCompare([]byte(f.Get("state")), []byte(state)) != 1:
		return "", hufu.Refuse(RuleResponse, "an answer to another request")
	case there && iss[0] != issuer || !there && issNeeded:
		return "", hufu.Refuse(RuleResponse, "an answer from another issuer")
	case f.Get("error") != "":
		return "", ErrorOf(f.Get("error"), f.Get("error_description"))
	}
	if code = f.Get("code"); code == "" || len(code) > maxCredential {
		return "", hufu.Refuse(RuleResponse, "an answer without a code")
	}
	return code, nil
}

// ErrorOf is the refusal that an error code stands for; by [RuleResponse] when the code is unknown.
func ErrorOf(code, description string) error {
	rule := RuleResponse
	for r, c := range codes {
		if c == code {
			rule = r
		}
	}
	if description == "" {
		return hufu.Refuse(rule, "the server says %s", Printable(code))
	}
	return hufu.Refuse(rule, "the server says %s: %s", Printable(code), Printable(description))
}

// AuthorizationURL is the endpoint's URL with parameters added to its query.
func AuthorizationURL(endpoint string, f Form) (string, error) {
	if err := CheckEndpoint(endpoint); err != nil {
		return "", err
	}
	return Redirect(endpoint, f), nil
}

// Reference is the query of an authorization request that was pushed (RFC 9126 §4).
func Reference(clientID, requestURI string) Form {
	return Form{"client_id": {clientID}, "request_uri": {requestURI}}
}

// detailsOf keeps authorization_details as they came, for the protocol that gives them meaning.
func detailsOf(raw json.RawMessage) []byte {
	if len(raw) == 0 || string(raw) == "null" {
		return nil
	}
	return raw
}

// visible reports whether s is of the characters %x20-7E. Others could make a name look like something
// else to the person who is asked about it.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

func validCredential(s string) bool {
	if s == "" || len(s) > maxCredential {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}
