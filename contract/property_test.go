package contract

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
)

// anyCondition draws conditions that match, that do not, and that fail to evaluate.
func anyCondition() *rapid.Generator[string] {
	return rapid.SampledFrom([]string{
		`true`, `false`, `context.p.o.b`, `!context.p.o.b`, `context.p.n < 3`, `context.p.s == "x"`, `context.p.s like "x*"`,
		`context has q`, `context has q && context.q.d < context.now`, `context.q.d < context.now`,
		`context.p.n * 9223372036854775807 > 0`, `context.staleness > 30`, `["x", "y"].contains(context.p.s)`,
	})
}

func anyPolicy(effect string, id int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		text := fmt.Sprintf("@id(\"p%d\") %s (principal, action, resource)", id, effect)
		for range rapid.IntRange(0, 2).Draw(t, "conditions") {
			text += rapid.SampledFrom([]string{" when", " unless"}).Draw(t, "word") + " { " + anyCondition().Draw(t, "condition") + " }"
		}
		return text + ";"
	})
}

// anyPolicies draws policies of which at least one permits.
func anyPolicies() *rapid.Generator[[]string] {
	return rapid.Custom(func(t *rapid.T) []string {
		policies := []string{anyPolicy("permit", 0).Draw(t, "permit")}
		for i := range rapid.IntRange(0, 5).Draw(t, "more") {
			effect := rapid.SampledFrom([]string{"permit", "forbid"}).Draw(t, "effect")
			policies = append(policies, anyPolicy(effect, i+1).Draw(t, "policy"))
		}
		return policies
	})
}

func anyFacts() *rapid.Generator[Facts] {
	return rapid.Custom(func(t *rapid.T) Facts {
		claims := map[string]any{
			"s": rapid.SampledFrom([]any{"x", "xy", "z", 7}).Draw(t, "s"),
			"n": json.Number(fmt.Sprint(rapid.IntRange(-5, 5).Draw(t, "n"))),
			"o": map[string]any{"b": rapid.Bool().Draw(t, "b")},
		}
		f := visitor(withP(func(c *Credential) {
			c.Claims = claims
			c.Accredited = rapid.IntRange(0, 9).Draw(t, "accredited") > 0
		}))
		f.Staleness *= 40
		if rapid.Bool().Draw(t, "q") {
			withQ(map[string]any{"d": rapid.SampledFrom([]string{"1999-01-01", "2030-01-01", "never"}).Draw(t, "d"), "o": map[string]any{}})(&f)
		}
		return f
	})
}

func doorOf(t *rapid.T, policies []string) *Contract {
	c, err := Parse([]byte(strings.Replace(door, aPolicy, strings.Join(policies, "\n"), 1)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAddingAForbidNeverOpensADoor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policies, facts := anyPolicies().Draw(t, "policies"), anyFacts().Draw(t, "facts")
		before := Decide(doorOf(t, policies), facts, noon)
		at := rapid.IntRange(0, len(policies)).Draw(t, "at")
		more := append(append(append([]string(nil), policies[:at]...), anyPolicy("forbid", 99).Draw(t, "forbid")), policies[at:]...)
		after := Decide(doorOf(t, more), facts, noon)
		if before.Decision == hufu.Deny && after.Decision == hufu.Allow {
			t.Fatalf("%v opened the door: %+v, then %+v", more, before, after)
		}
	})
}

func TestDecisionDoesNotDependOnOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		policies, facts := anyPolicies().Draw(t, "policies"), anyFacts().Draw(t, "facts")
		want := Decide(doorOf(t, policies), facts, noon)
		shuffled := rapid.Permutation(policies).Draw(t, "shuffled")
		if got := Decide(doorOf(t, shuffled), facts, noon); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, in another order %+v", want, got)
		}
		swapped := facts
		swapped.Credentials = make(map[string]Credential)
		for _, id := range rapid.Permutation([]string{"p", "q"}).Draw(t, "ids") {
			if c, ok := facts.Credentials[id]; ok {
				swapped.Credentials[id] = c
			}
		}
		if got := Decide(doorOf(t, policies), swapped, noon); !reflect.DeepEqual(got, want) {
			t.Fatalf("%+v, facts in another order %+v", want, got)
		}
	})
}

