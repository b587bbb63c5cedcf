package contract

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
)

// visitor shows what the test door asks for, changed as a test needs it.
func visitor(changes ...func(*Facts)) Facts {
	typ, _ := doorTypes("urn:t")
	f := Facts{
		Staleness: time.Second,
		Credentials: map[string]Credential{
			"p": {Type: typ, Issuer: agency, Accredited: true, Holder: "key", Claims: map[string]any{
				"s": "x", "n": json.Number("5"), "o": map[string]any{"b": true}, "unasked": "secret",
			}},
		},
	}
	for _, change := range changes {
		change(&f)
	}
	return f
}

func withP(change func(*Credential)) func(*Facts) {
	return func(f *Facts) {
		p := f.Credentials["p"]
		change(&p)
		f.Credentials["p"] = p
	}
}

func withClaim(name string, value any) func(*Facts) {
	return withP(func(c *Credential) { c.Claims[name] = value })
}

// withQ adds the optional credential.
func withQ(claims map[string]any) func(*Facts) {
	return func(f *Facts) {
		q := f.Credentials["p"]
		q.Claims = claims
		f.Credentials["q"] = q
	}
}

func without(name string) func(*Facts) { return withP(func(c *Credential) { delete(c.Claims, name) }) }

func doorWith(t testing.TB, policies string, more ...string) *Contract {
	t.Helper()
	text := change(t, door, aPolicy, policies)
	for i := 0; i < len(more); i += 2 {
		text = change(t, text, more[i], more[i+1])
	}
	c, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDecideAdmission(t *testing.T) {
	c := doorWith(t, aPolicy, `assurance = "low"`, `assurance = "substantial"`)
	named := doorWith(t, aPolicy, `assurance = "low"`, `issuers = ["`+string(library)+`"]`)
	one := doorWith(t, aPolicy, `version = 3`, "version = 3\nsame_holder = true")
	day := map[string]any{"d": "2000-02-29", "o": map[string]any{}}
	open := Result{Decision: hufu.Allow, Policies: []string{"in"}}
	shut := func(rule hufu.Rule) Result { return Result{Rule: rule} }
	for _, tc := range []struct {
		name  string
		c     *Contract
		facts Facts
		want  Result
	}{
		{"all in order", c, visitor(), open},
		{"with the optional credential", c, visitor(withQ(day)), open},
		{"as old as allowed", c, visitor(func(f *Facts) { f.Staleness = time.Minute }), open},
		{"older than allowed", c, visitor(func(f *Facts) { f.Staleness = time.Minute + 1 }), shut(RuleStale)},
		{"from the future", c, visitor(func(f *Facts) { f.Staleness = -1 }), shut(RuleFact)},
		{"nothing", c, Facts{}, shut(dcql.RuleMissing)},
		{"only the optional credential", c, visitor(withQ(day), func(f *Facts) { delete(f.Credentials, "p") }), shut(dcql.RuleMissing)},
		{"something else as well", c, visitor(func(f *Facts) { f.Credentials["r"] = f.Credentials["p"] }), shut(dcql.RuleUnrequested)},
		{"no type", c, visitor(withP(func(c *Credential) { c.Type = nil })), shut(RuleFact)},
		{"another type", c, visitor(withP(func(c *Credential) { c.Type = &Type{VCT: "urn:u", Assurance: AssuranceHigh} })), shut(dcql.RuleType)},
		{"no holder", c, visitor(withP(func(c *Credential) { c.Holder = "" })), shut(dcql.RuleBinding)},
		{"a claim missing", c, visitor(without("n")), shut(dcql.RuleClaim)},
		{"not accredited", c, visitor(withP(func(c *Credential) { c.Accredited = false })), shut(RuleNotAccredited)},
		{"too little assurance", c, visitor(withP(func(c *Credential) { c.Type = &Type{VCT: "urn:t", Assurance: AssuranceLow} })), shut(RuleAssurance)},
		{"not the issuer named", named, visitor(), shut(RuleIssuer)},
		{"the issuer named", named, visitor(withP(func(c *Credential) { c.Issuer = library })), open},
		{"one holder", one, visitor(withQ(day)), open},
		{"two holders", one, visitor(withQ(day), withP(func(c *Credential) { c.Holder = "other" })), shut(RuleHolder)},
		{"two holders where that is allowed", c, visitor(withQ(day), withP(func(c *Credential) { c.Holder = "other" })), open},
		{"a number as string", c, visitor(withClaim("n", "5")), shut(RuleFact)},
		{"a fraction", c, visitor(withClaim("n", json.Number("5.5"))), shut(RuleFact)},
		{"a huge number", c, visitor(withClaim("n", json.Number("9223372036854775808"))), shut(RuleFact)},
		{"a string as number", c, visitor(withClaim("s", json.Number("5"))), shut(RuleFact)},
		{"null", c, visitor(withClaim("s", nil)), shut(RuleFact)},
		{"a boolean as string", c, visitor(withClaim("o", map[string]any{"b": "true"})), shut(RuleFact)},
		{"an object as string", c, visitor(withClaim("o", "b")), shut(dcql.RuleClaim)},
		{"an optional object as string", c, visitor(withQ(map[string]any{"d": "2000-02-29", "o": "b"})), shut(RuleFact)},
		{"no such day", c, visitor(withQ(map[string]any{"d": "2001-02-29", "o": map[string]any{}})), shut(RuleFact)},
		{"an array", c, visitor(withQ(map[string]any{"d": "2000-02-29", "l": []any{"a", "b"}})), open},
		{"an array of numbers", c, visitor(withQ(map[string]any{"d": "2000-02-29", "l": []any{"a", 1}})), shut(RuleFact)},
		{"a string as array", c, visitor(withQ(map[string]any{"d": "2000-02-29", "o": map[string]any{}, "l": "a"})), shut(RuleFact)},
		{"a long array", c, visitor(withQ(map[string]any{"d": "2000-02-29", "l": make([]any, maxArray+1)})), shut(RuleFact)},
		{"an object's other member", c, visitor(withQ(map[string]any{"d": "2000-02-29", "o": map[string]any{"x-1": 7}})), shut(RuleFact)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Decide(tc.c, tc.facts, noon)
			expect(t, got, tc.want)
			if strings.Contains(got.Reason, "secret") || strings.Contains(got.Reason, "2001") {
				t.Error("the reason holds a claim's value")
			}
		})
	}
}

