package contract

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
)

// languageKeys is the keys of the contract language. A "*" stands for a language tag or a credential's
// id.
func languageKeys() []string {
	return []string{
		"language", "id", "version", "owner", "same_holder", "title.*", "purpose.*", "retention.*",
		"asks.dcql", "opens.cedar", "bounds.max_staleness", "bounds.grant",
		"accreditation.*.assurance", "accreditation.*.issuers",
	}
}

// Parse reads the text of an access contract. The error is [Problems], everything that is wrong with
// the text.
func Parse(text []byte) (*Contract, error) {
	f := &findings{source: source(text)}
	if len(text) > MaxText {
		f.add(0, RuleTooLarge, "", "the contract has %d bytes, more than %d", len(text), MaxText)
		return nil, f.problems()
	}
	text = slices.Clone(text)
	f.source = text
	p := &parser{
		findings: f,
		c:        &Contract{Hash: Hash(text), source: text},
		at:       make(map[string]int),
	}
	for _, e := range readTOML(text, f) {
		p.entry(e)
	}
	if !f.has(RuleSyntax) && !f.has(RuleTooDeep) {
		p.complete()
	}
	if problems := f.problems(); len(problems) > 0 {
		return nil, problems
	}
	return p.c, nil
}

func (f *findings) has(rule hufu.Rule) bool {
	return slices.ContainsFunc(f.list, func(p finding) bool { return p.Rule == rule })
}

// parser fills a contract from its entries.
type parser struct {
	*findings
	c       *Contract
	at      map[string]int // where each top-level part stands
	refused []string       // unknown tables, whose keys are not reported again
	asks    value
	cedar   value
	demands []Requirement
}

func (p *parser) entry(e entry) {
	joined := joinPath(e.path)
	for _, prefix := range p.refused {
		if strings.HasPrefix(joined, prefix) {
			return
		}
	}
	name := strings.Join(e.path, ".")
	known := matchKey(e.path)
	switch {
	case e.path[0] == "pseudonym":
		p.add(e.at, RuleReserved, "remove it", "pseudonym is kept for a later version of the contract language")
		p.refused = append(p.refused, joined)
	case known == "":
		p.add(e.at, RuleUnknown, p.suggest(), "the contract language has no %q", clip(name))
		p.refused = append(p.refused, joined)
	case strings.HasSuffix(known, "."): // a table
		if e.value.kind != unstable.Invalid {
			p.add(e.at, RuleValue, "", "%s must be a table", clip(name))
		}
		p.table(e)
	case e.value.kind == unstable.Invalid:
		p.add(e.at, RuleValue, "", "%s is no table", clip(name))
	default:
		p.at[name] = e.at
		p.assign(known, e)
	}
}

func (p *parser) suggest() string {
	return "known are: " + strings.Join(languageKeys(), ", ")
}

// matchKey finds the key of the language that path is, or with a "." at its end the table.
func matchKey(path []string) string {
	for _, key := range languageKeys() {
		parts := strings.Split(key, ".")
		if len(path) > len(parts) {
			continue
		}
		same := true
		for i := range path {
			same = same && (parts[i] == "*" || parts[i] == path[i])
		}
		if same && len(path) == len(parts) {
			return key
		}
		if same {
			return strings.Join(parts[:len(path)], ".") + "."
		}
	}
	return ""
}

func (p *parser) table(e entry) {
	if len(e.path) == 2 && e.path[0] == "accreditation" {
		p.requirement(e)
	}
}

func (p *parser) requirement(e entry) *Requirement {
	for i := range p.demands {
		if p.demands[i].Credential == e.path[1] {
			return &p.demands[i]
		}
	}
	p.demands = append(p.demands, Requirement{Credential: e.path[1], at: e.at})
	return &p.demands[len(p.demands)-1]
}

func (p *parser) assign(key string, e entry) {
	c, v := p.c, e.value
	switch key {
	case "language":
		if s, ok := p.str(e); ok && s != Language {
			p.add(v.at, RuleLanguage, fmt.Sprintf("write language = %q", Language), "the language %q is not known here", clip(s))
		}
	case "id":
		c.Name, _ = p.str(e)
		if v.kind == unstable.String && !ValidName(c.Name) {
			p.add(v.at, RuleValue, "", "an id is 1 to %d characters of a-z, 0-9 and -, neither first nor last a -", maxNameLen)
		}
	case "version":
		n, err := strconv.ParseInt(v.text, 10, 64)
		if v.kind != unstable.Integer || err != nil || n < 1 || n > math.MaxUint32 {
			p.add(v.at, RuleValue, "write version = 1 and count on", "version must be an integer from 1")
			return
		}
		c.Version = uint32(n)
	case "owner":
		p.owner(e)
	case "same_holder":
		if v.kind != unstable.Bool {
			p.add(v.at, RuleValue, "", "same_holder must be true or false")
		}
		c.SameHolder = v.text == "true"
	case "title.*":
		p.statement(&c.Title, e)
	case "purpose.*":
		p.statement(&c.Purpose, e)
	case "retention.*":
		p.statement(&c.Retention, e)
	case "asks.dcql":
		p.asks = p.literal(e)
	case "opens.cedar":
		p.cedar = p.literal(e)
	case "bounds.max_staleness":
		c.MaxStaleness = p.duration(e)
	case "bounds.grant":
		c.Grant = p.duration(e)
	case "accreditation.*.assurance":
		s, ok := p.str(e)
		if ok && assuranceRank(s) == 0 {
			p.add(v.at, RuleValue, "", `assurance must be "low", "substantial" or "high"`)
		}
		p.requirement(e).Assurance = s
	case "accreditation.*.issuers":
		p.requirement(e).Issuers = p.issuers(e)
	}
}