// TestOnlyAPermitOpens compares Decide with the rule in one sentence: open if and only if some permit
// alone would open and no forbid alone does anything but stay silent.
func TestOnlyAPermitOpens(t *testing.T) {
	const yes = `@id("yes") permit (principal, action, resource);`
	rapid.Check(t, func(t *rapid.T) {
		policies, facts := anyPolicies().Draw(t, "policies"), anyFacts().Draw(t, "facts")
		permitted, forbidden := false, false
		for _, p := range policies {
			if strings.Contains(p, "forbid (") {
				forbidden = forbidden || Decide(doorOf(t, []string{yes, p}), facts, noon).Decision == hufu.Deny
			} else {
				permitted = permitted || Decide(doorOf(t, []string{p}), facts, noon).Decision == hufu.Allow
			}
		}
		if got := Decide(doorOf(t, policies), facts, noon); bool(got.Decision) != (permitted && !forbidden) {
			t.Fatalf("%+v of %v", got, policies)
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(door))
	f.Add([]byte("a = [[[[[["))
	f.Add([]byte("x = '''\n''''''"))
	f.Add([]byte("[asks]\ndcql = '''{}'''\n[opens]\ncedar = 'permit(principal,action,resource) when { context has a.b.c && context[\"x\"] };'"))
	for _, name := range []string{"reading-room", "clinic", "bank"} {
		f.Add(exampleText(f, name))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := Parse(text)
		if (c == nil) != (err != nil) {
			t.Fatal("neither a contract nor an error, or both")
		}
		if err != nil {
			for _, p := range err.(Problems) { //nolint:errorlint // this type and no other
				if p.Line < 1 || p.Column < 1 || p.Rule == "" || p.Message == "" {
					t.Fatalf("%+v", p)
				}
			}
			return
		}
		if _, err := Check(c, doorTypes); err != nil {
			t.Fatal(err)
		}
		if Decide(c, Facts{}, noon).Decision == hufu.Allow && len(c.Query.Sets) == 0 {
			t.Fatal("a door that opens to nothing")
		}
	})
}

func FuzzDecide(f *testing.F) {
	f.Add(aPolicy, []byte(`{"s":"x","n":5,"o":{"b":true}}`))
	f.Add(`permit (principal, action, resource) when { context.p.n * 3 > -9223372036854775808 && context.p.s like "*\*" };`, []byte(`{"s":"x","n":9223372036854775807,"o":{"b":true}}`))
	f.Add(`forbid (principal, action, resource) unless { context has q.d }; permit (principal, action, resource);`, []byte(`{"s":1,"n":"","o":[]}`))
	f.Fuzz(func(t *testing.T, policies string, claims []byte) {
		c, err := Parse([]byte(strings.Replace(door, aPolicy, policies, 1)))
		if err != nil {
			return
		}
		facts := visitor(withP(func(c *Credential) {
			c.Claims = nil
			d := json.NewDecoder(strings.NewReader(string(claims)))
			d.UseNumber()
			_ = d.Decode(&c.Claims)
		}))
		got := Decide(c, facts, noon)
		if again := Decide(c, facts, noon); !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v, then %+v", got, again)
		}
		if got.Decision == hufu.Deny {
			if got.Rule == "" || got.Reason == "" {
				t.Fatalf("denied without a reason: %+v", got)
			}
			return
		}
		if len(got.Policies) == 0 {
			t.Fatal("open without a policy")
		}
		for _, p := range c.Policies {
			for _, id := range got.Policies {
				if p.ID == id && p.Forbid {
					t.Fatal("opened by a forbid")
				}
			}
		}
	})
}
