package dcql

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
)

func TestInMdoc(t *testing.T) {
	q := mustParse(t, `{"credentials": [
	  {"id": "person", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:hufu:type:resident-id:1"]}, "claims": [
	     {"id": "a", "path": ["age_equal_or_over", "18"], "values": [true]}, {"id": "b", "path": ["nationality"], "values": ["CHN", "FRA"]},
	     {"id": "c", "path": ["languages", null]}],
	   "claim_sets": [["a", "b"], ["c"]]},
	  {"id": "guardian", "format": "dc+sd-jwt", "require_cryptographic_holder_binding": false, "multiple": true, "meta": {"vct_values": ["urn:g"]},
	   "trusted_authorities": [{"type": "aki", "values": ["x"]}], "claims": [{"path": ["relation"]}]},
	  {"id": "bare", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:b"]}}],
	 "credential_sets": [{"options": [["person", "guardian"], ["person"]]}, {"required": false, "options": [["bare"]]}]}`)
	want := `{"credentials": [
	  {"id": "person", "format": "mso_mdoc", "meta": {"doctype_value": "urn:hufu:type:resident-id:1"}, "claims": [
	     {"id": "a", "path": ["urn:hufu:type:resident-id:1", "age_equal_or_over.18"], "values": [true]},
	     {"id": "b", "path": ["urn:hufu:type:resident-id:1", "nationality"], "values": ["CHN", "FRA"]},
	     {"id": "c", "path": ["urn:hufu:type:resident-id:1", "languages"]}],
	   "claim_sets": [["a", "b"], ["c"]]},
	  {"id": "guardian", "format": "mso_mdoc", "require_cryptographic_holder_binding": false, "multiple": true, "meta": {"doctype_value": "urn:g"},
	   "trusted_authorities": [{"type": "aki", "values": ["x"]}], "claims": [{"path": ["urn:g", "relation"]}]},
	  {"id": "bare", "format": "mso_mdoc", "meta": {"doctype_value": "urn:b"}}],
	 "credential_sets": [{"options": [["person", "guardian"], ["person"]]}, {"required": false, "options": [["bare"]]}]}`
	got, raw, err := q.InMdoc()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Canonical(), mustParse(t, want).Canonical()) {
		t.Errorf("got  %s\nwant %s", got.Canonical(), mustParse(t, want).Canonical())
	}
	if !bytes.Equal(mustParse(t, string(raw)).Canonical(), mustParse(t, want).Canonical()) {
		t.Errorf("the JSON is another query: %s", raw)
	}
	if _, _, err := got.InMdoc(); err == nil || !strings.Contains(err.Error(), string(RuleUntranslatable)) {
		t.Errorf("translated a translation: %v", err)
	}
}

func TestInMdocRefused(t *testing.T) {
	claim := func(path string) string {
		return `{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{"vct_values":["v"]},"claims":[` + path + `]}]}`
	}
	for name, tc := range map[string]struct{ text, want string }{
		"two types":            {`{"credentials":[{"id":"a","format":"dc+sd-jwt","meta":{"vct_values":["v","w"]}}]}`, "2 types"},
		"another format":       {`{"credentials":[{"id":"a","format":"jwt_vc_json","meta":{}}]}`, "is asked for in"},
		"an mdoc already":      {`{"credentials":[{"id":"a","format":"mso_mdoc","meta":{"doctype_value":"v"}}]}`, "is asked for in"},
		"element by its place": {claim(`{"path":["x",0]}`), "part of an array"},
		"behind an array":      {claim(`{"path":["x",null,"y"]}`), "part of an array"},
		"only an array":        {claim(`{"path":[null]}`), "part of an array"},
		"only a number":        {claim(`{"path":[1]}`), "part of an array"},
		"dot in a name":        {claim(`{"path":["x.y"]}`), "separates names"},
		"one element twice":    {claim(`{"path":["x"]},{"path":["x",null]}`), "one element"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := mustParse(t, tc.text).InMdoc()
			wantRule(t, err, RuleUntranslatable)
			if !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}

// Two claims of a query are never one element of its translation, and the names come back from it.
func TestElementOf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label string) Path {
			var p Path
			for _, n := range rapid.SliceOfN(rapid.StringMatching(`[a-z_0-9]{1,4}`), 1, 4).Draw(t, label) {
				p = append(p, n)
			}
			return p
		}
		a, b := draw("a"), draw("b")
		ea, errA := ElementOf(a)
		eb, errB := ElementOf(b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if (ea == eb) != (PathString(a) == PathString(b)) {
			t.Fatalf("%v is %s and %v is %s", a, ea, b, eb)
		}
		if len(strings.Split(ea, ElementSeparator)) != len(a) {
			t.Fatalf("%v is %s", a, ea)
		}
	})
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if got := hufu.RuleOf(err); got != rule {
		t.Fatalf("refused by %q (%v), want %q", got, err, rule)
	}
}
