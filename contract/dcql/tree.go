package dcql

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/hufu-id/hufu/encoding"
)

// node is a JSON value that remembers where it stands in the text.
type node struct {
	offset  int
	value   any // string, json.Number, bool or nil; unset for containers
	kind    kind
	items   []*node
	members []member
}

type member struct {
	offset int
	name   string
	value  *node
}

type kind string

const (
	isString kind = "a string"
	isNumber kind = "a number"
	isBool   kind = "true or false"
	isNull   kind = "null"
	isArray  kind = "an array"
	isObject kind = "an object"
)

// reader builds nodes from the tokens of encoding/json, which is not recursive by itself; the depth
// of what the reader recurses into is capped.
type reader struct {
	data []byte
	dec  *json.Decoder
	list *[]Problem
}

var errSyntax = errors.New("not JSON")

// readTree reads one JSON document. It reports the first syntax error, and each duplicate member.
func readTree(data []byte, problems *[]Problem) *node {
	if len(data) > MaxBytes {
		add(problems, 0, fmt.Sprintf("the query has %d bytes, more than %d", len(data), MaxBytes), "")
		return nil
	}
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			add(problems, i, "the query is not UTF-8 here", "")
			return nil
		}
		i += n
	}
	r := &reader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), list: problems}
	r.dec.UseNumber()
	root, err := r.value(1)
	if err != nil {
		return nil
	}
	if _, err := r.dec.Token(); !errors.Is(err, io.EOF) {
		add(problems, r.start(), "there is text after the end of the query", "")
		return nil
	}
	return root
}

// start is where the next token begins.
func (r *reader) start() int {
	i := int(r.dec.InputOffset())
	for i < len(r.data) && bytes.IndexByte([]byte(" \t\r\n:,"), r.data[i]) >= 0 {
		i++
	}
	return i
}

func (r *reader) token() (json.Token, int, error) {
	at := r.start()
	tok, err := r.dec.Token()
	if err != nil {
		message := "the query ends too early"
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			message = syntax.Error()
		}
		add(r.list, at, "not JSON: "+message, "")
		return nil, at, errSyntax
	}
	return tok, at, nil
}

func (r *reader) value(depth int) (*node, error) {
	tok, at, err := r.token()
	if err != nil {
		return nil, err
	}
	n := &node{offset: at, value: tok}
	switch t := tok.(type) {
	case string:
		n.kind = isString
	case json.Number:
		n.kind = isNumber
	case bool:
		n.kind = isBool
	case nil:
		n.kind = isNull
	case json.Delim:
		n.value = nil
		if depth > encoding.MaxJSONDepth {
			add(r.list, at, fmt.Sprintf("nested deeper than %d levels", encoding.MaxJSONDepth), "")
			return nil, errSyntax
		}
		if t == '[' {
			n.kind = isArray
			err = r.array(n, depth)
		} else {
			n.kind = isObject
			err = r.object(n, depth)
		}
	}
	return n, err
}

func (r *reader) array(n *node, depth int) error {
	for r.dec.More() {
		item, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		n.items = append(n.items, item)
	}
	_, _, err := r.token()
	return err
}

func (r *reader) object(n *node, depth int) error {
	seen := make(map[string]bool)
	for r.dec.More() {
		tok, at, err := r.token()
		if err != nil {
			return err
		}
		name, ok := tok.(string)
		if !ok {
			add(r.list, at, "not JSON: a member name must be a string", "")
			return errSyntax
		}
		value, err := r.value(depth + 1)
		if err != nil {
			return err
		}
		if seen[name] {
			add(r.list, at, fmt.Sprintf("%q is there twice", name), "remove one of the two")
			continue
		}
		seen[name] = true
		n.members = append(n.members, member{offset: at, name: name, value: value})
	}
	_, _, err := r.token()
	return err
}

func (n *node) get(name string) *node {
	for _, m := range n.members {
		if m.name == name {
			return m.value
		}
	}
	return nil
}
