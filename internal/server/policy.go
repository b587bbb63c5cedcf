package server

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

// policy is what holds for the endpoints below a path, whoever serves them.
type policy struct {
	prefix  string // of whole path segments
	origins bool   // pages of other origins may read the answers; never with their cookies
	methods string // that such pages may use, beside GET

	maxBody int64
	timeout time.Duration // until the handler's context ends
}

// corsHeaders are what wallets that are web pages send to the endpoints of OpenID4VCI (RFC 9449 for DPoP and
// its nonce, attestation-based client authentication for the other two).
const (
	corsHeaders = "Authorization, Content-Type, DPoP, OAuth-Client-Attestation, OAuth-Client-Attestation-PoP"
	corsExposed = "DPoP-Nonce, WWW-Authenticate, Retry-After, X-Request-Id"
)

// security sets the headers that are right for every answer, and the policy's own. It reports whether the
// request was a preflight, which is then answered.
func (p *policy) security(w http.ResponseWriter, r *http.Request, secure bool) (done bool) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
	if secure {
		h.Set("Strict-Transport-Security", "max-age=31536000")
	}
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if !p.origins {
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		return false
	}
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", corsExposed)
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	methods := http.MethodGet
	if p.methods != "" {
		methods += ", " + p.methods
		h.Set("Access-Control-Allow-Headers", corsHeaders)
	}
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return true
}

// policies finds the one for a path: the longest prefix.
type policies []policy

func newPolicies(list []policy) policies {
	out := slices.Clone(list)
	slices.SortStableFunc(out, func(a, b policy) int { return len(b.prefix) - len(a.prefix) })
	return out
}

func (p policies) find(path string) *policy {
	for i := range p {
		if rest, ok := strings.CutPrefix(path, p[i].prefix); ok && (rest == "" || rest[0] == '/' || strings.HasSuffix(p[i].prefix, "/")) {
			return &p[i]
		}
	}
	return &p[len(p)-1]
}

// Sizes and times of endpoints. The roles have closer limits of their own.
const (
	maxBody       = 2 << 20          // presentations of several credentials, encrypted and form encoded
	maxSmallBody  = 256 << 10        // everything else is a batch of key proofs at most
	answerTimeout = 30 * time.Second // for what may wait for the ledger
)

// endpoints are the policies of all that is served; the last resort is the strictest. Where origins is not
// set the handler may open single endpoints to other origins itself.
var endpoints = []policy{
	{prefix: "/", maxBody: maxSmallBody, timeout: answerTimeout},
	{prefix: "/1.0/identifiers", origins: true, methods: "POST", maxBody: maxSmallBody, timeout: answerTimeout},
	{prefix: "/statuslists", origins: true, maxBody: maxSmallBody, timeout: answerTimeout},
	{prefix: "/.well-known", origins: true, maxBody: maxSmallBody, timeout: answerTimeout},
	{prefix: "/openapi.json", origins: true, maxBody: maxSmallBody, timeout: answerTimeout},
	{prefix: apiPrefix, maxBody: maxBody, timeout: answerTimeout},
	{prefix: "/gates", maxBody: maxBody, timeout: answerTimeout},
}

// isStream reports whether an endpoint's answers are event streams, which end when their session does or
// the server stops: a gate's page waits for its wallet.
func isStream(path string) bool {
	return strings.HasPrefix(path, "/gates/") && strings.HasSuffix(path, "/events")
}
