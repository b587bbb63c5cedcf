package contract

import (
	"slices"
	"strings"

	"github.com/hufu-id/hufu/contract/dcql"
)

// The value types of claims.
const (
	TypeString  = "string"
	TypeBool    = "bool"
	TypeInt     = "int"
	TypeDate    = "date"    // "2006-01-02" (RFC 3339 full-date)
	TypeObject  = "object"  // its members are claims of their own
	TypeStrings = "strings" // an array of strings
)

// Type is a published credential type, as far as contracts need it.
type Type struct {
	VCT       string // its name (SD-JWT VC §3.2.2.1.1)
	Assurance string // low, substantial or high
	Claims    []Claim
}

// Claim is one claim of a credential type.
type Claim struct {
	Path []string // member names from the top of the credential
	Type string
}

// Check holds a contract against the published credential types and returns everything that is wrong:
// types nobody published, claims that no requested type has, policies that speak of what is not
// requested, that compare what cannot be compared, or that use what may be absent without asking for
// it first. types looks a type up by vct and returns nil when there is none; its error ends the check
// and is returned as it is.
func Check(c *Contract, types func(vct string) (*Type, error)) (Problems, error) {
	k := &checker{findings: &findings{source: c.source}, c: c}
	root := newRecord()
	root.fields[factNow] = field{typ: plain(kindDatetime)}
	root.fields[factStaleness] = field{typ: plain(kindLong)}
	for i := range c.Query.Credentials {
		record, err := k.credential(i, types)
		if err != nil {
			return nil, err
		}
		root.fields[c.Query.Credentials[i].ID] = field{typ: record, optional: c.Query.Optional(i)}
	}
	for i := range c.Policies {
		k.policy(&c.Policies[i], root)
	}
	return k.problems(), nil
}

type checker struct {
	*findings
	c *Contract
}

// credential builds what policies see of one credential: what all its possible types have in common.
func (k *checker) credential(i int, types func(string) (*Type, error)) (*valueType, error) {
	q := &k.c.Query.Credentials[i]
	base := k.c.queryAt
	var all *valueType
	for n, vct := range q.Types {
		t, err := types(vct)
		if err != nil {
			return nil, err
		}
		if t == nil {
			k.add(base+q.TypesOffsets[n], RuleType, "publish the type first, or correct its name", "nobody published a credential type %s", clip(vct))
			all = plain(kindAny)
			continue
		}
		if min := k.c.Requirements[i]; assuranceRank(t.Assurance) < assuranceRank(min.Assurance) {
			k.add(min.at, RuleValue, "", "the type %s has assurance %s, so no credential of it could ever meet %s", clip(vct), t.Assurance, min.Assurance)
		}
		record := k.record(i, t)
		if all == nil {
			all = record
		} else {
			all = k.common(all, record, base+q.Offset)
		}
	}
	return all, nil
}

// record is what policies see of a credential of type t.
func (k *checker) record(i int, t *Type) *valueType {
	record := newRecord()
	record.unasked = t
	record.fields[factIssuer] = field{typ: plain(kindString)}
	record.fields[factAssurance] = field{typ: plain(kindString)}
	q := &k.c.Query.Credentials[i]
	for n, a := range k.c.asks[i] {
		found := false
		for _, claim := range t.Claims {
			if len(claim.Path) < len(a.names) || !slices.Equal(claim.Path[:len(a.names)], a.names) {
				continue
			}
			found = true
			exact := len(claim.Path) == len(a.names)
			v := claimType(claim.Type)
			if v == nil {
				k.add(a.at, RuleMismatch, "", "the claim %s is of a type that contracts do not know: %s", strings.Join(claim.Path, "."), clip(claim.Type))
				v = plain(kindAny)
			}
			record.insert(claim.Path, v, a.required && exact)
			if exact {
				k.claimQuery(&q.Claims[n], claim.Type, a.at)
			}
		}
		if !found {
			k.add(a.at, RuleClaim, "its claims are: "+claimList(t), "the type %s has no claim %s", clip(t.VCT), clip(strings.Join(a.names, ".")))
			record.insert(a.names, plain(kindAny), a.required)
		}
	}
	return record
}

// claimQuery checks what the query says of a claim against the claim's published type.
func (k *checker) claimQuery(q *dcql.ClaimQuery, typ string, at int) {
	if _, named := q.Path[len(q.Path)-1].(string); !named && typ != TypeStrings {
		k.add(at, RuleMismatch, "", "the claim %s is no array but %s", dcql.PathString(q.Path), typ)
	}
	for _, v := range q.Values {
		ok := false
		switch v.(type) {
		case string:
			ok = typ == TypeString || typ == TypeDate || typ == TypeStrings && q.Path[len(q.Path)-1] == nil
		case bool:
			ok = typ == TypeBool
		case int64:
			ok = typ == TypeInt
		}
		if !ok {
			k.add(at, RuleMismatch, "", "the claim %s is of type %s and can never have that value", dcql.PathString(q.Path), typ)
			return
		}
	}
}

// common is what two types of one credential both have. A claim that only one has may be absent.
func (k *checker) common(a, b *valueType, at int) *valueType {
	if a.kind == kindAny || b.kind == kindAny {
		return plain(kindAny)
	}
	both := newRecord()
	both.unasked = a.unasked
	for _, name := range a.names() {
		x := a.fields[name]
		y, ok := b.fields[name]
		switch {
		case !ok:
			x.optional = true
		case x.typ.kind == kindRecord && y.typ.kind == kindRecord:
			x = field{typ: k.common(x.typ, y.typ, at), optional: x.optional || y.optional}
		case !x.typ.same(y.typ):
			k.add(at, RuleMismatch, "ask for the two types as two credentials", "the claim %s is %s in one of the types and %s in another", name, x.typ, y.typ)
			x = field{typ: plain(kindAny)}
		default:
			x.optional = x.optional || y.optional
		}
		both.fields[name] = x
	}
	for _, name := range b.names() {
		if _, ok := a.fields[name]; !ok {
			y := b.fields[name]
			y.optional = true
			both.fields[name] = y
		}
	}
	return both
}

func claimList(t *Type) string {
	names := make([]string, 0, len(t.Claims))
	for _, c := range t.Claims {
		names = append(names, strings.Join(c.Path, "."))
	}
	list := strings.Join(names, ", ")
	if len(list) > 512 {
		list = strings.ToValidUTF8(list[:512], "") + "…"
	}
	return list
}
