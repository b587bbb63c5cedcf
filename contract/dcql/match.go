package dcql

import "github.com/hufu-id/hufu"

// Rules a query, a match or a presentation is refused by.
const (
	RuleMalformed   hufu.Rule = "dcql.malformed"   // the text is no query
	RuleUnavailable hufu.Rule = "dcql.unavailable" // the wallet holds nothing that satisfies the query
	RuleMissing     hufu.Rule = "dcql.missing"     // a required credential was not presented
	RuleUnrequested hufu.Rule = "dcql.unrequested" // a credential was presented that no query asks for
	RuleType        hufu.Rule = "dcql.type"        // format or type is not the one asked for
	RuleBinding     hufu.Rule = "dcql.binding"     // no proof of the holder's key although one is required
	RuleClaim       hufu.Rule = "dcql.claim"       // a claim that was asked for is not disclosed
	RuleValue       hufu.Rule = "dcql.value"       // a claim has none of the values asked for
	RuleUnsupported hufu.Rule = "dcql.unsupported" // a part of the standard that is not built
)

// Held is a credential in a wallet.
type Held struct {
	Format string
	Type   string         // vct or doctype
	Claims map[string]any // every claim it could disclose
	Holder string         // names the key it is bound to; empty for a bearer credential
}

// Wish says how a wallet wants a query matched.
type Wish struct {
	Optional   bool // present what optional credential sets ask for as well
	SameHolder bool // all credentials bound to one holder key
}

// Choice is one credential to present.
type Choice struct {
	Query    string // id of the credential query it answers
	Held     int    // index into what the wallet holds
	Disclose []Path // claims to disclose and no others; shared with the query, not to be changed
}

// Match chooses what to present for q, in the order of its credentials: for each credential set the
// first option that can be satisfied, for each credential the first claim set, and then the first
// held credential that has it; one credential even where q allows multiple ones. Without a way to
// satisfy every required set nothing is chosen and the refusal has rule [RuleUnavailable] (§6.4).
func Match(q *Query, held []Held, w Wish) ([]Choice, error) {
	for _, c := range q.Credentials {
		if len(c.TrustedAuthorities) > 0 {
			return nil, hufu.Refuse(RuleUnsupported, "credential %s: trusted_authorities", c.ID)
		}
	}
	if !w.SameHolder {
		choices, _, ok := match(q, held, w, func(*Held) bool { return true })
		if !ok {
			return nil, unavailable(q)
		}
		return choices, nil
	}
	var best []Choice
	most := -1
	tried := make(map[string]bool)
	for i := range held {
		holder := held[i].Holder
		if holder == "" || tried[holder] {
			continue
		}
		tried[holder] = true
		choices, sets, ok := match(q, held, w, func(h *Held) bool { return h.Holder == holder })
		if ok && sets > most {
			best, most = choices, sets
		}
	}
	if most < 0 {
		return nil, unavailable(q)
	}
	return best, nil
}

func unavailable(q *Query) error {
	return hufu.Refuse(RuleUnavailable, "no credentials held satisfy the query for %d credentials", len(q.Credentials))
}

// match chooses among the held credentials that usable accepts, and counts the sets it satisfies.
func match(q *Query, held []Held, w Wish, usable func(*Held) bool) ([]Choice, int, bool) {
	found := make([]*Choice, len(q.Credentials))
	for i := range q.Credentials {
		found[i] = choose(&q.Credentials[i], held, usable)
	}
	take := make([]bool, len(found))
	sets := 0
	if len(q.Sets) == 0 {
		for i, c := range found {
			if c == nil {
				return nil, 0, false
			}
			take[i] = true
		}
	}
	for _, s := range q.Sets {
		if !s.Required && !w.Optional {
			continue
		}
		option := firstOption(s, func(i int) bool { return found[i] != nil })
		if option == nil {
			if s.Required {
				return nil, 0, false
			}
			continue
		}
		sets++
		for _, i := range option {
			take[i] = true
		}
	}
	var choices []Choice
	for i, c := range found {
		if take[i] {
			choices = append(choices, *c)
		}
	}
	return choices, sets, true
}

func firstOption(s CredentialSet, there func(int) bool) []int {
	for _, option := range s.Options {
		all := true
		for _, i := range option {
			all = all && there(i)
		}
		if all {
			return option
		}
	}
	return nil
}

