package contract

import (
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// entry is one key with its value, or one table header, and where both stand.
type entry struct {
	path  []string
	at    int // of the last part of the key
	value value
}

type value struct {
	kind    unstable.Kind // Invalid for a table header
	at, end int
	text    string // of a string its content, else as it is written
	inner   int    // where the content of a literal string starts; -1 for others
	items   []value
}

func joinPath(path []string) string { return strings.Join(path, "\x00") }

// readTOML flattens a text into its entries, inline tables included, and reports what is not TOML.
// The parser stops at its first error; what came before is still returned.
func readTOML(text []byte, f *findings) []entry {
	if at, ok := notText(text); !ok {
		f.add(at, RuleSyntax, "save the file as UTF-8 without a byte order mark and invisible direction marks", "not plain UTF-8 text here")
		return nil
	}
	if at := nestedTOML(text); at >= 0 {
		f.add(at, RuleTooDeep, "", "arrays and tables nested deeper than %d levels", MaxTOMLNesting)
		return nil
	}
	r := tomlReader{seen: make(map[string]bool), f: f}
	r.parser.Reset(text)
	for r.parser.NextExpression() {
		r.expression(r.parser.Expression())
	}
	if err := r.parser.Error(); err != nil {
		at := len(text)
		var syntax *unstable.ParserError
		if errors.As(err, &syntax) && len(syntax.Highlight) > 0 {
			at = int(r.parser.Range(syntax.Highlight).Offset)
		}
		f.add(at, RuleSyntax, "", "not TOML: %s", err)
		return r.entries
	}
	if len(f.list) == 0 {
		checkTOML(text, f)
	}
	return r.entries
}

// checkTOML has the decoder look at what its parser alone does not: tables defined twice, impossible
// dates and the like.
func checkTOML(text []byte, f *findings) {
	var all map[string]any
	err := toml.Unmarshal(text, &all)
	if err == nil {
		return
	}
	at := 0
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		line, column := decode.Position()
		for ; line > 1 && at < len(text); line-- {
			at += strings.IndexByte(string(text[at:]), '\n') + 1
		}
		at += column - 1
	}
	f.add(at, RuleSyntax, "", "not TOML: %s", err)
}

// notText finds what no contract may hold. Marks that reverse the direction of writing are refused as
// they make a text read differently from what it says (UAX #9 §2.1, §2.2, §2.4).
func notText(text []byte) (int, bool) {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1, r == 0, r == '\uFEFF', '\u202A' <= r && r <= '\u202E', '\u2066' <= r && r <= '\u2069':
			return i, false
		}
		i += n
	}
	return 0, true
}

// nestedTOML returns where brackets outside strings and comments nest too deep, or -1.
func nestedTOML(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '[', '{':
			if depth++; depth > MaxTOMLNesting {
				return i
			}
		case ']', '}':
			depth = max(depth-1, 0)
		case '#':
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case '\'', '"':
			i = skipString(text, i)
		}
	}
	return -1
}

// skipString returns the last byte of the TOML string that starts at i.
func skipString(text []byte, i int) int {
	q := text[i]
	long := i+2 < len(text) && text[i+1] == q && text[i+2] == q
	if long {
		i += 2
	}
	for i++; i < len(text); i++ {
		switch {
		case text[i] == '\\' && q == '"':
			i++
		case text[i] == '\n' && !long:
			return i
		case text[i] != q:
		case !long:
			return i
		case i+2 < len(text) && text[i+1] == q && text[i+2] == q:
			i += 2
			for i+1 < len(text) && text[i+1] == q {
				i++
			}
			return i
		}
	}
	return i
}

type tomlReader struct {
	parser  unstable.Parser
	table   []string
	entries []entry
	seen    map[string]bool
	f       *findings
}

func (r *tomlReader) expression(n *unstable.Node) {
	switch n.Kind {
	case unstable.Table:
		path, at := r.key(n.Key(), nil)
		r.table = path
		r.record(entry{path: path, at: at}, "the table")
	case unstable.ArrayTable:
		path, at := r.key(n.Key(), nil)
		r.table = path
		r.f.add(at, RuleUnknown, "", "the contract language has no lists of tables such as [[%s]]", clip(strings.Join(path, ".")))
	case unstable.KeyValue:
		r.keyValue(n, r.table)
	}
}

func (r *tomlReader) key(it unstable.Iterator, prefix []string) ([]string, int) {
	path := append([]string(nil), prefix...)
	at := 0
	for it.Next() {
		path = append(path, string(it.Node().Data))
		at = int(it.Node().Raw.Offset)
	}
	return path, at
}

func (r *tomlReader) keyValue(n *unstable.Node, prefix []string) {
	path, at := r.key(n.Key(), prefix)
	if v := n.Value(); v.Kind == unstable.InlineTable {
		r.record(entry{path: path, at: at}, "the table")
		for it := v.Children(); it.Next(); {
			r.keyValue(it.Node(), path)
		}
		return
	}
	valueAt := int(n.Raw.Offset) // arrays do not say where they stand: behind the first = after the key
	for it := n.Key(); it.Next(); {
		valueAt = int(it.Node().Raw.Offset + it.Node().Raw.Length)
	}
	for data := r.parser.Data(); valueAt < len(data)-1 && strings.IndexByte(" \t=", data[valueAt]) >= 0; {
		valueAt++
	}
	r.record(entry{path: path, at: at, value: r.value(n.Value(), valueAt)}, "the key")
}

func (r *tomlReader) record(e entry, what string) {
	if r.seen[joinPath(e.path)] {
		r.f.add(e.at, RuleDuplicate, "remove one of the two", "%s %q is there twice", what, clip(strings.Join(e.path, ".")))
		return
	}
	r.seen[joinPath(e.path)] = true
	r.entries = append(r.entries, e)
}

func (r *tomlReader) value(n *unstable.Node, from int) value {
	v := value{kind: n.Kind, at: int(n.Raw.Offset), text: string(n.Data), inner: -1}
	v.end = v.at + int(n.Raw.Length)
	if n.Raw.Length == 0 {
		v.at, v.end = from, from
	}
	switch n.Kind {
	case unstable.Array:
		for it := n.Children(); it.Next(); {
			v.items = append(v.items, r.value(it.Node(), from))
		}
	case unstable.String:
		raw := r.parser.Raw(n.Raw)
		if len(raw) > 1 && raw[0] == '\'' {
			quotes := 1
			if len(raw) >= 6 && raw[1] == '\'' && raw[2] == '\'' {
				quotes = 3
			}
			v.inner = v.end - quotes - len(n.Data)
		}
	}
	return v
}

// clip keeps a stranger's words in messages short.
func clip(s string) string {
	if len(s) > 64 {
		return strings.ToValidUTF8(s[:64], "") + "…"
	}
	return s
}
