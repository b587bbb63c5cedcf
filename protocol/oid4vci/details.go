package oid4vci

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/protocol/oauth"
)

// DetailsType is the type of authorization details for credentials (§5.1.1).
const DetailsType = "openid_credential"

// MaxDetailsBytes bounds authorization_details.
const MaxDetailsBytes = 48 << 10

// Detail asks for leave to get one credential or, in a token response, gives it (§5.1.1, §6.2).
type Detail struct {
	Type            string        `json:"type"`
	Locations       []string      `json:"locations,omitempty"`
	ConfigurationID string        `json:"credential_configuration_id"`
	Claims          []ClaimDetail `json:"claims,omitempty"`
	Identifiers     []string      `json:"credential_identifiers,omitempty"` // in responses only
}

// ClaimDetail names a claim (Appendix B.1, B.2).
type ClaimDetail struct {
	Path      []any          `json:"path"` // text, whole number or nil (Appendix C)
	Mandatory bool           `json:"mandatory,omitempty"`
	Display   []ClaimDisplay `json:"display,omitempty"` // in metadata only
}

// ClaimDisplay labels a claim in one language.
type ClaimDisplay struct {
	Name   string `json:"name,omitempty"`
	Locale string `json:"locale,omitempty"`
}

// NewDetails asks for credentials.
func NewDetails(configurationIDs ...string) []Detail {
	out := make([]Detail, len(configurationIDs))
	for i, id := range configurationIDs {
		out[i] = Detail{Type: DetailsType, ConfigurationID: id}
	}
	return out
}

// ParseDetails reads authorization_details; nothing gives nothing. It refuses with
// [oauth.RuleDetails] what is malformed or of another type. Details with locations that do not name
// issuer are refused too.
func ParseDetails(raw []byte, issuer string) ([]Detail, error) {
	if len(raw) == 0 {
		return nil, nil
	}
	fail := func(format string, args ...any) ([]Detail, error) {
		return nil, hufu.Refuse(oauth.RuleDetails, format, args...)
	}
	var list []Detail
	if err := encoding.UnmarshalJSON(raw, MaxDetailsBytes, &list); err != nil {
		return fail("%v", err)
	}
	if n := len(list); n == 0 || n > MaxConfigurations {
		return fail("%d authorization details, not 1 to %d", n, MaxConfigurations)
	}
	seen := map[string]bool{}
	for i := range list {
		d := &list[i]
		switch {
		case d.Type != DetailsType:
			return fail("a type other than %s", DetailsType)
		case d.ConfigurationID == "" || len(d.ConfigurationID) > maxIdentifier:
			return fail("no credential_configuration_id")
		case seen[d.ConfigurationID]:
			return fail("a credential configuration twice")
		case d.Locations != nil && !slices.Contains(d.Locations, issuer):
			return fail("locations name another issuer")
		case len(d.Identifiers) > MaxConfigurations || slices.ContainsFunc(d.Identifiers, func(s string) bool { return s == "" || len(s) > maxIdentifier }):
			return fail("credential_identifiers are malformed")
		}
		seen[d.ConfigurationID] = true
		if err := checkPaths(d.Claims); err != nil {
			return fail("claims: %v", err)
		}
	}
	return list, nil
}

// maxClaims bounds the claims that one detail or configuration names.
const maxClaims = 256

// checkPaths refuses claims that repeat or contradict each other (Appendix B.3).
func checkPaths(claims []ClaimDetail) error {
	if len(claims) > maxClaims {
		return hufu.Refuse(oauth.RuleDetails, "more than %d claims", maxClaims)
	}
	ends := map[string]bool{}
	kinds := map[string]byte{} // of what follows a path: a name, a place or every place
	for _, c := range claims {
		if len(c.Path) == 0 || len(c.Path) > encoding.MaxJSONDepth {
			return hufu.Refuse(oauth.RuleDetails, "a path of %d parts", len(c.Path))
		}
		var at strings.Builder
		for _, part := range c.Path {
			kind := byte('n')
			text := "*"
			switch part := part.(type) {
			case string:
				text = strconv.Quote(part)
			case json.Number:
				if n, err := part.Int64(); err != nil || n < 0 {
					return hufu.Refuse(oauth.RuleDetails, "a path with a negative or broken number")
				}
				kind, text = 'i', string(part)
			case nil:
				kind = 'a'
			default:
				return hufu.Refuse(oauth.RuleDetails, "a path of something else than texts, numbers and null")
			}
			if had, there := kinds[at.String()]; there && had != kind {
				return hufu.Refuse(oauth.RuleDetails, "two claims contradict each other")
			}
			kinds[at.String()] = kind
			at.WriteString("/" + text)
		}
		if ends[at.String()] {
			return hufu.Refuse(oauth.RuleDetails, "a claim twice")
		}
		ends[at.String()] = true
	}
	return nil
}
