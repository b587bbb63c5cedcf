package proof

import (
	"bytes"

	"github.com/hufu-id/hufu"
)

// RuleAnswer refuses an answer that is not about the keys asked for.
const RuleAnswer hufu.Rule = "proof.answer"

// Rules of a node about a transaction that it holds or has no room for, before any block.
const (
	RuleBusy  hufu.Rule = "tx.busy"  // no room now; later there may be
	RuleKnown hufu.Rule = "tx.known" // the same transaction waits for a block already
)

// Paths of the ABCI queries that a node answers, and what travels under them as deterministic CBOR.
const (
	PathProve    = "/prove"    // keys [][]byte → [Answer]
	PathAwait    = "/await"    // height → the node's height, once above it or after some seconds
	PathSnapshot = "/snapshot" // [SnapshotRequest] → [SnapshotPage]
	PathMissing  = "/missing"  // nothing → the height up to which the node lacks headers of which evidence still counts, 0: none
)

// MaxKeysPerAnswer bounds one query's keys.
const MaxKeysPerAnswer = 1024

// Answer is a set of proven reads of one version of the state.
type Answer struct {
	Height hufu.Height `cbor:"1,keyasint"`
	Root   hufu.Digest `cbor:"2,keyasint"`
	Items  []Proven    `cbor:"3,keyasint"`
}

// Proven is one read: a record, or, when Value is empty, that there is none.
type Proven struct {
	_     struct{} `cbor:",toarray"`
	Key   []byte
	Value []byte
	Proof []byte // ICS-23 CommitmentProof, protobuf
}

// SnapshotRequest asks for the next page of a snapshot, or, with Session 0, for a new one.
type SnapshotRequest struct {
	Session uint64 `cbor:"1,keyasint,omitempty"`
}

// SnapshotPage is some records of one version, in the order of SHA-256(key). The first page has no
// records.
type SnapshotPage struct {
	Session uint64      `cbor:"1,keyasint"`
	Height  hufu.Height `cbor:"2,keyasint"`
	Root    hufu.Digest `cbor:"3,keyasint"`
	Records []Record    `cbor:"4,keyasint"`
	Last    bool        `cbor:"5,keyasint,omitempty"`
}

// Record is a [KV] as it travels.
type Record struct {
	_     struct{} `cbor:",toarray"`
	Key   []byte
	Value []byte
}

// Verify checks every item against the answer's own root, which the caller must know to be signed.
// The items must be those of keys, in order.
func (a *Answer) Verify(keys [][]byte) error {
	if len(a.Items) != len(keys) {
		return hufu.Refuse(RuleAnswer, "%d items for %d keys", len(a.Items), len(keys))
	}
	for i := range a.Items {
		item := &a.Items[i]
		if !bytes.Equal(item.Key, keys[i]) {
			return hufu.Refuse(RuleAnswer, "item %d is of another key than asked", i)
		}
		if len(item.Value) == 0 {
			item.Value = nil
		}
		if err := VerifyValue(a.Root, item.Key, item.Value, item.Proof); err != nil {
			return err
		}
	}
	return nil
}