func TestDecidePolicies(t *testing.T) {
	const yes = `@id("yes") permit (principal, action, resource);`
	overflow := `context.p.n * 9223372036854775807 > 0`
	for _, tc := range []struct {
		name, policies string
		facts          Facts
		want           Result
	}{
		{"a permit", yes, visitor(), Result{Decision: hufu.Allow, Policies: []string{"yes"}}},
		{"two permits, sorted", yes + `@id("a") permit (principal, action, resource);`, visitor(), Result{Decision: hufu.Allow, Policies: []string{"a", "yes"}}},
		{"ids by place", `permit (principal, action, resource) when { false };` + ` permit (principal, action, resource);`, visitor(), Result{Decision: hufu.Allow, Policies: []string{"policy1"}}},
		{"a permit that does not match", `permit (principal, action, resource) when { !context.p.o.b };`, visitor(), Result{Rule: RuleNoPermit}},
		{"unless", `permit (principal, action, resource) unless { context.p.o.b };`, visitor(), Result{Rule: RuleNoPermit}},
		{"forbid wins", yes + `@id("no") forbid (principal, action, resource) when { context.p.n == 5 };`, visitor(), Result{Rule: RuleForbidden, Policies: []string{"no"}}},
		{"a forbid that does not match", yes + `forbid (principal, action, resource) when { context.p.n == 6 };`, visitor(), Result{Decision: hufu.Allow, Policies: []string{"yes"}}},
		{"a permit that fails", `permit (principal, action, resource) when { ` + overflow + ` };`, visitor(), Result{Rule: RuleNoPermit}},
		{"a permit beside one that fails", yes + `permit (principal, action, resource) when { ` + overflow + ` };`, visitor(), Result{Decision: hufu.Allow, Policies: []string{"yes"}}},
		{"a forbid that fails", yes + `@id("no") forbid (principal, action, resource) when { ` + overflow + ` };`, visitor(), Result{Rule: RulePolicyError, Policies: []string{"no"}}},
		{"a forbid that matches beside one that fails", yes + `@id("err") forbid (principal, action, resource) when { ` + overflow + ` }; @id("no") forbid (principal, action, resource);`, visitor(), Result{Rule: RuleForbidden, Policies: []string{"no"}}},
		{"what may be absent, unguarded, permits nothing", `permit (principal, action, resource) when { context.q.d < context.now };`, visitor(), Result{Rule: RuleNoPermit}},
		{"what may be absent, unguarded, forbids", yes + `@id("no") forbid (principal, action, resource) when { context.q.d < context.now };`, visitor(), Result{Rule: RulePolicyError, Policies: []string{"no"}}},
		{"guarded and absent", `permit (principal, action, resource) when { context has q && context.q.d < context.now };`, visitor(), Result{Rule: RuleNoPermit}},
		{"guarded and there", `@id("y") permit (principal, action, resource) when { context has q && context.q.d < context.now };`, visitor(withQ(map[string]any{"d": "2000-01-01", "o": map[string]any{}})), Result{Decision: hufu.Allow, Policies: []string{"y"}}},
		{"an array", `@id("y") permit (principal, action, resource) when { context has q.l && context.q.l.contains("b") };`, visitor(withQ(map[string]any{"d": "2000-01-01", "l": []any{"a", "b"}})), Result{Decision: hufu.Allow, Policies: []string{"y"}}},
		{"a claim that was not asked for is not seen", `permit (principal, action, resource) when { context.p has unasked };`, visitor(), Result{Rule: RuleNoPermit}},
		{"issuer and assurance", `@id("y") permit (principal, action, resource) when { context.p.issuer == "` + string(agency) + `" && context.p.assurance == "substantial" };`, visitor(), Result{Decision: hufu.Allow, Policies: []string{"y"}}},
		{"staleness rounds up", `@id("y") permit (principal, action, resource) when { context.staleness == 2 };`, visitor(func(f *Facts) { f.Staleness = time.Second + 1 }), Result{Decision: hufu.Allow, Policies: []string{"y"}}},
		{"now in whole seconds", `@id("y") permit (principal, action, resource) when { context.now == datetime("2026-03-01T12:00:00Z") };`, visitor(), Result{Decision: hufu.Allow, Policies: []string{"y"}}},
		{"an 18th birthday", `@id("y") permit (principal, action, resource) when { context has q && context.q.d.offset(duration("6574d")) <= context.now };`, visitor(withQ(map[string]any{"d": "2008-03-01", "o": map[string]any{}})), Result{Decision: hufu.Allow, Policies: []string{"y"}}},
		{"who and what", `@id("y") permit (principal == Person::"holder", action == Action::"enter", resource == Door::"door");`, visitor(), Result{Decision: hufu.Allow, Policies: []string{"y"}}},
		{"another door", `permit (principal, action, resource == Door::"other");`, visitor(), Result{Rule: RuleNoPermit}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			expect(t, Decide(doorWith(t, tc.policies), tc.facts, noon.Add(999*time.Millisecond)), tc.want)
		})
	}
}

