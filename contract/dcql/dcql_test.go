package dcql

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/hufu-id/hufu"
)

// The two examples of OpenID4VP 1.0 that use everything: alternatives of claims and of credentials.
const claimsAlternatives = `{"credentials": [{"id": "pid", "format": "dc+sd-jwt",
  "meta": {"vct_values": ["https://credentials.example.com/identity_credential"]},
  "claims": [{"id": "a", "path": ["family_name"]}, {"id": "b", "path": ["postal_code"]}, {"id": "c", "path": ["locality"]},
    {"id": "d", "path": ["region"]}, {"id": "e", "path": ["date_of_birth"]}],
  "claim_sets": [["a", "c", "d", "e"], ["a", "b", "e"]]}]}`

const credentialsAlternatives = `{"credentials": [
  {"id": "pid", "format": "dc+sd-jwt", "meta": {"vct_values": ["https://credentials.example.com/identity_credential"]}, "claims": [{"path": ["given_name"]}]},
  {"id": "cred_1", "format": "dc+sd-jwt", "meta": {"vct_values": ["https://credentials.example.com/reduced"]}, "claims": [{"path": ["given_name"]}]},
  {"id": "cred_2", "format": "dc+sd-jwt", "meta": {"vct_values": ["https://cred.example/residence_credential"]}, "claims": [{"path": ["region"]}]},
  {"id": "nice", "format": "dc+sd-jwt", "meta": {"vct_values": ["https://company.example/company_rewards"]}, "claims": [{"path": ["rewards_number"]}]}],
 "credential_sets": [{"options": [["pid"], ["cred_1", "cred_2"]]}, {"required": false, "options": [["nice"]]}]}`

func mustParse(t testing.TB, text string) *Query {
	t.Helper()
	q, problems := ParseStrict([]byte(text))
	if len(problems) > 0 {
		t.Fatalf("%v", problems)
	}
	return q
}

