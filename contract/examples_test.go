package contract

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/encoding"
)

const (
	library = hufu.DID("did:hufu:demo:z4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM") // of the bytes 1, 0, 0 …
	agency  = hufu.DID("did:hufu:demo:z8opHzTAnfzRpPEx21XtnrVTX28YQuCpAjcn1PczScKh") // of the bytes 2, 0, 0 …
)

// exampleTypes are the credential types beside the example contracts.
func exampleTypes(t testing.TB) func(string) (*Type, error) {
	all := make(map[string]*Type)
	for _, name := range []string{"resident-id", "guardianship"} {
		raw, err := os.ReadFile(filepath.Join("..", "examples", "types", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		typ := new(Type)
		if err := encoding.UnmarshalJSON(raw, MaxText, typ); err != nil {
			t.Fatal(err)
		}
		all[typ.VCT] = typ
	}
	return func(vct string) (*Type, error) { return all[vct], nil }
}

func exampleText(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "examples", "contracts", name+".toml"))
	if err != nil {
		t.Fatal(err)
	}
	if text, err = SetOwner(text, library); err != nil {
		t.Fatal(err)
	}
	return text
}

func example(t testing.TB, name string) *Contract {
	t.Helper()
	c, err := Parse(exampleText(t, name))
	if err != nil {
		t.Fatalf("%s:\n%v", name, err)
	}
	problems, err := Check(c, exampleTypes(t))
	if err != nil || len(problems) > 0 {
		t.Fatalf("%s: %v\n%v", name, err, problems)
	}
	return c
}

func resident(t testing.TB, claims map[string]any) Credential {
	typ, _ := exampleTypes(t)("urn:hufu:type:resident-id:1")
	return Credential{Type: typ, Issuer: agency, Accredited: true, Holder: "key-1", Claims: claims}
}

func guardianship(t testing.TB, relation string) Credential {
	typ, _ := exampleTypes(t)("urn:hufu:type:guardianship:1")
	return Credential{Type: typ, Issuer: agency, Accredited: true, Holder: "key-1", Claims: map[string]any{"relation": relation}}
}

func age(adult bool) map[string]any { return map[string]any{"18": adult} }

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func TestExampleContracts(t *testing.T) {
	bank := func(assurance, nationality string, adult bool) Facts {
		return Facts{Credentials: map[string]Credential{"person": resident(t, map[string]any{
			"name": "Li Na", "resident_number": "991100199001011234", "nationality": nationality,
			"assurance_level": assurance, "age_equal_or_over": age(adult),
		})}}
	}
	clinic := func(region string, adult bool, relation string) Facts {
		f := Facts{Credentials: map[string]Credential{"person": resident(t, map[string]any{"region": region, "age_equal_or_over": age(adult)})}}
		if relation != "" {
			f.Credentials["guardian"] = guardianship(t, relation)
		}
		return f
	}
	room := func(adult bool) Facts {
		return Facts{Credentials: map[string]Credential{"person": resident(t, map[string]any{"age_equal_or_over": age(adult)})}}
	}
	stale := bank("high", "CHN", true)
	stale.Staleness = 16 * time.Second
	twoKeys := clinic("110000", false, "mother")
	other := guardianship(t, "mother")
	other.Holder = "key-2"
	twoKeys.Credentials["guardian"] = other

	for _, tc := range []struct {
		name, contract string
		facts          Facts
		want           Result
	}{
		{"an adult reads", "reading-room", room(true), Result{Decision: hufu.Allow, Policies: []string{"adults"}}},
		{"a child does not", "reading-room", room(false), Result{Rule: RuleNoPermit}},
		{"nobody without a credential", "reading-room", Facts{}, Result{Rule: dcql.RuleMissing}},
		{"a resident adult", "clinic", clinic("310000", true, ""), Result{Decision: hufu.Allow, Policies: []string{"residents"}}},
		{"an adult from elsewhere", "clinic", clinic("440000", true, ""), Result{Rule: RuleNoPermit}},
		{"a minor alone", "clinic", clinic("110000", false, ""), Result{Rule: RuleForbidden, Policies: []string{"minors-need-a-guardian"}}},
		{"a minor with a parent", "clinic", clinic("110000", false, "mother"), Result{Decision: hufu.Allow, Policies: []string{"residents"}}},
		{"a minor with a neighbour", "clinic", clinic("110000", false, "neighbour"), Result{Rule: RuleForbidden, Policies: []string{"minors-need-a-guardian"}}},
		{"a minor with somebody else's parent", "clinic", twoKeys, Result{Rule: RuleHolder}},
		{"a customer", "bank", bank("high", "CHN", true), Result{Decision: hufu.Allow, Policies: []string{"identified-adults"}}},
		{"a customer hardly known", "bank", bank("low", "CHN", true), Result{Rule: RuleNoPermit}},
		{"a young customer", "bank", bank("high", "CHN", false), Result{Rule: RuleNoPermit}},
		{"a foreign customer", "bank", bank("high", "FRA", true), Result{Rule: RuleForbidden, Policies: []string{"citizens-only"}}},
		{"on old news", "bank", stale, Result{Rule: RuleStale}},
	} {
		t.Run(tc.name, func(t *testing.T) { expect(t, Decide(example(t, tc.contract), tc.facts, noon), tc.want) })
	}
}

