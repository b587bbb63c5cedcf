package status

import (
	"fmt"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state"
)

// Count is how many lists an issuer has opened.
type Count struct {
	Lists uint64 `cbor:"1,keyasint"` // which is also the next list's number
}

// List is a status list's record. It never changes.
type List struct {
	Issuer hufu.ID     `cbor:"1,keyasint"`
	Number uint64      `cbor:"2,keyasint"` // among the issuer's lists, from 0
	Bits   uint8       `cbor:"3,keyasint"` // of one entry: 1 or 2
	Size   uint64      `cbor:"4,keyasint"` // entries
	URI    string      `cbor:"5,keyasint"` // as credentials name the list
	Height hufu.Height `cbor:"6,keyasint"` // at which it was opened
	Time   int64       `cbor:"7,keyasint"` // of that block, in unix seconds
}

// Lists is how many lists an issuer has opened; they are numbered from 0.
func Lists(r state.Reader, issuer hufu.ID) (uint64, error) {
	count, err := state.Load[Count](r, countKey(issuer))
	if err != nil || count == nil {
		return 0, err
	}
	return count.Lists, nil
}

// GetList returns a list's record, or nil when there is none.
func GetList(r state.Reader, issuer hufu.ID, list uint64) (*List, error) {
	return state.Load[List](r, listKey(issuer, list))
}

func known(r state.Reader, issuer hufu.ID, list uint64) (*List, error) {
	rec, err := GetList(r, issuer, list)
	if err == nil && rec == nil {
		err = hufu.Refuse(RuleUnknownList, "the issuer has no list %d", list)
	}
	return rec, err
}

// LookupURI returns the status that a credential's reference points to. It refuses as [Find] and
// [List.Lookup] do.
func LookupURI(r state.Reader, issuer hufu.DID, uri string, index uint64) (hufu.Status, error) {
	list, err := Find(r, issuer, uri)
	if err != nil {
		return 0, err
	}
	return list.Lookup(r, index)
}

// Find returns the list that a credential of issuer refers to. It must be one of the credential's own
// issuer, opened under exactly this URI: a credential cannot borrow the good name of another's list.
// It refuses with [RuleURI] or [RuleUnknownList].
func Find(r state.Reader, issuer hufu.DID, uri string) (*List, error) {
	did, list, err := ParseURI(uri)
	if err != nil {
		return nil, err
	}
	if did != issuer {
		return nil, hufu.Refuse(RuleURI, "a list of another issuer than the credential's")
	}
	_, id, err := did.Parse()
	if err != nil {
		return nil, hufu.Refuse(RuleURI, "%v", err)
	}
	rec, err := known(r, id, list)
	if err != nil {
		return nil, err
	}
	if rec.URI != uri {
		return nil, hufu.Refuse(RuleURI, "list %d was opened under another URI", list)
	}
	return rec, nil
}

// Lookup returns the status of an entry of l. It refuses with [RuleRange].
func (l *List) Lookup(r state.Reader, index uint64) (hufu.Status, error) {
	if index >= l.Size {
		return 0, hufu.Refuse(RuleRange, "index %d in a list of %d entries", index, l.Size)
	}
	number, at, shift := place(l.Bits, index)
	chunk, err := loadChunk(r, chunkKey(l.Issuer, l.Number, number))
	if err != nil || chunk == nil {
		return hufu.StatusValid, err
	}
	return hufu.Status(chunk[at] >> shift & (1<<l.Bits - 1)), nil
}

// LookupRun returns the statuses of entries of l, whose indexes are ascending: of the first of them, and of as
// many more as lie in chunks that a node proves in one answer. It refuses with [RuleRange].
func (l *List) LookupRun(r state.Reader, indexes []uint64) ([]hufu.Status, error) {
	var keys [][]byte
	run, last := 0, uint32(0)
	for ; run < len(indexes); run++ {
		if indexes[run] >= l.Size {
			return nil, hufu.Refuse(RuleRange, "index %d in a list of %d entries", indexes[run], l.Size)
		}
		if number, _, _ := place(l.Bits, indexes[run]); run == 0 || number != last {
			if len(keys) == proof.MaxKeysPerAnswer {
				break
			}
			keys, last = append(keys, chunkKey(l.Issuer, l.Number, number)), number
		}
	}
	if err := state.Prefetch(r, keys); err != nil {
		return nil, err
	}
	out := make([]hufu.Status, run)
	var chunk []byte
	for i, index := range indexes[:run] {
		number, at, shift := place(l.Bits, index)
		if i == 0 || number != last {
			var err error
			if chunk, err = loadChunk(r, chunkKey(l.Issuer, l.Number, number)); err != nil {
				return nil, err
			}
			last = number
		}
		if chunk != nil {
			out[i] = hufu.Status(chunk[at] >> shift & (1<<l.Bits - 1))
		}
	}
	return out, nil
}

func loadChunk(r state.Reader, key []byte) ([]byte, error) {
	chunk, err := r.Get(key)
	if err != nil {
		return nil, err
	}
	if chunk != nil && len(chunk) != ChunkBytes {
		return nil, fmt.Errorf("status: a chunk of %d bytes in the state", len(chunk))
	}
	return chunk, nil
}

// Export returns a whole list, packed as a Token Status List of entries of bits. It reads only the
// chunks that exist, which the state names. It refuses with [RuleUnknownList].
func Export(r state.Reader, issuer hufu.ID, list uint64) (bits uint8, packed []byte, err error) {
	rec, err := known(r, issuer, list)
	if err != nil {
		return 0, nil, err
	}
	exists, err := r.Get(mapKey(issuer, list))
	if err != nil {
		return 0, nil, err
	}
	total := chunks(rec.Bits, rec.Size)
	if exists != nil && len(exists) != int(total+7)/8 {
		return 0, nil, fmt.Errorf("status: a map of %d bytes for %d chunks in the state", len(exists), total)
	}
	var present []uint32
	var keys [][]byte
	for n := range total {
		if exists != nil && exists[n/8]>>(n%8)&1 != 0 {
			present, keys = append(present, n), append(keys, chunkKey(issuer, list, n))
		}
	}
	if err := state.Prefetch(r, keys); err != nil {
		return 0, nil, err
	}
	packed = make([]byte, int(total)*ChunkBytes)
	for _, n := range present {
		chunk, err := loadChunk(r, chunkKey(issuer, list, n))
		if err != nil {
			return 0, nil, err
		}
		if chunk == nil {
			return 0, nil, fmt.Errorf("status: chunk %d is named and absent in the state", n)
		}
		copy(packed[int(n)*ChunkBytes:], chunk)
	}
	return rec.Bits, packed[:(rec.Size*uint64(rec.Bits)+7)/8], nil
}
