package contract

// place is one "context" in a policy and the chain of names behind it.
type place struct {
	at    int // in the contract's text
	names []string
	ats   []int
}

// of is where the last name of a path stands in the chain; otherwise is the answer when the chain is
// another one.
func (p *place) of(path []string, otherwise int) int {
	if p == nil {
		return otherwise
	}
	if n := len(path); n > 0 && n <= len(p.names) {
		for i := range path {
			if p.names[i] != path[i] {
				return p.at
			}
		}
		return p.ats[n-1]
	}
	return p.at
}

// places finds every "context" in the order in which the parsed policy has them: "has a.b" is parsed
// as "has a && context.a has b", so one such word there stands for as many as has names.
func places(tokens []token, base int) []place {
	var out []place
	for i := range tokens {
		if tokens[i].kind != tokenIdent || tokens[i].text != "context" || i > 0 && (tokens[i-1].text == "." || tokens[i-1].text == "@") {
			continue
		}
		p := place{at: base + tokens[i].at}
		rest := tokens[i+1:]
		for {
			name, at, n := nextName(rest)
			if n == 0 || len(rest) > n && rest[n].text == "(" {
				break
			}
			p.names, p.ats = append(p.names, name), append(p.ats, base+at)
			rest = rest[n:]
		}
		if len(rest) < 2 || rest[0].text != "has" {
			out = append(out, p)
			continue
		}
		out = append(out, hasPlaces(p, rest[1:], base)...)
	}
	return out
}

func hasPlaces(p place, rest []token, base int) []place {
	var out []place
	add := func(name string, at int) {
		p.names, p.ats = append(p.names[:len(p.names):len(p.names)], name), append(p.ats[:len(p.ats):len(p.ats)], base+at)
		out = append(out, p)
	}
	add(unquote(rest[0]), rest[0].at)
	if rest[0].kind == tokenString {
		return out
	}
	for rest = rest[1:]; len(rest) > 1 && rest[0].text == "." && rest[1].kind == tokenIdent; rest = rest[2:] {
		add(rest[1].text, rest[1].at)
	}
	return out
}

// nextName reads .name or ["name"] and says how many tokens that was.
func nextName(tokens []token) (name string, at, n int) {
	switch {
	case len(tokens) > 1 && tokens[0].text == "." && tokens[1].kind == tokenIdent:
		return tokens[1].text, tokens[1].at, 2
	case len(tokens) > 2 && tokens[0].text == "[" && tokens[1].kind == tokenString && tokens[2].text == "]":
		return unquote(tokens[1]), tokens[1].at, 3
	}
	return "", 0, 0
}

// unquote is the content of a string without escapes, which is all that names consist of.
func unquote(t token) string {
	if t.kind == tokenString && len(t.text) >= 2 {
		return t.text[1 : len(t.text)-1]
	}
	return t.text
}
