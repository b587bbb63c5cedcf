package store

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// Rows of the database. Everything but meta and records can be computed from the records.
//
//	m             → meta, CBOR
//	v ‖ key hash  → length of key (uvarint) ‖ key ‖ value
//	c ‖ segment   → version (8) ‖ number of its file of pages (8) ‖ shape and buckets of the segment after that version
//	j ‖ version   → every bucket that version changed: depth (1) ‖ path (8) ‖ bucket
//
// A bucket is its hash and where its page is.
//
// Numbers are big-endian. A version is a commit's number, from 1.
const (
	rowCheckpoint = 'c'
	rowJournal    = 'j'
	rowMeta       = 'm'
	rowRecord     = 'v'
)

// formatVersion is of the layout above and of pages. Formats from formatOldest on differ in pages alone.
const (
	formatVersion = 4
	formatOldest  = 2
)

type metaRow struct {
	Format  uint64      `cbor:"1,keyasint"`
	Version uint64      `cbor:"2,keyasint"`
	Height  hufu.Height `cbor:"3,keyasint"`
	Root    []byte      `cbor:"4,keyasint"`
	Count   uint64      `cbor:"5,keyasint"`
	Meta    []byte      `cbor:"6,keyasint,omitempty"`
}

func metaKey() []byte { return []byte{rowMeta} }

func encodeMeta(v version) ([]byte, error) {
	return encoding.Marshal(metaRow{
		Format: formatVersion, Version: v.number, Height: v.Height, Root: v.Root[:], Count: v.Count, Meta: v.Meta,
	})
}

// decodeMeta also tells whether pages and trie are to be made anew from the records.
func decodeMeta(data []byte) (v version, old bool, err error) {
	var row metaRow
	if err := encoding.Unmarshal(data, &row); err != nil {
		return v, false, fmt.Errorf("%w: meta row: %w", ErrCorrupt, err)
	}
	if row.Format < formatOldest || row.Format > formatVersion {
		return v, false, fmt.Errorf("store: format %d on disk, this program reads %d to %d: use the version that wrote it, or a later one",
			row.Format, formatOldest, formatVersion)
	}
	if len(row.Root) != len(hufu.Digest{}) {
		return v, false, fmt.Errorf("%w: meta row: root of %d bytes", ErrCorrupt, len(row.Root))
	}
	return version{
		number: row.Version,
		State:  State{Height: row.Height, Root: hufu.Digest(row.Root), Count: row.Count, Meta: row.Meta},
	}, row.Format != formatVersion, nil
}

func recordKey(keyHash *hufu.Digest) []byte {
	return append(append(make([]byte, 0, 33), rowRecord), keyHash[:]...)
}

func recordPrefix(p place) [9]byte {
	prefix := [9]byte{rowRecord}
	binary.BigEndian.PutUint64(prefix[1:], p.path)
	return prefix
}

// recordBounds are the first keys in and after a segment's rows.
func recordBounds(seg int) (lower, upper []byte) {
	upper = []byte{rowRecord, byte(seg + 1)}
	if seg == segments-1 {
		upper = []byte{rowRecord + 1}
	}
	return []byte{rowRecord, byte(seg)}, upper
}

func appendRecord(buf, key, value []byte) []byte {
	buf = binary.AppendUvarint(buf, uint64(len(key)))
	return append(append(buf, key...), value...)
}

var errBadRecord = errors.New("a record's row does not parse")

// decodeRecord splits a row's value. The parts share its memory.
func decodeRecord(row []byte) (proof.KV, error) {
	n, w := binary.Uvarint(row)
	if w <= 0 || n == 0 || n >= uint64(len(row)-w) {
		return proof.KV{}, errBadRecord
	}
	kv := row[w:]
	return proof.KV{Key: kv[:n:n], Value: kv[n:]}, nil
}

func checkpointKey(seg int) []byte { return []byte{rowCheckpoint, byte(seg)} }

func encodeCheckpoint(seg segment, number, pages uint64, move func(pageRef) pageRef) []byte {
	out := make([]byte, 0, 32+len(seg)*(bucketRow+1)/2)
	out = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(out, number), pages)
	return appendSegment(out, seg, 0, move)
}

func decodeCheckpoint(row []byte) (seg segment, number, pages uint64, err error) {
	if len(row) < 16 {
		return nil, 0, 0, errBadTree
	}
	seg, err = readSegment(row[16:])
	return seg, binary.BigEndian.Uint64(row), binary.BigEndian.Uint64(row[8:]), err
}

func journalKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{rowJournal}, number)
}

func appendJournal(out []byte, p place, bucket *node) []byte {
	out = binary.BigEndian.AppendUint64(append(out, byte(p.depth)), p.path)
	return appendBucket(out, bucket.seen(), bucket.page())
}

// journalRow is the most that a bucket takes in a journal.
const journalRow = 9 + bucketRow

// eachJournal calls f for every bucket in a journal row.
func eachJournal(row []byte, f func(place, node)) error {
	for len(row) > 0 {
		if len(row) < 10 || row[0] < segmentDepth || row[0] > maxBucketDepth {
			return errBadTree
		}
		p := place{depth: int(row[0]), path: binary.BigEndian.Uint64(row[1:])}
		bucket, rest, err := readBucket(row[9:])
		if err != nil {
			return err
		}
		f(p, bucket)
		row = rest
	}
	return nil
}