// ofType gives the first credential another set of claims in its type.
func ofType(claims ...Claim) func(*Facts) {
	return withP(func(c *Credential) {
		typ := *c.Type
		typ.Claims = claims
		c.Type = &typ
	})
}

func TestTypesThatContradictThemselves(t *testing.T) {
	whole := doorWith(t, `permit (principal, action, resource);`, `["o", "b"]`, `["o"]`)
	object, text := Claim{[]string{"o"}, TypeObject}, Claim{[]string{"o"}, TypeString}
	below := Claim{[]string{"o", "b"}, TypeBool}
	for name, tc := range map[string]struct {
		change func(*Facts)
		want   hufu.Rule
	}{
		"an object and its member":      {ofType(object, below), ""},
		"a member and its object":       {ofType(below, object), ""},
		"a claim twice":                 {ofType(below, below), RuleFact},
		"text where an object is":       {ofType(object, text), RuleFact},
		"a member of what is text":      {func(f *Facts) { ofType(below)(f); withClaim("o", "b")(f) }, RuleFact},
		"an object that is text":        {func(f *Facts) { ofType(object)(f); withClaim("o", "b")(f) }, RuleFact},
		"what was not asked for, twice": {ofType(Claim{[]string{"z"}, TypeInt}, Claim{[]string{"z"}, TypeString}), ""},
	} {
		if got := Decide(whole, visitor(tc.change), noon); got.Rule != tc.want {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestMembersOfOneObjectStayTogether(t *testing.T) {
	c := doorWith(t, `@id("y") permit (principal, action, resource) when { context.q has o.b && context.q.o has "x-1" && context.q.o.b };`)
	f := visitor(withQ(map[string]any{"d": "2000-01-01", "o": map[string]any{"b": true, "x-1": "y"}}))
	expect(t, Decide(c, f, noon), Result{Decision: hufu.Allow, Policies: []string{"y"}})
}

func TestDecideIsReproducibleAndConcurrent(t *testing.T) {
	c := example(t, "clinic")
	again := example(t, "clinic")
	if c.Hash != again.Hash || string(c.Query.Canonical()) != string(again.Query.Canonical()) {
		t.Fatal("one text, two contracts")
	}
	f := Facts{Credentials: map[string]Credential{
		"person":   resident(t, map[string]any{"region": "110000", "age_equal_or_over": age(false)}),
		"guardian": guardianship(t, "parent"),
	}}
	want := Decide(c, f, noon)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if got := Decide(again, f, noon); !reflect.DeepEqual(got, want) {
					t.Errorf("%+v, want %+v", got, want)
				}
			}
		})
	}
	wg.Wait()
}
