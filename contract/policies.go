package contract

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cedar-policy/cedar-go"
)

// policies reads the Cedar policies. Each is parsed by itself, so that one mistake does not hide the
// next policy's.
func (p *parser) policies(text string) {
	base := p.c.cedarAt
	before := len(p.list)
	tokens := lex(text, func(at int, format string, args ...any) {
		p.add(base+at, RulePolicy, "", format, args...)
	})
	if len(p.list) > before {
		return
	}
	parts := splitPolicies(tokens)
	if len(parts) > MaxPolicies {
		p.add(base+parts[MaxPolicies][0].at, RuleTooLarge, "", "%d policies, more than %d", len(parts), MaxPolicies)
		return
	}
	permits := false
	seen := make(map[string]bool)
	for i, part := range parts {
		policy, ok := p.policy(text, part, i)
		if !ok {
			permits = true // unknown: no second complaint
			continue
		}
		permits = permits || !policy.Forbid
		if seen[policy.ID] {
			p.add(base+part[0].at, RuleDuplicate, "give each policy an @id of its own", "two policies have the id %q", policy.ID)
		}
		seen[policy.ID] = true
		p.c.Policies = append(p.c.Policies, policy)
	}
	if !permits {
		p.add(base, RuleMissing, "add a permit policy", "no policy permits, so the door could never open")
	}
	p.c.resource = cedar.NewEntityUID(doorType, cedar.String(p.c.Name))
}

// splitPolicies cuts tokens after each ";", which in Cedar stands at the end of a policy and nowhere
// else.
func splitPolicies(tokens []token) [][]token {
	var parts [][]token
	for len(tokens) > 0 {
		end := slices.IndexFunc(tokens, func(t token) bool { return t.kind == tokenOperator && t.text == ";" }) + 1
		if end == 0 {
			end = len(tokens)
		}
		parts = append(parts, tokens[:end:end])
		tokens = tokens[end:]
	}
	return parts
}

func (p *parser) policy(text string, tokens []token, place int) (Policy, bool) {
	base := p.c.cedarAt
	start, last := tokens[0].at, tokens[len(tokens)-1]
	if len(tokens) > MaxPolicyTokens {
		p.add(base+start, RuleTooLarge, "split the policy", "a policy of %d words and signs, more than %d", len(tokens), MaxPolicyTokens)
		return Policy{}, false
	}
	if t := tooNested(tokens); t != nil {
		p.add(base+t.at, RuleTooDeep, "", "a policy nested deeper than %d levels", MaxNesting)
		return Policy{}, false
	}
	if last.text != ";" {
		p.add(base+last.at, RulePolicy, "end the policy with ;", "the last policy has no ; at its end")
		return Policy{}, false
	}
	var compiled cedar.Policy
	if err := compiled.UnmarshalCedar([]byte(text[start : last.at+1])); err != nil {
		at, message := explain(err, text, tokens)
		p.add(base+at, RulePolicy, "", "not a Cedar policy: %s", message)
		return Policy{}, false
	}
	policy := Policy{ID: "policy" + strconv.Itoa(place), Forbid: compiled.Effect() == cedar.Forbid, compiled: &compiled, text: text[start : last.at+1], at: base + start}
	policy.Line, policy.Column = p.source.position(base + start)
	if id, ok := compiled.Annotations()["id"]; ok {
		policy.ID = string(id)
		if !validPolicyID(policy.ID) {
			p.add(base+start, RulePolicy, "use letters, digits, _ and -", "an @id is 1 to %d letters, digits, _ and -", maxNameLen)
			return Policy{}, false
		}
	}
	return policy, true
}

func validPolicyID(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && !isLetter(c) && !isDigit(c) {
			return false
		}
	}
	return s != "" && len(s) <= maxNameLen
}

// explain finds the token that the parser's error is about. The parser names the token it stands
// before, and except where it only looked ahead ("got … want ,") it has just taken the wrong one.
func explain(err error, text string, tokens []token) (int, string) {
	message := err.Error()
	at := tokens[0].at
	rest, ok := strings.CutPrefix(message, "parse error at <input>:")
	var line, column int
	if n, _ := fmt.Sscanf(rest, "%d:%d", &line, &column); !ok || n != 2 {
		return at, clip(message)
	}
	if _, detail, ok := strings.Cut(rest, `": `); ok {
		message = detail
	}
	ahead := strings.HasPrefix(message, "got ") || strings.HasPrefix(message, "duplicate key")
	part := source(text[at:])
	i := len(tokens) - 1 // behind the last token there is nothing to step back from
	for j := range tokens {
		if l, c := part.position(tokens[j].at - at); l == line && c == column {
			i = j
			if !ahead && j > 0 {
				i--
			}
			break
		}
	}
	if _, want, ok := strings.Cut(message, " want "); ok {
		message = fmt.Sprintf("expected %s, not %s", want, clip(tokens[i].text))
	}
	return tokens[i].at, clip(message)
}