func claims(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestOfficialQueries(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/vectors/oid4vp/query_lang/*.json")
	if len(files) == 0 {
		t.Skip("../shared/vectors/oid4vp/query_lang not present")
	}
	held := map[string]Held{
		"dc+sd-jwt": {Format: FormatSDJWT, Holder: "k", Claims: claims(t, `{"family_name":"Doe","given_name":"Jo","address":{"street_address":"1 St"},
			"postal_code":"90211","locality":"X","region":"Y","date_of_birth":"1990-01-01","rewards_number":"1"}`)},
		"mso_mdoc": {Format: FormatMdoc, Holder: "k", Claims: claims(t, `{"org.iso.7367.1":{"vehicle_holder":"Jo"},
			"org.iso.18013.5.1":{"given_name":"Jo","family_name":"Doe","portrait":"x","resident_address":"y","resident_country":"z"}}`)},
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			q := mustParse(t, string(raw))
			var wallet []Held
			for _, c := range q.Credentials {
				h := held[c.Format]
				h.Type = c.Doctype
				if len(c.Types) > 0 {
					h.Type = c.Types[0]
				}
				wallet = append(wallet, h)
			}
			choices, err := Match(q, wallet, Wish{Optional: true, SameHolder: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := Satisfies(q, present(t, q, wallet, choices)); err != nil {
				t.Fatal(err)
			}
			if _, err := Match(q, nil, Wish{}); hufu.RuleOf(err) != RuleUnavailable {
				t.Fatalf("an empty wallet: %v", err)
			}
		})
	}
}

// present discloses what was chosen and nothing else.
func present(t testing.TB, q *Query, held []Held, choices []Choice) []Presented {
	t.Helper()
	var out []Presented
	for _, c := range choices {
		h := held[c.Held]
		p := Presented{Query: c.Query, Format: h.Format, Type: h.Type, Bound: h.Holder != "", Claims: make(map[string]any)}
		for _, path := range c.Disclose {
			p.Claims[path[0].(string)] = h.Claims[path[0].(string)]
		}
		out = append(out, p)
	}
	return out
}

func TestQueryRefused(t *testing.T) {
	query := func(inner string) string {
		return `{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{"vct_values":["v"]}` + inner + `}]}`
	}
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	for _, tc := range []struct{ name, text, want string }{
		{"empty", ``, "ends too early"},
		{"not JSON", `{"credentials" [`, "not JSON"},
		{"trailing", query(``) + `x`, "after the end"},
		{"not UTF-8", "{\"a\":\"\xff\"}", "UTF-8"},
		{"lone surrogate", query(`,"claims":[{"path":["\ud800"]}]`), "surrogate"},
		{"too large", query(strings.Repeat(" ", MaxBytes)), "more than"},
		{"too deep", strings.Repeat("[", 100) + strings.Repeat("]", 100), "deeper"},
		{"an array", `[]`, "must be an object"},
		{"no credentials", `{}`, `no "credentials"`},
		{"empty credentials", `{"credentials":[]}`, "not be empty"},
		{"too many credentials", `{"credentials":[` + many(MaxCredentials+1, "{}") + `]}`, "more than"},
		{"unknown member", `{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{"vct_values":["v"]}}],"extra":1}`, `no member "extra"`},
		{"duplicate member", query(`,"id":"b"`), `"id" is there twice`},
		{"no id", `{"credentials":[{"format":"dc+sd-jwt","meta":{"vct_values":["v"]}}]}`, `no "id"`},
		{"bad id", `{"credentials":[{"id":"a b","format":"dc+sd-jwt","meta":{"vct_values":["v"]}}]}`, "not allowed"},
		{"empty id", `{"credentials":[{"id":"","format":"dc+sd-jwt","meta":{"vct_values":["v"]}}]}`, "1 to"},
		{"two of one id", `{"credentials":[{"id":"a","format":"x","meta":{}},{"id":"a","format":"x","meta":{}}]}`, "two credentials"},
		{"no meta", `{"credentials":[{"id":"a","format":"x"}]}`, `no "meta"`},
		{"no vct", `{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{}}]}`, `no "vct_values"`},
		{"no doctype", `{"credentials":[{"id":"a","format":"mso_mdoc","meta":{}}]}`, `no "doctype_value"`},
		{"multiple a string", query(`,"multiple":"yes"`), "true or false"},
		{"authority without values", query(`,"trusted_authorities":[{"type":"aki"}]`), `no "values"`},
		{"empty claims", query(`,"claims":[]`), "not be empty"},
		{"too many claims", query(`,"claims":[` + many(MaxClaims+1, `{"path":["x"]}`) + `]`), "more than"},
		{"no path", query(`,"claims":[{}]`), `no "path"`},
		{"empty path", query(`,"claims":[{"path":[]}]`), "not be empty"},
		{"long path", query(`,"claims":[{"path":[` + many(MaxPath+1, `"x"`) + `]}]`), "more than"},
		{"negative index", query(`,"claims":[{"path":["a",-1]}]`), "non-negative"},
		{"fraction index", query(`,"claims":[{"path":["a",1.5]}]`), "non-negative"},
		{"object in path", query(`,"claims":[{"path":["a",{}]}]`), "path component"},
		{"same claim twice", query(`,"claims":[{"path":["a"]},{"path":["a"]}]`), "asked for twice"},
		{"same claim id", query(`,"claims":[{"id":"x","path":["a"]},{"id":"x","path":["b"]}]`), "two claims"},
		{"empty values", query(`,"claims":[{"path":["a"],"values":[]}]`), "not be empty"},
		{"fraction value", query(`,"claims":[{"path":["a"],"values":[1.5]}]`), "integer"},
		{"inexact value", query(`,"claims":[{"path":["a"],"values":[9007199254740993]}]`), "integer"},
		{"null value", query(`,"claims":[{"path":["a"],"values":[null]}]`), "not null"},
		{"long value", query(`,"claims":[{"path":["a"],"values":["` + strings.Repeat("x", MaxText+1) + `"]}]`), "more than"},
		{"claim_sets without claims", query(`,"claim_sets":[["a"]]`), "without claims"},
		{"claim_sets without ids", query(`,"claims":[{"path":["a"]}],"claim_sets":[["a"]]`), "no id"},
		{"unknown claim", query(`,"claims":[{"id":"x","path":["a"]}],"claim_sets":[["y"]]`), "no claim"},
		{"claim twice in set", query(`,"claims":[{"id":"x","path":["a"]}],"claim_sets":[["x","x"]]`), "twice"},
		{"unknown credential", `{"credentials":[{"id":"a","format":"x","meta":{}}],"credential_sets":[{"options":[["b"]]}]}`, "no credential"},
		{"empty option", `{"credentials":[{"id":"a","format":"x","meta":{}}],"credential_sets":[{"options":[[]]}]}`, "not be empty"},
		{"no options", `{"credentials":[{"id":"a","format":"x","meta":{}}],"credential_sets":[{}]}`, `no "options"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, problems := ParseStrict([]byte(tc.text))
			found := false
			for _, p := range problems {
				found = found || strings.Contains(p.Message, tc.want)
				if p.Offset < 0 || p.Offset > len(tc.text) {
					t.Errorf("offset %d outside the text", p.Offset)
				}
			}
			if !found {
				t.Fatalf("got %v, want a problem with %q", problems, tc.want)
			}
		})
	}
}

func TestProblemOffsets(t *testing.T) {
	text := `{"credentials": [{"id": 7, "format": "dc+sd-jwt", "meta": {"vct_values": []}, "oops": 1}]}`
	_, problems := ParseStrict([]byte(text))
	want := []string{`7, "format`, `[]}`, `"oops"`}
	if len(problems) != len(want) {
		t.Fatalf("%v", problems)
	}
	for i, p := range problems {
		if !strings.HasPrefix(text[p.Offset:], want[i]) {
			t.Errorf("%q stands at %q", p.Message, text[p.Offset:])
		}
	}
}

func TestUnknownMembersIgnoredButCompared(t *testing.T) {
	plain := `{"credentials":[{"id":"a","format":"x","meta":{}}]}`
	grown := `{"credentials":[{"id":"a","format":"x","meta":{}}],"new":1}`
	more, err := Parse([]byte(grown))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(mustParse(t, plain).Canonical(), more.Canonical()) {
		t.Fatal("a query with one member more is another query")
	}
	spaced := "{ \"credentials\":\n[{\"meta\":{}, \"format\":\"x\", \"id\":\"\\u0061\"}] }"
	if !bytes.Equal(mustParse(t, plain).Canonical(), mustParse(t, spaced).Canonical()) {
		t.Fatal("the same query, spelled another way, is another")
	}
	if _, err := Parse([]byte(`{}`)); hufu.RuleOf(err) != RuleMalformed {
		t.Fatal(err)
	}
}

// TestSelect is the example of OpenID4VP 1.0 §7.3 and the error cases of §7.1.1.
func TestSelect(t *testing.T) {
	c := claims(t, `{"name":"Arthur Dent","address":{"street_address":"42 Market Street","locality":"Milliways","postal_code":"12345"},
	"degrees":[{"type":"Bachelor of Science","university":"University of Betelgeuse"},{"type":"Master of Science","university":"University of Betelgeuse"}],
	"nationalities":["British","Betelgeusian"]}`)
	for _, tc := range []struct {
		path Path
		want []any
	}{
		{Path{"name"}, []any{"Arthur Dent"}},
		{Path{"address"}, []any{c["address"]}},
		{Path{"address", "street_address"}, []any{"42 Market Street"}},
		{Path{"degrees", nil, "type"}, []any{"Bachelor of Science", "Master of Science"}},
		{Path{"nationalities", 1}, []any{"Betelgeusian"}},
		{Path{"nationalities", 2}, nil},
		{Path{"name", "x"}, nil},
		{Path{"name", nil}, nil},
		{Path{"name", 0}, nil},
		{Path{"absent"}, nil},
		{Path{1.5}, nil},
		{Path{}, nil},
	} {
		got, err := Select(c, tc.path)
		if (err != nil) != (tc.want == nil) || !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%s: %v, %v", PathString(tc.path), got, err)
		}
	}
	if s := PathString(Path{"degrees", nil, "type"}) + PathString(Path{"n", 1}); s != "degrees[*].typen[1]" {
		t.Error(s)
	}
}

func sdjwt(typ, holder string, c map[string]any) Held {
	return Held{Format: FormatSDJWT, Type: typ, Holder: holder, Claims: c}
}

func TestMatchPrefersEarlierClaimSets(t *testing.T) {
	q := mustParse(t, claimsAlternatives)
	const vct = "https://credentials.example.com/identity_credential"
	small := claims(t, `{"family_name":"x","postal_code":"1","date_of_birth":"d"}`)
	full := claims(t, `{"family_name":"x","postal_code":"1","date_of_birth":"d","locality":"l","region":"r","secret":"s"}`)
	for _, tc := range []struct {
		name string
		held []Held
		want Choice
	}{
		{"the second set, when the first cannot be had", []Held{sdjwt(vct, "k", small)}, Choice{"pid", 0, []Path{{"family_name"}, {"postal_code"}, {"date_of_birth"}}}},
		{"the first set, from a later credential", []Held{sdjwt(vct, "k", small), sdjwt(vct, "k", full)}, Choice{"pid", 1, []Path{{"family_name"}, {"locality"}, {"region"}, {"date_of_birth"}}}},
		{"not another type", []Held{sdjwt("other", "k", full), sdjwt(vct, "k", small)}, Choice{"pid", 1, []Path{{"family_name"}, {"postal_code"}, {"date_of_birth"}}}},
		{"not a bearer credential", []Held{sdjwt(vct, "", full), sdjwt(vct, "k", small)}, Choice{"pid", 1, []Path{{"family_name"}, {"postal_code"}, {"date_of_birth"}}}},
	} {
		got, err := Match(q, tc.held, Wish{})
		if err != nil || !reflect.DeepEqual(got, []Choice{tc.want}) {
			t.Errorf("%s: %v, %v", tc.name, got, err)
		}
	}
	mdoc := sdjwt(vct, "k", full)
	mdoc.Format = FormatMdoc
	for name, held := range map[string][]Held{"nothing": nil, "other type": {sdjwt("other", "k", full)}, "other format": {mdoc}, "too few claims": {sdjwt(vct, "k", claims(t, `{"family_name":"x"}`))}} {
		if _, err := Match(q, held, Wish{}); hufu.RuleOf(err) != RuleUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMatchCredentialSets(t *testing.T) {
	q := mustParse(t, credentialsAlternatives)
	name := claims(t, `{"given_name":"x"}`)
	pid := sdjwt("https://credentials.example.com/identity_credential", "k1", name)
	one := sdjwt("https://credentials.example.com/reduced", "k1", name)
	two := sdjwt("https://cred.example/residence_credential", "k2", claims(t, `{"region":"r"}`))
	twoK1 := two
	twoK1.Holder = "k1"
	nice := sdjwt("https://company.example/company_rewards", "k1", claims(t, `{"rewards_number":"7"}`))
	for _, tc := range []struct {
		name string
		held []Held
		wish Wish
		want string
	}{
		{"the first option", []Held{one, two, pid}, Wish{}, "pid:2"},
		{"the second option", []Held{one, two}, Wish{}, "cred_1:0 cred_2:1"},
		{"nothing optional unless wished for", []Held{nice, pid}, Wish{}, "pid:1"},
		{"optional when wished for", []Held{nice, pid}, Wish{Optional: true}, "pid:1 nice:0"},
		{"optional when it can be had", []Held{pid}, Wish{Optional: true}, "pid:0"},
		{"half an option", []Held{one, nice}, Wish{Optional: true}, ""},
		{"two keys for one holder", []Held{one, two}, Wish{SameHolder: true}, ""},
		{"one key", []Held{one, two, twoK1}, Wish{SameHolder: true}, "cred_1:0 cred_2:2"},
	} {
		choices, err := Match(q, tc.held, tc.wish)
		var got []string
		for _, c := range choices {
			got = append(got, c.Query+":"+string(rune('0'+c.Held)))
		}
		if strings.Join(got, " ") != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("%s: %v, %v", tc.name, got, err)
		}
	}
	if _, err := Match(mustParse(t, credentialsAlternatives), []Held{{Format: FormatSDJWT}}, Wish{SameHolder: true}); hufu.RuleOf(err) != RuleUnavailable {
		t.Error(err)
	}
}

func TestSameHolderPrefersMoreOptionalCredentials(t *testing.T) {
	q := mustParse(t, credentialsAlternatives)
	pid := func(holder string) Held {
		return sdjwt("https://credentials.example.com/identity_credential", holder, claims(t, `{"given_name":"x"}`))
	}
	nice := sdjwt("https://company.example/company_rewards", "k2", claims(t, `{"rewards_number":"7"}`))
	got, err := Match(q, []Held{pid("k1"), pid("k2"), nice}, Wish{Optional: true, SameHolder: true})
	if err != nil || len(got) != 2 || got[0].Held != 1 || got[1].Held != 2 {
		t.Fatalf("%v, %v", got, err)
	}
}

func TestSatisfies(t *testing.T) {
	q := mustParse(t, `{"credentials":[
	 {"id":"p","format":"dc+sd-jwt","meta":{"vct_values":["v","w"]},"claims":[{"path":["n"],"values":[3,"three",true]},{"path":["m"]}]},
	 {"id":"o","format":"dc+sd-jwt","meta":{"vct_values":["o"]}},
	 {"id":"x","format":"dc+sd-jwt","meta":{"vct_values":["x"]},"require_cryptographic_holder_binding":false,"multiple":true}],
	 "credential_sets":[{"options":[["p"]]},{"options":[["x"]],"required":false}]}`)
	good := func(change func(*Presented)) Presented {
		p := Presented{Query: "p", Format: FormatSDJWT, Type: "w", Bound: true, Claims: claims(t, `{"n":3,"m":null}`)}
		if change != nil {
			change(&p)
		}
		return p
	}
	extra := Presented{Query: "x", Format: FormatSDJWT, Type: "x"}
	for _, tc := range []struct {
		name string
		in   []Presented
		want hufu.Rule
	}{
		{"what was asked for", []Presented{good(nil)}, ""},
		{"with an optional one, twice and unbound", []Presented{extra, good(nil), extra}, ""},
		{"another value", []Presented{good(func(p *Presented) { p.Claims["n"] = "three" })}, ""},
		{"nothing", nil, RuleMissing},
		{"only the optional one", []Presented{extra}, RuleMissing},
		{"twice", []Presented{good(nil), good(nil)}, RuleUnrequested},
		{"an unknown id", []Presented{good(nil), {Query: "zz"}}, RuleUnrequested},
		{"in no set", []Presented{good(nil), {Query: "o", Format: FormatSDJWT, Type: "o", Bound: true}}, RuleUnrequested},
		{"another type", []Presented{good(func(p *Presented) { p.Type = "o" })}, RuleType},
		{"another format", []Presented{good(func(p *Presented) { p.Format = FormatMdoc })}, RuleType},
		{"unbound", []Presented{good(func(p *Presented) { p.Bound = false })}, RuleBinding},
		{"a claim missing", []Presented{good(func(p *Presented) { delete(p.Claims, "m") })}, RuleClaim},
		{"a value not asked for", []Presented{good(func(p *Presented) { p.Claims["n"] = json.Number("4") })}, RuleValue},
		{"the value as another type", []Presented{good(func(p *Presented) { p.Claims["n"] = "3" })}, RuleValue},
	} {
		if got := hufu.RuleOf(Satisfies(q, tc.in)); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
	all := mustParse(t, `{"credentials":[{"id":"p","format":"dc+sd-jwt","meta":{"vct_values":["v"]}},{"id":"o","format":"dc+sd-jwt","meta":{"vct_values":["o"]}}]}`)
	if err := Satisfies(all, []Presented{{Query: "p", Format: FormatSDJWT, Type: "v", Bound: true}}); hufu.RuleOf(err) != RuleMissing {
		t.Error(err)
	}
}

func TestQueryMadeByHandOpensNothing(t *testing.T) {
	q := &Query{Credentials: []CredentialQuery{{ID: "p", Format: FormatSDJWT}}}
	if err := Satisfies(q, []Presented{{Query: "p", Format: FormatSDJWT}}); hufu.RuleOf(err) != RuleMalformed {
		t.Error(err)
	}
}

func TestTrustedAuthoritiesAreRefused(t *testing.T) {
	q := mustParse(t, `{"credentials":[{"id":"p","format":"dc+sd-jwt","meta":{"vct_values":["v"]},"trusted_authorities":[{"type":"aki","values":["x"]}]}]}`)
	if _, err := Match(q, []Held{sdjwt("v", "k", nil)}, Wish{}); hufu.RuleOf(err) != RuleUnsupported {
		t.Error(err)
	}
	err := Satisfies(q, []Presented{{Query: "p", Format: FormatSDJWT, Type: "v", Bound: true}})
	if hufu.RuleOf(err) != RuleUnsupported {
		t.Error(err)
	}
}

func TestOptionalAndAsked(t *testing.T) {
	q := mustParse(t, credentialsAlternatives)
	for i, want := range []bool{true, true, true, true} {
		if q.Optional(i) != want {
			t.Errorf("credential %d: optional %v", i, !want)
		}
	}
	q = mustParse(t, `{"credentials":[{"id":"a","format":"x","meta":{}},{"id":"b","format":"x","meta":{}}],"credential_sets":[{"options":[["a"],["a","b"]]}]}`)
	if q.Optional(0) || !q.Optional(1) {
		t.Error("a is in every option, b is not")
	}
	c := mustParse(t, claimsAlternatives).Find("pid")
	for i, want := range []bool{true, false, false, false, true} {
		if c.Asked(i) != want {
			t.Errorf("claim %d: asked %v", i, !want)
		}
	}
	if q.Find("zz") != nil {
		t.Error("found what is not there")
	}
}

func TestInteger(t *testing.T) {
	for _, v := range []any{3, int64(3), uint64(3), json.Number("3")} {
		if i, ok := Integer(v); !ok || i != 3 {
			t.Errorf("%T: %d %v", v, i, ok)
		}
	}
	for _, v := range []any{3.0, "3", nil, json.Number("3.0"), json.Number("99999999999999999999"), uint64(1 << 63)} {
		if _, ok := Integer(v); ok {
			t.Errorf("%T %v is taken for an integer", v, v)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{claimsAlternatives, credentialsAlternatives, `{"credentials":[{"id":"a","format":"mso_mdoc","meta":{"doctype_value":"d"},"claims":[{"path":["a",null,3],"values":[true,-1,"x"]}]}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		q, problems := ParseStrict(data)
		if (q == nil) != (len(problems) > 0) {
			t.Fatal("neither a query nor a problem, or both")
		}
		for _, p := range problems {
			if p.Offset < 0 || p.Offset > len(data) || p.Message == "" {
				t.Fatalf("%+v", p)
			}
		}
		lenient, err := Parse(data)
		if q == nil {
			return
		}
		if err != nil || !reflect.DeepEqual(q, lenient) {
			t.Fatalf("strict and lenient readings differ: %v", err)
		}
		again, err := Parse(q.Canonical())
		if err != nil || string(again.Canonical()) != string(q.Canonical()) {
			t.Fatalf("the canonical form is not canonical: %v", err)
		}
		var refusal *hufu.Refusal
		if _, err := Match(q, nil, Wish{}); err != nil && !errors.As(err, &refusal) {
			t.Fatal(err)
		}
	})
}
