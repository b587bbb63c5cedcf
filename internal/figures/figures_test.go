package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const docs = "../../docs"

// TestRendered compares the committed documentation with what is made of the committed figures.
func TestRendered(t *testing.T) {
	f, err := readFigures(docs)
	if err != nil {
		t.Fatal(err)
	}
	performance, err := os.ReadFile(filepath.Join(docs, performanceFile))
	if err != nil {
		t.Fatal(err)
	}
	now, err := renderPerformance(string(performance), f)
	if err != nil {
		t.Fatal(err)
	}
	if now != string(performance) {
		t.Errorf("%s is not what `make scale` renders", performanceFile)
	}
	scale, err := os.ReadFile(filepath.Join(docs, scaleFile))
	if err != nil {
		t.Fatal(err)
	}
	if now, err = renderScale(f); err != nil {
		t.Fatal(err)
	}
	if now != string(scale) {
		t.Errorf("%s is not what `make scale` renders", scaleFile)
	}
}

func TestTable(t *testing.T) {
	f := &figures{Measurements: []*measurement{{Name: "x", Command: "hufu bench x", Day: "2026-01-02", Load: "0.1", Report: json.RawMessage(`{
		"cores": 2, "list": [{"size": 1000, "b_c": {"rate_per_s": 12345.6}}, {"size": 2000, "b_c": {"rate_per_s": 0.01234, "other": true}}],
		"one": {"text": "a|b", "rows": {"a": 1, "b": null}, "inner": [{"kind": "k", "n": -1234}], "flat": [1, 2.5]}}`)}}}
	got, err := renderPerformance("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n", f)
	if err != nil {
		t.Fatal(err)
	}
	want := "before\n" + beginMark + `

### x
` + "`hufu bench x`" + ` on 2026-01-02, load of the machine before: 0.1

| list | 1,000 | 2,000 |
|---|---:|---:|
| b c: rate per s | 12,346 | 0.0123 |
| b c: other |  | true |

| one | |
|---|---:|
| text | a\|b |
| rows: a | 1 |
| rows: b |  |
| flat | 1, 2.50 |

| one: inner | |
|---|---:|
| kind | k |
| n | -1,234 |

|  | |
|---|---:|
| cores | 2 |
` + endMark + "\nafter\n"
	if got != want {
		t.Errorf("%s", got)
	}
	again, err := renderPerformance(got, f)
	if err != nil || again != got {
		t.Errorf("rendered twice it is another (%v)", err)
	}
}

func TestTableRefuses(t *testing.T) {
	f := func(report string) *figures {
		return &figures{Measurements: []*measurement{{Name: "x", Report: json.RawMessage(report)}}}
	}
	marks := beginMark + "\n" + endMark
	for name, tt := range map[string]struct{ page, report string }{
		"no marks": {"page", "{}"}, "no end": {beginMark, "{}"}, "wrong order": {endMark + beginMark, "{}"},
		"list": {marks, "[]"}, "two values": {marks, "{}{}"}, "torn": {marks, `{"a":[1`}, "empty": {marks, ""},
	} {
		if _, err := renderPerformance(tt.page, f(tt.report)); err == nil {
			t.Error(name)
		}
	}
}

func TestNumber(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 1: "1", 999: "999", 1000: "1,000", 1234567.8: "1,234,568", 12.345: "12.3", 0.5: "0.500", 0.00123456: "0.00123", 123.4: "123",
		-2: "-2", 999.9: "1000", 1.4e9: "1,400,000,000",
	} {
		if got := number(f); got != want {
			t.Errorf("number(%v) = %s, want %s", f, got, want)
		}
	}
}

// TestNothingPerPerson holds what docs/scale.md says: people who neither make identifiers nor have a credential
// revoked cost the ledger nothing, however many they are and however often they are verified.
func TestNothingPerPerson(t *testing.T) {
	f, err := readFigures(docs)
	if err != nil {
		t.Fatal(err)
	}
	c, _, err := measured(f)
	if err != nil {
		t.Fatal(err)
	}
	of := func(people, verified float64) needs {
		a := network(1_000_000)
		a.people, a.verified, a.identifiers, a.changed = people, verified, 0, 0
		n := c.needs(a)
		n.assumptions, n.verifications, n.gateCores, n.readCores, n.readBandwidth = assumptions{}, 0, 0, 0, 0
		return n
	}
	if few, many := of(1, 0), of(1.4e9, 1000); few != many || few.records <= 0 {
		t.Errorf("%+v\n%+v", few, many)
	}
	a := network(1_000_000)
	before := c.needs(a)
	a.identifiers *= 2
	if more := c.needs(a).records - before.records; more != 100_000 {
		t.Errorf("100,000 more identifiers are %v records", more)
	}
	a = network(1_000_000)
	a.changed *= 2
	if n := c.needs(a); n.changesPerS != 2*before.changesPerS || n.records != before.records {
		t.Errorf("%+v", n) // so many are changed that every chunk exists either way
	}
}

func TestMeasureAll(t *testing.T) {
	dir := t.TempDir()
	binary := filepath.Join(dir, "hufu")
	script := "#!/bin/sh\n[ \"$2\" = issue ] && { echo no such thing >&2; exit 3; }\n[ \"$2\" = verify ] && { echo not json; exit 0; }\necho \"{\\\"got\\\": \\\"$*\\\"}\"\n"
	if err := os.WriteFile(binary, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	old := &figures{Measurements: []*measurement{{Name: "verify", Report: json.RawMessage(`{"old":1}`)}, {Name: "gone", Report: json.RawMessage(`{}`)}}}
	err := measureAll(t.Context(), dir, old, binary, []string{"verify", "issue", "store"}, "5,6", "/d")
	if err == nil || !strings.Contains(err.Error(), "bench issue: exit status 3") || !strings.Contains(err.Error(), "not JSON") {
		t.Fatal(err)
	}
	f, err := readFigures(dir)
	if err != nil {
		t.Fatal(err)
	}
	var verify, store map[string]any
	if len(f.Measurements) != 2 || json.Unmarshal(f.find("verify").Report, &verify) != nil || json.Unmarshal(f.find("store").Report, &store) != nil {
		t.Fatalf("%+v", f)
	}
	if verify["old"] != 1.0 || store["got"] != "bench store --records 5,6 --dir /d --json" || f.find("store").Command != "hufu bench store --records 5,6" {
		t.Errorf("%v %v %s", verify, store, f.find("store").Command)
	}
	if err := measureAll(t.Context(), dir, f, binary, []string{"nothing"}, "", ""); err == nil {
		t.Error("an unknown name")
	}
	if err := os.WriteFile(filepath.Join(dir, figuresFile), []byte(`{"unknown":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := readFigures(dir); err == nil {
		t.Error("an unknown member")
	}
}