func choose(c *CredentialQuery, held []Held, usable func(*Held) bool) *Choice {
	for _, set := range c.choices {
		for h := range held {
			if !usable(&held[h]) || c.fits(held[h].Format, held[h].Type) != nil || c.RequireHolderBinding && held[h].Holder == "" {
				continue
			}
			if c.disclosed(set, held[h].Claims) != nil {
				continue
			}
			choice := &Choice{Query: c.ID, Held: h}
			for _, i := range set {
				choice.Disclose = append(choice.Disclose, c.Claims[i].Path)
			}
			return choice
		}
	}
	return nil
}

// fits checks format and type (Annexes B.2.3 and B.3.5).
func (c *CredentialQuery) fits(format, typ string) error {
	if format != c.Format {
		return hufu.Refuse(RuleType, "credential %s: its format is not %s", c.ID, c.Format)
	}
	ok := len(c.Types) == 0 && c.Doctype == ""
	for _, t := range c.Types {
		ok = ok || t == typ
	}
	if ok || c.Doctype != "" && c.Doctype == typ {
		return nil
	}
	return hufu.Refuse(RuleType, "credential %s: its type is none of those asked for", c.ID)
}

// disclosed checks that claims hold every claim of a set with a value that is asked for.
func (c *CredentialQuery) disclosed(set []int, claims map[string]any) error {
	for _, i := range set {
		found, matched := c.Claims[i].has(claims)
		if !found {
			return hufu.Refuse(RuleClaim, "credential %s: no claim %s", c.ID, PathString(c.Claims[i].Path))
		}
		if !matched {
			return hufu.Refuse(RuleValue, "credential %s: claim %s has no value that is asked for", c.ID, PathString(c.Claims[i].Path))
		}
	}
	return nil
}

// Presented is a credential that a verifier received and whose signatures it has checked.
type Presented struct {
	Query  string // id of the credential query it answers
	Format string
	Type   string         // vct or doctype
	Claims map[string]any // the claims it discloses
	Bound  bool           // the holder's key was proven
}

// Satisfies checks that a presentation is an answer to q: nothing that was not asked for, each
// credential of the right format and type with all claims of one claim set, every required set
// there. Its refusals name credentials and claims, never values.
func Satisfies(q *Query, presented []Presented) error {
	there := make([]bool, len(q.Credentials))
	for i := range presented {
		p := &presented[i]
		n := -1
		for j := range q.Credentials {
			if q.Credentials[j].ID == p.Query {
				n = j
			}
		}
		if n < 0 {
			return hufu.Refuse(RuleUnrequested, "no credential is asked for under the id %q", clip(p.Query))
		}
		c := &q.Credentials[n]
		if there[n] && !c.Multiple {
			return hufu.Refuse(RuleUnrequested, "credential %s: one is asked for, several were presented", c.ID)
		}
		if err := c.accepts(p); err != nil {
			return err
		}
		there[n] = true
	}
	if len(q.Sets) == 0 {
		for i, ok := range there {
			if !ok {
				return hufu.Refuse(RuleMissing, "credential %s was not presented", q.Credentials[i].ID)
			}
		}
		return nil
	}
	return q.setsSatisfied(there)
}

func (q *Query) setsSatisfied(there []bool) error {
	asked := make([]bool, len(there))
	for n, s := range q.Sets {
		if s.Required && firstOption(s, func(i int) bool { return there[i] }) == nil {
			return hufu.Refuse(RuleMissing, "credential set %d: none of its options was presented", n+1)
		}
		for _, option := range s.Options {
			for _, i := range option {
				asked[i] = true
			}
		}
	}
	for i, ok := range there {
		if ok && !asked[i] {
			return hufu.Refuse(RuleUnrequested, "credential %s is in no credential set", q.Credentials[i].ID)
		}
	}
	return nil
}

func (c *CredentialQuery) accepts(p *Presented) error {
	if len(c.TrustedAuthorities) > 0 {
		return hufu.Refuse(RuleUnsupported, "credential %s: trusted_authorities", c.ID)
	}
	if err := c.fits(p.Format, p.Type); err != nil {
		return err
	}
	if c.RequireHolderBinding && !p.Bound {
		return hufu.Refuse(RuleBinding, "credential %s: the holder's key was not proven", c.ID)
	}
	if len(c.choices) == 0 {
		return hufu.Refuse(RuleMalformed, "credential %s: the query was not read from a text", c.ID)
	}
	first := c.disclosed(c.choices[0], p.Claims)
	if first == nil {
		return nil
	}
	for _, set := range c.choices[1:] {
		if c.disclosed(set, p.Claims) == nil {
			return nil
		}
	}
	return first
}
