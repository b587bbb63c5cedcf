package contract

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
)

// doorTypes knows the one type that the test door asks for.
func doorTypes(vct string) (*Type, error) {
	if vct != "urn:t" {
		return nil, nil
	}
	return &Type{VCT: vct, Assurance: AssuranceSubstantial, Claims: []Claim{
		{Path: []string{"d"}, Type: TypeDate},
		{Path: []string{"l"}, Type: TypeStrings},
		{Path: []string{"n"}, Type: TypeInt},
		{Path: []string{"o"}, Type: TypeObject},
		{Path: []string{"o", "b"}, Type: TypeBool},
		{Path: []string{"o", "x-1"}, Type: TypeString},
		{Path: []string{"s"}, Type: TypeString},
		{Path: []string{"unasked"}, Type: TypeString},
	}}, nil
}

func TestCheckPolicies(t *testing.T) {
	for _, tc := range []struct {
		name, condition string
		rule            hufu.Rule // empty: nothing is wrong
		at              string
	}{
		{"true", `true`, "", ""},
		{"a nested claim", `context.p["o"].b`, "", ""},
		{"a string", `context.p.s == "x" && context.p.s like "x*"`, "", ""},
		{"an int", `context.p.n + 1 < 3 * -2 || -context.p.n >= 4 - 1`, "", ""},
		{"facts", `context.now > datetime("2026-01-01") && context.staleness < 5 && context.p.issuer != context.p.assurance`, "", ""},
		{"dates", `context has q && context.q.d.offset(duration("6574d")) <= context.now && context.now.durationSince(context.q.d).toDays() > 1`, "", ""},
		{"more dates", `context has q && context.q.d.toDate() == context.q.d && context.q.d.toTime() < duration("1h")`, "", ""},
		{"a set", `["a", "b"].contains(context.p.s) && ![1, context.p.n].isEmpty()`, "", ""},
		{"sets", `context has q.l && context.q.l.containsAny(["x"]) && ["x"].containsAll(context.q.l) && context.q.l.contains("x")`, "", ""},
		{"entities", `principal == Person::"holder" && resource != Door::"other" && action == Action::"enter"`, "", ""},
		{"if", `if context.p.o.b then context.p.s == "x" else context.p.n == 1`, "", ""},
		{"guarded", `context has q && context.q.d == context.now`, "", ""},
		{"guarded in an if", `if context has q then context.q.d == context.now else false`, "", ""},
		{"guarded by either", `((context has q && true) || (context.p.o.b && context has q)) && context.q.d < context.now`, "", ""},
		{"guarded by both branches", `(if context.p.o.b then context has q else context has q) && context.q.d < context.now`, "", ""},
		{"guarded by a chain", `context has q.o.b && context.q.o.b`, "", ""},
		{"guarded by a string", `context has q && context.q has o && context.q.o has "x-1" && context.q.o["x-1"] == "y"`, "", ""},
		{"guarded in the condition before", `context has q } when { context.q.d < context.now`, "", ""},

		{"no such credential", `context.r.s == "x"`, RuleClaim, `r.s`},
		{"no such claim", `context.p.o.b && context.p.nam == "x"`, RuleClaim, `nam`},
		{"no such nested claim", `context.p.o.c`, RuleClaim, `c }`},
		{"no such claim in brackets", `context.p["nam"] == "x"`, RuleClaim, `"nam"`},
		{"no such claim behind has", `context.p has nam && true`, RuleClaim, `nam &&`},
		{"no such claim in a chain of has", `context has q.o.zz && true`, RuleClaim, `zz`},
		{"a claim that is not asked for", `context.p.unasked == "x"`, RuleClaim, `unasked`},
		{"a claim of the other credential", `context.p.d == context.now`, RuleClaim, `d ==`},
		{"string and long", `context.p.s == 1`, RuleMismatch, `context.p.s == 1`},
		{"long and string", `"1" != context.p.n`, RuleMismatch, `context.p.n`},
		{"strings in order", `context.p.s < "x"`, RuleMismatch, `context.p.s <`},
		{"order of two kinds", `context.p.n < context.now`, RuleMismatch, `context.p.n <`},
		{"date as a string", `context has q && context.q.d == "2026-01-01"`, RuleMismatch, `context.q.d`},
		{"a string as condition", `context.p.s`, RuleMismatch, `context.p.s`},
		{"a number as condition", `1`, RuleMismatch, `when`},
		{"and with a string", `true && context.p.s`, RuleMismatch, `context.p.s`},
		{"or with a string", `context.p.s || true`, RuleMismatch, `context.p.s`},
		{"not a number", `!context.p.n`, RuleMismatch, `context.p.n`},
		{"minus a string", `-context.p.s == 1`, RuleMismatch, `context.p.s`},
		{"plus a string", `context.p.s + 1 == 1`, RuleMismatch, `context.p.s`},
		{"like a number", `context.p.n like "1*"`, RuleMismatch, `context.p.n`},
		{"if a number", `if context.p.n then true else false`, RuleMismatch, `context.p.n`},
		{"branches of two kinds", `(if true then context.p.n else context.p.s) == 1`, RuleMismatch, `context.p.n`},
		{"part of a string", `context.p.s.x`, RuleMismatch, `context.p.s.x`},
		{"part of a string behind has", `context.p.s has x`, RuleMismatch, `context.p.s has`},
		{"part of a person", `principal.age > 1`, RuleMismatch, `when`},
		{"contains in a string", `context.p.s.contains("x")`, RuleMismatch, `context.p.s`},
		{"contains of another kind", `["x"].contains(context.p.n)`, RuleMismatch, `context.p.n`},
		{"contains all of a string", `["x"].containsAll(context.p.s)`, RuleMismatch, `context.p.s`},
		{"contains any of another kind", `["x"].containsAny([context.p.n])`, RuleMismatch, `context.p.n`},
		{"is empty of a string", `context.p.s.isEmpty()`, RuleMismatch, `context.p.s`},
		{"a mixed set", `["x", context.p.n].isEmpty()`, RuleMismatch, `context.p.n`},
		{"an empty set", `[].isEmpty()`, RulePolicy, `when`},
		{"a record", `{a: 1} == {a: 1}`, RulePolicy, `when`},
		{"an IP address", `ip("10.0.0.1").isIpv4()`, RulePolicy, `when`},
		{"a decimal", `decimal("1.0") == decimal("1.0")`, RulePolicy, `when`},
		{"entity hierarchies", `principal in Person::"holder"`, RulePolicy, `when`},
		{"is", `principal is Person`, RulePolicy, `when`},
		{"tags", `principal.hasTag("x")`, RulePolicy, `when`},
		{"entities of two types", `principal == Door::"x"`, RuleMismatch, `when`},
		{"no date", `context.now > datetime("tomorrow")`, RuleMismatch, `when`},
		{"no duration", `duration("soon") == duration("1d")`, RuleMismatch, `when`},
		{"a date from a claim", `datetime(context.p.s) > context.now`, RuleMismatch, `when`},
		{"two dates", `datetime("2026-01-01", "x") > context.now`, RuleMismatch, `when`},
		{"offset of a number", `context has q && context.q.d.offset(context.p.n) < context.now`, RuleMismatch, `context.p.n`},
		{"offset of nothing", `context.now.offset() < context.now`, RuleMismatch, `context.now.offset`},
		{"days of a date", `context.now.toDays() > 3`, RuleMismatch, `context.now.toDays`},
		{"an optional credential", `context.q.d < context.now`, RuleUnguarded, `q.d`},
		{"an optional claim", `context has q && context.q.l.contains("x")`, RuleUnguarded, `l.contains`},
		{"a guard too late", `context.q.d < context.now && context has q`, RuleUnguarded, `q.d`},
		{"a guard of another", `context has p && context.q.d < context.now`, RuleUnguarded, `q.d`},
		{"a guard in or", `context has q || context.q.d < context.now`, RuleUnguarded, `q.d`},
		{"a guard denied", `!(context has q) && context.q.d < context.now`, RuleUnguarded, `q.d`},
		{"a guard in one branch", `(if context.p.o.b then context has q else true) && context.q.d < context.now`, RuleUnguarded, `q.d`},
		{"a guard on one side", `(context.p.o.b || context has q) && context.q.d < context.now`, RuleUnguarded, `q.d`},
		{"a guard in else", `if context has q then true else context.q.d < context.now`, RuleUnguarded, `q.d`},
		{"a guard in unless before", `true } unless { context has q } when { context.q.d < context.now`, RuleUnguarded, `q.d`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := change(t, door, "{ context.p.o.b }", "{ "+tc.condition+" }")
			expectCheck(t, text, tc.rule, tc.at)
		})
	}
}

