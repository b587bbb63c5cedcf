package gate

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/hufu-id/hufu/contract/dcql"
)

func TestPick(t *testing.T) {
	var claims map[string]any
	d := json.NewDecoder(strings.NewReader(`{"iss":"x","name":"n","address":{"street":"s","city":"c"},"roles":["a","b","c"],
		"degrees":[{"type":"B","year":1},{"type":"M","year":2}],"empty":{}}`))
	if err := d.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		paths []dcql.Path
		want  string
	}{
		{nil, `{}`},
		{[]dcql.Path{{"name"}}, `{"name":"n"}`},
		{[]dcql.Path{{"address", "city"}, {"name"}}, `{"address":{"city":"c"},"name":"n"}`},
		{[]dcql.Path{{"address"}}, `{"address":{"city":"c","street":"s"}}`},
		{[]dcql.Path{{"address"}, {"address", "city"}}, `{"address":{"city":"c","street":"s"}}`},
		{[]dcql.Path{{"roles", nil}}, `{"roles":["a","b","c"]}`},
		{[]dcql.Path{{"roles", 1}}, `{"roles":["b"]}`},
		{[]dcql.Path{{"roles", 9}}, `{}`},
		{[]dcql.Path{{"degrees", nil, "type"}}, `{"degrees":[{"type":"B"},{"type":"M"}]}`},
		{[]dcql.Path{{"degrees", 0, "type"}, {"degrees", 1, "year"}}, `{"degrees":[{"type":"B"},{"year":2}]}`},
		{[]dcql.Path{{"absent"}, {"name", "x"}, {"empty", "x"}}, `{}`},
	} {
		got, err := json.Marshal(pick(claims, c.paths, 0))
		if err != nil || string(got) != c.want {
			t.Errorf("%v picks %s, want %s (%v)", c.paths, got, c.want, err)
		}
	}
}

func TestLanguage(t *testing.T) {
	for accept, want := range map[string]string{
		"": "en", "fr": "en", "zh-CN,zh;q=0.9": "zh-Hans", "en-GB,zh;q=0.5": "en", "fr,ZH-tw": "zh-Hans", ";;,,": "en",
	} {
		if got := language(accept); got != want {
			t.Errorf("%q: %s, want %s", accept, got, want)
		}
	}
	for _, lang := range []string{"en", "zh-Hans"} {
		if _, ok := wordsIn[lang]; !ok {
			t.Errorf("no words in %s", lang)
		}
	}
	for lang, w := range wordsIn {
		v := reflect.ValueOf(w)
		for i := range v.NumField() {
			if v.Field(i).String() == "" {
				t.Errorf("%s has no %s", lang, v.Type().Field(i).Name)
			}
		}
	}
}

// A text too long for a QR code is drawn as nothing, not as a wrong code.
func TestQR(t *testing.T) {
	if q := drawQR("openid4vp://x"); q.Path == "" || q.Size < 21+8 {
		t.Errorf("%+v", q)
	}
	if q := drawQR(strings.Repeat("a", 5000)); q.Path != "" {
		t.Error("a code of 5000 bytes")
	}
}
