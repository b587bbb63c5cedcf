package contract

import (
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"

	"github.com/hufu-id/hufu"
)

// OwnerSelf is what a contract file says instead of a DID until it is published: owner = "self".
const OwnerSelf = "self"

// SetOwner returns text with owner = "self" replaced by owner and everything else as it was, so that
// a file can be kept apart from the DID that publishes it. A text that names owner already is
// returned as it is; one that names somebody else is refused.
func SetOwner(text []byte, owner hufu.DID) ([]byte, error) {
	if _, _, err := owner.Parse(); err != nil {
		return nil, hufu.Refuse(RuleOwner, "%s", err)
	}
	f := &findings{source: source(text)}
	if len(text) > MaxText {
		f.add(0, RuleTooLarge, "", "the contract has %d bytes, more than %d", len(text), MaxText)
		return nil, f.problems()
	}
	entries := readTOML(text, f)
	if len(f.list) > 0 {
		return nil, f.problems()
	}
	for _, e := range entries {
		switch {
		case strings.Join(e.path, ".") != "owner" || e.value.kind != unstable.String:
		case e.value.text == string(owner):
			return text, nil
		case e.value.text != OwnerSelf:
			f.add(e.value.at, RuleOwner, `write owner = "self" to publish it as your own`, "the contract names another owner")
			return nil, f.problems()
		default:
			var b strings.Builder
			b.Write(text[:e.value.at])
			b.WriteString(`"` + string(owner) + `"`)
			b.Write(text[e.value.end:])
			return []byte(b.String()), nil
		}
	}
	f.add(len(text), RuleMissing, `write owner = "self"`, "the contract has no owner")
	return nil, f.problems()
}
