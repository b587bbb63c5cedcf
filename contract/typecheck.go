package contract

import (
	"maps"
	"slices"
	"strings"

	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// known is the set of what "has" has established, as joined paths below context.
type known map[string]bool

func (a known) or(b known) known {
	if len(b) == 0 {
		return a
	}
	out := maps.Clone(a)
	if out == nil {
		out = make(known)
	}
	maps.Copy(out, b)
	return out
}

func (a known) and(b known) known {
	out := maps.Clone(a)
	maps.DeleteFunc(out, func(path string, _ bool) bool { return !b[path] })
	return out
}

// typing is the check of one policy. It visits the expression in the order of the text, so the n-th
// "context" it meets is the n-th one among the tokens; that is how a problem gets its position.
type typing struct {
	*checker
	root   *valueType
	at     int // where to report what has no better position
	places []place
	next   int
}

// term is what is known of one expression.
type term struct {
	typ   *valueType
	holds known    // what is known where the expression is true
	path  []string // below context, when the expression is a chain of names from there
	place *place
	owner *Type // the credential type whose claims path is about
}

// policy checks one policy against the record that context is.
func (k *checker) policy(p *Policy, root *valueType) {
	// A contract is checked when it is published, and kept for long by those who only decide: they need no tokens.
	tokens, base := lex(p.text, func(int, string, ...any) {}), p.at
	t := &typing{checker: k, root: root, places: places(tokens, base)}
	tree := (*ast.Policy)(p.compiled.AST())
	t.scope(tree, tokens, base)
	heads := conditionHeads(tokens)
	var holds known
	for i, condition := range tree.Conditions {
		t.at = base + tokens[0].at
		if i < len(heads) {
			t.at = base + heads[i].at
		}
		body := t.infer(condition.Body, holds)
		t.want(body, plain(kindBool), "a condition")
		if condition.Condition == ast.ConditionWhen {
			holds = holds.or(body.holds)
		}
	}
}

// conditionHeads are the tokens when and unless outside all brackets.
func conditionHeads(tokens []token) []token {
	depth := 0
	var heads []token
	for _, t := range tokens {
		switch {
		case t.kind == tokenOperator && strings.Contains("([{", t.text):
			depth++
		case t.kind == tokenOperator && strings.Contains(")]}", t.text):
			depth--
		case depth == 0 && t.kind == tokenIdent && (t.text == "when" || t.text == "unless"):
			heads = append(heads, t)
		}
	}
	return heads
}

// scope checks that the policy is about this door: anything else could never apply.
func (t *typing) scope(p *ast.Policy, tokens []token, base int) {
	person := types.NewEntityUID(personType, personID)
	action := types.NewEntityUID(actionType, actionID)
	for _, s := range []struct {
		word   string
		scope  any
		entity types.EntityUID
		is     types.EntityType
	}{
		{"principal", p.Principal, person, personType},
		{"action", p.Action, action, ""},
		{"resource", p.Resource, t.c.resource, doorType},
	} {
		ok := false
		switch scope := s.scope.(type) {
		case ast.ScopeTypeAll:
			ok = true
		case ast.ScopeTypeEq:
			ok = scope.Entity == s.entity
		case ast.ScopeTypeIs:
			ok = scope.Type == s.is
		}
		if !ok {
			i := slices.IndexFunc(tokens, func(t token) bool { return t.kind == tokenIdent && t.text == s.word })
			t.add(base+tokens[max(i, 0)].at, RulePolicy, "write "+s.word+" or "+s.word+" == "+s.entity.String(), "the %s is always %s, so this policy could never apply as it stands", s.word, s.entity)
		}
	}
}

func (t *typing) want(got term, want *valueType, what string) {
	if !got.typ.same(want) {
		t.add(t.position(got), RuleMismatch, "", "%s must be %s, not %s", what, want, got.typ)
	}
}

// position is the place of the first of some terms that has one.
func (t *typing) position(terms ...term) int {
	for _, x := range terms {
		if x.place != nil {
			return x.place.at
		}
	}
	return t.at
}

func (t *typing) refuse(what string) term {
	t.add(t.at, RulePolicy, "", "the contract language does not have %s", what)
	return term{typ: plain(kindAny)}
}

// infer finds the type of an expression where holds is known.
func (t *typing) infer(n ast.IsNode, holds known) term {
	switch n := n.(type) {
	case ast.NodeValue:
		return t.literal(n.Value)
	case ast.NodeTypeVariable:
		return t.variable(string(n.Name))
	case ast.NodeTypeAccess:
		return t.access(t.infer(n.Arg, holds), string(n.Value), holds)
	case ast.NodeTypeHas:
		return t.has(t.infer(n.Arg, holds), string(n.Value))
	case ast.NodeTypeAnd:
		left := t.operand(n.Left, plain(kindBool), "&&", holds)
		right := t.operand(n.Right, plain(kindBool), "&&", holds.or(left.holds))
		return term{typ: plain(kindBool), holds: left.holds.or(right.holds), place: left.place}
	case ast.NodeTypeOr:
		left := t.operand(n.Left, plain(kindBool), "||", holds)
		right := t.operand(n.Right, plain(kindBool), "||", holds)
		return term{typ: plain(kindBool), holds: left.holds.and(right.holds), place: left.place}
	case ast.NodeTypeNot:
		x := t.operand(n.Arg, plain(kindBool), "!", holds)
		return term{typ: plain(kindBool), place: x.place}
	case ast.NodeTypeIfThenElse:
		return t.ifThenElse(n, holds)
	case ast.NodeTypeLike:
		x := t.operand(n.Arg, plain(kindString), "like", holds)
		return term{typ: plain(kindBool), place: x.place}
	case ast.NodeTypeNegate:
		x := t.operand(n.Arg, plain(kindLong), "-", holds)
		return term{typ: plain(kindLong), place: x.place}
	case ast.NodeTypeSet:
		return t.set(n, holds)
	case ast.NodeTypeIsEmpty:
		x := t.infer(n.Arg, holds)
		t.wantSet(x)
		return term{typ: plain(kindBool), place: x.place}
	case ast.NodeTypeExtensionCall:
		return t.call(n, holds)
	}
	return t.binary(n, holds)
}

// binary handles the operators with two operands that need nothing but their types.
func (t *typing) binary(n ast.IsNode, holds known) term {
	switch n := n.(type) {
	case ast.NodeTypeEquals:
		return t.compare(n.BinaryNode, "==", holds)
	case ast.NodeTypeNotEquals:
		return t.compare(n.BinaryNode, "!=", holds)
	case ast.NodeTypeLessThan:
		return t.order(n.BinaryNode, "<", holds)
	case ast.NodeTypeLessThanOrEqual:
		return t.order(n.BinaryNode, "<=", holds)
	case ast.NodeTypeGreaterThan:
		return t.order(n.BinaryNode, ">", holds)
	case ast.NodeTypeGreaterThanOrEqual:
		return t.order(n.BinaryNode, ">=", holds)
	case ast.NodeTypeAdd:
		return t.arithmetic(n.BinaryNode, "+", holds)
	case ast.NodeTypeSub:
		return t.arithmetic(n.BinaryNode, "-", holds)
	case ast.NodeTypeMult:
		return t.arithmetic(n.BinaryNode, "*", holds)
	case ast.NodeTypeContains:
		set, x := t.infer(n.Left, holds), t.infer(n.Right, holds)
		if t.wantSet(set) && !set.typ.element.same(x.typ) {
			t.add(t.position(set, x), RuleMismatch, "", "a %s never contains a %s", set.typ, x.typ)
		}
		return term{typ: plain(kindBool), place: set.place}
	case ast.NodeTypeContainsAll:
		return t.sets(n.BinaryNode, holds)
	case ast.NodeTypeContainsAny:
		return t.sets(n.BinaryNode, holds)
	case ast.NodeTypeIn, ast.NodeTypeIs, ast.NodeTypeIsIn:
		return t.refuse("in and is between entities")
	case ast.NodeTypeHasTag, ast.NodeTypeGetTag:
		return t.refuse("entity tags")
	case ast.NodeTypeRecord:
		return t.refuse("record literals")
	}
	return t.refuse("this expression")
}

func (t *typing) operand(n ast.IsNode, want *valueType, operator string, holds known) term {
	x := t.infer(n, holds)
	t.want(x, want, "an operand of "+operator)
	return x
}

func (t *typing) literal(v types.Value) term {
	switch v := v.(type) {
	case types.Boolean:
		return term{typ: plain(kindBool)}
	case types.Long:
		return term{typ: plain(kindLong)}
	case types.String:
		return term{typ: plain(kindString)}
	case types.EntityUID:
		return term{typ: &valueType{kind: kindEntity, entity: string(v.Type)}}
	}
	return t.refuse("this literal")
}

func (t *typing) variable(name string) term {
	switch name {
	case "principal":
		return term{typ: &valueType{kind: kindEntity, entity: personType}}
	case "action":
		return term{typ: &valueType{kind: kindEntity, entity: actionType}}
	case "resource":
		return term{typ: &valueType{kind: kindEntity, entity: doorType}}
	}
	x := term{typ: t.root, path: []string{}}
	if t.next < len(t.places) {
		x.place = &t.places[t.next]
	}
	t.next++
	return x
}

func (t *typing) access(x term, name string, holds known) term {
	f, path, ok := t.find(x, name)
	if !ok {
		return term{typ: plain(kindAny), place: x.place}
	}
	if f.optional && !holds[joinPath(path)] {
		t.add(x.place.of(path, t.at), RuleUnguarded, "write "+guard(path)+" && … before it", "%s may be absent", cedarName(path))
	}
	return term{typ: f.typ, path: path, place: x.place, owner: owner(x)}
}

func (t *typing) has(x term, name string) term {
	_, path, ok := t.find(x, name)
	if !ok {
		return term{typ: plain(kindBool), place: x.place}
	}
	return term{typ: plain(kindBool), holds: known{joinPath(path): true}, place: x.place}
}

func owner(x term) *Type {
	if x.typ.unasked != nil {
		return x.typ.unasked
	}
	return x.owner
}

// find looks a name up in the record that x is, and reports what is wrong with it.
func (t *typing) find(x term, name string) (field, []string, bool) {
	switch {
	case x.typ.kind == kindAny:
		return field{}, nil, false
	case x.typ.kind != kindRecord || x.path == nil:
		t.add(t.position(x), RuleMismatch, "", "a %s has no parts such as %q", x.typ, clip(name))
		return field{}, nil, false
	}
	path := append(slices.Clone(x.path), name)
	f, ok := x.typ.fields[name]
	if ok {
		return f, path, true
	}
	at := x.place.of(path, t.at)
	unasked := owner(x)
	switch {
	case len(path) == 1:
		t.add(at, RuleClaim, "there are: "+strings.Join(x.typ.names(), ", "), "the query asks for no credential %q", clip(name))
	case unasked != nil && slices.ContainsFunc(unasked.Claims, func(c Claim) bool { return hasPrefix(c.Path, path[1:]) }):
		t.add(at, RuleClaim, "add it to the query, or use what the query asks for", "the query does not ask for the claim %s", cedarName(path))
	default:
		t.add(at, RuleClaim, "there are: "+strings.Join(x.typ.names(), ", "), "no requested type has the claim %s", cedarName(path))
	}
	return field{}, nil, false
}

func hasPrefix(path, prefix []string) bool {
	return len(path) >= len(prefix) && slices.Equal(path[:len(prefix)], prefix)
}

func (t *typing) ifThenElse(n ast.NodeTypeIfThenElse, holds known) term {
	condition := t.operand(n.If, plain(kindBool), "if", holds)
	then := t.infer(n.Then, holds.or(condition.holds))
	otherwise := t.infer(n.Else, holds)
	if !then.typ.same(otherwise.typ) {
		t.add(t.position(then, otherwise, condition), RuleMismatch, "", "then is %s and else is %s", then.typ, otherwise.typ)
	}
	return term{typ: then.typ, holds: condition.holds.or(then.holds).and(otherwise.holds), place: condition.place}
}

func (t *typing) compare(n ast.BinaryNode, operator string, holds known) term {
	left, right := t.infer(n.Left, holds), t.infer(n.Right, holds)
	if !left.typ.same(right.typ) {
		t.add(t.position(left, right), RuleMismatch, hintFor(left, right), "%s between %s and %s", operator, left.typ, right.typ)
	}
	return term{typ: plain(kindBool), place: firstPlace(left, right)}
}

func hintFor(a, b term) string {
	if a.typ.kind == kindDatetime && b.typ.kind == kindString || a.typ.kind == kindString && b.typ.kind == kindDatetime {
		return `write a date as datetime("2006-01-02")`
	}
	return ""
}

func (t *typing) order(n ast.BinaryNode, operator string, holds known) term {
	left, right := t.infer(n.Left, holds), t.infer(n.Right, holds)
	ordered := func(x term) bool {
		return x.typ.kind == kindAny || x.typ.kind == kindLong || x.typ.kind == kindDatetime || x.typ.kind == kindDuration
	}
	if !ordered(left) || !ordered(right) || !left.typ.same(right.typ) {
		t.add(t.position(left, right), RuleMismatch, hintFor(left, right), "%s between %s and %s", operator, left.typ, right.typ)
	}
	return term{typ: plain(kindBool), place: firstPlace(left, right)}
}

func (t *typing) arithmetic(n ast.BinaryNode, operator string, holds known) term {
	left := t.operand(n.Left, plain(kindLong), operator, holds)
	right := t.operand(n.Right, plain(kindLong), operator, holds)
	return term{typ: plain(kindLong), place: firstPlace(left, right)}
}

func firstPlace(terms ...term) *place {
	for _, x := range terms {
		if x.place != nil {
			return x.place
		}
	}
	return nil
}

func (t *typing) wantSet(x term) bool {
	if x.typ.kind != kindSet && x.typ.kind != kindAny {
		t.add(t.position(x), RuleMismatch, "", "a %s is no Set", x.typ)
	}
	return x.typ.kind == kindSet
}

func (t *typing) sets(n ast.BinaryNode, holds known) term {
	left, right := t.infer(n.Left, holds), t.infer(n.Right, holds)
	if t.wantSet(left) && t.wantSet(right) && !left.typ.same(right.typ) {
		t.add(t.position(left, right), RuleMismatch, "", "a %s and a %s have nothing in common", left.typ, right.typ)
	}
	return term{typ: plain(kindBool), place: firstPlace(left, right)}
}

func (t *typing) set(n ast.NodeTypeSet, holds known) term {
	if len(n.Elements) == 0 {
		return t.refuse("empty sets")
	}
	var element *valueType
	var where *place
	for _, e := range n.Elements {
		x := t.infer(e, holds)
		if element == nil {
			element, where = x.typ, x.place
		} else if !element.same(x.typ) {
			t.add(t.position(x), RuleMismatch, "", "a set of %s and %s", element, x.typ)
		}
	}
	return term{typ: &valueType{kind: kindSet, element: element}, place: where}
}
