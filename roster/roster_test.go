package roster_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/hufu-id/hufu/roster"
	"pgregory.net/rapid"
)

var today = roster.Date{Year: 2026, Month: time.November, Day: 24}

func TestCheckDigit(t *testing.T) {
	// The examples of GB 11643-1999 §A.3 and §A.4.
	for first, want := range map[string]byte{"11010519491231002": 'X', "44052418800101001": '4'} {
		if got := roster.CheckDigit(first); got != want {
			t.Errorf("%s: %c", first, got)
		}
	}
	for _, bad := range []string{"", "1101051949123100", "110105194912310021", "1101051949123100a"} {
		if got := roster.CheckDigit(bad); got != 0 {
			t.Errorf("%q: %c", bad, got)
		}
	}
}

func TestCheckNumber(t *testing.T) {
	born, sex, err := roster.CheckNumber("11010519491231002X")
	if err != nil || sex != roster.Female || born.String() != "1949-12-31" {
		t.Fatal(born, sex, err)
	}
	if _, sex, err = roster.CheckNumber("440524188001010014"); err != nil || sex != roster.Male {
		t.Fatal(sex, err)
	}
	for number, want := range map[string]string{
		"":                             "check character",
		"11010519491231002":            "check character",
		"11010519491231002X0":          "check character",
		"11010519491231002x":           "check character",
		"1101O519491231002X":           "check character",
		"110105194912310021":           "wrong check digit",
		"11010519491231012X":           "wrong check digit", // one digit altered
		"11015019491231002X":           "wrong check digit", // two digits swapped
		withCheck("99000020010230001"): "no date",
		withCheck("99000020011301001"): "no date",
		withCheck("99000020010229001"): "no date", // no leap year
	} {
		if _, _, err := roster.CheckNumber(number); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", number, err)
		}
	}
}

func withCheck(first string) string { return first + string(roster.CheckDigit(first)) }

