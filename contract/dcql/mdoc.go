package dcql

import (
	"encoding/json"
	"strings"

	"github.com/hufu-id/hufu"
)

// RuleUntranslatable is the rule of queries that cannot be asked in another credential format.
const RuleUntranslatable hufu.Rule = "dcql.untranslatable"

// ElementSeparator joins the names of a claim's path into the identifier of an mdoc's data element.
const ElementSeparator = "."

// InMdoc is q, which asks for dc+sd-jwt, as the query that asks for the same in mso_mdoc, and that
// query's JSON. Every credential keeps its id, its sets and its values; its type becomes the doctype,
// and the claim a.b the element "a.b" in the namespace that is named as the doctype. The same q gives
// the same bytes, so whoever reads a contract knows both queries that it stands for.
//
// An mdoc is of one doctype, has no claims without names and no elements of arrays to choose from. What
// would ask for more, for less or for something ambiguous is refused with [RuleUntranslatable]: a query for
// several types or for any type, an element of an array by its place, a member behind an array, a name
// with a dot in it. All elements of an array are the array.
func (q *Query) InMdoc() (*Query, []byte, error) {
	out := queryJSON{}
	for i := range q.Credentials {
		c, err := q.Credentials[i].inMdoc()
		if err != nil {
			return nil, nil, err
		}
		out.Credentials = append(out.Credentials, c)
	}
	for _, s := range q.Sets {
		set := setJSON{}
		if !s.Required {
			set.Required = &s.Required
		}
		for _, option := range s.Options {
			var ids []string
			for _, i := range option {
				ids = append(ids, q.Credentials[i].ID)
			}
			set.Options = append(set.Options, ids)
		}
		out.Sets = append(out.Sets, set)
	}
	raw, err := json.Marshal(out)
	if err != nil {
		return nil, nil, err
	}
	translated, err := Parse(raw)
	if err != nil {
		return nil, nil, hufu.Refuse(RuleUntranslatable, "%v", err)
	}
	return translated, raw, nil
}

// The JSON of a query, in a fixed order of members.
type queryJSON struct {
	Credentials []credentialJSON `json:"credentials"`
	Sets        []setJSON        `json:"credential_sets,omitempty"`
}

type credentialJSON struct {
	ID          string          `json:"id"`
	Format      string          `json:"format"`
	Multiple    bool            `json:"multiple,omitempty"`
	Meta        metaJSON        `json:"meta"`
	Authorities []authorityJSON `json:"trusted_authorities,omitempty"`
	Binding     *bool           `json:"require_cryptographic_holder_binding,omitempty"`
	Claims      []claimJSON     `json:"claims,omitempty"`
	ClaimSets   [][]string      `json:"claim_sets,omitempty"`
}

type metaJSON struct {
	Doctype string `json:"doctype_value"`
}

type authorityJSON struct {
	Type   string   `json:"type"`
	Values []string `json:"values"`
}

type claimJSON struct {
	ID     string   `json:"id,omitempty"`
	Path   []string `json:"path"`
	Values []any    `json:"values,omitempty"`
}

type setJSON struct {
	Options  [][]string `json:"options"`
	Required *bool      `json:"required,omitempty"`
}

func (c *CredentialQuery) inMdoc() (credentialJSON, error) {
	out := credentialJSON{ID: c.ID, Format: FormatMdoc, Multiple: c.Multiple}
	switch {
	case c.Format != FormatSDJWT:
		return out, hufu.Refuse(RuleUntranslatable, "credential %s: is asked for in %s, not in %s", c.ID, clip(c.Format), FormatSDJWT)
	case len(c.Types) != 1:
		return out, hufu.Refuse(RuleUntranslatable, "credential %s: may be of %d types, an mdoc is of exactly one", c.ID, len(c.Types))
	}
	out.Meta.Doctype = c.Types[0]
	if !c.RequireHolderBinding {
		out.Binding = &c.RequireHolderBinding
	}
	for _, a := range c.TrustedAuthorities {
		out.Authorities = append(out.Authorities, authorityJSON{Type: a.Type, Values: a.Values})
	}
	taken := make(map[string]bool)
	for i := range c.Claims {
		claim := &c.Claims[i]
		element, err := ElementOf(claim.Path)
		if err == nil && taken[element] {
			err = hufu.Refuse(RuleUntranslatable, "%s and another claim are one element of an mdoc", PathString(claim.Path))
		}
		if err != nil {
			return out, err
		}
		taken[element] = true
		out.Claims = append(out.Claims, claimJSON{ID: claim.ID, Path: []string{c.Types[0], element}, Values: claim.Values})
	}
	for _, set := range c.ClaimSets {
		var ids []string
		for _, i := range set {
			ids = append(ids, c.Claims[i].ID)
		}
		out.ClaimSets = append(out.ClaimSets, ids)
	}
	return out, nil
}

// ElementOf is the identifier of the mdoc data element that holds the claim at path, or a refusal with
// [RuleUntranslatable] when there is none.
func ElementOf(path Path) (string, error) {
	names := make([]string, 0, len(path))
	for i, part := range path {
		name, ok := part.(string)
		switch {
		case part == nil && i == len(path)-1 && i > 0:
		case !ok:
			return "", hufu.Refuse(RuleUntranslatable, "%s is a part of an array, which an mdoc shows whole", PathString(path))
		case strings.Contains(name, ElementSeparator):
			return "", hufu.Refuse(RuleUntranslatable, "%s has a name with a %q, which separates names in an mdoc", PathString(path), ElementSeparator)
		default:
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", hufu.Refuse(RuleUntranslatable, "a claim without a name")
	}
	return strings.Join(names, ElementSeparator), nil
}