// expectCheck parses and checks a text and wants one problem, or none.
func expectCheck(t *testing.T, text string, rule hufu.Rule, at string) {
	t.Helper()
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	problems, err := Check(c, doorTypes)
	if err != nil {
		t.Fatal(err)
	}
	if rule == "" && len(problems) == 0 {
		return
	}
	if len(problems) != 1 || problems[0].Rule != rule || !strings.HasPrefix(behind(text, problems[0]), at) {
		t.Fatalf("want %q at %q, got\n%v", rule, at, problems)
	}
}

func TestCheckScopeAndQuery(t *testing.T) {
	for _, tc := range []struct {
		name, old, replacement string
		rule                   hufu.Rule
		at                     string
	}{
		{"this door", `(principal, action, resource)`, `(principal == Person::"holder", action == Action::"enter", resource is Door)`, "", ""},
		{"anybody", `(principal, action, resource)`, `(principal is Person, action, resource == Door::"door")`, "", ""},
		{"another person", `(principal,`, `(principal == Person::"me",`, RulePolicy, `principal ==`},
		{"another kind of person", `(principal,`, `(principal is Robot,`, RulePolicy, `principal is`},
		{"another action", `action,`, `action == Action::"leave",`, RulePolicy, `action ==`},
		{"a set of actions", `action,`, `action in [Action::"enter"],`, RulePolicy, `action in`},
		{"another door", `resource)`, `resource == Door::"window")`, RulePolicy, `resource ==`},
		{"a door among others", `resource)`, `resource in Door::"house")`, RulePolicy, `resource in`},
		{"an unknown type", `["urn:t"] },` + "\n    \"claims\": [ { \"path\": [\"s\"]", `["urn:u"] },` + "\n    \"claims\": [ { \"path\": [\"s\"]", RuleType, `"urn:u"`},
		{"an unknown claim", `["s"]`, `["z"]`, RuleClaim, `{ "path": ["z"]`},
		{"elements of no array", `["s"]`, `["s", null]`, RuleMismatch, `{ "path": ["s", null]`},
		{"values of another type", `{ "path": ["s"]`, `{ "path": ["s"], "values": [1]`, RuleMismatch, `{ "path": ["s"]`},
		{"values of the type", `{ "path": ["s"]`, `{ "path": ["s"], "values": ["a", "b"]`, "", ""},
		{"numbers", `{ "path": ["n"]`, `{ "path": ["n"], "values": [1, 2]`, "", ""},
		{"a boolean number", `{ "path": ["n"]`, `{ "path": ["n"], "values": [true]`, RuleMismatch, `{ "path": ["n"]`},
		{"booleans", `{ "path": ["o", "b"]`, `{ "path": ["o", "b"], "values": [true]`, "", ""},
		{"more assurance than the type has", `assurance = "low"`, `assurance = "high"`, RuleValue, `p]`},
	} {
		t.Run(tc.name, func(t *testing.T) { expectCheck(t, change(t, door, tc.old, tc.replacement), tc.rule, tc.at) })
	}
}

