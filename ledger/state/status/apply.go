package status

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/tx"
)

// The rules a transaction or a look-up can be refused by.
const (
	RuleNumber      hufu.Rule = "status.list-number"        // lists are opened one after the other
	RuleURI         hufu.Rule = "status.list-uri"           // no status list's URI, or another one's
	RuleUnknownList hufu.Rule = "status.unknown-list"       // the issuer has not opened it
	RuleRange       hufu.Rule = "status.index-out-of-range" // the list has no such entry
	RuleTwice       hufu.Rule = "status.index-twice"        // one batch says two things about an entry
	RuleBits        hufu.Rule = "status.not-in-this-list"   // one-bit lists know no suspension
	RuleFinal       hufu.Rule = "status.revoked-is-final"
)

// Apply applies a status transaction: all of it, or, with an error, nothing. Nobody can change
// another's list, because a list is named by its author and a number.
func Apply(ctx state.Context, o *state.Overlay, t *tx.Tx) error {
	switch b := t.Body.(type) {
	case *tx.StatusOpen:
		return open(ctx, o, t.Payload.Author, b)
	case *tx.StatusSet:
		return set(o, t.Payload.Author, b)
	}
	return fmt.Errorf("status: a transaction of kind %q", t.Payload.Kind)
}

func open(ctx state.Context, o *state.Overlay, author hufu.ID, b *tx.StatusOpen) error {
	count, err := state.Load[Count](o, countKey(author))
	if err != nil {
		return err
	}
	if count == nil {
		count = new(Count)
	}
	if b.List != count.Lists {
		return hufu.Refuse(RuleNumber, "list %d; the issuer's next is %d", b.List, count.Lists)
	}
	did, number, err := ParseURI(b.URI)
	if err != nil {
		return err
	}
	if did != author.DID(ctx.Network) || number != b.List {
		return hufu.Refuse(RuleURI, "the URI names another issuer or list")
	}
	count.Lists++
	if err := state.Save(o, countKey(author), count); err != nil {
		return err
	}
	return state.Save(o, listKey(author, b.List), &List{
		Issuer: author, Number: b.List, Bits: b.Bits, Size: b.Size, URI: b.URI, Height: ctx.Height, Time: ctx.Time,
	})
}

// entry is one index and what it is to become.
type entry struct {
	index  uint64
	status hufu.Status
}

func set(o *state.Overlay, author hufu.ID, b *tx.StatusSet) error {
	list, err := known(o, author, b.List)
	if err != nil {
		return err
	}
	entries, err := collect(list, b.Changes)
	if err != nil {
		return err
	}
	exists, err := o.Get(mapKey(author, b.List))
	if err != nil {
		return err
	}
	exists, grown := bytes.Clone(exists), false
	var changed []state.Change
	for len(entries) > 0 {
		number, _, _ := place(list.Bits, entries[0].index)
		n := 1
		for n < len(entries) && inChunk(list.Bits, entries[n].index, number) {
			n++
		}
		key := chunkKey(author, b.List, number)
		chunk, err := setChunk(o, list, key, entries[:n])
		if err != nil {
			return err
		}
		if chunk != nil {
			changed = append(changed, state.Change{Key: key, Value: chunk})
			grown = mark(&exists, list, number) || grown
		}
		entries = entries[n:]
	}
	for _, c := range changed {
		o.Set(c.Key, c.Value)
	}
	if grown {
		o.Set(mapKey(author, b.List), exists)
	}
	return nil
}

func inChunk(bits uint8, index uint64, number uint32) bool {
	chunk, _, _ := place(bits, index)
	return chunk == number
}

// collect puts a batch in the order of its indexes and checks each against the list.
func collect(list *List, changes []tx.StatusChange) ([]entry, error) {
	var entries []entry
	for _, c := range changes {
		if uint8(c.Status)>>list.Bits != 0 {
			return nil, hufu.Refuse(RuleBits, "%s in a list with entries of %d bit", c.Status, list.Bits)
		}
		for _, index := range c.Indexes {
			if index >= list.Size {
				return nil, hufu.Refuse(RuleRange, "index %d in a list of %d entries", index, list.Size)
			}
			entries = append(entries, entry{index, c.Status})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.index, b.index) })
	for i := 1; i < len(entries); i++ {
		if entries[i-1].index == entries[i].index {
			return nil, hufu.Refuse(RuleTwice, "index %d twice in one batch", entries[i].index)
		}
	}
	return entries, nil
}

// setChunk returns a chunk with entries set, or nil when it stays as it is. Setting the status that an
// entry has is no error, so that a sender who missed an answer may send again.
func setChunk(r state.Reader, list *List, key []byte, entries []entry) ([]byte, error) {
	old, err := loadChunk(r, key)
	if err != nil {
		return nil, err
	}
	chunk := make([]byte, ChunkBytes)
	copy(chunk, old)
	same := true
	for _, e := range entries {
		_, at, shift := place(list.Bits, e.index)
		mask := byte(1<<list.Bits - 1)
		had := hufu.Status(chunk[at] >> shift & mask)
		if had == e.status {
			continue
		}
		if had == hufu.StatusRevoked {
			return nil, hufu.Refuse(RuleFinal, "index %d of list %d is revoked and cannot become %s", e.index, list.Number, e.status)
		}
		chunk[at] = chunk[at]&^(mask<<shift) | byte(e.status)<<shift
		same = false
	}
	if same {
		return nil, nil
	}
	return chunk, nil
}

// mark notes that a chunk exists and reports whether that is new.
func mark(exists *[]byte, list *List, chunk uint32) bool {
	if *exists == nil {
		*exists = make([]byte, (chunks(list.Bits, list.Size)+7)/8)
	}
	bit := byte(1) << (chunk % 8)
	if (*exists)[chunk/8]&bit != 0 {
		return false
	}
	(*exists)[chunk/8] |= bit
	return true
}
