package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	cmtjson "github.com/cometbft/cometbft/libs/json"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/proof"
)

// evidenceMagic begins a file of evidence; the rest is deterministic CBOR.
const evidenceMagic = "hufu-evidence/1\n"

// maxEvidence bounds a file of evidence in bytes.
const maxEvidence = 16 << 20

// Evidence is two headers of one height that a light client would believe either of (CometBFT light
// client specification, "Attack detection"). With less than a third of the power dishonest there are none.
type Evidence struct {
	network hufu.Network
	Shared  []*proof.LightBlock // from the trust to the last header before the two; none: the genesis
	First   *proof.LightBlock
	Second  []*proof.LightBlock // from the last of Shared to the other header
}

type evidenceFile struct {
	Network hufu.Network `cbor:"1,keyasint"`
	Shared  [][]byte     `cbor:"2,keyasint"`
	First   []byte       `cbor:"3,keyasint"`
	Second  [][]byte     `cbor:"4,keyasint"`
}

func newEvidence(network hufu.Network, shared []*proof.LightBlock, first *proof.LightBlock, second []*proof.LightBlock) (*Evidence, error) {
	e := &Evidence{network: network, Shared: slices.Clone(shared), First: first, Second: second}
	if e.second().Header.Hash() == first.Header.Hash() {
		return nil, hufu.Refuse(RuleBadEvidence, "the two headers of height %d are the same", e.Height())
	}
	return e, nil
}

// Height is that of the two headers.
func (e *Evidence) Height() hufu.Height { return e.First.Header.Height }

// Network is the network that the headers are of.
func (e *Evidence) Network() hufu.Network { return e.network }

func (e *Evidence) second() *proof.LightBlock { return e.Second[len(e.Second)-1] }

// Encode writes evidence as a file.
func (e *Evidence) Encode() ([]byte, error) {
	f := evidenceFile{Network: e.network}
	for _, x := range []struct {
		to   *[][]byte
		path []*proof.LightBlock
	}{{&f.Shared, e.Shared}, {&f.Second, e.Second}} {
		for _, b := range x.path {
			raw, err := b.Encode()
			if err != nil {
				return nil, err
			}
			*x.to = append(*x.to, raw)
		}
	}
	var err error
	if f.First, err = e.First.Encode(); err != nil {
		return nil, err
	}
	raw, err := encoding.Marshal(&f)
	return append([]byte(evidenceMagic), raw...), err
}

// ParseEvidence reads what Encode wrote. Nothing in it is verified yet. The error is a refusal by
// [RuleBadEvidence].
func ParseEvidence(file []byte) (*Evidence, error) {
	raw, ok := bytes.CutPrefix(file, []byte(evidenceMagic))
	if !ok || len(file) > maxEvidence {
		return nil, hufu.Refuse(RuleBadEvidence, "not a file of evidence")
	}
	var f evidenceFile
	if err := encoding.Unmarshal(raw, &f); err != nil || len(f.Second) == 0 {
		return nil, hufu.Refuse(RuleBadEvidence, "the file does not read as evidence")
	}
	e := &Evidence{network: f.Network}
	parse := func(raw []byte) *proof.LightBlock {
		b, err := proof.ParseLightBlock(raw)
		ok = ok && err == nil
		return b
	}
	for _, raw := range f.Shared {
		e.Shared = append(e.Shared, parse(raw))
	}
	for _, raw := range f.Second {
		e.Second = append(e.Second, parse(raw))
	}
	if e.First = parse(f.First); !ok {
		return nil, hufu.Refuse(RuleBadEvidence, "a header of the evidence does not read as one")
	}
	return e, nil
}

// Attack is how validators came to sign two headers of one height.
type Attack string

// The attacks (CometBFT light client specification, "Attack types").
const (
	Lunatic      Attack = "lunatic"      // one header has a state that does not follow: who signed that one is guilty
	Equivocation Attack = "equivocation" // both are of one round: who signed both is guilty
	Amnesia      Attack = "amnesia"      // of two rounds: some of who signed both forgot a lock, the headers alone do not say who
)

// Finding is what evidence shows. Hashes and times say which header is which; which one is the ledger's,
// its own history says.
type Finding struct {
	Network  hufu.Network `json:"network"`
	Height   hufu.Height  `json:"height"`
	Shared   hufu.Height  `json:"shared_height"` // the last height at which the two sides agree; 0: the genesis
	Attack   Attack       `json:"attack"`
	First    Side         `json:"first"`
	Second   Side         `json:"second"`
	Signers  []Signer     `json:"signers"`
	BothOf   int64        `json:"signed_both_power"`
	AllPower int64        `json:"power"` // of the validators of the shared height
}