func TestAge(t *testing.T) {
	d := func(s string) roster.Date {
		got, err := roster.ParseDate(s)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for _, c := range []struct {
		born, day string
		want      int
	}{
		{"2008-11-24", "2026-11-24", 18},
		{"2008-11-25", "2026-11-24", 17},
		{"2008-12-01", "2026-11-24", 17},
		{"2008-10-30", "2026-11-24", 18},
		{"2008-02-29", "2026-02-28", 17},
		{"2008-02-29", "2026-03-01", 18},
		{"2008-02-29", "2028-02-29", 20},
		{"2026-11-24", "2026-11-24", 0},
	} {
		if got := d(c.born).AgeOn(d(c.day)); got != c.want {
			t.Errorf("born %s is %d on %s", c.born, got, c.day)
		}
	}
	for _, bad := range []string{"", "2001-02-29", "2001-13-01", "2001-00-01", "2001-1-1", "01-01-2001", "2001-01-01T00:00", "2001/01/01"} {
		if _, err := roster.ParseDate(bad); err == nil {
			t.Errorf("%q is a date", bad)
		}
	}
}

// The first people of seed 1 are frozen: demos, documents and recorded runs speak of them.
func TestGeneratedBytes(t *testing.T) {
	var out bytes.Buffer
	if err := roster.Write(&out, roster.Generate(1000, 1, today)); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(out.Bytes())
	const want = "4dd8e8153f0a4e458de4fd9877d903d4aed1545ae7653264bad285abe99cf6f1"
	if got := hex.EncodeToString(sum[:]); got != want {
		head, _, _ := strings.Cut(out.String()[len(strings.Join(roster.Columns(), ","))+1:], "\n")
		t.Fatalf("digest %s, first row %s", got, head)
	}
	var other bytes.Buffer
	if err := roster.Write(&other, roster.Generate(1000, 2, today)); err != nil || bytes.Equal(out.Bytes(), other.Bytes()) {
		t.Fatal("two seeds give the same people", err)
	}
}

// A generated register reads back whole, is consistent, and looks like people.
func TestGeneratedRegister(t *testing.T) {
	const people = 20_000
	byNumber := map[string]roster.Person{}
	var order []roster.Person
	for p := range roster.Generate(people, 7, today) {
		byNumber[p.ResidentNumber] = p
		order = append(order, p)
	}
	if len(order) != people || len(byNumber) != people {
		t.Fatalf("%d people, %d numbers", len(order), len(byNumber))
	}
	minors, foreign, regions, levels := 0, 0, map[string]int{}, map[string]int{}
	earlier := map[string]bool{}
	for _, p := range order {
		if column, reason := p.Check(today); reason != "" {
			t.Fatalf("%s: %s", column, reason)
		}
		if !strings.HasPrefix(p.ResidentNumber, "99") {
			t.Fatal("a number that could be somebody's")
		}
		if len(p.Name) < 8 || utf8.RuneCountInString(p.NameZH) < 2 {
			t.Fatalf("name %q (%s) is too short to search for", p.NameZH, p.Name)
		}
		minor := p.BirthDate.AgeOn(today) < roster.AdultAge
		if minor != (p.Guardian != "") {
			t.Fatal("exactly minors have guardians")
		}
		if minor {
			minors++
			g := byNumber[p.Guardian]
			if !earlier[p.Guardian] || g.BirthDate.AgeOn(today) < roster.AdultAge+p.BirthDate.AgeOn(today) {
				t.Fatal("a guardian who is no adult of the same register")
			}
			if p.GuardianRelation == "mother" && g.Sex != roster.Female || p.GuardianRelation == "father" && g.Sex != roster.Male {
				t.Fatal("relation and sex differ")
			}
			if g.Region != p.Region {
				t.Fatal("guardian lives elsewhere")
			}
		}
		earlier[p.ResidentNumber] = true
		if p.Nationality != "CHN" {
			foreign++
		}
		regions[p.Region]++
		levels[p.AssuranceLevel]++
	}
	if share := minors * 100 / people; share < 15 || share > 21 {
		t.Errorf("%d %% minors", share)
	}
	if foreign == 0 || foreign > people/20 || len(regions) != 34 || len(levels) != 3 {
		t.Errorf("%d foreigners, %d regions, %d levels", foreign, len(regions), len(levels))
	}
	for n := range 4 { // small ones are whole as well, and no larger than asked
		count := 0
		for range roster.Generate(n, 3, today) {
			count++
		}
		if count != n {
			t.Errorf("%d people instead of %d", count, n)
		}
	}
}

func TestGenerateOnAnyDay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := roster.DateOf(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 1500).Draw(t, "day")))
		for p := range roster.Generate(60, rapid.Uint64().Draw(t, "seed"), day) {
			if column, reason := p.Check(day); reason != "" {
				t.Fatalf("as of %s: %s %s", day, column, reason)
			}
			if (p.Guardian != "") != (p.BirthDate.AgeOn(day) < roster.AdultAge) {
				t.Fatalf("as of %s: guardian and age %d", day, p.BirthDate.AgeOn(day))
			}
		}
	})
}

const header = "resident_number,name_zh,name,sex,birthdate,address,region,guardian,guardian_relation,assurance_level,nationality"

const (
	goodRow  = "11010519491231002X,王晓明,Wang Xiaoming,female,1949-12-31,北京市虎符区1号,110000,,,high,CHN"
	childRow = "990001201503040015,王小,Wang Xiao,male,2015-03-04,北京市虎符区1号,110000,11010519491231002X,grandparent,low,CHN"
)

func read(t *testing.T, file string) (people []roster.Person, bad []*roster.RowError, fatal error) {
	t.Helper()
	r, err := roster.NewReader(strings.NewReader(file), today)
	if err != nil {
		return nil, nil, err
	}
	for {
		p, _, err := r.Next()
		var row *roster.RowError
		switch {
		case errors.Is(err, io.EOF):
			return people, bad, nil
		case errors.As(err, &row):
			bad = append(bad, row)
		case err != nil:
			return people, bad, err
		default:
			people = append(people, p)
		}
	}
}

