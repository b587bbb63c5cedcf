package gov

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
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
	SetBy        hufu.Digest `cbor:"11,keyasint"`           // proposal that its terms are from; zero: genesis
	Convicted    hufu.Height `cbor:"12,keyasint,omitempty"` // block that took its power; 0: none, or it was given power again
}

// ValidatorKey is a key that a member has or had for its validator. It is no other member's ever.
type ValidatorKey struct {
	Key        []byte      `cbor:"1,keyasint"` // Ed25519
	Member     hufu.ID     `cbor:"2,keyasint"`
	Since      hufu.Height `cbor:"3,keyasint"` // 0: genesis
	Conviction *Conviction `cbor:"4,keyasint,omitempty"`
}

// Conviction is what evidence in blocks proved against a validator key. It stays.
type Conviction struct {
	Height hufu.Height `cbor:"1,keyasint"` // of the block with the first proof
	Time   int64       `cbor:"2,keyasint"`
	Took   uint64      `cbor:"3,keyasint,omitempty"` // power that the member had and lost by it
	Kept   bool        `cbor:"4,keyasint,omitempty"` // it kept its power, as no other would have been left
	Proofs []Proof     `cbor:"5,keyasint"`           // the first ones, in the order of the ledger
	More   uint64      `cbor:"6,keyasint,omitempty"` // proofs beyond those
	Before *Address    `cbor:"7,keyasint,omitempty"` // the key that was convicted before this one
}

// Proof is a proof of misbehaviour and the block that carried it. The evidence itself is in that block.
type Proof struct {
	Misbehaviour Misbehaviour `cbor:"1,keyasint"`
	Recorded     hufu.Height  `cbor:"2,keyasint"`
	RecordedTime int64        `cbor:"3,keyasint"`
}

// convictions is where the list of convictions begins.
type convictions struct {
	Last  *Address `cbor:"1,keyasint"`
	Count uint64   `cbor:"2,keyasint"`
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

// AppendPlain is [state.Plain]'s.
func (u *Usage) AppendPlain(b []byte) []byte {
	if u.Epoch < 0 {
		return nil
	}
	fields := uint64(2)
	if u.OpenUsed != 0 {
		fields++
	}
	b = slices.Grow(b, 32) // 31 is the most
	b = encoding.AppendHead(b, encoding.MajorMap, fields)
	b = encoding.AppendField(b, 1, uint64(u.Epoch))
	b = encoding.AppendField(b, 2, u.Used)
	if u.OpenUsed != 0 {
		b = encoding.AppendField(b, 3, u.OpenUsed)
	}
	return b
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
