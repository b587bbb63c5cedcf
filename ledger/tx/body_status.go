package tx

import "github.com/hufu-id/hufu"

// StatusOpen opens the author's next status list. All entries start valid.
type StatusOpen struct {
	List uint64 `cbor:"1,keyasint"` // the author's lists count from 0
	Bits uint8  `cbor:"2,keyasint"` // 1: valid or revoked; 2: also suspended
	Size uint64 `cbor:"3,keyasint"` // entries
	URI  string `cbor:"4,keyasint"` // where the Token Status List is served, as credentials name it
}

// StatusSet changes entries of one of the author's lists.
type StatusSet struct {
	List    uint64         `cbor:"1,keyasint"`
	Changes []StatusChange `cbor:"2,keyasint"`
}

// StatusChange gives entries a status for a reason.
type StatusChange struct {
	Status  hufu.Status `cbor:"1,keyasint"`
	Reason  string      `cbor:"2,keyasint"` // ReasonUnspecified and its like
	Indexes []uint64    `cbor:"3,keyasint"` // ascending
}

// Reasons of a status change. They are codes: free text could say something about a person.
const (
	ReasonUnspecified   = "unspecified"
	ReasonSuperseded    = "superseded"     // a newer copy took its place
	ReasonKeyCompromise = "key-compromise" // the holder's or issuer's key is in doubt
	ReasonCessation     = "cessation"      // what it attests ended
	ReasonError         = "error"          // it was issued wrongly
	ReasonFraud         = "fraud"          // it was obtained wrongly
	ReasonRequested     = "requested"      // its holder asked
)

// Kind is [KindStatusOpen].
func (*StatusOpen) Kind() Kind { return KindStatusOpen }

// Kind is [KindStatusSet].
func (*StatusSet) Kind() Kind { return KindStatusSet }

// Entries is how many entries b changes.
func (b *StatusSet) Entries() (n int) {
	for _, c := range b.Changes {
		n += len(c.Indexes)
	}
	return n
}

// Validate implements [Body].
func (b *StatusOpen) Validate() error {
	switch {
	case b.Bits != 1 && b.Bits != 2:
		return invalid("entries of %d bits, not 1 or 2", b.Bits)
	case b.Size == 0 || b.Size > MaxStatusSize:
		return invalid("a list of %d entries, not 1 to %d", b.Size, MaxStatusSize)
	}
	return checkURI("list", b.URI)
}

// Validate implements [Body].
func (b *StatusSet) Validate() error {
	if len(b.Changes) == 0 || len(b.Changes) > MaxStatusChanges {
		return invalid("%d groups of changes, not 1 to %d", len(b.Changes), MaxStatusChanges)
	}
	for _, c := range b.Changes {
		switch c.Status {
		case hufu.StatusValid, hufu.StatusRevoked, hufu.StatusSuspended:
		default:
			return invalid("an unknown status")
		}
		switch c.Reason {
		case ReasonUnspecified, ReasonSuperseded, ReasonKeyCompromise, ReasonCessation, ReasonError, ReasonFraud, ReasonRequested:
		default:
			return invalid("an unknown reason")
		}
		if len(c.Indexes) == 0 {
			return invalid("a change of no entry")
		}
		for i, x := range c.Indexes {
			if i > 0 && c.Indexes[i-1] >= x {
				return invalid("indexes not ascending")
			}
		}
		if c.Indexes[len(c.Indexes)-1] >= MaxStatusSize {
			return invalid("an index above the largest list")
		}
	}
	return nil
}
