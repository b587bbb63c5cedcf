package client

import (
	"context"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
)

// Transport is one node, as far as a client needs it. Any number of goroutines may use it at once.
// What it returns is not believed. Errors are for a node that could not be reached or did not
// understand: they are wrapped in [ErrUnreachable] by the client.
type Transport interface {
	// Broadcast offers a transaction for inclusion and returns the node's word on its admission.
	Broadcast(ctx context.Context, raw []byte) (Admission, error)
	// SignedHeader is the header of height, with the commit for it.
	SignedHeader(ctx context.Context, height hufu.Height) (*proof.SignedHeader, error)
	// Validators is the validator set of height.
	Validators(ctx context.Context, height hufu.Height) (proof.ValidatorSet, error)
	// Block is the transactions of height, in order.
	Block(ctx context.Context, height hufu.Height) ([][]byte, error)
	// Evidence is the evidence of misbehaviour in the block of height, in the engine's JSON: an array.
	Evidence(ctx context.Context, height hufu.Height) ([]byte, error)
	// Results is what the ledger answered to the transactions of height.
	Results(ctx context.Context, height hufu.Height) ([]Result, error)
	// Query asks the application: see the paths in package proof.
	Query(ctx context.Context, path string, data []byte) ([]byte, error)
}

// Admission is a node's answer to a transaction offered to it. The zero value is an admission.
type Admission struct {
	Rule   hufu.Rule // refusing rule, or empty
	Detail string
}

// Result is the ledger's answer to one transaction of a block.
type Result struct {
	proof.Result
	Log string // explains a refusal; the only part that headers do not commit to
}
