package encoding

import (
	"encoding/json"
	"errors"
	"fmt"
)

// scanner walks a JSON text (RFC 8259) with an explicit stack, so depth is a number and never the
// goroutine's stack.
type scanner struct {
	data []byte
	at   int
}

// container is one open array or object.
type container struct {
	names map[string]struct{} // allocated for an object's second member on
	first string
	count int
	array bool
}

var (
	errJSONEnd    = errors.New("unexpected end")
	errJSONSyntax = errors.New("syntax")
	errJSONDepth  = fmt.Errorf("nested deeper than %d", MaxJSONDepth)
)

func (s *scanner) document() error {
	stack := make([]container, 0, MaxJSONDepth)
	for {
		// A value is due here.
		s.space()
		if s.at == len(s.data) {
			return errJSONEnd
		}
		opened := false
		switch c := s.data[s.at]; c {
		case '{', '[':
			if len(stack) == MaxJSONDepth {
				return errJSONDepth
			}
			stack = append(stack, container{array: c == '['})
			s.at++
			s.space()
			opened = s.at >= len(s.data) || s.data[s.at] != c+2 // ']' and '}' follow their openers by 2
		case '"':
			if _, err := s.str(); err != nil {
				return err
			}
		default:
			if err := s.scalar(); err != nil {
				return err
			}
		}
		// After a value: close what ends here, then go on to the next member or element.
		for !opened {
			if len(stack) == 0 {
				s.space()
				if s.at != len(s.data) {
					return errors.New("something follows the document")
				}
				return nil
			}
			s.space()
			if s.at == len(s.data) {
				return errJSONEnd
			}
			top := &stack[len(stack)-1]
			switch c := s.data[s.at]; {
			case c == ',' && top.count > 0:
				s.at++
				opened = true
			case c == ']' && top.array, c == '}' && !top.array:
				s.at++
				stack = stack[:len(stack)-1]
			default:
				return errJSONSyntax
			}
		}
		top := &stack[len(stack)-1]
		top.count++
		if !top.array {
			if err := s.name(top); err != nil {
				return err
			}
		}
	}
}

// name reads a member name and its colon.
func (s *scanner) name(o *container) error {
	s.space()
	if s.at == len(s.data) {
		return errJSONEnd
	}
	if s.data[s.at] != '"' {
		return errJSONSyntax
	}
	start := s.at
	n, err := s.str()
	if err != nil {
		return err
	}
	dup := false
	switch {
	case o.count == 1:
		o.first = n
	case o.names == nil:
		dup = n == o.first
		o.names = map[string]struct{}{o.first: {}, n: {}}
	default:
		_, dup = o.names[n]
		o.names[n] = struct{}{}
	}
	if dup {
		s.at = start
		return ErrDuplicateName
	}
	s.space()
	if s.at == len(s.data) {
		return errJSONEnd
	}
	if s.data[s.at] != ':' {
		return errJSONSyntax
	}
	s.at++
	return nil
}

// str reads a string and returns its value, so that escapes cannot hide a duplicate name.
func (s *scanner) str() (string, error) {
	start, escaped := s.at, false
	for i := s.at + 1; i < len(s.data); i++ {
		switch c := s.data[i]; {
		case c == '"':
			s.at = i + 1
			if !escaped {
				return string(s.data[start+1 : i]), nil
			}
			var v string
			if err := json.Unmarshal(s.data[start:s.at], &v); err != nil {
				s.at = start
				return "", errJSONSyntax
			}
			return v, nil
		case c == '\\':
			escaped = true
			i++
		case c < 0x20:
			s.at = i
			return "", errors.New("control character in a string")
		}
	}
	return "", errJSONEnd
}

// scalar reads a number, true, false or null.
func (s *scanner) scalar() error {
	start := s.at
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n', ',', ']', '}', ':', '"', '[', '{':
		default:
			s.at++
			continue
		}
		break
	}
	if s.at == start || !json.Valid(s.data[start:s.at]) {
		s.at = start
		return errJSONSyntax
	}
	return nil
}

func (s *scanner) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
		default:
			return
		}
	}
}
