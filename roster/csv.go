package roster

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Columns lists the columns of a register in the order that [Write] gives them.
func Columns() []string {
	return []string{
		"resident_number", "name_zh", "name", "sex", "birthdate", "address", "region",
		"guardian", "guardian_relation", "assurance_level", "nationality",
	}
}

// Write writes a register as CSV (RFC 4180 with line feeds).
func Write(w io.Writer, people iter.Seq[Person]) error {
	c := csv.NewWriter(w)
	if err := c.Write(Columns()); err != nil {
		return err
	}
	for p := range people {
		if err := c.Write([]string{
			p.ResidentNumber, p.NameZH, p.Name, p.Sex, p.BirthDate.String(), p.Address, p.Region,
			p.Guardian, p.GuardianRelation, p.AssuranceLevel, p.Nationality,
		}); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// MaxLineBytes bounds one line of a register; MaxFieldRunes one field.
const (
	MaxLineBytes  = 8 << 10
	MaxFieldRunes = 200
)

// RowError says what is wrong with one row. It holds nothing of what the row says.
type RowError struct {
	Line   int    `json:"line"`             // from 1, the header's
	Column string `json:"column,omitempty"` // "" when it is the row as a whole
	Reason string `json:"reason"`
}

// Error is "line L, column C: reason".
func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
	}
	return fmt.Sprintf("line %d, column %s: %s", e.Line, e.Column, e.Reason)
}

// Reader reads a register row by row.
type Reader struct {
	in    *bufio.Reader
	asOf  Date
	line  int
	order []int // order[i] is the position of Columns()[i] in the file
	seen  map[[18]byte]int
}

// NewReader reads the header, which must name each of [Columns] once, in any order, and nothing
// else; otherwise it returns a [*RowError]. A byte order mark before it, and lines that end in
// carriage return and line feed, are accepted. asOf is today: nobody may be born later.
func NewReader(r io.Reader, asOf Date) (*Reader, error) {
	rd := &Reader{in: bufio.NewReaderSize(r, MaxLineBytes), asOf: asOf, seen: map[[18]byte]int{}}
	text, err := rd.next()
	if errors.Is(err, io.EOF) {
		return nil, &RowError{Line: 1, Reason: "the file is empty; it must start with a header"}
	}
	if err != nil {
		return nil, err
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	fields, err := split(text)
	if err != nil {
		return nil, &RowError{Line: rd.line, Reason: "header: " + err.Error()}
	}
	for _, name := range Columns() {
		at := slices.Index(fields, name)
		if at < 0 {
			return nil, &RowError{Line: rd.line, Column: name, Reason: "the column is missing from the header"}
		}
		if slices.Contains(fields[at+1:], name) {
			return nil, &RowError{Line: rd.line, Column: name, Reason: "the column is twice in the header"}
		}
		rd.order = append(rd.order, at)
	}
	if len(fields) != len(rd.order) {
		return nil, &RowError{Line: rd.line, Reason: fmt.Sprintf("%d columns, of which %d are not of a register", len(fields), len(fields)-len(rd.order))}
	}
	return rd, nil
}

// Next returns the next person and its line. A [*RowError] means that this row is bad and the next
// may be read; io.EOF that there is none; any other error comes from reading. Empty lines are
// passed over.
func (r *Reader) Next() (Person, int, error) {
	for {
		text, err := r.next()
		if err != nil {
			return Person{}, r.line, err
		}
		if len(text) == 0 {
			continue
		}
		p, err := r.row(text)
		return p, r.line, err
	}
}

// next returns a line without its end.
func (r *Reader) next() ([]byte, error) {
	text, err := r.in.ReadSlice('\n')
	if len(text) == 0 && err != nil {
		return nil, err
	}
	r.line++
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = r.in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		return nil, &RowError{Line: r.line, Reason: fmt.Sprintf("longer than %d bytes", MaxLineBytes)}
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r")), nil
}

// split takes a line apart (RFC 4180 §2, without line breaks inside fields, so that a quotation mark
// too many spoils one row and not the rest of the file).
func split(line []byte) ([]string, error) {
	var fields []string
	for {
		var field []byte
		if len(line) > 0 && line[0] == '"' {
			line = line[1:]
			for {
				i := bytes.IndexByte(line, '"')
				if i < 0 {
					return nil, errors.New("a quotation mark is not closed")
				}
				field, line = append(field, line[:i]...), line[i+1:]
				if len(line) == 0 || line[0] != '"' {
					break
				}
				field, line = append(field, '"'), line[1:]
			}
			if len(line) > 0 && line[0] != ',' {
				return nil, errors.New("text after a closing quotation mark")
			}
		} else {
			end := bytes.IndexByte(line, ',')
			if end < 0 {
				end = len(line)
			}
			field, line = line[:end], line[end:]
			if bytes.IndexByte(field, '"') >= 0 {
				return nil, errors.New("a quotation mark inside an unquoted field")
			}
		}
		fields = append(fields, string(field))
		if len(line) == 0 {
			return fields, nil
		}
		line = line[1:]
	}
}

func (r *Reader) row(text []byte) (Person, error) {
	fields, err := split(text)
	if err != nil {
		return Person{}, &RowError{Line: r.line, Reason: err.Error()}
	}
	if len(fields) != len(r.order) {
		return Person{}, &RowError{Line: r.line, Reason: fmt.Sprintf("%d fields, not %d", len(fields), len(r.order))}
	}
	value := make([]string, len(fields))
	columns := Columns()
	for i, at := range r.order {
		value[i] = fields[at]
		if reason := checkText(value[i]); reason != "" {
			return Person{}, &RowError{Line: r.line, Column: columns[i], Reason: reason}
		}
	}
	p := Person{
		ResidentNumber: value[0], NameZH: value[1], Name: value[2], Sex: value[3], Address: value[5], Region: value[6],
		Guardian: value[7], GuardianRelation: value[8], AssuranceLevel: value[9], Nationality: value[10],
	}
	if p.BirthDate, err = ParseDate(value[4]); err != nil {
		return Person{}, &RowError{Line: r.line, Column: "birthdate", Reason: err.Error()}
	}
	if column, reason := p.Check(r.asOf); reason != "" {
		return Person{}, &RowError{Line: r.line, Column: column, Reason: reason}
	}
	number := [18]byte([]byte(p.ResidentNumber))
	if first, twice := r.seen[number]; twice {
		return Person{}, &RowError{Line: r.line, Column: "resident_number", Reason: fmt.Sprintf("the same number as in line %d", first)}
	}
	r.seen[number] = r.line
	return p, nil
}

func checkText(s string) string {
	switch {
	case !utf8.ValidString(s):
		return "not UTF-8"
	case utf8.RuneCountInString(s) > MaxFieldRunes:
		return fmt.Sprintf("longer than %d characters", MaxFieldRunes)
	case strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == unicode.ReplacementChar || r == '\ufeff' }):
		return "a control or replacement character"
	case s != strings.TrimSpace(s):
		return "space at its start or end"
	}
	return ""
}

