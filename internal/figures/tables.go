package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

const (
	beginMark = "<!-- figures: made by make figures, do not edit -->"
	endMark   = "<!-- end of figures -->"
)

// renderPerformance replaces what is between the marks by a table of each measurement, whatever is in it.
func renderPerformance(old string, f *figures) (string, error) {
	before, rest, ok := strings.Cut(old, beginMark)
	_, after, ok2 := strings.Cut(rest, endMark)
	if !ok || !ok2 {
		return "", fmt.Errorf("%s has no line %q and after it %q", performanceFile, beginMark, endMark)
	}
	var out strings.Builder
	out.WriteString(before + beginMark + "\n")
	for _, m := range f.Measurements {
		if err := m.table(&out); err != nil {
			return "", fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	out.WriteString(endMark + after)
	return out.String(), nil
}

// member is a member of a JSON object; the value is a string, a json.Number, a bool, nil, an object or a
// []any.
type member struct {
	name  string
	value any
}

type object []member

// decode keeps the order of members, which encoding/json's maps lose.
func decode(raw []byte) (object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := value(d)
	if err != nil {
		return nil, err
	}
	o, ok := v.(object)
	if !ok {
		return nil, fmt.Errorf("a report is an object, not %T", v)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("more than one value (%w)", err)
	}
	return o, nil
}

func value(d *json.Decoder) (any, error) {
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			o = append(o, member{name.(string), v}) // a name is a string, or Token failed
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		a := []any{}
		for d.More() {
			v, err := value(d)
			if err != nil {
				return nil, err
			}
			a = append(a, v)
		}
		_, err := d.Token()
		return a, err
	}
	return t, nil
}

// table writes a measurement: one table for each member of the report and each list of objects in it, in
// which every object is a column.
func (m *measurement) table(out *strings.Builder) error {
	report, err := decode(m.Report)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n### %s\n`%s` on %s", m.Name, m.Command, m.Day)
	if m.Load != "" {
		fmt.Fprintf(out, ", load of the machine before: %s", m.Load)
	}
	out.WriteString("\n")
	var rest object
	for _, x := range report {
		switch v := x.value.(type) {
		case object:
			writeTable(out, x.name, []object{v})
		case []any:
			if columns, ok := objects(v); ok {
				writeTable(out, x.name, columns)
			}
		default:
			rest = append(rest, x)
		}
	}
	writeTable(out, "", []object{rest})
	return nil
}

func objects(list []any) (columns []object, ok bool) {
	for _, x := range list {
		o, ok := x.(object)
		if !ok {
			return nil, false
		}
		columns = append(columns, o)
	}
	return columns, len(columns) > 0
}

// writeTable writes objects side by side: rows are the members of all of them, those of nested objects included.
// Lists of objects follow as tables of their own.
func writeTable(out *strings.Builder, title string, columns []object) {
	var names []string
	cells := make([]map[string]string, len(columns))
	type list struct {
		name    string
		columns []object
	}
	var lists []list
	for i, c := range columns {
		cells[i] = map[string]string{}
		var walk func(prefix string, o object)
		walk = func(prefix string, o object) {
			for _, m := range o {
				name := prefix + m.name
				switch v := m.value.(type) {
				case object:
					walk(name+": ", v)
					continue
				case []any:
					if inner, ok := objects(v); ok {
						lists = append(lists, list{title + ": " + name, inner})
						continue
					}
				}
				if _, ok := cells[i][name]; !ok && !contains(cells[:i], name) {
					names = append(names, name)
				}
				cells[i][name] = text(m.value)
			}
		}
		walk("", c)
	}
	if len(names) > 0 {
		fmt.Fprintf(out, "\n| %s |", strings.ReplaceAll(title, "_", " "))
		if len(columns) > 1 { // the first member says which it is
			for i := range columns {
				fmt.Fprintf(out, " %s |", cells[i][names[0]])
			}
			names = names[1:]
		} else {
			out.WriteString(" |")
		}
		out.WriteString("\n|---|" + strings.Repeat("---:|", len(columns)) + "\n")
		for _, name := range names {
			fmt.Fprintf(out, "| %s |", strings.ReplaceAll(name, "_", " "))
			for i := range columns {
				fmt.Fprintf(out, " %s |", cells[i][name])
			}
			out.WriteString("\n")
		}
	}
	for _, l := range lists {
		writeTable(out, l.name, l.columns)
	}
}

func contains(cells []map[string]string, name string) bool {
	for _, c := range cells {
		if _, ok := c[name]; ok {
			return true
		}
	}
	return false
}

func text(v any) string {
	switch v := v.(type) {
	case json.Number:
		f, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return number(f)
	case nil:
		return ""
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = text(v[i])
		}
		return strings.Join(parts, ", ")
	}
	return strings.ReplaceAll(fmt.Sprint(v), "|", "\\|")
}

// number writes three significant digits, or a whole number of up to 15 as it is, with commas between thousands.
func number(f float64) string {
	if math.Abs(f) >= 1000 || f == math.Trunc(f) && math.Abs(f) < 1e15 {
		digits := strconv.FormatFloat(math.Abs(f), 'f', 0, 64)
		for i := len(digits) - 3; i > 0; i -= 3 {
			digits = digits[:i] + "," + digits[i:]
		}
		if f < 0 {
			return "-" + digits
		}
		return digits
	}
	if f == 0 {
		return "0"
	}
	return strconv.FormatFloat(f, 'f', max(0, 2-int(math.Floor(math.Log10(math.Abs(f))))), 64)
}
