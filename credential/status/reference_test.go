package status_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hufu-id/hufu/credential/status"
	"github.com/hufu-id/hufu/encoding"
)

func claimsOf(t testing.TB, text string) map[string]any {
	t.Helper()
	var m map[string]any
	if err := encoding.UnmarshalJSON([]byte(text), 1<<20, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestReference(t *testing.T) {
	ref, err := status.ReferenceOf(claimsOf(t, `{"status":{"status_list":{"idx":7,"uri":"https://example.com/statuslists/1","x":1},"other":{}}}`))
	if err != nil || *ref != (status.Reference{URI: "https://example.com/statuslists/1", Index: 7}) {
		t.Fatalf("%+v %v", ref, err)
	}
	if ref, err := status.ReferenceOf(claimsOf(t, `{"sub":"x"}`)); ref != nil || err != nil {
		t.Errorf("no status: %v %v", ref, err)
	}
	// What is written is read again, as it is and through JSON.
	claims := map[string]any{"status": ref.Claim()}
	raw, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []map[string]any{claims, claimsOf(t, string(raw))} {
		if again, err := status.ReferenceOf(m); err != nil || *again != *ref {
			t.Errorf("%+v %v", again, err)
		}
	}
}

func TestReferenceRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"null":             `{"status":null}`,
		"string":           `{"status":"valid"}`,
		"empty":            `{"status":{}}`,
		"other mechanism":  `{"status":{"bitstring":{}}}`,
		"list no object":   `{"status":{"status_list":[]}}`,
		"no idx":           `{"status":{"status_list":{"uri":"https://a/1"}}}`,
		"idx string":       `{"status":{"status_list":{"idx":"1","uri":"https://a/1"}}}`,
		"idx negative":     `{"status":{"status_list":{"idx":-1,"uri":"https://a/1"}}}`,
		"idx fraction":     `{"status":{"status_list":{"idx":1.5,"uri":"https://a/1"}}}`,
		"idx exponent":     `{"status":{"status_list":{"idx":1e3,"uri":"https://a/1"}}}`,
		"idx beyond 2^53":  `{"status":{"status_list":{"idx":9007199254740992,"uri":"https://a/1"}}}`,
		"idx beyond 2^64":  `{"status":{"status_list":{"idx":99999999999999999999,"uri":"https://a/1"}}}`,
		"no uri":           `{"status":{"status_list":{"idx":1}}}`,
		"uri number":       `{"status":{"status_list":{"idx":1,"uri":1}}}`,
		"uri relative":     `{"status":{"status_list":{"idx":1,"uri":"/statuslists/1"}}}`,
		"uri without host": `{"status":{"status_list":{"idx":1,"uri":"https:///1"}}}`,
		"uri with space":   `{"status":{"status_list":{"idx":1,"uri":"https://a/ 1"}}}`,
		"uri unreadable":   `{"status":{"status_list":{"idx":1,"uri":"https://a:b/1"}}}`,
		"uri not ASCII":    `{"status":{"status_list":{"idx":1,"uri":"https://a/é"}}}`,
		"uri too long":     `{"status":{"status_list":{"idx":1,"uri":"https://a/` + strings.Repeat("x", status.MaxURILen) + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := status.ReferenceOf(claimsOf(t, text))
			wantRule(t, err, status.RuleReference)
		})
	}
	largest := status.Reference{URI: "https://a/~" + strings.Repeat("x", status.MaxURILen-11), Index: 1<<53 - 1}
	if ref, err := status.ReferenceOf(map[string]any{"status": largest.Claim()}); err != nil || *ref != largest {
		t.Errorf("the largest reference: %v", err)
	}
	_, err := status.ReferenceOf(map[string]any{"status": status.Reference{URI: "https://a/1", Index: 1 << 53}.Claim()})
	wantRule(t, err, status.RuleReference)
}

func FuzzReference(f *testing.F) {
	f.Add([]byte(`{"status":{"status_list":{"idx":7,"uri":"https://example.com/statuslists/1"}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m map[string]any
		if encoding.UnmarshalJSON(raw, 1<<16, &m) != nil {
			return
		}
		ref, err := status.ReferenceOf(m)
		if err != nil || ref == nil {
			return
		}
		if again, err := status.ReferenceOf(map[string]any{"status": ref.Claim()}); err != nil || *again != *ref {
			t.Fatalf("%+v does not come back: %v", ref, err)
		}
	})
}
