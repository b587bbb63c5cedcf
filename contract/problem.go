package contract

import (
	"fmt"
	"sort"
	"strings"
	"unicode/utf8"

	"github.com/hufu-id/hufu"
)

// Rules that a contract is refused by, when it is read or held against the published types.
const (
	RuleTooLarge  hufu.Rule = "contract.too-large"    // more of something than the limits allow
	RuleTooDeep   hufu.Rule = "contract.too-deep"     // nested deeper than the limits allow
	RuleSyntax    hufu.Rule = "contract.syntax"       // the text is not TOML
	RuleUnknown   hufu.Rule = "contract.unknown-key"  // a key the language does not have
	RuleDuplicate hufu.Rule = "contract.duplicate"    // something is there twice
	RuleMissing   hufu.Rule = "contract.missing"      // a part that every contract has is not there
	RuleValue     hufu.Rule = "contract.value"        // a value of the wrong kind or out of bounds
	RuleLanguage  hufu.Rule = "contract.language"     // another version of the language
	RuleReserved  hufu.Rule = "contract.reserved"     // kept for a later version of the language
	RuleOwner     hufu.Rule = "contract.owner"        // the owner is no DID, or another one
	RuleSelf      hufu.Rule = "contract.owner-self"   // the owner is not filled in yet, see [SetOwner]
	RuleQuery     hufu.Rule = "contract.query"        // the DCQL query is wrong
	RulePolicy    hufu.Rule = "contract.policy"       // a Cedar policy is wrong
	RuleType      hufu.Rule = "contract.unknown-type" // a credential type that nobody published
	RuleClaim     hufu.Rule = "contract.unknown-claim"
	RuleMismatch  hufu.Rule = "contract.type-mismatch" // values of types that do not go together
	RuleUnguarded hufu.Rule = "contract.unguarded"     // something that may be absent is used without has
)

// Problem is one thing wrong with a contract's text.
type Problem struct {
	Line, Column int // from 1; columns count characters
	Rule         hufu.Rule
	Message      string
	Hint         string // what to do about it; may be empty
}

// String is "line:column: message".
func (p Problem) String() string { return fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message) }

// Problems is everything wrong with a contract, in the order of its text. As an error it is a refusal
// by the rule of the first one.
type Problems []Problem

// Error is one line for each problem.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap is the first problem as a refusal.
func (ps Problems) Unwrap() error {
	if len(ps) == 0 {
		return nil
	}
	return hufu.Refuse(ps[0].Rule, "%s", ps[0])
}

// source is a text in which offsets become lines and columns.
type source []byte

func (s source) position(offset int) (line, column int) {
	offset = min(max(offset, 0), len(s))
	before := string(s[:offset])
	line = 1 + strings.Count(before, "\n")
	return line, 1 + utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])
}

// findings collects problems by the offset they stand at.
type findings struct {
	source source
	list   []finding
}

type finding struct {
	at int
	Problem
}

func (f *findings) add(at int, rule hufu.Rule, hint, format string, args ...any) {
	f.list = append(f.list, finding{at: at, Problem: Problem{Rule: rule, Hint: hint, Message: fmt.Sprintf(format, args...)}})
}

// problems returns what was found in the order of the text, each thing once.
func (f *findings) problems() Problems {
	sort.SliceStable(f.list, func(i, j int) bool { return f.list[i].at < f.list[j].at })
	var out Problems
	for i, p := range f.list {
		if i > 0 && p == f.list[i-1] {
			continue
		}
		p.Line, p.Column = f.source.position(p.at)
		out = append(out, p.Problem)
	}
	return out
}