func TestCheckSeveralTypesOfOneCredential(t *testing.T) {
	both := change(t, door, `["urn:t"] },`+"\n    \"claims\": [ { \"path\": [\"s\"]", `["urn:t", "urn:u"] },`+"\n    \"claims\": [ { \"path\": [\"s\"]")
	other := func(claims ...Claim) func(string) (*Type, error) {
		return func(vct string) (*Type, error) {
			if vct == "urn:u" {
				return &Type{VCT: vct, Assurance: AssuranceHigh, Claims: claims}, nil
			}
			return doorTypes(vct)
		}
	}
	c, err := Parse([]byte(both))
	if err != nil {
		t.Fatal(err)
	}
	same := []Claim{{[]string{"n"}, TypeInt}, {[]string{"o", "b"}, TypeBool}, {[]string{"s"}, TypeString}}
	differs := []Claim{{[]string{"n"}, TypeInt}, {[]string{"o", "b"}, TypeBool}, {[]string{"s"}, TypeInt}}
	for name, tc := range map[string]struct {
		claims []Claim
		rule   hufu.Rule
	}{"the same": {same, ""}, "another type": {differs, RuleMismatch}, "a claim less": {same[1:], RuleClaim}} {
		problems, err := Check(c, other(tc.claims...))
		if err != nil || hufu.RuleOf(problems) != tc.rule && !(tc.rule == "" && len(problems) == 0) {
			t.Errorf("%s: %v %v", name, problems, err)
		}
	}
}

func TestCheckClaimsOfUnknownKinds(t *testing.T) {
	c, err := Parse([]byte(door))
	if err != nil {
		t.Fatal(err)
	}
	problems, err := Check(c, func(vct string) (*Type, error) {
		typ, err := doorTypes(vct)
		typ.Claims[len(typ.Claims)-2].Type = "float"
		return typ, err
	})
	if err != nil || len(problems) != 1 || problems[0].Rule != RuleMismatch {
		t.Fatal(problems, err)
	}
}