func TestAcceptedForms(t *testing.T) {
	child := withNumber(childRow, "99000120150304001")
	for name, file := range map[string]string{
		"plain":                    header + "\n" + goodRow + "\n" + child + "\n",
		"no last line feed":        header + "\n" + goodRow + "\n" + child,
		"CRLF":                     header + "\r\n" + goodRow + "\r\n" + child + "\r\n",
		"byte order mark":          "\ufeff" + header + "\n" + goodRow + "\n" + child + "\n",
		"byte order mark and CRLF": "\ufeff" + header + "\r\n" + goodRow + "\r\n" + child,
		"empty lines":              header + "\n\n" + goodRow + "\n\r\n" + child + "\n\n",
		"quotes":                   header + "\n" + `"` + strings.ReplaceAll(goodRow, ",", `","`) + `"` + "\n" + child,
		"quoted header":            `"` + strings.ReplaceAll(header, ",", `","`) + `"` + "\n" + goodRow + "\n" + child,
	} {
		people, bad, err := read(t, file)
		if err != nil || len(bad) != 0 || len(people) != 2 || people[0].Name != "Wang Xiaoming" || people[1].GuardianRelation != "grandparent" {
			t.Errorf("%s: %d people, %v, %v", name, len(people), bad, err)
		}
	}
	// Columns in another order, a quoted comma and a doubled quotation mark.
	names := strings.Split(header, ",")
	fields := strings.Split(goodRow, ",")
	fields[5] = `"a ""b"", c"`
	for i, j := 0, len(names)-1; i < j; i, j = i+1, j-1 {
		names[i], names[j], fields[i], fields[j] = names[j], names[i], fields[j], fields[i]
	}
	people, bad, err := read(t, strings.Join(names, ",")+"\n"+strings.Join(fields, ","))
	if err != nil || len(bad) != 0 || len(people) != 1 || people[0].Address != `a "b", c` {
		t.Error(people, bad, err)
	}
}

func withNumber(row, first17 string) string {
	_, rest, _ := strings.Cut(row, ",")
	return withCheck(first17) + "," + rest
}

