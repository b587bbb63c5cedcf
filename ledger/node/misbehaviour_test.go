package node_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/store"
)

// Evidence is part of what a block does: the same transactions without it come to another state.
func TestMisbehaviourTakesPower(t *testing.T) {
	n, err := sample.New("test", 2)
	if err != nil {
		t.Fatal(err)
	}
	ctx, at := context.Background(), time.Unix(1_760_000_000, 0)
	key := n.Doc.Members[1].ValidatorKey
	address := gov.AddressOf(key)
	evidence := []abci.Misbehavior{{
		Type: abci.MisbehaviorType_LIGHT_CLIENT_ATTACK, Height: 1, Time: at.Add(-time.Hour), TotalVotingPower: 2,
		Validator: abci.Validator{Address: address[:], Power: 1},
	}}
	st := store.NewMemory()
	a := node.NewApp(t, n.Genesis, st)
	raw, _, err := n.CreateDID(1)
	if err != nil {
		t.Fatal(err)
	}
	txs := [][]byte{raw}
	run := func(with []abci.Misbehavior) *abci.ResponseFinalizeBlock {
		t.Helper()
		r, err := a.FinalizeBlock(ctx, &abci.RequestFinalizeBlock{Height: 1, Time: at, Txs: txs, Misbehavior: with})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	a.Hold(raw)
	filled, err := a.PrepareProposal(ctx, &abci.RequestPrepareProposal{Height: 1, Time: at, MaxTxBytes: 1 << 20, Misbehavior: evidence})
	if err != nil || len(filled.Txs) != 1 {
		t.Fatal(filled, err)
	}
	with := run(evidence)
	without := run(nil)
	if bytes.Equal(with.AppHash, without.AppHash) || without.ValidatorUpdates != nil {
		t.Fatalf("a block without evidence came to %x, with it to %x, %v", without.AppHash, with.AppHash, without.ValidatorUpdates)
	}
	if u := with.ValidatorUpdates; len(u) != 1 || u[0].Power != 0 || !bytes.Equal(u[0].PubKey.GetEd25519(), key) {
		t.Fatalf("%+v", u)
	}
	p, err := a.ProcessProposal(ctx, &abci.RequestProcessProposal{Height: 1, Time: at, Txs: txs, Misbehavior: evidence})
	if err != nil || !p.IsAccepted() {
		t.Fatal(p, err)
	}
	if again := run(evidence); !bytes.Equal(again.AppHash, with.AppHash) {
		t.Fatalf("%x, then %x", with.AppHash, again.AppHash)
	}
	if _, err := a.Commit(ctx, &abci.RequestCommit{}); err != nil {
		t.Fatal(err)
	}
	if err := a.Settled(); err != nil {
		t.Fatal(err)
	}
	rec, err := gov.GetValidatorKey(st, address)
	if err != nil || rec == nil || rec.Conviction == nil || rec.Conviction.Took != 1 {
		t.Fatalf("%+v, %v", rec, err)
	}
	want := gov.Misbehaviour{Address: address, Offence: gov.LightClientAttack, Height: 1, Time: at.Add(-time.Hour).Unix(), Power: 1, TotalPower: 2}
	if got := rec.Conviction.Proofs[0].Misbehaviour; got != want || got.Offence.String() != "light client attack" {
		t.Errorf("%+v", got)
	}
}

// The genesis says how long evidence counts, and not longer than the validators of an old header are trusted.
func TestEvidenceAge(t *testing.T) {
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	age, blocks := node.EvidenceAge(t, n.Genesis)
	if age != 30*24*time.Hour || blocks != 100_000 || age > client.DefaultPeriod {
		t.Errorf("%s and %d blocks", age, blocks)
	}
}