func TestHints(t *testing.T) {
	for condition, hint := range map[string]string{
		`context has q && context.q.d == "2000-01-01"`: `write a date as datetime("2006-01-02")`,
		`context.q.d == context.now`:                   `write context has q && … before it`,
		`context has q && context.q.l.contains("x")`:   `write context.q has l && … before it`,
		`context has q.o && context.q.o["x-1"] == "y"`: `write context.q.o has "x-1" && … before it`,
		`duration("x") == duration("1d")`:              `write for example duration("18d")`,
		`context.p.unasked == "x"`:                     `add it to the query, or use what the query asks for`,
		`context.p.o.zz`:                               `there are: b`,
		`context.r == context.p`:                       `there are: now, p, q, staleness`,
	} {
		c, err := Parse([]byte(change(t, door, "{ context.p.o.b }", "{ "+condition+" }")))
		if err != nil {
			t.Fatal(err)
		}
		problems, err := Check(c, doorTypes)
		if err != nil || len(problems) == 0 || problems[0].Hint != hint {
			t.Errorf("%s: %+v %v", condition, problems, err)
		}
	}
}

func TestCheckPassesErrorsOn(t *testing.T) {
	c, err := Parse([]byte(door))
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("the state cannot be read")
	if _, err := Check(c, func(string) (*Type, error) { return nil, broken }); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

func TestCheckReportsEverythingAtOnce(t *testing.T) {
	text := change(t, door, aPolicy, `permit (principal, action, resource) when { context.p.x == 1 && context.p.s == 1 && context.r.y };
forbid (principal, action, resource == Door::"no") when { context.q.d < 1 };`)
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	problems, err := Check(c, doorTypes)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{`x == 1`, `context.p.s`, `r.y`, `resource ==`, `context.q.d`, `q.d`}
	if len(problems) != len(want) {
		t.Fatalf("\n%v", problems)
	}
	for i, p := range problems {
		if !strings.HasPrefix(behind(text, p), want[i]) {
			t.Errorf("%s, want it at %q", p, want[i])
		}
	}
}

// TestWhatIsCheckedCannotFail draws expressions, right and wrong ones, and evaluates those that Check
// finds nothing wrong with: a forbid policy of them may match or not, but never fail.
func TestWhatIsCheckedCannotFail(t *testing.T) {
	accepted := 0
	rapid.Check(t, func(t *rapid.T) {
		condition := anyExpression(3).Draw(t, "condition")
		c := doorOf(t, []string{`permit (principal, action, resource);`, `forbid (principal, action, resource) when { ` + condition + ` };`})
		problems, err := Check(c, doorTypes)
		if err != nil {
			t.Fatal(err)
		}
		if len(problems) > 0 {
			return
		}
		accepted++
		for _, f := range []Facts{
			visitor(),
			visitor(withQ(map[string]any{"d": "2000-01-01", "o": map[string]any{}})),
			visitor(withQ(map[string]any{"d": "2000-01-01", "o": map[string]any{"b": true, "x-1": "y"}, "l": []any{"x"}})),
		} {
			if got := Decide(c, f, noon); got.Rule == RulePolicyError {
				t.Fatalf("%s was accepted and fails", condition)
			}
		}
	})
	if accepted == 0 {
		t.Fatal("nothing was accepted")
	}
}

// anyExpression draws Cedar expressions that are conditions more often than not.
func anyExpression(depth int) *rapid.Generator[string] {
	leaves := rapid.SampledFrom([]string{
		"true", "context.p.o.b", "context has q", "context has q.o.b", "context.q has l", "context.q.o has b", "context has q.l", "context.q.o.b",
		"context.q.l.contains(\"x\")", "context.p.s == \"x\"", "context.p.n < 3", "context.q.d < context.now", "context.p.s", "context.p.n", "context.q.d == context.q.d",
		"context.q.o[\"x-1\"] like \"y*\"", "context.q.o has \"x-1\"", "[context.p.s].containsAny(context.q.l)", "context.p.n - 2 >= -7",
	})
	if depth == 0 {
		return leaves
	}
	return rapid.Custom(func(t *rapid.T) string {
		sub := func(name string) string { return anyExpression(depth-1).Draw(t, name) }
		switch rapid.IntRange(0, 6).Draw(t, "shape") {
		case 0:
			return "!(" + sub("not") + ")"
		case 1, 2:
			return "(" + sub("left") + " && " + sub("right") + ")"
		case 3:
			return "(" + sub("left") + " || " + sub("right") + ")"
		case 4:
			return "(if " + sub("if") + " then " + sub("then") + " else " + sub("else") + ")"
		}
		return leaves.Draw(t, "leaf")
	})
}
