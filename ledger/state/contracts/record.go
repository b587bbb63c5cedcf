package contracts

import "github.com/hufu-id/hufu"

// Published is one version of a contract as the state holds it. It never changes.
type Published struct {
	Owner   hufu.ID     `cbor:"1,keyasint"`
	Name    string      `cbor:"2,keyasint"`
	Version uint32      `cbor:"3,keyasint"`
	Hash    hufu.Digest `cbor:"4,keyasint"` // SHA-256 of Text
	Text    string      `cbor:"5,keyasint"`
	Height  hufu.Height `cbor:"6,keyasint"` // at which it was published
	Time    int64       `cbor:"7,keyasint"` // of that block, in unix seconds
	Tx      hufu.Digest `cbor:"8,keyasint"`
}

// Head names the newest version of a contract.
type Head struct {
	Version     uint32      `cbor:"1,keyasint"`
	Retired     hufu.Height `cbor:"2,keyasint,omitempty"` // 0: it is in force
	RetiredTime int64       `cbor:"3,keyasint,omitempty"` // of that block, in unix seconds
}

// Record is one version of a contract together with what became of the contract.
type Record struct {
	Published
	Latest      uint32      // version that is the newest
	Retired     hufu.Height // 0: the contract is in force
	RetiredTime int64       // unix seconds
}

// IsRetired reports whether the contract was retired, at whatever version.
func (r *Record) IsRetired() bool { return r.Retired != 0 }
