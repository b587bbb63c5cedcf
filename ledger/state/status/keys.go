package status

import (
	"encoding/binary"

	"github.com/hufu-id/hufu"
)

// ChunkBytes is the size of a chunk: 2048 entries of one bit, 1024 of two.
const ChunkBytes = 256

// The keys of the state, after the prefix the issuer's 32 bytes, the list's number in 8 bytes and the
// chunk's in 4, big-endian.
const (
	prefixCount = "status/count/" // how many lists an issuer has opened: [Count]
	prefixList  = "status/list/"  // a list's record: [List]
	prefixMap   = "status/map/"   // which chunks exist: one bit each, least significant first
	prefixChunk = "status/chunk/" // entries, packed as in a Token Status List
)

func countKey(issuer hufu.ID) []byte { return append([]byte(prefixCount), issuer[:]...) }

func listKey(issuer hufu.ID, list uint64) []byte { return key(prefixList, issuer, list) }

func mapKey(issuer hufu.ID, list uint64) []byte { return key(prefixMap, issuer, list) }

func chunkKey(issuer hufu.ID, list uint64, chunk uint32) []byte {
	return binary.BigEndian.AppendUint32(key(prefixChunk, issuer, list), chunk)
}

func key(prefix string, issuer hufu.ID, list uint64) []byte {
	k := make([]byte, 0, len(prefix)+len(issuer)+12)
	k = append(append(k, prefix...), issuer[:]...)
	return binary.BigEndian.AppendUint64(k, list)
}

// place is where an entry lies: its chunk, the byte within, and the shift within the byte (Token
// Status List §4.1: from the least significant bit).
func place(bits uint8, index uint64) (chunk uint32, at int, shift uint8) {
	bit := index * uint64(bits)
	return uint32(bit / 8 / ChunkBytes), int(bit / 8 % ChunkBytes), uint8(bit % 8)
}

// chunks is how many chunks a list of size entries has.
func chunks(bits uint8, size uint64) uint32 {
	last, _, _ := place(bits, size-1)
	return last + 1
}
