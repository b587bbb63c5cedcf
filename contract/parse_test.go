package contract

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
)

// door is a contract that tests change in one place each.
const door = `language = "hufu-contract/1"
id = "door"
version = 3
owner = "did:hufu:demo:z4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"
title.en = "Door"
purpose = { en = "To test." }

[retention]
en = "Nothing."

[bounds]
max_staleness = "60s"
grant = "15m"

[accreditation.p]
assurance = "low"

[asks]
dcql = '''
{ "credentials": [
  { "id": "p", "format": "dc+sd-jwt", "meta": { "vct_values": ["urn:t"] },
    "claims": [ { "path": ["s"] }, { "path": ["o", "b"] }, { "path": ["n"] } ] },
  { "id": "q", "format": "dc+sd-jwt", "meta": { "vct_values": ["urn:t"] },
    "claims": [ { "id": "a", "path": ["d"] }, { "id": "b", "path": ["l", null] }, { "id": "c", "path": ["o"] } ],
    "claim_sets": [["a", "c"], ["a", "b"]] } ],
  "credential_sets": [ { "options": [["p"]] }, { "options": [["q"]], "required": false } ] }
'''

[opens]
cedar = '''
@id("in") permit (principal, action, resource) when { context.p.o.b };
'''
`

// change replaces one piece of a text that is there exactly once.
func change(t testing.TB, text, old, replacement string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is there %d times", old, strings.Count(text, old))
	}
	return strings.Replace(text, old, replacement, 1)
}

const (
	aPolicy = `@id("in") permit (principal, action, resource) when { context.p.o.b };`
	aQuery  = `"id": "p", "format": "dc+sd-jwt",`
)

func TestParse(t *testing.T) {
	c, err := Parse([]byte(door))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "door" || c.Version != 3 || c.Owner != library || c.ID().String() != string(library)+"/contracts/door" {
		t.Errorf("%+v", c)
	}
	if c.MaxStaleness != time.Minute || c.Grant != 15*time.Minute || c.SameHolder {
		t.Errorf("bounds %v %v %v", c.MaxStaleness, c.Grant, c.SameHolder)
	}
	if In(c.Title, "zh") != "Door" || In(c.Purpose, "en") != "To test." {
		t.Error("statements")
	}
	if len(c.Requirements) != 2 || c.Requirements[0].Assurance != "low" || c.Requirements[1].Credential != "q" {
		t.Errorf("%+v", c.Requirements)
	}
	if c.Policies[0].ID != "in" || c.Policies[0].Forbid || c.Policies[0].Line != 31 || c.Policies[0].Column != 1 {
		t.Errorf("%+v", c.Policies[0])
	}
	if c.Hash != Hash([]byte(door)) || c.Hash.String() == Hash([]byte(door+" ")).String() {
		t.Error("hash")
	}
}

