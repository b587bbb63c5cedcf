package gov

import (
	"crypto/sha256"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Offences that the engine proves (CometBFT, ABCI 2.0, MisbehaviorType).
const (
	DuplicateVote     Offence = 1 // two votes of one kind and round for different blocks
	LightClientAttack Offence = 2 // a signature on a header that is not the ledger's
)

// Offence is what a validator did.
type Offence uint8

func (k Offence) String() string {
	switch k {
	case DuplicateVote:
		return "duplicate vote"
	case LightClientAttack:
		return "light client attack"
	}
	return "unknown offence"
}

// MaxProofs bounds how many proofs against one key are kept in full. The first decides; one who signs
// everything twice shall not fill the state with it.
const MaxProofs = 16

// Address is the engine's name for a validator's key: the first 20 bytes of its SHA-256 digest.
type Address [20]byte

// AddressOf is the address of an Ed25519 key.
func AddressOf(key []byte) Address {
	sum := sha256.Sum256(key)
	return Address(sum[:len(Address{})])
}

// Misbehaviour is one proof of an offence, as a block carries it. The engine has checked it against the
// validators of Height.
type Misbehaviour struct {
	Address    Address     `cbor:"1,keyasint"`
	Offence    Offence     `cbor:"2,keyasint"`
	Height     hufu.Height `cbor:"3,keyasint"` // of the offence
	Time       int64       `cbor:"4,keyasint"` // of the block at Height, unix seconds
	Power      uint64      `cbor:"5,keyasint"` // the validator's then
	TotalPower uint64      `cbor:"6,keyasint"` // of all then
}

// Convict records what a block proves of validators, and takes the voting power of each member against
// whose key there was no proof before: it is the member that answers for its keys, also for one that it has
// replaced since. Only the members can give power again, and only to a key that was never convicted. When
// none but the convicted have power, they keep it: a ledger without validators could decide nothing.
func Convict(ctx state.Context, o *state.Overlay, proven []Misbehaviour) error {
	if len(proven) == 0 {
		return nil
	}
	var fresh []Address
	for i := range proven {
		first, err := record(ctx, o, &proven[i])
		if err != nil {
			return err
		}
		if first {
			fresh = append(fresh, proven[i].Address)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	roster, err := GetRoster(o)
	if err != nil {
		return err
	}
	after := &Roster{Seats: slices.Clone(roster.Seats)}
	keys := make([]*ValidatorKey, len(fresh))
	for i, address := range fresh {
		if keys[i], err = GetValidatorKey(o, address); err != nil {
			return err
		}
		if at, ok := after.find(keys[i].Member); ok {
			after.Seats[at].Power = 0
		}
	}
	kept := after.power() == 0
	for i, rec := range keys {
		at, ok := roster.find(rec.Member)
		if !ok || roster.Seats[at].Power == 0 {
			continue // it has left, or has none
		}
		if rec.Conviction.Kept = kept; !kept {
			rec.Conviction.Took = roster.Seats[at].Power
			if err := disempower(ctx, o, roster, at); err != nil {
				return err
			}
		}
		if err := saveKey(o, fresh[i], rec); err != nil {
			return err
		}
	}
	return nil
}

// record adds m to what is known of its key, and reports whether it is the first.
func record(ctx state.Context, o *state.Overlay, m *Misbehaviour) (first bool, err error) {
	rec, err := GetValidatorKey(o, m.Address)
	if err != nil {
		return false, err
	}
	if rec == nil { // the engine proves nothing of keys that never validated
		rec = new(ValidatorKey)
	}
	proof := Proof{Misbehaviour: *m, Recorded: ctx.Height, RecordedTime: ctx.Time}
	if c := rec.Conviction; c != nil {
		if len(c.Proofs) < MaxProofs {
			c.Proofs = append(c.Proofs, proof)
		} else {
			c.More++
		}
		return false, saveKey(o, m.Address, rec)
	}
	list, err := state.Load[convictions](o, ConvictionsKey())
	if err != nil {
		return false, err
	}
	if list == nil {
		list = new(convictions)
	}
	rec.Conviction = &Conviction{Height: ctx.Height, Time: ctx.Time, Proofs: []Proof{proof}, Before: list.Last}
	if err := state.Save(o, ConvictionsKey(), &convictions{Last: &m.Address, Count: list.Count + 1}); err != nil {
		return false, err
	}
	return true, saveKey(o, m.Address, rec)
}

// disempower takes the power of the member in a seat.
func disempower(ctx state.Context, o *state.Overlay, roster *Roster, at int) error {
	m, err := GetMember(o, roster.Seats[at].Member)
	if err != nil {
		return err
	}
	if m == nil {
		return errNoGenesis
	}
	roster.Seats[at].Power, m.Power, m.Convicted = 0, 0, ctx.Height
	return save(o, roster, m)
}

// hold makes a validator key the member's for good: what a key signed is answered for by one member. A key
// that was convicted is in other hands than it should be, or was misused; it gets no power again.
func hold(ctx state.Context, o *state.Overlay, m *tx.MemberTerms) error {
	if len(m.ValidatorKey) == 0 {
		return nil
	}
	address := AddressOf(m.ValidatorKey)
	rec, err := GetValidatorKey(o, address)
	switch {
	case err != nil:
		return err
	case rec == nil:
		return saveKey(o, address, &ValidatorKey{Key: m.ValidatorKey, Member: m.Member, Since: ctx.Height})
	case rec.Member != m.Member:
		return hufu.Refuse(RuleValidatorKey, "the validator key is or was another member's")
	case rec.Conviction != nil && m.Power > 0:
		return hufu.Refuse(RuleKeyConvicted, "the validator key was convicted in block %d of a %s: power needs a new key",
			rec.Conviction.Height, rec.Conviction.Proofs[0].Misbehaviour.Offence)
	}
	return nil
}

func saveKey(o *state.Overlay, address Address, rec *ValidatorKey) error {
	return state.Save(o, ValidatorKeyKey(address), rec)
}