// Check reports the first column of p that is wrong as of a day, and why, or two empty strings. The
// reason holds nothing of what p says.
func (p Person) Check(asOf Date) (column, reason string) {
	born, sex, err := CheckNumber(p.ResidentNumber)
	switch {
	case err != nil:
		return "resident_number", err.Error()
	case p.NameZH == "":
		return "name_zh", "empty"
	case p.Name == "":
		return "name", "empty"
	case p.Sex != Male && p.Sex != Female:
		return "sex", "neither male nor female"
	case p.Sex != sex:
		return "sex", "not the sex that the 17th digit of the resident number tells"
	case p.BirthDate != born:
		return "birthdate", "not the date in digits 7 to 14 of the resident number"
	case p.BirthDate.Compare(asOf) > 0:
		return "birthdate", "in the future"
	case p.BirthDate.AgeOn(asOf) > 130:
		return "birthdate", "more than 130 years ago"
	case p.Address == "":
		return "address", "empty"
	case !knownRegion(p.Region):
		return "region", "not the GB/T 2260 code of a province-level region"
	case !slices.Contains(AssuranceLevels(), p.AssuranceLevel):
		return "assurance_level", "none of low, substantial and high"
	case !knownCountry(p.Nationality):
		return "nationality", "not an ISO 3166-1 alpha-3 code"
	}
	return p.checkGuardian()
}

func (p Person) checkGuardian() (column, reason string) {
	if p.Guardian == "" {
		if p.GuardianRelation != "" {
			return "guardian_relation", "there is no guardian"
		}
		return "", ""
	}
	born, _, err := CheckNumber(p.Guardian)
	switch {
	case err != nil:
		return "guardian", err.Error()
	case p.Guardian == p.ResidentNumber:
		return "guardian", "the person itself"
	case born.Compare(p.BirthDate) >= 0:
		return "guardian", "not older than the person"
	case !slices.Contains(Relations(), p.GuardianRelation):
		return "guardian_relation", "none of mother, father, grandparent and other"
	}
	return "", ""
}
