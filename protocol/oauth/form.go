package oauth

import (
	"net/url"
	"strings"

	"github.com/hufu-id/hufu"
)

// Limits on forms and queries.
const (
	MaxFormBytes  = 64 << 10 // authorization_details of every configuration an issuer could have
	maxParameters = 64
	maxCredential = 4 << 10 // bytes of a code, token or verifier
	maxText       = 1 << 10 // bytes of a state, scope or client_id
)

// Form is the parameters of a request or of a redirect, each once (RFC 6749 §3.1). Only resource may
// come several times (RFC 8707 §2).
type Form map[string][]string

// ParseForm reads an application/x-www-form-urlencoded body or a query. It refuses with [RuleRequest].
func ParseForm(raw string) (Form, error) {
	if len(raw) > MaxFormBytes {
		return nil, hufu.Refuse(RuleRequest, "more than %d bytes", MaxFormBytes)
	}
	if strings.Count(raw, "&") >= maxParameters {
		return nil, hufu.Refuse(RuleRequest, "more than %d parameters", maxParameters)
	}
	values, err := url.ParseQuery(raw)
	if err != nil {
		return nil, hufu.Refuse(RuleRequest, "not application/x-www-form-urlencoded")
	}
	for name, all := range values {
		if len(all) > 1 && name != "resource" {
			return nil, hufu.Refuse(RuleRequest, "a parameter twice")
		}
	}
	return Form(values), nil
}

// Get is a parameter's value, or "": a parameter without a value is as if it were not there (§3.1).
func (f Form) Get(name string) string {
	if all := f[name]; len(all) > 0 {
		return all[0]
	}
	return ""
}

func (f Form) set(name, value string) {
	if value != "" {
		f[name] = []string{value}
	}
}

// Encode writes the parameters in the order of their names.
func (f Form) Encode() string { return url.Values(f).Encode() }

// text is a parameter of at most most bytes; what is longer goes to *problem, the first that is.
func (f Form) text(name string, most int, problem *error) string {
	value := f.Get(name)
	if len(value) > most {
		if *problem == nil {
			*problem = hufu.Refuse(RuleRequest, "%s of more than %d bytes", name, most)
		}
		return ""
	}
	return value
}

// CheckRedirect refuses with [RuleRequest] what no browser may be sent to with an answer: a URL that
// is relative, has a fragment or a user, or whose scheme runs or shows something (RFC 6749 §3.1.2,
// RFC 8252 §7). Schemes of one's own are what wallets on phones have.
func CheckRedirect(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || len(uri) > MaxURL || u.Scheme == "":
		return hufu.Refuse(RuleRequest, "redirect_uri is no absolute URL")
	case strings.Contains(uri, "#") || u.User != nil:
		return hufu.Refuse(RuleRequest, "redirect_uri has a fragment or a user")
	}
	for i := range len(uri) {
		if uri[i] <= ' ' || uri[i] >= 0x7f || strings.IndexByte("<>\"\\^`{|}", uri[i]) >= 0 {
			return hufu.Refuse(RuleRequest, "redirect_uri has a character that no URL has")
		}
	}
	switch u.Scheme {
	case "https":
		if u.Hostname() != "" {
			return nil
		}
	case "http":
		if loopback(u.Hostname()) {
			return nil
		}
	case "javascript", "data", "vbscript", "file", "filesystem", "blob", "about", "view-source", "ftp", "ws", "wss", "mailto", "tel", "sms", "intent":
	default:
		return nil
	}
	return hufu.Refuse(RuleRequest, "redirect_uri has a scheme that is not taken")
}

// Redirect is a redirect_uri with an answer's parameters added to its query.
func Redirect(uri string, answer Form) string {
	join := "?"
	if strings.Contains(uri, "?") {
		join = "&"
		if strings.HasSuffix(uri, "?") || strings.HasSuffix(uri, "&") {
			join = ""
		}
	}
	return uri + join + answer.Encode()
}
