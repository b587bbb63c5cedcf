package dcql

import (
	"encoding/json"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// Limits of a query. They bound the work of a wallet that reads a stranger's query and of a ledger
// that stores one; the largest query among the standard's examples uses 5 credentials of 3 claims.
const (
	MaxBytes       = 32 << 10 // as large as the largest access contract
	MaxCredentials = 16       // a person rarely holds more kinds of credential
	MaxClaims      = 64       // claims asked of one credential
	MaxSets        = 16       // credential_sets, options of one, and claim_sets of one credential
	MaxValues      = 256      // values one claim is compared with
	MaxPath        = 8        // components of one claims path pointer
	MaxText        = 1024     // bytes of one identifier, type name, path component or value
)

// The credential formats this package knows the meta parameters of (OpenID4VP 1.0, Annex B).
const (
	FormatSDJWT = "dc+sd-jwt" // Annex B.3
	FormatMdoc  = "mso_mdoc"  // Annex B.2
)

// Path is a claims path pointer (§7): a string names a member, a non-negative int an element of an
// array, nil every element of an array.
type Path = []any

// Query is a DCQL query (§6). It is read-only once parsed and may be used concurrently.
type Query struct {
	Credentials []CredentialQuery
	Sets        []CredentialSet // empty: every credential is required
	canonical   []byte
}

// CredentialQuery asks for one credential (§6.1).
type CredentialQuery struct {
	ID       string
	Format   string
	Multiple bool
	Types    []string // meta.vct_values of dc+sd-jwt (Annex B.3.5); none: any type
	Doctype  string   // meta.doctype_value of mso_mdoc (Annex B.2.3)

	TrustedAuthorities   []TrustedAuthority
	RequireHolderBinding bool // true unless the query says otherwise
	Claims               []ClaimQuery
	ClaimSets            [][]int // indexes into Claims, the most preferred first; empty: all of Claims

	Offset       int   // of the object in the text that was parsed, in bytes
	TypesOffsets []int // of each of Types

	choices [][]int // ClaimSets, or all of Claims as the only one
}

// TrustedAuthority names what certifies an acceptable issuer (§6.1.1).
type TrustedAuthority struct {
	Type   string
	Values []string
	Offset int
}

// ClaimQuery asks for one claim, or for all claims that its path selects (§6.3).
type ClaimQuery struct {
	ID     string // empty when the query gives none
	Path   Path
	Values []any // string, int64 or bool; none: any value
	Offset int   // of the object in the text that was parsed, in bytes
}

// CredentialSet asks for one of several combinations of credentials (§6.2).
type CredentialSet struct {
	Options  [][]int // indexes into Credentials, the most preferred first
	Required bool    // true unless the query says otherwise
}

// Find returns the credential query with an id, or nil.
func (q *Query) Find(id string) *CredentialQuery {
	for i := range q.Credentials {
		if q.Credentials[i].ID == id {
			return &q.Credentials[i]
		}
	}
	return nil
}

// Canonical is the query's JSON object, every member included, in the form of RFC 8785. Two queries
// ask for the same if and only if these bytes are equal. They must not be changed.
func (q *Query) Canonical() []byte { return q.canonical }

// Optional reports whether the query can be satisfied without the i-th credential: it is in no
// required set, or a required set has an option without it.
func (q *Query) Optional(i int) bool {
	if len(q.Sets) == 0 {
		return false
	}
	for _, s := range q.Sets {
		if !s.Required {
			continue
		}
		in := true
		for _, option := range s.Options {
			in = in && contains(option, i)
		}
		if in {
			return false
		}
	}
	return true
}

// Asked reports whether a claim is in every combination of claims that a presentation of c may
// consist of, so that it is there whenever the credential is.
func (c *CredentialQuery) Asked(claim int) bool {
	for _, set := range c.ClaimSets {
		if !contains(set, claim) {
			return false
		}
	}
	return true
}

// Parse reads a query. Members the standard does not define are ignored, as it demands (§6), but are
// part of [Query.Canonical]. The refusal, of rule [RuleMalformed], names the first problem and its
// byte.
func Parse(data []byte) (*Query, error) {
	q, problems := parse(data, false)
	if len(problems) > 0 {
		p := problems[0]
		return nil, hufu.Refuse(RuleMalformed, "byte %d: %s", p.Offset, p.Message)
	}
	return q, nil
}

// ParseStrict reads a query that has to be free of members the standard does not define, and
// reports all problems, in the order of the text. The query is nil when there is any.
func ParseStrict(data []byte) (*Query, []Problem) { return parse(data, true) }

func canonical(data []byte) ([]byte, error) {
	if err := encoding.CheckJSON(data, MaxBytes); err != nil {
		return nil, err
	}
	return encoding.JCS(json.RawMessage(data))
}

func contains(list []int, i int) bool {
	for _, x := range list {
		if x == i {
			return true
		}
	}
	return false
}