func (p *parser) str(e entry) (string, bool) {
	if e.value.kind != unstable.String {
		p.add(e.value.at, RuleValue, "", "%s must be a string", clip(strings.Join(e.path, ".")))
		return "", false
	}
	return e.value.text, true
}

func (p *parser) owner(e entry) {
	s, ok := p.str(e)
	switch {
	case !ok:
	case s == OwnerSelf:
		p.add(e.value.at, RuleSelf, "publishing fills in the publisher's DID", "the owner is still %q", OwnerSelf)
	case !validDID(s):
		p.add(e.value.at, RuleOwner, "", "the owner must be a DID such as did:hufu:demo:z…")
	}
	p.c.Owner = hufu.DID(s)
}

func validDID(s string) bool {
	_, _, err := hufu.DID(s).Parse()
	return err == nil
}

func (p *parser) issuers(e entry) []hufu.DID {
	if e.value.kind != unstable.Array || len(e.value.items) == 0 || len(e.value.items) > MaxIssuers {
		p.add(e.value.at, RuleValue, "", "issuers must be a list of 1 to %d DIDs", MaxIssuers)
		return nil
	}
	var out []hufu.DID
	for _, item := range e.value.items {
		switch {
		case item.kind != unstable.String || !validDID(item.text):
			p.add(item.at, RuleValue, "", "an issuer must be a DID such as did:hufu:demo:z…")
		case slices.Contains(out, hufu.DID(item.text)):
			p.add(item.at, RuleDuplicate, "", "the issuer is there twice")
		default:
			out = append(out, hufu.DID(item.text))
		}
	}
	return out
}

func (p *parser) statement(to *[]Statement, e entry) {
	tag := e.path[1]
	s, ok := p.str(e)
	switch {
	case !ok:
		return
	case !validTag(tag):
		p.add(e.at, RuleValue, "write for example en, zh or zh-Hant-HK", "%q is no language tag (BCP 47)", clip(tag))
	case strings.TrimSpace(s) == "" || len(s) > MaxStatement:
		p.add(e.value.at, RuleValue, "", "the %s must have 1 to %d bytes", e.path[0], MaxStatement)
	case len(*to) == MaxLanguages:
		p.add(e.at, RuleTooLarge, "", "more than %d languages", MaxLanguages)
	default:
		*to = append(*to, Statement{Language: tag, Text: s})
	}
}

// validTag reports whether s is a well-formed BCP 47 tag in its recommended case (RFC 5646 §2.1.1):
// one spelling of a language, so that it cannot be there twice.
func validTag(s string) bool {
	for i, part := range strings.Split(s, "-") {
		alphanumeric := strings.IndexFunc(part, func(r rune) bool { return r > 'z' || !isLetter(byte(r)) && !isDigit(byte(r)) || r == '_' }) < 0
		letters := !strings.ContainsAny(part, "0123456789")
		want := strings.ToLower(part)
		switch {
		case i == 0 && (!letters || len(part) < 2), len(part) == 0, len(part) > 8, !alphanumeric:
			return false
		case i > 0 && letters && len(part) == 2:
			want = strings.ToUpper(part)
		case i > 0 && letters && len(part) == 4:
			want = strings.ToUpper(part[:1]) + strings.ToLower(part[1:])
		}
		if part != want {
			return false
		}
	}
	return true
}

// literal accepts only TOML literal strings: what stands in the file is then, character for
// character, what the other language reads.
func (p *parser) literal(e entry) value {
	if _, ok := p.str(e); ok && e.value.inner < 0 {
		p.add(e.value.at, RuleValue, "use ''' instead of \"", "%s must stand between '''", strings.Join(e.path, "."))
	}
	return e.value
}

