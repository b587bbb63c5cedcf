package dcql

import (
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// Problem is one thing wrong with the text of a query.
type Problem struct {
	Offset  int // in bytes
	Message string
	Hint    string // what to do about it; may be empty
}

func add(list *[]Problem, offset int, message, hint string) {
	*list = append(*list, Problem{Offset: offset, Message: message, Hint: hint})
}

// parser turns nodes into a query and collects what is wrong on the way.
type parser struct {
	strict   bool
	problems []Problem
}

func parse(data []byte, strict bool) (*Query, []Problem) {
	p := &parser{strict: strict}
	root := readTree(data, &p.problems)
	if root == nil {
		return nil, p.problems
	}
	q := p.query(root)
	if len(p.problems) == 0 {
		var err error
		if q.canonical, err = canonical(data); err != nil {
			p.add(root, err.Error(), "")
		}
	}
	if len(p.problems) > 0 {
		sort.SliceStable(p.problems, func(i, j int) bool { return p.problems[i].Offset < p.problems[j].Offset })
		return nil, p.problems
	}
	return q, nil
}

func (p *parser) add(n *node, message, hint string) { add(&p.problems, n.offset, message, hint) }

func (p *parser) addf(n *node, format string, args ...any) {
	p.add(n, fmt.Sprintf(format, args...), "")
}

// expect reports whether n is there and of a kind.
func (p *parser) expect(n *node, k kind, what string) bool {
	if n == nil {
		return false
	}
	if n.kind != k {
		p.addf(n, "%s must be %s, not %s", what, k, n.kind)
		return false
	}
	return true
}

// object checks that n is an object with the required members, and in strict mode with no others
// than those and the optional ones.
func (p *parser) object(n *node, what string, required, optional []string) bool {
	if !p.expect(n, isObject, what) {
		return false
	}
	for _, name := range required {
		if n.get(name) == nil {
			p.addf(n, "%s has no %q", what, name)
		}
	}
	if p.strict {
		for _, m := range n.members {
			if !slices.Contains(required, m.name) && !slices.Contains(optional, m.name) {
				known := strings.Join(append(slices.Clone(required), optional...), ", ")
				add(&p.problems, m.offset, fmt.Sprintf("%s has no member %q", what, clip(m.name)), "known are: "+known)
			}
		}
	}
	return true
}

// array checks that n is an array of 1 to most elements. An absent one is no problem here.
func (p *parser) array(n *node, what string, most int) []*node {
	switch {
	case !p.expect(n, isArray, what):
		return nil
	case len(n.items) == 0:
		p.addf(n, "%s must not be empty", what)
	case len(n.items) > most:
		p.addf(n, "%s has %d entries, more than %d", what, len(n.items), most)
		return nil
	}
	return n.items
}

func (p *parser) text(n *node, what string) string {
	if !p.expect(n, isString, what) {
		return ""
	}
	s, _ := n.value.(string)
	if s == "" || len(s) > MaxText {
		p.addf(n, "%s must have 1 to %d bytes", what, MaxText)
		return ""
	}
	return s
}

func (p *parser) boolean(n *node, what string, absent bool) bool {
	if n == nil || !p.expect(n, isBool, what) {
		return absent
	}
	b, _ := n.value.(bool)
	return b
}

// identifier reads an id: alphanumeric, "_" and "-" (§6.1).
func (p *parser) identifier(n *node, what string) string {
	s := p.text(n, what)
	for _, c := range []byte(s) {
		if c != '_' && c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			p.add(n, what+" has a character that is not allowed", "use letters, digits, _ and -")
			return ""
		}
	}
	return s
}

func (p *parser) query(root *node) *Query {
	q := &Query{}
	if !p.object(root, "a query", []string{"credentials"}, []string{"credential_sets"}) {
		return q
	}
	ids := make(map[string]int)
	for _, n := range p.array(root.get("credentials"), "credentials", MaxCredentials) {
		c := p.credential(n)
		if _, twice := ids[c.ID]; twice && c.ID != "" {
			p.addf(n.get("id"), "two credentials have the id %q", c.ID)
		}
		ids[c.ID] = len(q.Credentials)
		q.Credentials = append(q.Credentials, c)
	}
	for _, n := range p.array(root.get("credential_sets"), "credential_sets", MaxSets) {
		if !p.object(n, "a credential set", []string{"options"}, []string{"required"}) {
			continue
		}
		q.Sets = append(q.Sets, CredentialSet{
			Options:  p.references(n.get("options"), "options", "credential", ids),
			Required: p.boolean(n.get("required"), "required", true),
		})
	}
	return q
}

// references reads an array of non-empty arrays of ids of things that there are.
func (p *parser) references(n *node, what, of string, ids map[string]int) [][]int {
	var out [][]int
	for _, list := range p.array(n, what, MaxSets) {
		var option []int
		for _, ref := range p.array(list, "an entry of "+what, MaxClaims) {
			id := p.identifier(ref, "an id in "+what)
			if id == "" {
				continue
			}
			i, ok := ids[id]
			switch {
			case !ok:
				p.addf(ref, "there is no %s with the id %q", of, clip(id))
			case contains(option, i):
				p.addf(ref, "%q is there twice", clip(id))
			default:
				option = append(option, i)
			}
		}
		out = append(out, option)
	}
	return out
}

