package contract

import (
	"slices"
	"strings"
	"time"

	"github.com/cedar-policy/cedar-go"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
)

// The words every policy may use beside the claims that were asked for.
const (
	personType = "Person"
	personID   = "holder"
	actionType = "Action"
	actionID   = "enter"
	doorType   = "Door"

	factNow       = "now"
	factStaleness = "staleness"
	factIssuer    = "issuer"
	factAssurance = "assurance"
)

// asked is the claims a contract asks of one credential.
type asked []askedClaim

type askedClaim struct {
	names    []string
	required bool // in every claim set
	at       int  // in the contract's text
}

// covers returns the claim that was asked for and holds the claim at path, itself or a part of it.
func (a asked) covers(path []string) *askedClaim {
	for i := range a {
		if len(a[i].names) <= len(path) && slices.Equal(a[i].names, path[:len(a[i].names)]) {
			return &a[i]
		}
	}
	return nil
}

// context turns facts into the record that policies read. A value that is not what its published type
// says it is refuses the whole: left out, it could keep a forbid from matching.
func (c *Contract) context(f Facts, now time.Time) (cedar.Record, error) {
	context := make(cedar.RecordMap, len(f.Credentials)+2)
	context[factNow] = cedar.NewDatetimeFromMillis(now.Unix() * 1000)
	context[factStaleness] = cedar.Long((f.Staleness + time.Second - 1) / time.Second)
	for i := range c.Query.Credentials {
		id := c.Query.Credentials[i].ID
		cred, ok := f.Credentials[id]
		if !ok {
			continue
		}
		record, err := c.asks[i].record(&cred)
		if err != nil {
			return cedar.Record{}, hufu.Refuse(RuleFact, "credential %s: %s", id, err)
		}
		context[cedar.String(id)] = record
	}
	return cedar.NewRecord(context), nil
}

// valueError says which claim is not what its type says, never its value.
type valueError struct {
	path []string
	want string
}

func (e *valueError) Error() string {
	return "claim " + strings.Join(e.path, ".") + " is no " + e.want
}

func (a asked) record(cred *Credential) (cedar.Value, error) {
	tree := make(branch, 2, len(a)+2)
	tree[0] = twig{name: factIssuer, value: cedar.String(cred.Issuer)}
	tree[1] = twig{name: factAssurance, value: cedar.String(cred.Type.Assurance)}
	for i := range cred.Type.Claims {
		claim := &cred.Type.Claims[i]
		if a.covers(claim.Path) == nil {
			continue
		}
		raw, ok, err := lookup(cred.Claims, claim.Path)
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		if claim.Type == TypeObject {
			if _, ok := raw.(map[string]any); !ok || tree.into(claim.Path) == nil {
				return nil, &valueError{claim.Path, TypeObject}
			}
			continue
		}
		v, ok := convert(raw, claim.Type)
		if !ok {
			return nil, &valueError{claim.Path, claim.Type}
		}
		if !tree.put(claim.Path, v) {
			return nil, &valueError{claim.Path, "claim beside its own parent"}
		}
	}
	return tree.record(), nil
}

// lookup finds a claim by member names. Its error is a parent that is no object.
func lookup(claims map[string]any, path []string) (any, bool, error) {
	for i, name := range path {
		v, ok := claims[name]
		if !ok {
			return nil, false, nil
		}
		if i == len(path)-1 {
			return v, true, nil
		}
		if claims, ok = v.(map[string]any); !ok {
			return nil, false, &valueError{path[:i+1], TypeObject}
		}
	}
	return nil, false, nil
}

// branch is a record being built. It has few members, so they are searched one by one.
type branch []twig

type twig struct {
	name  string
	value cedar.Value // nil when it is a record itself
	below branch
}

// into makes the record at a path and returns it; nil where a value is in the way.
func (b *branch) into(path []string) *branch {
	for _, name := range path {
		t := b.twig(name)
		if t == nil {
			*b = append(*b, twig{name: name})
			t = &(*b)[len(*b)-1]
		} else if t.value != nil {
			return nil
		}
		b = &t.below
	}
	return b
}

func (b *branch) twig(name string) *twig {
	for i := range *b {
		if (*b)[i].name == name {
			return &(*b)[i]
		}
	}
	return nil
}

func (b *branch) put(path []string, v cedar.Value) bool {
	last := len(path) - 1
	b = b.into(path[:last])
	if b == nil || b.twig(path[last]) != nil {
		return false
	}
	*b = append(*b, twig{name: path[last], value: v})
	return true
}

func (b branch) record() cedar.Record {
	m := make(cedar.RecordMap, len(b))
	for _, t := range b {
		if t.value == nil {
			t.value = t.below.record()
		}
		m[cedar.String(t.name)] = t.value
	}
	return cedar.NewRecord(m)
}

// convert turns a disclosed value into the Cedar value of its published type.
func convert(v any, typ string) (cedar.Value, bool) {
	switch typ {
	case TypeString:
		s, ok := v.(string)
		return cedar.String(s), ok
	case TypeBool:
		b, ok := v.(bool)
		return cedar.Boolean(b), ok
	case TypeInt:
		i, ok := dcql.Integer(v)
		return cedar.Long(i), ok
	case TypeDate:
		s, _ := v.(string)
		t, err := time.Parse(time.DateOnly, s)
		return cedar.NewDatetime(t), err == nil
	}
	items, ok := v.([]any)
	if typ != TypeStrings || !ok || len(items) > maxArray {
		return nil, false
	}
	values := make([]cedar.Value, len(items))
	for i, item := range items {
		if values[i], ok = convert(item, TypeString); !ok {
			return nil, false
		}
	}
	return cedar.NewSet(values...), true
}

// maxArray bounds the elements of one claim that policies look at.
const maxArray = 256
