package tx

import (
	"crypto/ed25519"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

// GovPropose puts actions to the members' vote. The proposer, a member, votes for them by it. The
// proposal's identifier is the transaction's.
type GovPropose struct {
	Title   string   `cbor:"1,keyasint"`
	Actions []Action `cbor:"2,keyasint"` // executed in order, all or none
}

// GovVote is a member's vote. It cannot be taken back.
type GovVote struct {
	Proposal hufu.Digest `cbor:"1,keyasint"`
	Approve  bool        `cbor:"2,keyasint"`
}

// Action is one thing that members decide: exactly one field is set.
type Action struct {
	AdmitMember  *MemberTerms   `cbor:"1,keyasint,omitempty"`
	RemoveMember *MemberRemoval `cbor:"2,keyasint,omitempty"`
	SetMember    *MemberTerms   `cbor:"3,keyasint,omitempty"`
	SetParams    *Params        `cbor:"4,keyasint,omitempty"`
	Accredit     *TrustAccredit `cbor:"5,keyasint,omitempty"` // by the members together: the root of a chain
	Withdraw     *TrustWithdraw `cbor:"6,keyasint,omitempty"` // of whatever grant
	Upgrade      *Upgrade       `cbor:"7,keyasint,omitempty"`
}

// MemberTerms are what a member is admitted under.
type MemberTerms struct {
	Member       hufu.ID `cbor:"1,keyasint"` // an identifier that exists
	Name         string  `cbor:"2,keyasint"`
	ValidatorKey []byte  `cbor:"3,keyasint,omitempty"` // Ed25519, 32 bytes; none: runs no validator
	Power        uint64  `cbor:"4,keyasint,omitempty"` // voting power in consensus; 0: none
	Quota        uint64  `cbor:"5,keyasint"`           // units an epoch for what it authors or co-signs
	OpenQuota    uint64  `cbor:"6,keyasint,omitempty"` // units an epoch for identifiers that name it without its signature
}

// MemberRemoval ends a membership.
type MemberRemoval struct {
	Member hufu.ID `cbor:"1,keyasint"`
}

// Params are the network's parameters.
type Params struct {
	EpochSeconds     uint32 `cbor:"1,keyasint" json:"epoch_seconds"`  // quotas start anew each epoch of block time
	VotingSeconds    uint32 `cbor:"2,keyasint" json:"voting_seconds"` // a proposal is open that long
	ThresholdNum     uint32 `cbor:"3,keyasint" json:"threshold_num"`  // a proposal passes with at least Num/Den of the members
	ThresholdDen     uint32 `cbor:"4,keyasint" json:"threshold_den"`
	BlockFloorMillis uint32 `cbor:"5,keyasint" json:"block_floor_millis"` // least time between blocks
	// RecoveryMinSeconds is the least delay of a recovery that a holder may choose; 0: DefaultRecoverySeconds.
	RecoveryMinSeconds uint32 `cbor:"6,keyasint,omitempty" json:"recovery_min_seconds,omitempty"`
}

// Upgrade is the height from which nodes run another version of the rules.
type Upgrade struct {
	Height hufu.Height `cbor:"1,keyasint"`
	Name   string      `cbor:"2,keyasint"`
}

// Bounds of [Params] and of members' terms.
const (
	MinEpochSeconds  = 1
	MaxEpochSeconds  = 31 * 86400 // a month: usage of a longer time says nothing about load
	MinVotingSeconds = 1
	MaxVotingSeconds = 366 * 86400
	MaxThresholdDen  = 1000
	MaxBlockFloor    = 60_000  // milliseconds
	MaxPower         = 1 << 32 // of one validator: 2^20 of them stay below CometBFT's limit of 2^60 in all
	MaxQuota         = 1 << 50 // units: sums of two never overflow
)

// Kind is [KindGovPropose].
func (*GovPropose) Kind() Kind { return KindGovPropose }

// Kind is [KindGovVote].
func (*GovVote) Kind() Kind { return KindGovVote }

// Validate implements [Body].
func (b *GovPropose) Validate() error {
	if err := checkText("proposal title", b.Title, MaxTitle); err != nil {
		return err
	}
	if len(b.Actions) == 0 || len(b.Actions) > MaxActions {
		return invalid("%d actions, not 1 to %d", len(b.Actions), MaxActions)
	}
	for i := range b.Actions {
		if err := b.Actions[i].validate(); err != nil {
			return err
		}
	}
	return nil
}

// Validate implements [Body].
func (b *GovVote) Validate() error { return nil }

func (a *Action) validate() error {
	count, err := 0, error(nil)
	check := func(present bool, validate func() error) {
		if present {
			count++
			if err == nil {
				err = validate()
			}
		}
	}
	check(a.AdmitMember != nil, a.AdmitMember.Validate)
	check(a.RemoveMember != nil, func() error { return checkID("member", a.RemoveMember.Member) })
	check(a.SetMember != nil, a.SetMember.Validate)
	check(a.SetParams != nil, a.SetParams.Validate)
	check(a.Accredit != nil, a.Accredit.Validate)
	check(a.Withdraw != nil, a.Withdraw.Validate)
	check(a.Upgrade != nil, a.Upgrade.validate)
	if count != 1 {
		return invalid("an action that says %d things, not one", count)
	}
	return err
}

// Validate refuses terms that no member can have.
func (m *MemberTerms) Validate() error {
	if err := checkID("member", m.Member); err != nil {
		return err
	}
	if err := checkText("member name", m.Name, MaxName); err != nil {
		return err
	}
	switch n := len(m.ValidatorKey); {
	case n != 0 && n != ed25519.PublicKeySize:
		return invalid("a validator key of %d bytes, not %d", n, ed25519.PublicKeySize)
	case n == 0 && m.Power != 0:
		return invalid("voting power without a validator key")
	case m.Power > MaxPower:
		return invalid("voting power above %d", uint64(MaxPower))
	case m.Quota > MaxQuota || m.OpenQuota > MaxQuota:
		return invalid("a quota above %d", uint64(MaxQuota))
	}
	if len(m.ValidatorKey) != 0 {
		if _, err := keys.NewPublicKey(keys.Ed25519, m.ValidatorKey); err != nil {
			return invalid("validator key: %v", err)
		}
	}
	return nil
}

// Validate refuses parameters under which the network could not work or one half could outvote the
// other.
func (p *Params) Validate() error {
	switch {
	case p.EpochSeconds < MinEpochSeconds || p.EpochSeconds > MaxEpochSeconds:
		return invalid("an epoch of %d s, not %d to %d", p.EpochSeconds, MinEpochSeconds, MaxEpochSeconds)
	case p.VotingSeconds < MinVotingSeconds || p.VotingSeconds > MaxVotingSeconds:
		return invalid("a voting period of %d s, not %d to %d", p.VotingSeconds, MinVotingSeconds, MaxVotingSeconds)
	case p.ThresholdDen == 0 || p.ThresholdDen > MaxThresholdDen || p.ThresholdNum > p.ThresholdDen:
		return invalid("a threshold of %d/%d", p.ThresholdNum, p.ThresholdDen)
	case 2*p.ThresholdNum <= p.ThresholdDen:
		return invalid("a threshold of %d/%d is no majority", p.ThresholdNum, p.ThresholdDen)
	case p.RecoveryMinSeconds > MaxRecoverySeconds:
		return invalid("a least recovery delay of %d s, more than %d", p.RecoveryMinSeconds, MaxRecoverySeconds)
	case p.BlockFloorMillis > MaxBlockFloor:
		return invalid("a block floor of %d ms, more than %d", p.BlockFloorMillis, MaxBlockFloor)
	}
	return nil
}

// RecoveryFloor is the least delay of a recovery, in seconds.
func (p *Params) RecoveryFloor() uint32 {
	if p.RecoveryMinSeconds == 0 {
		return DefaultRecoverySeconds
	}
	return p.RecoveryMinSeconds
}

func (u *Upgrade) validate() error {
	if u.Height == 0 {
		return invalid("an upgrade at height 0")
	}
	return checkText("upgrade name", u.Name, MaxName)
}
