package gov

import "github.com/hufu-id/hufu"

const (
	memberPrefix   = "gov/member/"
	formerPrefix   = "gov/former/"
	proposalPrefix = "gov/proposal/"
	openPrefix     = "gov/open/"
	usagePrefix    = "gov/usage/"
	keyPrefix      = "gov/key/"

	paramsName      = "gov/params"
	rosterName      = "gov/roster"
	openFormerName  = "gov/open-of-former"
	validatorsName  = "gov/validators"
	convictionsName = "gov/convictions"
	upgradeName     = "gov/upgrade"
)

// MemberKey is where a member's record is in the state.
func MemberKey(id hufu.ID) []byte { return join(memberPrefix, id[:]) }

// FormerKey is where the last record of a removed member is.
func FormerKey(id hufu.ID) []byte { return join(formerPrefix, id[:]) }

// ProposalKey is where a proposal is.
func ProposalKey(id hufu.Digest) []byte { return join(proposalPrefix, id[:]) }

// OpenKey is where the open proposals of a member are named.
func OpenKey(id hufu.ID) []byte { return join(openPrefix, id[:]) }

// OpenOfFormerKey is where the open proposals of former members are named.
func OpenOfFormerKey() []byte { return []byte(openFormerName) }

// UsageKey is where a member's use of its quotas is.
func UsageKey(id hufu.ID) []byte { return join(usagePrefix, id[:]) }

// ValidatorKeyKey is where the record of a validator key is.
func ValidatorKeyKey(a Address) []byte { return join(keyPrefix, a[:]) }

// ConvictionsKey is where the newest conviction is named.
func ConvictionsKey() []byte { return []byte(convictionsName) }

// ParamsKey is where the parameters are.
func ParamsKey() []byte { return []byte(paramsName) }

// RosterKey is where the list of members is.
func RosterKey() []byte { return []byte(rosterName) }

// ValidatorsKey is where the validators are as the engine was last told.
func ValidatorsKey() []byte { return []byte(validatorsName) }

// UpgradeKey is where the next upgrade is.
func UpgradeKey() []byte { return []byte(upgradeName) }

func join(prefix string, id []byte) []byte {
	return append(append(make([]byte, 0, len(prefix)+len(id)), prefix...), id...)
}
