package gov

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/tx"
)

// MaxMembers bounds the members, and so the validators: the engine sends every vote to everyone.
const MaxMembers = 512

// Member is a present member. A removed one has no such record, see [FormerMember].
type Member struct {
	ID           hufu.ID     `cbor:"1,keyasint"`
	Name         string      `cbor:"2,keyasint"`
	ValidatorKey []byte      `cbor:"3,keyasint,omitempty"` // Ed25519
	Power        uint64      `cbor:"4,keyasint,omitempty"`
	Quota        uint64      `cbor:"5,keyasint"`           // units an epoch
	OpenQuota    uint64      `cbor:"6,keyasint,omitempty"` // units an epoch
	Admitted     hufu.Height `cbor:"7,keyasint"`           // 0: a founder
	AdmittedTime int64       `cbor:"8,keyasint"`
	AdmittedBy   hufu.Digest `cbor:"9,keyasint"` // proposal; zero: a founder
	Set          hufu.Height `cbor:"10,keyasint"`
	SetBy        hufu.Digest `cbor:"11,keyasint"` // proposal that its terms are from; zero: genesis
}

// FormerMember is what is left of a removed member.
type FormerMember struct {
	Member      Member      `cbor:"1,keyasint"`
	Removed     hufu.Height `cbor:"2,keyasint"`
	RemovedTime int64       `cbor:"3,keyasint"`
	RemovedBy   hufu.Digest `cbor:"4,keyasint"` // proposal
}

// Roster lists the present members.
type Roster struct {
	Seats []Seat `cbor:"1,keyasint"` // ascending by Member
}

// Seat is one member in the roster.
type Seat struct {
	Member       hufu.ID `cbor:"1,keyasint"`
	ValidatorKey []byte  `cbor:"2,keyasint,omitempty"`
	Power        uint64  `cbor:"3,keyasint,omitempty"`
}

// Validator is a key with voting power.
type Validator struct {
	PubKey []byte `cbor:"1,keyasint"` // Ed25519
	Power  uint64 `cbor:"2,keyasint"`
}

// validatorSet is what the engine was last told, ascending by key.
type validatorSet struct {
	Validators []Validator `cbor:"1,keyasint"`
}

// ParamsRecord is the parameters and where they are from.
type ParamsRecord struct {
	Params tx.Params   `cbor:"1,keyasint"`
	Set    hufu.Height `cbor:"2,keyasint"`
	SetBy  hufu.Digest `cbor:"3,keyasint"` // proposal; zero: genesis
}

// Usage is what a member's quotas were charged in its last epoch.
type Usage struct {
	Epoch    int64  `cbor:"1,keyasint"`
	Used     uint64 `cbor:"2,keyasint"`
	OpenUsed uint64 `cbor:"3,keyasint,omitempty"`
}

// Proposal is a proposal with its votes.
type Proposal struct {
	ID           hufu.Digest `cbor:"1,keyasint"` // of the proposing transaction
	Title        string      `cbor:"2,keyasint"`
	Actions      []tx.Action `cbor:"3,keyasint"`
	By           hufu.ID     `cbor:"4,keyasint"`
	Height       hufu.Height `cbor:"5,keyasint"`
	Time         int64       `cbor:"6,keyasint"`
	Ends         int64       `cbor:"7,keyasint"` // last block time at which votes count
	Votes        []Vote      `cbor:"8,keyasint"` // in the order they came
	Executed     hufu.Height `cbor:"9,keyasint,omitempty"`
	ExecutedTime int64       `cbor:"10,keyasint,omitempty"`
}

// Vote is one member's vote.
type Vote struct {
	Member  hufu.ID     `cbor:"1,keyasint"`
	Approve bool        `cbor:"2,keyasint"`
	Height  hufu.Height `cbor:"3,keyasint"`
}

// PlannedUpgrade is an upgrade and where it is from.
type PlannedUpgrade struct {
	Upgrade tx.Upgrade  `cbor:"1,keyasint"`
	SetBy   hufu.Digest `cbor:"2,keyasint"` // proposal
}