func TestBadHeaders(t *testing.T) {
	for name, c := range map[string]struct{ head, column, reason string }{
		"nothing":        {"", "", "empty"},
		"missing column": {strings.Replace(header, ",birthdate", "", 1), "birthdate", "missing"},
		"renamed column": {strings.Replace(header, "sex", "gender", 1), "sex", "missing"},
		"twice":          {header + ",sex", "sex", "twice"},
		"more":           {header + ",phone", "", "not of a register"},
		"case":           {strings.Replace(header, "region", "Region", 1), "region", "missing"},
		"open quote":     {`"` + header, "", "quotation"},
		"too long":       {strings.Repeat("x,", roster.MaxLineBytes), "", "longer"},
		"not text":       {"\x1f\x8b\x08", "resident_number", "missing"},
	} {
		_, _, err := read(t, c.head+"\n"+goodRow)
		if name == "nothing" {
			_, _, err = read(t, "")
		}
		var row *roster.RowError
		if !errors.As(err, &row) || row.Line != 1 || row.Column != c.column || !strings.Contains(row.Reason, c.reason) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every bad row is reported by line and column, holds nothing of the row in its error, and the row
// after it is read.
func TestBadRows(t *testing.T) {
	child := withNumber(childRow, "99000120150304001")
	swap := func(row, column, value string) string {
		fields := strings.Split(row, ",")
		for i, name := range strings.Split(header, ",") {
			if name == column {
				fields[i] = value
			}
		}
		return strings.Join(fields, ",")
	}
	type bad struct{ row, column, reason string }
	cases := map[string]bad{
		"too few fields":     {"a,b", "", "2 fields"},
		"too many fields":    {goodRow + ",x", "", "12 fields"},
		"open quote":         {`"` + goodRow, "", "not closed"},
		"quote in a field":   {swap(goodRow, "name", `Wang "X"`), "", "quotation mark inside"},
		"text after a quote": {swap(goodRow, "name", `"Wang" X`), "", "after a closing"},
		"too long":           {swap(goodRow, "address", strings.Repeat("x", roster.MaxLineBytes)), "", "longer than 8192 bytes"},
		"much too long":      {swap(goodRow, "address", strings.Repeat("x", 10<<20)), "", "longer than 8192 bytes"},
		"long field":         {swap(goodRow, "address", strings.Repeat("长", roster.MaxFieldRunes+1)), "address", "longer than 200 characters"},
		"no relation":        {swap(child, "guardian_relation", ""), "guardian_relation", "none of"},
		"unknown relation":   {swap(child, "guardian_relation", "friend"), "guardian_relation", "none of"},
		"relation only":      {swap(child, "guardian", ""), "guardian_relation", "no guardian"},
		"bad guardian":       {swap(child, "guardian", "110105194912310021"), "guardian", "check digit"},
		"own guardian":       {swap(child, "guardian", strings.Split(child, ",")[0]), "guardian", "itself"},
		"younger guardian":   {swap(child, "guardian", withCheck("99000120150305001")), "guardian", "not older"},
	}
	for column, values := range map[string]map[string]string{
		"resident_number": {"": "check character", "110105194912310021": "check digit", "11010519491231002x": "check character", withCheck("99000020010230001"): "no date"},
		"name_zh":         {"": "empty", "王\xff": "UTF-8", "王\x00": "control", "王\ufffd": "replacement", " 王": "space"},
		"name":            {"": "empty", "Wang\tX": "control", "Wang\xc3": "UTF-8", "Wang ": "space", "\ufeffWang": "control"},
		"sex":             {"": "neither", "F": "neither", "male": "17th digit"},
		"birthdate":       {"": "YYYY-MM-DD", "1949-02-30": "YYYY-MM-DD", "1949-12-30": "digits 7 to 14", "31.12.1949": "YYYY-MM-DD", "1949-12-31 ": "space"},
		"address":         {"": "empty"},
		"region":          {"": "GB/T 2260", "990000": "GB/T 2260", "110101": "GB/T 2260"},
		"assurance_level": {"": "none of", "High": "none of"},
		"nationality":     {"": "3166", "CN": "3166", "XXX": "3166", "chn": "3166", "N C": "3166", "HN ": "space"},
	} {
		for value, reason := range values {
			cases[fmt.Sprintf("%s %q", column, value)] = bad{swap(goodRow, column, value), column, reason}
		}
	}
	for century, reason := range map[string]string{"20261125": "future", "18951123": "130 years"} {
		row := withNumber(goodRow, "990000"+century+"002")
		cases["born "+century] = bad{swap(row, "birthdate", century[:4]+"-"+century[4:6]+"-"+century[6:]), "birthdate", reason}
	}
	for name, c := range cases {
		people, rows, err := read(t, header+"\n\n"+c.row+"\n"+goodRow)
		if err != nil || len(rows) != 1 || len(people) != 1 {
			t.Errorf("%s: %d people, %v, %v", name, len(people), rows, err)
			continue
		}
		if e := rows[0]; e.Line != 3 || e.Column != c.column || !strings.Contains(e.Reason, c.reason) {
			t.Errorf("%s: %v", name, e)
		}
		for _, value := range append(strings.Split(c.row, ","), "1949", "Wang", "王") {
			if len(value) > 3 && strings.Contains(rows[0].Error(), value) && !strings.Contains(header, value) {
				t.Errorf("%s: the error repeats the row: %v", name, rows[0])
			}
		}
	}
}

func TestDuplicates(t *testing.T) {
	people, bad, err := read(t, strings.Join([]string{header, goodRow, "broken", goodRow}, "\n"))
	if err != nil || len(people) != 1 || len(bad) != 2 {
		t.Fatal(people, bad, err)
	}
	if got := bad[1].Error(); got != "line 4, column resident_number: the same number as in line 2" {
		t.Error(got)
	}
}

func TestReadErrorsAreNotRows(t *testing.T) {
	broken := errors.New("disk on fire")
	r, err := roster.NewReader(io.MultiReader(strings.NewReader(header+"\n"+goodRow+"\n110"), failing{broken}), today)
	if err != nil {
		t.Fatal(err)
	}
	if _, line, err := r.Next(); err != nil || line != 2 {
		t.Fatal(line, err)
	}
	if _, _, err := r.Next(); !errors.Is(err, broken) {
		t.Fatal(err)
	}
	if err := roster.Write(failing{broken}, roster.Generate(100, 1, today)); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

func FuzzReader(f *testing.F) {
	f.Add([]byte(header + "\n" + goodRow + "\n"))
	f.Add([]byte("\ufeff" + header + "\r\n" + goodRow + "\r\nx"))
	f.Add([]byte(`"` + strings.ReplaceAll(header, ",", `","`) + `"` + "\n\"\"\"\""))
	f.Fuzz(func(t *testing.T, file []byte) {
		people, _, err := read(t, string(file))
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := roster.Write(&out, func(yield func(roster.Person) bool) {
			for _, p := range people {
				if !yield(p) {
					return
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		again, bad, err := read(t, out.String())
		if err != nil || len(bad) != 0 || fmt.Sprint(again) != fmt.Sprint(people) {
			t.Fatalf("what was accepted is not read back: %v %v", bad, err)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	var out bytes.Buffer
	if err := roster.Write(&out, roster.Generate(1000, 1, today)); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(out.Len()))
	for b.Loop() {
		r, err := roster.NewReader(bytes.NewReader(out.Bytes()), today)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, _, err = r.Next()
		}
	}
}
