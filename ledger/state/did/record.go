package did

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/tx"
)

// MaxHistory is how many control keys and how many methods an identifier can have over its whole
// life. Signatures name a control key by one byte, and a record must stay small enough to prove.
const MaxHistory = 256

// Record is all the ledger knows about one identifier.
type Record struct {
	ID            hufu.ID        `cbor:"1,keyasint"`
	Sequence      uint64         `cbor:"2,keyasint"`           // of the next transaction it authors
	Member        hufu.ID        `cbor:"3,keyasint"`           // whose quota it uses when nobody sponsors
	Open          bool           `cbor:"4,keyasint,omitempty"` // that member did not co-sign, so its open quota
	Keys          []Key          `cbor:"5,keyasint"`           // every control key ever, by index
	Threshold     uint8          `cbor:"6,keyasint"`
	Next          []hufu.Digest  `cbor:"7,keyasint"` // of the keys it rotates to
	NextThreshold uint8          `cbor:"8,keyasint"`
	Methods       []MethodRecord `cbor:"9,keyasint,omitempty"` // every method ever, oldest first
	Services      []tx.Service   `cbor:"10,keyasint,omitempty"`
	Created       hufu.Height    `cbor:"11,keyasint"`
	CreatedTime   int64          `cbor:"12,keyasint"`
	Updated       hufu.Height    `cbor:"13,keyasint"` // last create, rotate, update, finish or deactivate
	UpdatedTime   int64          `cbor:"14,keyasint"`
	Version       uint64         `cbor:"15,keyasint"` // counts those events from 1

	Deactivated     hufu.Height `cbor:"16,keyasint,omitempty"` // 0: it lives; no transaction is in block 0
	DeactivatedTime int64       `cbor:"17,keyasint,omitempty"`

	Guard    *tx.Guard `cbor:"18,keyasint,omitempty"` // who may recover it; nil: nobody
	Recovery *Recovery `cbor:"19,keyasint,omitempty"`
}

// AppendPlain is [state.Plain]'s: it writes the record of an identifier that has control keys and nothing else,
// none of which has ended.
func (r *Record) AppendPlain(b []byte) []byte {
	if len(r.Methods) > 0 || len(r.Services) > 0 || r.Deactivated != 0 || r.DeactivatedTime != 0 ||
		r.Guard != nil || r.Recovery != nil || r.CreatedTime < 0 || r.UpdatedTime < 0 {
		return nil
	}
	fields := uint64(12)
	if r.Open {
		fields++
	}
	b = slices.Grow(b, 224) // enough for one key and one to come
	b = encoding.AppendHead(b, encoding.MajorMap, fields)
	b = encoding.AppendBytesField(b, 1, r.ID[:])
	b = encoding.AppendField(b, 2, r.Sequence)
	b = encoding.AppendBytesField(b, 3, r.Member[:])
	if r.Open {
		b = append(encoding.AppendHead(b, encoding.MajorUint, 4), 0xf5) // true
	}
	b = encoding.AppendHead(encoding.AppendHead(b, encoding.MajorUint, 5), encoding.MajorArray, uint64(len(r.Keys)))
	for i := range r.Keys {
		k := &r.Keys[i]
		if k.FromTime < 0 || k.Until != 0 || k.UntilTime != 0 || k.Fallen {
			return nil
		}
		b = encoding.AppendHead(b, encoding.MajorMap, 3)
		b = encoding.AppendField(b, 1, uint64(k.From))
		b = encoding.AppendField(b, 2, uint64(k.FromTime))
		b = encoding.AppendBytesField(b, 6, k.Multikey)
	}
	b = encoding.AppendField(b, 6, uint64(r.Threshold))
	b = encoding.AppendHead(encoding.AppendHead(b, encoding.MajorUint, 7), encoding.MajorArray, uint64(len(r.Next)))
	for i := range r.Next {
		b = encoding.AppendBytes(b, r.Next[i][:])
	}
	b = encoding.AppendField(b, 8, uint64(r.NextThreshold))
	b = encoding.AppendField(b, 11, uint64(r.Created))
	b = encoding.AppendField(b, 12, uint64(r.CreatedTime))
	b = encoding.AppendField(b, 13, uint64(r.Updated))
	b = encoding.AppendField(b, 14, uint64(r.UpdatedTime))
	return encoding.AppendField(b, 15, r.Version)
}

// Span is when a key held: from a block's time until, exclusive, another's.
type Span struct {
	From      hufu.Height `cbor:"1,keyasint"`
	FromTime  int64       `cbor:"2,keyasint"`           // unix seconds
	Until     hufu.Height `cbor:"3,keyasint,omitempty"` // 0: it still holds
	UntilTime int64       `cbor:"4,keyasint,omitempty"`
	Fallen    bool        `cbor:"5,keyasint,omitempty"` // what it signed no longer stands
}

// Current reports whether the key holds now.
func (s *Span) Current() bool { return s.Until == 0 }

// holds reports whether the key held at a time.
func (s *Span) holds(at int64) bool {
	return s.FromTime <= at && (s.Current() || at < s.UntilTime)
}

// Key is a control key. Its index is its place in [Record.Keys].
type Key struct {
	Multikey []byte `cbor:"6,keyasint"`
	Span
}

// MethodRecord is a verification method besides the control keys.
type MethodRecord struct {
	Fragment string `cbor:"6,keyasint"`
	Multikey []byte `cbor:"7,keyasint"`
	Purposes uint8  `cbor:"8,keyasint"` // bits, see tx.PurposeAuthentication
	Span
}

// IsDeactivated reports whether the identifier has ended.
func (r *Record) IsDeactivated() bool { return r.Deactivated != 0 }

// CurrentKeys lists the indexes of the control keys that hold now, ascending.
func (r *Record) CurrentKeys() []int {
	out := make([]int, 0, len(r.Keys))
	for i := range r.Keys {
		if r.Keys[i].Current() {
			out = append(out, i)
		}
	}
	return out
}
