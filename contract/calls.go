package contract

import (
	"github.com/cedar-policy/cedar-go/types"
	"github.com/cedar-policy/cedar-go/x/exp/ast"
)

// call handles the functions and methods of dates and durations.
func (t *typing) call(n ast.NodeTypeExtensionCall, holds known) term {
	args := make([]term, len(n.Args))
	for i, a := range n.Args {
		args[i] = t.infer(a, holds)
	}
	var in []*valueType
	var out *valueType
	name := string(n.Name)
	switch name {
	case "datetime", "duration":
		return t.constructor(n)
	case "offset":
		in, out = []*valueType{plain(kindDatetime), plain(kindDuration)}, plain(kindDatetime)
	case "durationSince":
		in, out = []*valueType{plain(kindDatetime), plain(kindDatetime)}, plain(kindDuration)
	case "toDate":
		in, out = []*valueType{plain(kindDatetime)}, plain(kindDatetime)
	case "toTime":
		in, out = []*valueType{plain(kindDatetime)}, plain(kindDuration)
	case "toDays", "toHours", "toMinutes", "toSeconds", "toMilliseconds":
		in, out = []*valueType{plain(kindDuration)}, plain(kindLong)
	default:
		if len(args) > 0 && args[0].typ.kind == kindAny {
			return term{typ: plain(kindAny), place: args[0].place}
		}
		return t.refuse(clip(name))
	}
	if len(args) != len(in) {
		t.add(t.position(args...), RuleMismatch, "", "%s takes %d arguments, not %d", name, len(in)-1, len(args)-1)
		return term{typ: out}
	}
	for i := range args {
		t.want(args[i], in[i], "an argument of "+name)
	}
	return term{typ: out, place: firstPlace(args...)}
}

// constructor handles datetime("…") and duration("…"), whose argument must be written out so that it
// can be checked here.
func (t *typing) constructor(n ast.NodeTypeExtensionCall) term {
	name := string(n.Name)
	out := plain(kindDatetime)
	text, ok := types.String(""), false
	if len(n.Args) == 1 {
		if v, isValue := n.Args[0].(ast.NodeValue); isValue {
			text, ok = v.Value.(types.String)
		}
	}
	var err error
	if name == "duration" {
		out = plain(kindDuration)
		_, err = types.ParseDuration(string(text))
	} else {
		_, err = types.ParseDatetime(string(text))
	}
	if !ok || err != nil {
		hint := `write for example datetime("2006-01-02")`
		if name == "duration" {
			hint = `write for example duration("18d")`
		}
		t.add(t.at, RuleMismatch, hint, "%s needs one valid string that is written out", name)
	}
	return term{typ: out}
}
