package node

import (
	abci "github.com/cometbft/cometbft/abci/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/state/gov"
)

// Misbehaviour is the engine's account of a block's evidence (ABCI 2.0, Misbehavior) in the ledger's words.
// The engine makes that account from the evidence that the block's header commits to, and a node accepts no
// block with evidence that it has not verified.
func Misbehaviour(from []abci.Misbehavior) []gov.Misbehaviour {
	var to []gov.Misbehaviour
	for _, m := range from {
		x := gov.Misbehaviour{
			Offence: gov.Offence(m.Type), Height: hufu.Height(m.Height), Time: m.Time.Unix(),
			Power: uint64(m.Validator.Power), TotalPower: uint64(m.TotalVotingPower),
		}
		copy(x.Address[:], m.Validator.Address)
		to = append(to, x)
	}
	return to
}
