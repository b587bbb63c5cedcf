package oid4vp

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/credential/jws"
	"github.com/hufu-id/hufu/encoding"
)

// Limits of a response. A presentation of the largest credential type published so far has 6 KiB.
const (
	MaxVPToken       = 256 << 10 // bytes of the vp_token parameter
	MaxPresentation  = 64 << 10  // bytes of one presentation
	MaxPresentations = 16        // in one response
)

// VPToken maps the id of each credential query to the presentations that answer it (§8.1). The arrays
// hold one presentation, as no contract asks for multiple.
type VPToken map[string][]string

// Response is an authorization response of response type vp_token (§8.1).
type Response struct {
	VPToken VPToken
	State   string
}

// ParseVPToken reads the vp_token parameter strictly: an object whose members are arrays of strings,
// each array with one entry or more, no member twice, everything within the limits of this package.
// Errors are refusals by [RuleResponse].
func ParseVPToken(data []byte) (VPToken, error) {
	var token VPToken
	if err := encoding.UnmarshalJSON(data, MaxVPToken, &token); err != nil {
		// The decoder's words may quote what the holder sent.
		return nil, hufu.Refuse(RuleResponse, "vp_token is not a JSON object of arrays of strings")
	}
	if len(token) == 0 {
		return nil, hufu.Refuse(RuleResponse, "vp_token is empty")
	}
	n := 0
	for id, list := range token {
		if n += len(list); n > MaxPresentations {
			return nil, hufu.Refuse(RuleResponse, "more than %d presentations", MaxPresentations)
		}
		if id == "" || len(list) == 0 {
			return nil, hufu.Refuse(RuleResponse, "vp_token has an entry without a presentation")
		}
		for _, p := range list {
			if p == "" || len(p) > MaxPresentation {
				return nil, hufu.Refuse(RuleResponse, "a presentation is empty or longer than %d bytes", MaxPresentation)
			}
		}
	}
	return token, nil
}

// Encode writes the vp_token parameter.
func (t VPToken) Encode() ([]byte, error) { return jws.MarshalJSON(t) }

// InOrder lists the presentations in the order of the credential queries' ids, which is the order a
// receipt commits to. An id that the token does not have is left out.
func (t VPToken) InOrder(ids []string) []string {
	out := make([]string, 0, len(t))
	for _, id := range ids {
		out = append(out, t[id]...)
	}
	return out
}

// IDs lists the credential query ids of the token, sorted.
func (t VPToken) IDs() []string {
	out := make([]string, 0, len(t))
	for id := range t {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