func TestParseRefused(t *testing.T) {
	many := func(n int, s string) string { return strings.Repeat(s, n) }
	for _, tc := range []struct {
		name, old, replacement string
		rule                   hufu.Rule
		at                     string // where in the changed text the problem stands
	}{
		{"not TOML", `version = 3`, `version = = 3`, RuleSyntax, `= 3`},
		{"an impossible date", `version = 3`, "version = 3\nx = 2026-02-31", RuleSyntax, ``},
		{"not UTF-8", `"Door"`, "\"\xff\"", RuleSyntax, "\xff"},
		{"a byte order mark", `language =`, "\uFEFFlanguage =", RuleSyntax, "\uFEFF"},
		{"a right-to-left override", `"Door"`, "\"\u202EDoor\"", RuleSyntax, "\u202EDoor"},
		{"an isolate", `"Door"`, "\"Door\" # \u2066x", RuleSyntax, "\u2066x"},
		{"a string that ends at a line's end", "context.p.o.b };", "\"ab\\\n\" == \"x\" };", RulePolicy, "\"ab"},
		{"a string that ends nowhere", "context.p.o.b };", "\"ab", RulePolicy, "\"ab"},
		{"a string over two lines", "context.p.o.b };", "\"ab\ncd\" == \"x\" };", RulePolicy, "\"ab"},
		{"too many languages", `title.en = "Door"`, `title.en = "Door"` + manyTitles(), RuleTooLarge, ""},
		{"a title in no language", `title.en`, "title.\"\" = \"x\"\ntitle.en", RuleValue, ""},
		{"a table for a text", `title.en = "Door"`, "title.en.uk = \"Door\"", RuleUnknown, "uk"},
		{"a table for a duration", `grant = "15m"`, "[bounds.grant]\nx = 1", RuleValue, "grant]"},
		{"deep arrays", `version = 3`, `version = ` + many(5, "[") + many(5, "]"), RuleTooDeep, `[]]]]]`},
		{"very deep arrays", `version = 3`, `version = ` + many(9000, "[") + many(9000, "]"), RuleTooDeep, ``},
		{"too large", `"Door"`, `"` + many(MaxText, "x") + `"`, RuleTooLarge, ``},
		{"a key twice", `version = 3`, "version = 3\nversion = 3", RuleDuplicate, "version = 3\nowner"},
		{"a table twice", `[bounds]`, "[retention]\n[bounds]", RuleDuplicate, "retention]\n[bounds"},
		{"an unknown key", `version = 3`, "version = 3\nvalid = true", RuleUnknown, `valid`},
		{"an unknown table", `[bounds]`, "[extra]\na = 1\nb = 2\n[bounds]", RuleUnknown, `extra`},
		{"an unknown key in a table", `grant = `, `grand = `, RuleUnknown, `grand`},
		{"a list of tables", `[retention]`, `[[retention]]`, RuleUnknown, `retention`},
		{"pseudonym", `version = 3`, "version = 3\npseudonym = true", RuleReserved, `pseudonym`},
		{"a pseudonym table", `[retention]`, "[pseudonym]\nscope = 1\n[retention]", RuleReserved, `pseudonym`},
		{"another language", `hufu-contract/1`, `hufu-contract/2`, RuleLanguage, `"hufu-contract/2"`},
		{"a language that is a number", `"hufu-contract/1"`, `1`, RuleValue, "1\nid"},
		{"no language", `language = "hufu-contract/1"`, ``, RuleMissing, ``},
		{"no id", `id = "door"`, ``, RuleMissing, ``},
		{"an empty id", `id = "door"`, `id = ""`, RuleValue, `""`},
		{"a bad id", `id = "door"`, `id = "Door"`, RuleValue, `"Door"`},
		{"a dash first", `id = "door"`, `id = "-door"`, RuleValue, `"-door"`},
		{"a dash last", `id = "door"`, `id = "door-"`, RuleValue, `"door-"`},
		{"a long id", `id = "door"`, `id = "` + many(65, "x") + `"`, RuleValue, `"xxx`},
		{"no version", `version = 3`, ``, RuleMissing, ``},
		{"version 0", `version = 3`, `version = 0`, RuleValue, "0\nowner"},
		{"a version as text", `version = 3`, `version = "3"`, RuleValue, `"3"`},
		{"a huge version", `version = 3`, `version = 4294967296`, RuleValue, "4294967296"},
		{"no owner", `owner = "did:hufu:demo:z4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"`, ``, RuleMissing, ``},
		{"the owner is self", `"did:hufu:demo:z4uQeVj5tqViQh7yWWGStvkEG1Zmhx6uasJtWCJziofM"`, `"self"`, RuleSelf, `"self"`},
		{"no DID", `did:hufu:demo:z4uQ`, `did:web:demo:z4uQ`, RuleOwner, `"did:web`},
		{"same_holder as text", `version = 3`, "version = 3\nsame_holder = \"yes\"", RuleValue, `"yes"`},
		{"no English title", `title.en`, `title.zh`, RuleMissing, ``},
		{"title is no table", `title.en = "Door"`, `title = "Door"`, RuleValue, `title`},
		{"language as table", `language = "hufu-contract/1"`, `language.en = "x"`, RuleUnknown, `en = "x"`},
		{"no purpose", `purpose = { en = "To test." }`, ``, RuleMissing, ``},
		{"a title of blanks", `"Door"`, `"  "`, RuleValue, `"  "`},
		{"a long title", `"Door"`, `"` + many(MaxStatement+1, "x") + `"`, RuleValue, `"xxx`},
		{"a title that is no text", `"Door"`, `7`, RuleValue, "7\npurpose"},
		{"no language tag", `title.en`, "title.english-of-england = \"D\"\ntitle.en", RuleValue, "english-of"},
		{"a tag in another case", `title.en`, "title.zh-hans = \"D\"\ntitle.en", RuleValue, "zh-hans"},
		{"no bounds", `max_staleness = "60s"`, ``, RuleMissing, ``},
		{"a duration without unit", `"60s"`, `"60"`, RuleValue, `"60"`},
		{"a duration of nothing", `"60s"`, `"0s"`, RuleValue, `"0s"`},
		{"a negative duration", `"60s"`, `"-60s"`, RuleValue, `"-60s"`},
		{"half a minute", `"60s"`, `"0.5m"`, RuleValue, `"0.5m"`},
		{"a year", `"60s"`, `"365d"`, RuleValue, `"365d"`},
		{"an empty duration", `"60s"`, `""`, RuleValue, `""`},
		{"a duration as number", `"60s"`, `60`, RuleValue, "60\ngrant"},
		{"an unknown assurance", `assurance = "low"`, `assurance = "medium"`, RuleValue, `"medium"`},
		{"accreditation of nothing", `[accreditation.p]`, `[accreditation.zz]`, RuleValue, `zz]`},
		{"no issuers", `assurance = "low"`, `issuers = []`, RuleValue, `[]`},
		{"an issuer that is no DID", `assurance = "low"`, `issuers = ["x"]`, RuleValue, `"x"]`},
		{"an issuer twice", `assurance = "low"`, `issuers = ["` + string(library) + `", "` + string(library) + `"]`, RuleDuplicate, `"` + string(library) + `"]`},
		{"no query", `[asks]`, "[asks]\n[asks2]", RuleUnknown, `asks2`},
		{"a query between other quotes", "dcql = '''", "dcql = \"{}\"\n[opens]\ncedar = '''", RuleValue, `"{}"`},
		{"JSON mistake", aQuery, `"id": "p" "format": "dc+sd-jwt",`, RuleQuery, `"format": "dc+sd-jwt", "meta": { "vct_values": ["urn:t"] },` + "\n    \"claims\": [ { \"path\": [\"s\"]"},
		{"an unknown member", aQuery, `"idd": 1, ` + aQuery, RuleQuery, `"idd"`},
		{"another format", aQuery, `"id": "p", "format": "jwt_vc_json",`, RuleQuery, `{ "id": "p"`},
		{"multiple", aQuery, aQuery + ` "multiple": true,`, RuleReserved, `{ "id": "p"`},
		{"bearer credentials", aQuery, aQuery + ` "require_cryptographic_holder_binding": false,`, RuleQuery, `{ "id": "p"`},
		{"trusted authorities", aQuery, aQuery + ` "trusted_authorities": [{"type":"aki","values":["x"]}],`, RuleReserved, `{"type":"aki"`},
		{"a claim named issuer", `["s"]`, `["issuer"]`, RuleQuery, `{ "path": ["issuer"]`},
		{"an element of an array", `["l", null]`, `["l", 2]`, RuleQuery, `{ "id": "b"`},
		{"all elements in the middle", `["l", null]`, `["l", null, "x"]`, RuleQuery, `{ "id": "b"`},
		{"no policies", aPolicy, ``, RuleMissing, "\n'''\n"},
		{"only forbids", "permit", "forbid", RuleMissing, ``},
		{"no semicolon", "context.p.o.b };", "context.p.o.b }", RulePolicy, "}\n'''\n"},
		{"a typing mistake", "when {", "wen {", RulePolicy, "wen {"},
		{"a missing bracket", "resource) when", "resource when", RulePolicy, "when { context"},
		{"an unknown variable", "context.p.o.b", "contekst.p.o.b", RulePolicy, ""},
		{"a character that does not belong", "context.p.o.b", "context.p.o.b & true", RulePolicy, "& true"},
		{"a string without end", "context.p.o.b", `"abc`, RulePolicy, `"abc`},
		{"a long comment", "context.p.o.b", `/* why */ context.p.o.b`, RulePolicy, `/* why`},
		{"an unending comment", "context.p.o.b };", `context.p.o.b }; /* why`, RulePolicy, `/* why`},
		{"two of one id", aPolicy, aPolicy + "\n" + aPolicy, RuleDuplicate, aPolicy + "\n'''"},
		{"an id of another", aPolicy, `@id("policy1") permit (principal, action, resource); permit (principal, action, resource);`, RuleDuplicate, `permit (principal, action, resource);` + "\n"},
		{"a bad policy id", `@id("in")`, `@id("in out")`, RulePolicy, `@id("in out")`},
		{"an empty policy id", `@id("in")`, `@id("")`, RulePolicy, `@id("")`},
		{"an annotation twice", `@id("in")`, `@id("in") @id("in")`, RulePolicy, ``},
		{"too many policies", aPolicy, many(MaxPolicies+1, "permit (principal, action, resource);"), RuleTooLarge, ``},
		{"a long policy", "context.p.o.b", "context.p.o.b" + many(300, "||context.p.o.b"), RuleTooLarge, ``},
		{"deep brackets", "context.p.o.b", many(MaxNesting, "(") + "context.p.o.b" + many(MaxNesting, ")"), RuleTooDeep, ``},
		{"deep ifs", "context.p.o.b", many(MaxNesting+1, "if true then true else ") + "true", RuleTooDeep, ``},
		{"deep nots", "context.p.o.b", many(MaxNesting, "!") + "context.p.o.b", RuleTooDeep, ``},
		{"brackets by the thousand", "context.p.o.b", many(10000, "("), RuleTooLarge, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			text := change(t, door, tc.old, tc.replacement)
			c, err := Parse([]byte(text))
			var problems Problems
			if !errors.As(err, &problems) || c != nil || len(problems) == 0 {
				t.Fatalf("%v, %v", c, err)
			}
			if hufu.RuleOf(err) == "" {
				t.Error("the error is no refusal")
			}
			for _, p := range problems {
				if p.Rule == tc.rule && strings.HasPrefix(behind(text, p), tc.at) {
					return
				}
			}
			t.Fatalf("want %s at %q, got\n%v", tc.rule, tc.at, err)
		})
	}
}

