package sdjwt

import (
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// A presentation is several small JSON documents of which one tree of claims is made. They are read
// once, into one slice of nodes that point into the decoded text, with the rules of
// encoding.CheckJSON applied on the way. Nodes are small and hold no pointers, as making room for them
// is a good part of what reading costs.

type kind uint8

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

// node is one JSON value. Members of an object and elements of an array are chained by next.
type node struct {
	name       chars // in an object: the member's name
	text       chars // a string's value, a number's or boolean's literal
	first      int32 // of an array or object: its first child
	next       int32 // the next sibling
	disclosure int16 // 1 + the disclosure that this value came from
	kind       kind
}

// none ends a chain. Node 0 is never anybody's child.
const none int32 = 0

// chars is a part of a tree's text, or with escapedLen one of its strings with escapes. MaxSize keeps
// it from being too small.
type chars struct{ from, len uint16 }

const escapedLen = 1<<16 - 1

type tree struct {
	all     string // the text, at most MaxSize bytes
	escaped []string
	nodes   []node
}

func (t *tree) chars(c chars) string {
	if c.len == escapedLen {
		return t.escaped[c.from]
	}
	return t.all[c.from : int(c.from)+int(c.len)]
}

// name is a member's name.
func (t *tree) name(at int32) string { return t.chars(t.nodes[at].name) }

// value is a string's value or a number's or boolean's literal.
func (t *tree) value(at int32) string { return t.chars(t.nodes[at].text) }

// maxNumber bounds the literal of a number, so that no reader has to convert a long one.
const maxNumber = 64

// manyMembers is from where on members are looked up in a map rather than along the chain.
const manyMembers = 24

type reader struct {
	*tree
	in    string // the document
	from  int    // where in the text it starts
	at    int
	plain bool // no escape and no control character anywhere: a string ends at the next quote
}

// document parses a text that is one document.
func document(what, text string) (*tree, int32, error) {
	t := &tree{all: text, nodes: make([]node, 1, 8+len(text)/16)}
	root, err := t.read(what, span{0, len(text)})
	return t, root, err
}

// read parses the document in a part of the text and returns its root. what names it in refusals.
func (t *tree) read(what string, part span) (int32, error) {
	in := part.of(t.all)
	ascii, plain := survey(in)
	if !ascii && !utf8.ValidString(in) {
		return none, hufu.Refuse(RuleMalformed, "%s: not UTF-8", what)
	}
	r := reader{tree: t, in: in, from: part.from, plain: plain}
	root, err := r.element(1)
	if err == nil {
		if r.space(); r.at != len(in) {
			err = errSyntax
		}
	}
	if err != nil {
		var refusal *hufu.Refusal
		if !errors.As(err, &refusal) {
			return none, err
		}
		return none, hufu.Refuse(refusal.Rule, "%s: at byte %d: %s", what, r.at, refusal.Detail)
	}
	return root, nil
}

// survey looks at eight bytes at a time for what makes strings slow to read: bytes outside ASCII, and
// escapes and control characters. It may report plain as false when it is true, not the reverse.
func survey(in string) (ascii, plain bool) {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	const escapes, spaces = '\\' * ones, ' ' * ones
	var high, special uint64
	for ; len(in) >= 8; in = in[8:] {
		w := uint64(in[0]) | uint64(in[1])<<8 | uint64(in[2])<<16 | uint64(in[3])<<24 |
			uint64(in[4])<<32 | uint64(in[5])<<40 | uint64(in[6])<<48 | uint64(in[7])<<56
		e := w ^ escapes
		high |= w
		special |= (e - ones) &^ e & highs // has a byte that is zero in e
		special |= (w - spaces) &^ w & highs
	}
	for i := range len(in) {
		high |= uint64(in[i])
		if in[i] == '\\' || in[i] < ' ' {
			special = highs
		}
	}
	return high&highs == 0, special == 0
}

var (
	errSyntax    = hufu.Refuse(RuleMalformed, "not JSON")
	errNumber    = hufu.Refuse(RuleMalformed, "a number of more than 64 characters")
	errDepth     = hufu.Refuse(RuleTooDeep, "nested deeper than %d", encoding.MaxJSONDepth)
	errDuplicate = hufu.Refuse(RuleDuplicateName, "a member name that is there already")
)

func (t *tree) add(n node) int32 {
	t.nodes = append(t.nodes, n)
	return int32(len(t.nodes) - 1)
}

func (r *reader) space() {
	for r.at < len(r.in) {
		switch r.in[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// take steps over c and the space before it.
func (r *reader) take(c byte) bool {
	if r.space(); r.at < len(r.in) && r.in[r.at] == c {
		r.at++
		return true
	}
	return false
}

// element reads a value that would be the depth-th array or object around its content.
func (r *reader) element(depth int) (int32, error) {
	if r.space(); r.at == len(r.in) {
		return none, errSyntax
	}
	switch c := r.in[r.at]; c {
	case '{', '[':
		if depth > encoding.MaxJSONDepth {
			return none, errDepth
		}
		r.at++
		if c == '{' {
			return r.object(depth)
		}
		return r.array(depth)
	case '"':
		s, err := r.string()
		if err != nil {
			return none, err
		}
		return r.add(node{kind: text, text: s}), nil
	case 't':
		return r.literal("true", boolean)
	case 'f':
		return r.literal("false", boolean)
	case 'n':
		return r.literal("null", null)
	default:
		return r.number()
	}
}

func (r *reader) literal(word string, k kind) (int32, error) {
	if !strings.HasPrefix(r.in[r.at:], word) {
		return none, errSyntax
	}
	r.at += len(word)
	return r.add(node{kind: k, text: r.since(r.at - len(word))}), nil
}

// since is what was read from a place on.
func (r *reader) since(at int) chars {
	return chars{from: uint16(r.from + at), len: uint16(r.at - at)}
}

func (r *reader) array(depth int) (int32, error) {
	at := r.add(node{kind: array})
	if r.take(']') {
		return at, nil
	}
	for last := none; ; {
		v, err := r.element(depth + 1)
		if err != nil {
			return none, err
		}
		r.link(at, last, v)
		last = v
		if r.take(',') {
			continue
		}
		if r.take(']') {
			return at, nil
		}
		return none, errSyntax
	}
}

func (r *reader) object(depth int) (int32, error) {
	at := r.add(node{kind: object})
	if r.take('}') {
		return at, nil
	}
	names := names{tree: r.tree}
	for last := none; ; {
		if r.space(); r.at == len(r.in) || r.in[r.at] != '"' {
			return none, errSyntax
		}
		start := r.at
		name, err := r.string()
		if err != nil {
			return none, err
		}
		if !names.add(at, r.chars(name)) {
			r.at = start
			return none, errDuplicate
		}
		if !r.take(':') {
			return none, errSyntax
		}
		v, err := r.element(depth + 1)
		if err != nil {
			return none, err
		}
		r.nodes[v].name = name
		r.link(at, last, v)
		last = v
		if r.take(',') {
			continue
		}
		if r.take('}') {
			return at, nil
		}
		return none, errSyntax
	}
}

// link puts child behind the last child of parent.
func (t *tree) link(parent, last, child int32) {
	if last == none {
		t.nodes[parent].first = child
	} else {
		t.nodes[last].next = child
	}
}

// names finds out whether an object has a member already, along its chain or, when it has many, in
// a map.
type names struct {
	*tree
	count int
	seen  map[string]struct{}
}

// add reports whether name is new in the object, whose chain may already hold what was added before.
func (n *names) add(object int32, name string) bool {
	n.count++
	if n.seen == nil && n.count > manyMembers {
		n.seen = make(map[string]struct{}, 2*manyMembers)
		for c := n.nodes[object].first; c != none; c = n.nodes[c].next {
			n.seen[n.name(c)] = struct{}{}
		}
	}
	if n.seen != nil {
		if _, there := n.seen[name]; there {
			return false
		}
		n.seen[name] = struct{}{}
		return true
	}
	return n.member(object, name) == none
}

// member finds a member of an object.
func (t *tree) member(object int32, name string) int32 {
	for c := t.nodes[object].first; c != none; c = t.nodes[c].next {
		if t.name(c) == name {
			return c
		}
	}
	return none
}

// string reads a string, which starts here.
func (r *reader) string() (chars, error) {
	start := r.at + 1
	end := start
	if r.plain {
		if end += strings.IndexByte(r.in[start:], '"'); end < start {
			return chars{}, errSyntax
		}
	}
	for ; end < len(r.in); end++ {
		switch c := r.in[end]; {
		case c == '"':
			r.at = end
			value := r.since(start)
			r.at++
			return value, nil
		case c == '\\':
			return r.unescape(start, end)
		case c < 0x20:
			r.at = end
			return chars{}, errSyntax
		}
	}
	return chars{}, errSyntax
}

// unescape reads on from the first escape in a string. Unpaired surrogates are refused (RFC 7493 §2.1).
func (r *reader) unescape(start, at int) (chars, error) {
	end := at
	for end < len(r.in) && r.in[end] != '"' {
		if r.in[end] == '\\' {
			end++
		}
		end++
	}
	if end >= len(r.in) {
		return chars{}, errSyntax
	}
	var s string
	if json.Unmarshal([]byte(r.in[start-1:end+1]), &s) != nil || loneSurrogate(r.in[at:end]) {
		return chars{}, errSyntax
	}
	r.at = end + 1
	r.escaped = append(r.escaped, s)
	return chars{from: uint16(len(r.escaped) - 1), len: escapedLen}, nil
}

// loneSurrogate looks through the escapes of a well-formed JSON string.
func loneSurrogate(s string) bool {
	high := false
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			if high {
				return true
			}
			continue
		}
		i++
		isHigh, isLow := false, false
		if s[i] == 'u' {
			if c := s[i+1] | 0x20; c == 'd' {
				isHigh, isLow = strings.IndexByte("89abAB", s[i+2]) >= 0, strings.IndexByte("cdefCDEF", s[i+2]) >= 0
			}
			i += 4
		}
		if isLow != high {
			return true
		}
		high = isHigh
	}
	return high
}

// number reads a number (RFC 8259 §6) and keeps its literal.
func (r *reader) number() (int32, error) {
	start := r.at
	digits := func() bool {
		from := r.at
		for r.at < len(r.in) && r.in[r.at] >= '0' && r.in[r.at] <= '9' {
			r.at++
		}
		return r.at > from
	}
	is := func(set string) bool {
		if r.at < len(r.in) && strings.IndexByte(set, r.in[r.at]) >= 0 {
			r.at++
			return true
		}
		return false
	}
	is("-")
	if !is("0") && !digits() {
		return none, errSyntax
	}
	if is(".") && !digits() {
		return none, errSyntax
	}
	if is("eE") {
		is("+-")
		if !digits() {
			return none, errSyntax
		}
	}
	if r.at-start > maxNumber {
		r.at = start
		return none, errNumber
	}
	return r.add(node{kind: number, text: r.since(start)}), nil
}

// claims makes the value of a node with the types of encoding/json, numbers as json.Number.
func (t *tree) claims(at int32) any {
	n := &t.nodes[at]
	switch n.kind {
	case boolean:
		return t.value(at) == "true"
	case number:
		return json.Number(t.value(at))
	case text:
		return t.value(at)
	case array:
		count := 0
		for c := n.first; c != none; c = t.nodes[c].next {
			count++
		}
		list := make([]any, 0, count)
		for c := n.first; c != none; c = t.nodes[c].next {
			list = append(list, t.claims(c))
		}
		return list
	case object:
		return t.members(at)
	}
	return nil
}

func (t *tree) members(at int32) map[string]any {
	count := 0
	for c := t.nodes[at].first; c != none; c = t.nodes[c].next {
		count++
	}
	m := make(map[string]any, count)
	for c := t.nodes[at].first; c != none; c = t.nodes[c].next {
		m[t.name(c)] = t.claims(c)
	}
	return m
}
