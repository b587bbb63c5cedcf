package trust

import (
	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/tx"
)

// Bounds of the records. The members' own grants are not counted: nobody can keep them from
// accrediting by filling a record up.
const (
	MaxGrantsBy = 16  // by one grantor to one subject for one type, over all time
	MaxGrants   = 64  // by all grantors
	MaxDue      = 256 // withdrawals announced for one height
)

// TypeRecord is a credential type in its latest version.
type TypeRecord struct {
	tx.TrustType
	Owner  hufu.ID     `cbor:"6,keyasint"` // the member that publishes it
	Height hufu.Height `cbor:"7,keyasint"` // at which this version was published
	Time   int64       `cbor:"8,keyasint"` // of that block, in unix seconds
	Tx     hufu.Digest `cbor:"9,keyasint"`
}

// Accreditation is every grant that one subject ever had for one type. A grant's place in Grants is
// its number and stays.
type Accreditation struct {
	Subject hufu.ID `cbor:"1,keyasint"`
	Type    string  `cbor:"2,keyasint"` // vct
	Grants  []Grant `cbor:"3,keyasint"` // oldest first
}

// Grant allows its subject to issue credentials of one type.
type Grant struct {
	By         hufu.ID     `cbor:"1,keyasint"`           // zero: the members together
	Parent     uint32      `cbor:"2,keyasint,omitempty"` // number of the grant to By that it comes from
	Proposal   hufu.Digest `cbor:"3,keyasint"`           // by which the members decided; zero: passed on
	Tx         hufu.Digest `cbor:"4,keyasint"`           // that made it
	Height     hufu.Height `cbor:"5,keyasint"`
	Time       int64       `cbor:"6,keyasint"`           // of that block, in unix seconds
	Delegate   uint8       `cbor:"7,keyasint,omitempty"` // how many further levels it may be passed on
	NotBefore  int64       `cbor:"8,keyasint"`           // first issuance it covers, in unix seconds
	NotAfter   int64       `cbor:"9,keyasint"`           // last issuance it covers
	Withdrawal *Withdrawal `cbor:"10,keyasint,omitempty"`
}

// Root reports whether the grant is the members' own, the end of a chain.
func (g *Grant) Root() bool { return g.By.IsZero() }

// Withdrawal ends a grant.
type Withdrawal struct {
	From     hufu.Height `cbor:"1,keyasint"`           // first height at which the grant is gone
	FromTime int64       `cbor:"2,keyasint,omitempty"` // of that block; 0: it is not there yet
	Stand    bool        `cbor:"3,keyasint,omitempty"` // credentials issued before FromTime stand
	By       hufu.ID     `cbor:"4,keyasint"`           // zero: the members together
	Proposal hufu.Digest `cbor:"5,keyasint"`           // zero: the grantor took it back
	Tx       hufu.Digest `cbor:"6,keyasint"`
}

// Link is one step of a chain: a grant and to whom.
type Link struct {
	Subject hufu.ID
	Number  uint32 // of the grant among the subject's for the type
	Grant   Grant
}

// due lists what has to be given its time when a height comes.
type due struct {
	Items []dueItem `cbor:"1,keyasint"`
}

type dueItem struct {
	Subject hufu.ID `cbor:"1,keyasint"`
	Type    string  `cbor:"2,keyasint"`
}