func manyTitles() string {
	var b strings.Builder
	for i := range MaxLanguages {
		b.WriteString("\ntitle.a" + string(rune('a'+i%26)) + string(rune('a'+i/26)) + ` = "x"`)
	}
	return b.String()
}

func TestStringsDoNotCountAsNesting(t *testing.T) {
	brackets := strings.Repeat("[", 50)
	for _, s := range []string{
		`title.de = "` + brackets + `\"` + brackets + `"`, `title.de = '` + brackets + `'`, `title.de = """` + brackets + `\"""` + brackets + `"""""`,
		`title.de = '''` + brackets + `'` + brackets + `'''''`, `# ` + brackets,
	} {
		if _, err := Parse([]byte(change(t, door, "title.en", s+"\ntitle.en"))); err != nil {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestProblemsAsAnError(t *testing.T) {
	_, err := Parse([]byte(change(t, change(t, door, "version = 3", "version = 0"), `"60s"`, `"x"`)))
	if err == nil || err.Error() != "3:11: version must be an integer from 1\n12:17: bounds.max_staleness must be from 1s to 30d" {
		t.Fatal(err)
	}
	if !errors.Is(err, &hufu.Refusal{Rule: RuleValue}) || (Problems{}).Unwrap() != nil {
		t.Fatal("an error that programs cannot act on")
	}
}

func TestLanguageTags(t *testing.T) {
	for tag, want := range map[string]bool{
		"en": true, "zh-Hans": true, "zh-Hant-HK": true, "es-419": true, "de-CH-1996": true, "sl-rozaj-biske": true, "yue": true,
		"": false, "e": false, "EN": false, "en-gb": false, "zh-hans": false, "en-": false, "-en": false, "e1": false, "en_GB": false, "中文": false, "en-abcdefghi": false,
	} {
		if validTag(tag) != want {
			t.Errorf("%q: %v", tag, !want)
		}
	}
}

// behind is the text from a problem's position on.
func behind(text string, p Problem) string {
	lines := strings.SplitAfter(text, "\n")
	rest := []rune(strings.Join(lines[p.Line-1:], ""))
	if !strings.Contains(text, "\xff") {
		return string(rest[min(p.Column-1, len(rest)):])
	}
	return strings.Join(lines[p.Line-1:], "")[p.Column-1:]
}

func TestParseReportsEverythingAtOnce(t *testing.T) {
	text := change(t, door, `version = 3`, `version = "three"`)
	text = change(t, text, `title.en = "Door"`, `title.en = "门" # 中`+"\ncolour = 1")
	text = change(t, text, `"60s"`, `"soon"`)
	text = change(t, text, aQuery, `"id": "p", "format": 5,`)
	text = change(t, text, aPolicy, "permit (principal action, resource);\n"+`@id("ok") permit (principal, action, resource);`+"\npermit (principal, action, resource) when { + };")
	_, err := Parse([]byte(text))
	var problems Problems
	if !errors.As(err, &problems) {
		t.Fatal(err)
	}
	want := []string{`"three"`, `colour`, `"soon"`, `5, "meta"`, `action, resource);`, `+ };`}
	for i, p := range problems {
		if i >= len(want) || !strings.HasPrefix(behind(text, p), want[i]) {
			t.Errorf("problem %d: %s\nat %q", i, p, behind(text, p))
		}
	}
	if len(problems) != len(want) {
		t.Errorf("%d problems, want %d:\n%v", len(problems), len(want), err)
	}
}

func TestFactsKeepTheirNames(t *testing.T) {
	for _, name := range []string{factNow, factStaleness} {
		_, err := Parse([]byte(strings.ReplaceAll(strings.ReplaceAll(door, `"id": "q"`, `"id": "`+name+`"`), `[["q"]]`, `[["`+name+`"]]`)))
		if hufu.RuleOf(err) != RuleQuery {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestColumnsCountCharacters(t *testing.T) {
	_, err := Parse([]byte(change(t, door, `title.en = "Door"`, `title = { en = "门门门", zh = 7 }`)))
	var problems Problems
	if !errors.As(err, &problems) || problems[0].Line != 5 || problems[0].Column != 28 {
		t.Fatal(err)
	}
}

func TestParseDoesNotKeepTheCallersText(t *testing.T) {
	text := []byte(door)
	c, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	clear(text)
	if problems, err := Check(c, doorTypes); err != nil || len(problems) > 0 {
		t.Fatal(problems, err)
	}
	if string(c.QueryJSON[:3]) != "{ \"" {
		t.Fatal("the query is gone")
	}
}

func TestCarriageReturns(t *testing.T) {
	c, err := Parse([]byte(strings.ReplaceAll(door, "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	if c.Policies[0].Line != 31 || c.Policies[0].Column != 1 {
		t.Errorf("%+v", c.Policies[0])
	}
}

func TestSetOwner(t *testing.T) {
	self := change(t, door, string(library), OwnerSelf)
	got, err := SetOwner([]byte(self), library)
	if err != nil || string(got) != door {
		t.Fatalf("%v\n%s", err, got)
	}
	if again, err := SetOwner(got, library); err != nil || string(again) != door {
		t.Fatal("its own owner again", err)
	}
	for name, tc := range map[string]struct {
		text  string
		owner hufu.DID
		rule  hufu.Rule
	}{
		"another owner": {door, hufu.ID{2}.DID("demo"), RuleOwner},
		"no DID":        {self, "did:web:x", RuleOwner},
		"no owner":      {change(t, self, `owner = "self"`, ``), library, RuleMissing},
		"not TOML":      {"=", library, RuleSyntax},
		"too large":     {strings.Repeat("#", MaxText+1), library, RuleTooLarge},
	} {
		if _, err := SetOwner([]byte(tc.text), tc.owner); hufu.RuleOf(err) != tc.rule {
			t.Errorf("%s: %v", name, err)
		}
	}
}
