package wallet

import (
	"fmt"
	"slices"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract/dcql"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
)

// contents is everything a wallet holds, as it is saved.
type contents struct {
	Version uint64     `cbor:"1,keyasint"`
	Keys    []heldKey  `cbor:"2,keyasint"`
	Copies  []heldCopy `cbor:"3,keyasint"`
	Log     []logged   `cbor:"4,keyasint"`
	Sources []source   `cbor:"5,keyasint,omitempty"`
	Pending []pending  `cbor:"6,keyasint,omitempty"`
}

// contentsVersion is written; what older versions wrote is read.
const contentsVersion = 2

// heldKey is one holder key. Its place in contents.Keys is its number for good.
type heldKey struct {
	Suite  string `cbor:"1,keyasint"`
	Secret []byte `cbor:"2,keyasint"`
	Gate   string `cbor:"3,keyasint,omitempty"` // the one gate, or stranger, that has seen it

	signer keys.Signer
}

// heldCopy is one copy of a credential. Copies of one batch say the same and have the same kind.
type heldCopy struct {
	Credential string      `cbor:"1,keyasint,omitempty"` // forgotten when it was shown
	Key        uint64      `cbor:"2,keyasint"`           // number of the key it is bound to
	Type       string      `cbor:"3,keyasint"`
	Issuer     string      `cbor:"4,keyasint"`
	Expires    int64       `cbor:"5,keyasint"` // unix seconds; 0: never
	Kind       hufu.Digest `cbor:"6,keyasint"` // of what it says, see kindOf
	Shown      bool        `cbor:"7,keyasint,omitempty"`
	Format     string      `cbor:"8,keyasint,omitempty"`  // "": SD-JWT VC
	Source     uint64      `cbor:"9,keyasint,omitempty"`  // number in contents.Sources, from 1; 0: none
	Foreign    bool        `cbor:"10,keyasint,omitempty"` // the ledger does not know the issuer
	Restored   bool        `cbor:"11,keyasint,omitempty"` // from a backup, so it may have been shown since
}

// format is the copy's credential format.
func (h *heldCopy) format() string {
	if h.Format == "" {
		return dcql.FormatSDJWT
	}
	return h.Format
}

// source is where credentials came from and can be had again. Its place in contents.Sources, from 1, is
// its number for good.
type source struct {
	Issuer   string   `cbor:"1,keyasint"` // Credential Issuer Identifier
	Server   string   `cbor:"2,keyasint"` // of the authorization server
	ClientID string   `cbor:"3,keyasint,omitempty"`
	Refresh  string   `cbor:"4,keyasint,omitempty"` // refresh token; "": none, or it was used up
	DPoP     []byte   `cbor:"5,keyasint,omitempty"` // secret of the P-256 key that tokens are bound to
	Configs  []string `cbor:"6,keyasint"`           // credential configurations
	Copies   uint64   `cbor:"7,keyasint"`           // asked for at once
	Foreign  bool     `cbor:"8,keyasint,omitempty"` // the person agreed to an issuer that the ledger does not know
}

// pending is credentials that were promised for later.
type pending struct {
	Source      uint64   `cbor:"1,keyasint"` // number, from 1
	Config      string   `cbor:"2,keyasint"`
	Transaction string   `cbor:"3,keyasint"`
	Keys        []uint64 `cbor:"4,keyasint"`
	Token       string   `cbor:"5,keyasint"`
	Type        string   `cbor:"6,keyasint"` // of Token
	After       int64    `cbor:"7,keyasint"` // unix seconds: not to be asked for before
}

// logged is one request and what came of it.
type logged struct {
	Time     int64   `cbor:"1,keyasint"`
	Gate     string  `cbor:"2,keyasint,omitempty"`
	Contract string  `cbor:"3,keyasint,omitempty"`
	Version  uint64  `cbor:"4,keyasint,omitempty"`
	Nonce    string  `cbor:"5,keyasint,omitempty"`
	State    string  `cbor:"6,keyasint,omitempty"`
	Refused  string  `cbor:"7,keyasint,omitempty"` // the rule by which the wallet did not answer
	Shown    []shown `cbor:"8,keyasint,omitempty"` // in the order of the contract's queries
	Receipt  string  `cbor:"9,keyasint,omitempty"`
	Client   string  `cbor:"10,keyasint,omitempty"` // client identifier, or origin, of a stranger
	Issuer   string  `cbor:"11,keyasint,omitempty"` // who offered credentials; then it is no request
	Got      uint64  `cbor:"12,keyasint,omitempty"` // copies that were taken
	Posted   string  `cbor:"13,keyasint,omitempty"` // where the answer to a gate went
}

type shown struct {
	Query        string   `cbor:"1,keyasint"`
	Type         string   `cbor:"2,keyasint"`
	Claims       []string `cbor:"3,keyasint"` // names of what was disclosed
	Presentation string   `cbor:"4,keyasint"`
}

func decode(raw []byte) (*contents, error) {
	c := &contents{Version: contentsVersion}
	if raw == nil {
		return c, nil
	}
	if err := encoding.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("wallet: contents: %w", err)
	}
	if c.Version == 0 || c.Version > contentsVersion {
		return nil, fmt.Errorf("wallet: contents have version %d, which is not known", c.Version)
	}
	c.Version = contentsVersion
	for i := range c.Keys {
		k := &c.Keys[i]
		suite, err := keys.SuiteByName(k.Suite)
		if err != nil {
			return nil, fmt.Errorf("wallet: key %d: %w", i, err)
		}
		if k.signer, err = suite.Load(k.Secret); err != nil {
			return nil, fmt.Errorf("wallet: key %d: %w", i, err)
		}
	}
	for i := range c.Copies {
		if c.Copies[i].Key >= uint64(len(c.Keys)) || c.Copies[i].Source > uint64(len(c.Sources)) {
			return nil, fmt.Errorf("wallet: copy %d is bound to no key of the wallet, or from nowhere", i)
		}
	}
	for i := range c.Pending {
		p := &c.Pending[i]
		if p.Source == 0 || p.Source > uint64(len(c.Sources)) || slices.ContainsFunc(p.Keys, func(k uint64) bool { return k >= uint64(len(c.Keys)) }) {
			return nil, fmt.Errorf("wallet: pending credential %d has no key of the wallet, or is from nowhere", i)
		}
	}
	return c, nil
}

// usable reports whether a copy may be shown to a gate at a time.
func (c *contents) usable(i int, gate string, now time.Time) bool {
	h := &c.Copies[i]
	seenBy := c.Keys[h.Key].Gate
	return !h.Shown && (h.Expires == 0 || now.Unix() < h.Expires) && (seenBy == "" || seenBy == gate)
}

// left counts the copies of a kind that a gate never met could still be shown.
func (c *contents) left(kind hufu.Digest, now time.Time) int {
	n := 0
	for i := range c.Copies {
		if c.Copies[i].Kind == kind && c.usable(i, "", now) {
			n++
		}
	}
	return n
}
