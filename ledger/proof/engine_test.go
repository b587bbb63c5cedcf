package proof

import (
	"bytes"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"
	cmted25519 "github.com/cometbft/cometbft/crypto/ed25519"
	"github.com/cometbft/cometbft/light"
	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
)

// These tests hold this package's bytes and answers against CometBFT's own types.

// engineBlock is b as the engine reads it.
func engineBlock(t *testing.T, b *LightBlock) *types.LightBlock {
	t.Helper()
	raw, err := b.Encode()
	if err != nil {
		t.Fatal(err)
	}
	pb := new(cmtproto.LightBlock)
	if err := pb.Unmarshal(raw); err != nil {
		t.Fatal(err)
	}
	// The engine's set needs a proposer, which hashes and signatures do not depend on.
	pb.ValidatorSet.Proposer = pb.ValidatorSet.Validators[0]
	lb, err := types.LightBlockFromProto(pb)
	if err != nil {
		t.Fatal(err)
	}
	return lb
}

func TestSameBytesAsTheEngine(t *testing.T) {
	c := newChain(t)
	b := c.block(7, c.set(1, 2, 3, 4), c.set(1, 2, 3))
	b.absent(2)
	e := engineBlock(t, b)
	if hash := b.Header.Hash(); !bytes.Equal(hash[:], e.Hash()) {
		t.Errorf("header hash %s, the engine's is %s", hash, e.Hash())
	}
	if hash := b.Validators.Hash(); !bytes.Equal(hash[:], e.ValidatorSet.Hash()) {
		t.Errorf("validators' hash %s, the engine's is %X", hash, e.ValidatorSet.Hash())
	}
	for i := range b.Commit.Votes {
		if b.Commit.Votes[i].Flag == FlagCommit &&
			!bytes.Equal(b.Commit.SignBytes(testNet, i), e.Commit.VoteSignBytes(string(testNet), int32(i))) {
			t.Errorf("vote %d is signed over other bytes", i)
		}
	}
	if err := e.ValidateBasic(string(testNet)); err != nil {
		t.Error(err)
	}
	if err := e.ValidatorSet.VerifyCommit(string(testNet), e.Commit.BlockID, 7, e.Commit); err != nil {
		t.Error(err)
	}
	wantRule(t, VerifyCommit(testNet, b.Validators, &b.SignedHeader), "")
}

func TestHeaderHashLikeTheEngine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		// The engine hashes no header without validators; then hashes are empty or of 32 bytes.
		hash := func(label string) []byte { return rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, label) }
		maybe := func(label string) []byte {
			if rapid.Bool().Draw(t, label+" set") {
				return hash(label)
			}
			return nil
		}
		h := Header{
			BlockVersion: rapid.Uint64().Draw(t, "block version"), AppVersion: rapid.Uint64().Draw(t, "app version"),
			Network: hufu.Network(rapid.StringN(0, 20, 40).Draw(t, "network")),
			Height:  hufu.Height(rapid.Int64Min(0).Draw(t, "height")),
			Time:    time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "s"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC(),
			LastBlockID: BlockID{
				Hash: maybe("last"), PartsTotal: rapid.Uint32().Draw(t, "total"), PartsHash: maybe("parts"),
			},
			LastCommitHash: maybe("commit"), DataHash: maybe("data"), ValidatorsHash: hash("validators"),
			NextValidatorsHash: maybe("next"), ConsensusHash: maybe("consensus"), AppHash: maybe("app"),
			LastResultsHash: maybe("results"), EvidenceHash: maybe("evidence"),
			ProposerAddress: rapid.SliceOfN(rapid.Byte(), 20, 20).Draw(t, "proposer"),
		}
		e := types.Header{
			ChainID: string(h.Network), Height: int64(h.Height), Time: h.Time,
			LastBlockID: types.BlockID{
				Hash:          h.LastBlockID.Hash,
				PartSetHeader: types.PartSetHeader{Total: h.LastBlockID.PartsTotal, Hash: h.LastBlockID.PartsHash},
			},
			LastCommitHash: h.LastCommitHash, DataHash: h.DataHash, ValidatorsHash: h.ValidatorsHash,
			NextValidatorsHash: h.NextValidatorsHash, ConsensusHash: h.ConsensusHash, AppHash: h.AppHash,
			LastResultsHash: h.LastResultsHash, EvidenceHash: h.EvidenceHash, ProposerAddress: h.ProposerAddress,
		}
		e.Version.Block, e.Version.App = h.BlockVersion, h.AppVersion
		if got := h.Hash(); !bytes.Equal(got[:], e.Hash()) {
			t.Fatalf("%s, the engine's is %s", got, e.Hash())
		}
	})
}

func TestValidatorOrderLikeTheEngine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newChain(t)
		vals := c.set(rapid.SliceOfNDistinct(rapid.IntRange(1, 50), 1, 12, rapid.ID[int]).Draw(rt, "who")...)
		var theirs []*types.Validator
		for i := range vals {
			vals[i].Power = rapid.Int64Range(1, 4).Draw(rt, "power")
			theirs = append(theirs, types.NewValidator(cmted25519.PubKey(vals[i].Key[:]), vals[i].Power))
		}
		set := NewValidatorSet(vals)
		if hash := set.Hash(); !bytes.Equal(hash[:], types.NewValidatorSet(theirs).Hash()) {
			rt.Fatal("another hash than the engine's")
		}
	})
}

func TestBlockRootsLikeTheEngine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raws := rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 40), 0, 20).Draw(t, "txs")
		if got := TransactionsRoot(raws); !bytes.Equal(got[:], types.ToTxs(raws).Hash()) {
			t.Fatal("another data hash than the engine's")
		}
		var ours []Result
		var theirs []*abci.ExecTxResult
		for range rapid.IntRange(0, 20).Draw(t, "results") {
			r := Result{Code: rapid.Uint32().Draw(t, "code"), Data: rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")}
			ours = append(ours, r)
			theirs = append(theirs, &abci.ExecTxResult{Code: r.Code, Data: r.Data, Log: "not hashed", Codespace: "nor this"})
		}
		if got := ResultsRoot(ours); !bytes.Equal(got[:], types.NewResults(theirs).Hash()) {
			t.Fatal("another results hash than the engine's")
		}
	})
}

// TestSkippingLikeTheEngine compares the light client's rule on random changes of validators and
// absences with the engine's light client.
func TestSkippingLikeTheEngine(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := newChain(t)
		who := func(label string) []int {
			return rapid.SliceOfNDistinct(rapid.IntRange(1, 8), 1, 6, rapid.ID[int]).Draw(rt, label)
		}
		before, after := c.set(who("before")...), c.set(who("after")...)
		old := c.block(3, before, c.set(who("next")...))
		height := hufu.Height(rapid.IntRange(4, 6).Draw(rt, "height"))
		b := c.block(height, after, after)
		for i := range b.Commit.Votes {
			if rapid.IntRange(0, 3).Draw(rt, "absent") == 0 {
				b.absent(i)
			}
		}
		now := b.Header.Time.Add(time.Second)
		rules := Rules{Network: testNet, Period: time.Hour, Drift: 10 * time.Second}
		trusted := old.Trust()
		got := rules.Verify(&trusted, b, now)
		eo, eb := engineBlock(t, old), engineBlock(t, b)
		want := light.Verify(eo.SignedHeader, eo.ValidatorSet, eb.SignedHeader, eb.ValidatorSet,
			time.Hour, now, 10*time.Second, light.DefaultTrustLevel)
		if (got == nil) != (want == nil) {
			rt.Fatalf("%v, the engine says %v", got, want)
		}
	})
}
