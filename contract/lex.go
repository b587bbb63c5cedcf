package contract

import (
	"strings"
	"unicode/utf8"
)

// token is one token of Cedar text (Cedar language grammar, lexical structure).
type token struct {
	at   int // offset in the Cedar text
	kind tokenKind
	text string
}

type tokenKind uint8

const (
	tokenIdent tokenKind = iota
	tokenInt
	tokenString // with its quotes
	tokenOperator
)

// lex splits Cedar text into tokens. It accepts less than the parser that reads the text afterwards
// and nothing that the parser would split in another way, so what is counted here is what the parser
// sees. It reports what it does not accept and goes on behind it.
func lex(text string, report func(at int, format string, args ...any)) []token {
	var tokens []token
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case strings.HasPrefix(text[i:], "//"):
			for i < len(text) && text[i] != '\n' {
				i++
			}
		case strings.HasPrefix(text[i:], "/*"):
			report(i, "Cedar has no /* comments */, only // to the end of the line")
			i += 2
			if end := strings.Index(text[i:], "*/"); end >= 0 {
				i += end + 2
			} else {
				i = len(text)
			}
		case isLetter(c):
			i = run(&tokens, text, i, tokenIdent, func(c byte) bool { return isLetter(c) || isDigit(c) })
		case isDigit(c):
			i = run(&tokens, text, i, tokenInt, isDigit)
		case c == '"':
			i = lexString(&tokens, text, i, report)
		default:
			i = lexOperator(&tokens, text, i, report)
		}
	}
	return tokens
}

func isLetter(c byte) bool { return c == '_' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool  { return '0' <= c && c <= '9' }

func run(tokens *[]token, text string, start int, k tokenKind, in func(byte) bool) int {
	i := start
	for i < len(text) && in(text[i]) {
		i++
	}
	*tokens = append(*tokens, token{at: start, kind: k, text: text[start:i]})
	return i
}

func lexString(tokens *[]token, text string, start int, report func(int, string, ...any)) int {
	for i := start + 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
			if i < len(text) && text[i] == '\n' {
				report(start, "a string that does not end on its line")
				return i
			}
		case '\n':
			report(start, "a string that does not end on its line")
			return i
		case '"':
			*tokens = append(*tokens, token{at: start, kind: tokenString, text: text[start : i+1]})
			return i + 1
		}
	}
	report(start, "a string that does not end")
	return len(text)
}

func lexOperator(tokens *[]token, text string, i int, report func(int, string, ...any)) int {
	for _, op := range []string{
		"::", "!=", "==", "<=", ">=", "||", "&&",
		"@", ".", ",", ";", "(", ")", "{", "}", "[", "]", "+", "-", "*", ":", "!", "<", ">",
	} {
		if strings.HasPrefix(text[i:], op) {
			*tokens = append(*tokens, token{at: i, kind: tokenOperator, text: op})
			return i + len(op)
		}
	}
	r, n := utf8.DecodeRuneInString(text[i:])
	report(i, "the character %q does not belong here", r)
	return i + n
}

// tooNested returns the first token at which brackets, ifs and unary operators nest deeper than
// [MaxNesting], or nil. The parser recurses into each of them.
func tooNested(tokens []token) *token {
	brackets, unary := 0, 0
	var ifs []int // bracket depths at which ifs are open
	for i := range tokens {
		t := &tokens[i]
		if t.kind != tokenOperator || t.text != "!" && t.text != "-" {
			unary = 0
		}
		switch {
		case t.kind == tokenIdent && t.text == "if":
			ifs = append(ifs, brackets)
		case t.kind != tokenOperator:
		case strings.Contains("([{", t.text):
			brackets++
		case strings.Contains(")]}", t.text):
			brackets--
			for len(ifs) > 0 && ifs[len(ifs)-1] > brackets {
				ifs = ifs[:len(ifs)-1]
			}
		case t.text == "!" || t.text == "-":
			unary++
		}
		if brackets+unary+len(ifs) > MaxNesting {
			return t
		}
	}
	return nil
}