// Side is one of the two headers.
type Side struct {
	Hash    hufu.Digest `json:"hash"`
	Time    time.Time   `json:"time"`
	AppHash hufu.Digest `json:"app_hash"`
	Round   int32       `json:"round"`
}

// Signer is a validator whose signature is under one of the headers or both.
type Signer struct {
	Key     hexKey `json:"key"` // Ed25519
	Power   int64  `json:"power"`
	First   bool   `json:"signed_first"`
	Second  bool   `json:"signed_second"`
	Trusted bool   `json:"validator_before"` // at the shared height, too
}

type hexKey [32]byte

// String is upper-case hexadecimal, as in the engine's files.
func (k hexKey) String() string { return fmt.Sprintf("%X", k[:]) }

// MarshalText is String.
func (k hexKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// Verify checks from trust that both headers follow from what both sides share, and says who signed
// them. Age is no objection: evidence is about the past. The error is a refusal, by [RuleBadEvidence] or a rule
// of package proof.
func (e *Evidence) Verify(trust Trust, now time.Time) (Finding, error) {
	var none Finding
	if err := trust.check(); err != nil {
		return none, err
	}
	if e.network != trust.Network {
		return none, hufu.Refuse(RuleBadEvidence, "it is of another network than %s", trust.Network)
	}
	rules := proof.Rules{Network: trust.Network, Period: forever, Drift: DefaultDrift}
	from, err := trust.follow(e.Shared, rules, now)
	if err != nil {
		return none, err
	}
	if err := rules.Verify(&from, e.First, now); err != nil {
		return none, err
	}
	at := from
	for _, b := range e.Second {
		if err := rules.Verify(&at, b, now); err != nil {
			return none, err
		}
		at = b.Trust()
	}
	a, b := e.First, e.second()
	switch {
	case a.Header.Height != b.Header.Height:
		return none, hufu.Refuse(RuleBadEvidence, "the headers are of heights %d and %d", a.Header.Height, b.Header.Height)
	case a.Header.Hash() == b.Header.Hash():
		return none, hufu.Refuse(RuleBadEvidence, "the two headers are the same")
	}
	f := Finding{
		Network: e.network, Height: e.Height(), Shared: from.Height, Attack: attackOf(a, b), First: sideOf(a), Second: sideOf(b),
		Signers: signersOf(from.Validators, a, b), AllPower: from.Validators.Power(),
	}
	for i := range f.Signers {
		if s := &f.Signers[i]; s.First && s.Second {
			f.BothOf += s.Power
		}
	}
	return f, nil
}

// attackOf tells the attacks apart as CometBFT's evidence does (LightClientAttackEvidence).
func attackOf(a, b *proof.LightBlock) Attack {
	x, y := &a.Header, &b.Header
	switch {
	case !bytes.Equal(x.ValidatorsHash, y.ValidatorsHash), !bytes.Equal(x.NextValidatorsHash, y.NextValidatorsHash),
		!bytes.Equal(x.ConsensusHash, y.ConsensusHash), !bytes.Equal(x.AppHash, y.AppHash), !bytes.Equal(x.LastResultsHash, y.LastResultsHash):
		return Lunatic
	case a.Commit.Round == b.Commit.Round:
		return Equivocation
	}
	return Amnesia
}

func sideOf(b *proof.LightBlock) Side {
	return Side{Hash: b.Header.Hash(), Time: b.Header.Time.UTC(), AppHash: b.Header.AsOf().AppHash, Round: b.Commit.Round}
}

// signersOf lists who signed, those with most power first.
func signersOf(before proof.ValidatorSet, a, b *proof.LightBlock) []Signer {
	var out []Signer
	find := func(v *proof.Validator) *Signer {
		for i := range out {
			if out[i].Key == v.Key {
				return &out[i]
			}
		}
		trusted := slices.ContainsFunc(before, func(o proof.Validator) bool { return o.Key == v.Key })
		out = append(out, Signer{Key: v.Key, Power: v.Power, Trusted: trusted})
		return &out[len(out)-1]
	}
	for i := range a.Validators {
		if a.Commit.Votes[i].Flag == proof.FlagCommit {
			find(&a.Validators[i]).First = true
		}
	}
	for i := range b.Validators {
		if b.Commit.Votes[i].Flag == proof.FlagCommit {
			find(&b.Validators[i]).Second = true
		}
	}
	return out
}

// Accusation is evidence in the form that the ledger knows: that one of the two headers is not its own.
type Accusation struct {
	Header hufu.Digest // the false one
	Height hufu.Height // of the offence, as the ledger records it: the last at which both sides agree, or the headers' own
	Keys   [][32]byte  // of the validators whom the headers convict: one at least
}

// HandIn gives evidence to the node, which holds it against its own headers and passes it on, to be put into a block;
// nodes that have it already, waiting or in a block, take it as well. Which of the headers is false the
// node's own say. The error wraps [ErrEvidenceOld], [ErrConvictsNobody], [ErrNotKept] when the node lacks headers to judge by, or [ErrUnreachable],
// or is a refusal by [RuleBadEvidence].
func (h *HTTP) HandIn(ctx context.Context, e *Evidence) (Accusation, error) {
	var failed error
	for _, second := range h.others(ctx, e) {
		a, err := h.accuse(ctx, e, second)
		if err == nil {
			return a, nil
		}
		failed = err
	}
	return Accusation{}, notTaken(failed, e)
}

// others says which of the headers are not the node's: whether the second, or both in turn while that is not known.
func (h *HTTP) others(ctx context.Context, e *Evidence) []bool {
	if own, err := h.SignedHeader(ctx, e.Height()); err == nil {
		switch own.Header.Hash() {
		case e.First.Header.Hash():
			return []bool{true}
		case e.second().Header.Hash():
			return []bool{false}
		}
	}
	return []bool{false, true}
}

// accuse is broadcast_evidence: the claim that one of the two headers is not the ledger's.
func (h *HTTP) accuse(ctx context.Context, e *Evidence, second bool) (Accusation, error) {
	accused, other := e.First, e.second()
	if second {
		accused, other = other, accused
	}
	ev, err := e.attack(accused, other)
	if err != nil {
		return Accusation{}, err
	}
	if len(ev.ByzantineValidators) == 0 {
		return Accusation{}, ErrConvictsNobody
	}
	raw, err := cmtjson.Marshal(types.Evidence(ev))
	if err != nil {
		return Accusation{}, err
	}
	a := Accusation{Header: accused.Header.Hash(), Height: hufu.Height(ev.CommonHeight)}
	for _, v := range ev.ByzantineValidators {
		a.Keys = append(a.Keys, [32]byte(v.PubKey.Bytes()))
	}
	return a, h.call(ctx, "broadcast_evidence", map[string]any{"evidence": json.RawMessage(raw)}, new(struct{}))
}

// notTaken gives the engine's words about evidence (CometBFT v0.40.0 evidence/verify.go) the names of this package.
func notTaken(err error, e *Evidence) error {
	var said *remoteError
	switch {
	case errors.Is(err, ErrConvictsNobody):
		return err
	case !errors.As(err, &said):
		return unreachable(err)
	}
	why, _, _ := strings.Cut(said.Data, ". Evidence: ") // and all of it
	why = strings.TrimPrefix(why, "failed to add evidence: Invalid evidence: ")
	switch {
	case strings.Contains(why, "is too old"):
		return fmt.Errorf("%w: %s", ErrEvidenceOld, why)
	case strings.Contains(why, "don't have"):
		return fmt.Errorf("%w: %s", ErrNotKept, why)
	}
	return hufu.Refuse(RuleBadEvidence, "the node holds its own headers against those of height %d and does not take it: %s", e.Height(), why)
}

// attack is the engine's form of the claim that accused is false and other is not.
func (e *Evidence) attack(accused, other *proof.LightBlock) (*types.LightClientAttackEvidence, error) {
	// Headers that differ in nothing that must follow are accused before the height itself.
	common := other
	if attackOf(accused, other) == Lunatic {
		if len(e.Shared) == 0 {
			return nil, hufu.Refuse(RuleBadEvidence, "the engine knows no evidence from the genesis on")
		}
		common = e.Shared[len(e.Shared)-1]
	}
	conflicting, err := engineBlock(accused)
	if err != nil {
		return nil, err
	}
	trusted, err := engineBlock(other)
	if err != nil {
		return nil, err
	}
	before, err := engineBlock(common)
	if err != nil {
		return nil, err
	}
	ev := &types.LightClientAttackEvidence{
		ConflictingBlock: conflicting, CommonHeight: before.Height,
		TotalVotingPower: before.ValidatorSet.TotalVotingPower(), Timestamp: before.Time,
	}
	ev.ByzantineValidators = ev.GetByzantineValidators(before.ValidatorSet, trusted.SignedHeader)
	return ev, nil
}

// engineBlock is b as the engine reads it.
func engineBlock(b *proof.LightBlock) (*types.LightBlock, error) {
	raw, err := b.Encode()
	if err != nil {
		return nil, err
	}
	pb := new(cmtproto.LightBlock)
	if err := pb.Unmarshal(raw); err != nil {
		return nil, err
	}
	// The engine's set needs a proposer, which hashes and signatures do not depend on.
	pb.ValidatorSet.Proposer = pb.ValidatorSet.Validators[0]
	return types.LightBlockFromProto(pb)
}