// duration reads a whole number and one of s, m, h, d.
func (p *parser) duration(e entry) time.Duration {
	s, ok := p.str(e)
	if !ok {
		return 0
	}
	units := map[byte]time.Duration{'s': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour}
	if s != "" && s[0] != '+' && s[0] != '-' {
		n, err := strconv.ParseInt(s[:len(s)-1], 10, 32)
		d := time.Duration(n) * units[s[len(s)-1]]
		if err == nil && d > 0 && d <= MaxDuration {
			return d
		}
	}
	p.add(e.value.at, RuleValue, `write for example "60s", "15m", "8h" or "7d"`, "%s must be from 1s to 30d", strings.Join(e.path, "."))
	return 0
}

// complete checks what is visible only once every entry has been read, and reads the query and the
// policies.
func (p *parser) complete() {
	for _, key := range []string{"language", "id", "version", "owner", "title.en", "purpose.en", "retention.en", "asks.dcql", "opens.cedar", "bounds.max_staleness", "bounds.grant"} {
		if _, ok := p.at[key]; !ok {
			p.add(len(p.source), RuleMissing, "", "the contract has no %s", key)
		}
	}
	for _, list := range []*[]Statement{&p.c.Title, &p.c.Purpose, &p.c.Retention} {
		slices.SortFunc(*list, func(a, b Statement) int { return strings.Compare(a.Language, b.Language) })
	}
	if p.asks.kind == unstable.String && p.asks.inner >= 0 {
		p.query()
	}
	if p.cedar.kind == unstable.String && p.cedar.inner >= 0 {
		p.c.cedarAt = p.cedar.inner
		p.policies(p.cedar.text)
	}
}

// query reads the DCQL query and applies what contracts allow of it.
func (p *parser) query() {
	base := p.asks.inner
	p.c.queryAt = base
	q, problems := dcql.ParseStrict([]byte(p.asks.text))
	for _, problem := range problems {
		p.add(base+problem.Offset, RuleQuery, problem.Hint, "%s", problem.Message)
	}
	if q == nil {
		return
	}
	p.c.Query, p.c.QueryJSON = q, []byte(p.asks.text)
	for i := range q.Credentials {
		p.credential(&q.Credentials[i], base)
	}
	p.c.Requirements = make([]Requirement, len(q.Credentials))
	for i := range q.Credentials {
		p.c.Requirements[i].Credential = q.Credentials[i].ID
	}
	for _, d := range p.demands {
		i := slices.IndexFunc(p.c.Requirements, func(r Requirement) bool { return r.Credential == d.Credential })
		if i < 0 {
			p.add(d.at, RuleValue, "name a credential by its id in the query", "the query asks for no credential %q", clip(d.Credential))
			continue
		}
		p.c.Requirements[i] = d
	}
}

func (p *parser) credential(q *dcql.CredentialQuery, base int) {
	at := base + q.Offset
	if q.Format != dcql.FormatSDJWT {
		p.add(at, RuleQuery, "", "credential %s: the format must be %s", q.ID, dcql.FormatSDJWT)
	}
	if q.Multiple {
		p.add(at, RuleReserved, "", "credential %s: multiple is kept for a later version of the contract language", q.ID)
	}
	if !q.RequireHolderBinding {
		p.add(at, RuleQuery, "", "credential %s: a contract always requires holder binding", q.ID)
	}
	if len(q.TrustedAuthorities) > 0 {
		p.add(base+q.TrustedAuthorities[0].Offset, RuleReserved, "use [accreditation."+q.ID+"] issuers = […]", "trusted_authorities are kept for a later version of the contract language")
	}
	if q.ID == factNow || q.ID == factStaleness {
		p.add(at, RuleQuery, "choose another id", "policies already know something else as context.%s", q.ID)
	}
	var a asked
	for i := range q.Claims {
		claim := &q.Claims[i]
		names, ok := claimNames(claim.Path)
		switch {
		case !ok:
			p.add(base+claim.Offset, RuleQuery, "end the path at the array or with null", "the claim %s names elements of an array one by one", dcql.PathString(claim.Path))
		case names[0] == factIssuer || names[0] == factAssurance:
			p.add(base+claim.Offset, RuleQuery, "", "policies already know something else as %s.%s", q.ID, names[0])
		}
		a = append(a, askedClaim{names: names, required: q.Asked(i), at: base + claim.Offset})
	}
	p.c.asks = append(p.c.asks, a)
}

// claimNames is a path as member names, without a last null: all elements of an array are the array.
func claimNames(path dcql.Path) ([]string, bool) {
	var names []string
	for i, part := range path {
		name, ok := part.(string)
		if !ok {
			return names, part == nil && i > 0 && i == len(path)-1
		}
		names = append(names, name)
	}
	return names, true
}

// ValidName reports whether s may be a contract's id: 1 to 64 characters of a-z, 0-9 and "-", neither
// first nor last a "-".
func ValidName(s string) bool {
	if s == "" || len(s) > maxNameLen || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if c != '-' && !isDigit(c) && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