func (p *parser) credential(n *node) CredentialQuery {
	c := CredentialQuery{Offset: n.offset}
	optional := []string{"multiple", "trusted_authorities", "require_cryptographic_holder_binding", "claims", "claim_sets"}
	if !p.object(n, "a credential query", []string{"id", "format", "meta"}, optional) {
		return c
	}
	c.ID = p.identifier(n.get("id"), "id")
	c.Format = p.text(n.get("format"), "format")
	c.Multiple = p.boolean(n.get("multiple"), "multiple", false)
	c.RequireHolderBinding = p.boolean(n.get("require_cryptographic_holder_binding"), "require_cryptographic_holder_binding", true)
	p.meta(&c, n.get("meta"))
	for _, a := range p.array(n.get("trusted_authorities"), "trusted_authorities", MaxSets) {
		if !p.object(a, "a trusted authority", []string{"type", "values"}, nil) {
			continue
		}
		authority := TrustedAuthority{Type: p.text(a.get("type"), "type"), Offset: a.offset}
		for _, v := range p.array(a.get("values"), "values", MaxValues) {
			authority.Values = append(authority.Values, p.text(v, "a value"))
		}
		c.TrustedAuthorities = append(c.TrustedAuthorities, authority)
	}
	p.claims(&c, n)
	if c.choices = c.ClaimSets; len(c.choices) == 0 {
		all := make([]int, len(c.Claims))
		for i := range all {
			all[i] = i
		}
		c.choices = [][]int{all}
	}
	return c
}

func (p *parser) meta(c *CredentialQuery, n *node) {
	if !p.expect(n, isObject, "meta") {
		return
	}
	switch c.Format {
	case FormatSDJWT:
		p.object(n, "meta", []string{"vct_values"}, nil)
		for _, v := range p.array(n.get("vct_values"), "vct_values", MaxSets) {
			c.Types = append(c.Types, p.text(v, "a vct"))
			c.TypesOffsets = append(c.TypesOffsets, v.offset)
		}
	case FormatMdoc:
		p.object(n, "meta", []string{"doctype_value"}, nil)
		c.Doctype = p.text(n.get("doctype_value"), "doctype_value")
	}
}

func (p *parser) claims(c *CredentialQuery, n *node) {
	ids := make(map[string]int)
	sets := n.get("claim_sets")
	for _, m := range p.array(n.get("claims"), "claims", MaxClaims) {
		claim := p.claim(m)
		if claim.ID == "" && sets != nil && m.get("id") == nil {
			p.add(m, "a claim has no id although there are claim_sets", "give each claim an id and name it in claim_sets")
		}
		if _, twice := ids[claim.ID]; twice && claim.ID != "" {
			p.addf(m.get("id"), "two claims have the id %q", clip(claim.ID))
		}
		for _, other := range c.Claims {
			if len(claim.Path) > 0 && slices.Equal(other.Path, claim.Path) {
				p.addf(m, "the claim %s is asked for twice", PathString(claim.Path))
			}
		}
		ids[claim.ID] = len(c.Claims)
		c.Claims = append(c.Claims, claim)
	}
	if sets != nil && n.get("claims") == nil {
		p.add(sets, "claim_sets without claims", "")
		return
	}
	c.ClaimSets = p.references(sets, "claim_sets", "claim", ids)
}

func (p *parser) claim(n *node) ClaimQuery {
	c := ClaimQuery{Offset: n.offset}
	if !p.object(n, "a claims query", []string{"path"}, []string{"id", "values"}) {
		return c
	}
	c.ID = p.identifier(n.get("id"), "id")
	for _, part := range p.array(n.get("path"), "path", MaxPath) {
		switch part.kind {
		case isString:
			c.Path = append(c.Path, p.text(part, "a path component"))
		case isNull:
			c.Path = append(c.Path, nil)
		case isNumber:
			if i, ok := integer(part); ok && i >= 0 && i <= 1<<20 {
				c.Path = append(c.Path, int(i))
				continue
			}
			p.addf(part, "a number in a path must be a non-negative index")
		default:
			p.addf(part, "a path component must be a string, a non-negative integer or null, not %s", part.kind)
		}
	}
	for _, v := range p.array(n.get("values"), "values", MaxValues) {
		switch v.kind {
		case isString:
			s, _ := v.value.(string)
			if len(s) > MaxText {
				p.addf(v, "a value has more than %d bytes", MaxText)
			}
			c.Values = append(c.Values, s)
		case isBool:
			c.Values = append(c.Values, v.value)
		case isNumber:
			i, ok := integer(v)
			if !ok {
				p.addf(v, "a value must be a string, an integer or a boolean")
			}
			c.Values = append(c.Values, i)
		default:
			p.addf(v, "a value must be a string, an integer or a boolean, not %s", v.kind)
		}
	}
	return c
}

// maxExact bounds integers to what every JSON reader keeps exactly (RFC 7493 §2.2); beyond it two
// different queries could have one canonical form.
const maxExact = 1<<53 - 1

func integer(n *node) (int64, bool) {
	num, _ := n.value.(json.Number)
	i, err := strconv.ParseInt(string(num), 10, 64)
	return i, err == nil && num != "-0" && -maxExact <= i && i <= maxExact
}

func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
