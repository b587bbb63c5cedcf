package proof

import (
	"bytes"

	ics23 "github.com/cosmos/ics23/go"

	"github.com/hufu-id/hufu"
)

// Rules that [VerifyValue] refuses by.
const (
	// RuleMalformed: the bytes are not the one encoding of a single ICS-23 proof.
	RuleMalformed hufu.Rule = "proof.malformed"
	// RuleNotProven: the proof is well formed and does not prove this claim under this root.
	RuleNotProven hufu.Rule = "proof.not-proven"
)

// MaxProofSize bounds a proof in bytes: two records of the largest size and two paths of 256 steps.
const MaxProofSize = 2*(64<<10) + 2*256*48 + 4096

// MaxDepth is the longest path of the trie: one step for each bit of SHA-256(key).
const MaxDepth = 256

// Spec is the ICS-23 specification of the ledger's trie, the one that ICS-23 calls SMT. Every call
// returns a new value.
func Spec() *ics23.ProofSpec {
	return &ics23.ProofSpec{
		LeafSpec: &ics23.LeafOp{
			Hash:         ics23.HashOp_SHA256,
			PrehashKey:   ics23.HashOp_SHA256,
			PrehashValue: ics23.HashOp_SHA256,
			Length:       ics23.LengthOp_NO_PREFIX,
			Prefix:       []byte{leafPrefix},
		},
		InnerSpec: &ics23.InnerSpec{
			ChildOrder:      []int32{0, 1},
			ChildSize:       32,
			MinPrefixLength: 1,
			MaxPrefixLength: 1,
			EmptyChild:      make([]byte, 32),
			Hash:            ics23.HashOp_SHA256,
		},
		MaxDepth:                   MaxDepth,
		PrehashKeyBeforeComparison: true,
	}
}

// VerifyValue checks that under root the record key has exactly this value or, when value is nil,
// that there is no such record. The proof is a protobuf ics23.CommitmentProof holding one existence
// or non-existence proof; batched and compressed ones are refused, as is any byte that does not
// contribute (so a proof has one form). In the empty state, whose root is zero, every key is absent
// and the proof is empty: ICS-23 has none for that case.
//
// It refuses with [RuleMalformed] or [RuleNotProven].
func VerifyValue(root hufu.Digest, key, value, proof []byte) error {
	switch {
	case len(key) == 0:
		return hufu.Refuse(RuleNotProven, "an empty key is never in the state")
	case value != nil && len(value) == 0:
		return hufu.Refuse(RuleNotProven, "an empty value is never in the state")
	case root == (hufu.Digest{}):
		return verifyInEmpty(value, proof)
	}
	p, err := decode(proof)
	if err != nil {
		return err
	}
	return verify(root, key, value, p)
}

// Open reads what a proof in the form of [VerifyValue] proves under root: a record or, with a nil value, that there is
// none under key. It refuses as VerifyValue does; a proof about the empty state does not name a key.
func Open(root hufu.Digest, proof []byte) (key, value []byte, err error) {
	p, err := decode(proof)
	if err != nil {
		return nil, nil, err
	}
	if exist := p.GetExist(); exist != nil {
		if key, value = exist.Key, exist.Value; len(value) == 0 {
			return nil, nil, hufu.Refuse(RuleNotProven, "an empty value is never in the state")
		}
	} else {
		key = p.GetNonexist().Key
	}
	if len(key) == 0 {
		return nil, nil, hufu.Refuse(RuleNotProven, "an empty key is never in the state")
	}
	return key, value, verify(root, key, value, p)
}

func verify(root hufu.Digest, key, value []byte, p *ics23.CommitmentProof) error {
	if value != nil {
		if p.GetExist() == nil {
			return hufu.Refuse(RuleNotProven, "a proof of absence for a claimed value")
		}
		if !ics23.VerifyMembership(Spec(), root[:], p, key, value) {
			return hufu.Refuse(RuleNotProven, "the value does not follow from the root")
		}
		return nil
	}
	absent := p.GetNonexist()
	if absent == nil {
		return hufu.Refuse(RuleNotProven, "a proof of presence for a claimed absence")
	}
	if !bytes.Equal(absent.Key, key) {
		return hufu.Refuse(RuleNotProven, "a proof of absence of another key")
	}
	if !ics23.VerifyNonMembership(Spec(), root[:], p, key) {
		return hufu.Refuse(RuleNotProven, "the absence does not follow from the root")
	}
	return nil
}

func verifyInEmpty(value, proof []byte) error {
	if value != nil {
		return hufu.Refuse(RuleNotProven, "a value in the empty state")
	}
	if len(proof) != 0 {
		return hufu.Refuse(RuleMalformed, "absence from the empty state has an empty proof")
	}
	return nil
}

// decode reads one proof strictly. The library's decompression indexes a table by numbers in the
// proof without checking them and so panics on a hostile one: compressed proofs stop here.
func decode(data []byte) (*ics23.CommitmentProof, error) {
	if len(data) == 0 || len(data) > MaxProofSize {
		return nil, hufu.Refuse(RuleMalformed, "a proof of %d bytes", len(data))
	}
	var p ics23.CommitmentProof
	if err := p.Unmarshal(data); err != nil {
		return nil, hufu.Refuse(RuleMalformed, "not an ICS-23 proof")
	}
	if p.GetExist() == nil && p.GetNonexist() == nil {
		return nil, hufu.Refuse(RuleMalformed, "neither an existence nor a non-existence proof")
	}
	again, err := p.Marshal()
	if err != nil || !bytes.Equal(again, data) {
		return nil, hufu.Refuse(RuleMalformed, "not the one encoding of this proof")
	}
	return &p, nil
}