// expect compares everything but the reason, which every denial must have.
func expect(t testing.TB, got, want Result) {
	t.Helper()
	if got.Decision != want.Decision || got.Rule != want.Rule || len(got.Policies) != len(want.Policies) || (got.Reason == "") == (got.Decision == hufu.Deny) {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	for i := range got.Policies {
		if got.Policies[i] != want.Policies[i] {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
}

func BenchmarkDecide(b *testing.B) {
	for name, f := range map[string]Facts{
		"reading-room": {Credentials: map[string]Credential{"person": resident(b, map[string]any{"age_equal_or_over": age(true)})}},
		"clinic": {Credentials: map[string]Credential{
			"person":   resident(b, map[string]any{"region": "110000", "age_equal_or_over": age(false)}),
			"guardian": guardianship(b, "mother"),
		}},
	} {
		c := example(b, name)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if Decide(c, f, noon).Decision != hufu.Allow {
					b.Fatal("shut")
				}
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	text := exampleText(b, "clinic")
	for b.Loop() {
		if _, err := Parse(text); err != nil {
			b.Fatal(err)
		}
	}
}

// Every door of the examples can be opened with an mdoc as well.
func TestExamplesAskForMdoc(t *testing.T) {
	for _, name := range []string{"reading-room", "bank", "clinic"} {
		c := example(t, name)
		q, _, err := c.Query.InMdoc()
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i := range q.Credentials {
			if was := &c.Query.Credentials[i]; q.Credentials[i].Doctype != was.Types[0] || len(q.Credentials[i].Claims) != len(was.Claims) {
				t.Errorf("%s: %+v became %+v", name, was, q.Credentials[i])
			}
		}
	}
}

func TestTestDIDs(t *testing.T) {
	if library != (hufu.ID{1}).DID("demo") || agency != (hufu.ID{2}).DID("demo") {
		t.Fatal((hufu.ID{1}).DID("demo"), (hufu.ID{2}).DID("demo"))
	}
}

func TestTheContractInTheManual(t *testing.T) {
	manual, err := os.ReadFile(filepath.Join("..", "docs", "access-contracts.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(manual), "```toml\n")
	text, _, _ = strings.Cut(text, "```\n")
	owned, err := SetOwner([]byte(text), library)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Parse(owned)
	if err != nil {
		t.Fatal(err)
	}
	if problems, err := Check(c, exampleTypes(t)); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	facts := Facts{Credentials: map[string]Credential{"person": resident(t, map[string]any{"age_equal_or_over": map[string]any{"16": true}})}}
	expect(t, Decide(c, facts, noon), Result{Decision: hufu.Allow, Policies: []string{"old-enough"}})
}
