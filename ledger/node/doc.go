// Package node runs one validator or full node of the ledger: the embedded CometBFT engine, the
// application that executes blocks through ledger/state/machine, and the HTTP RPC that clients read.
// It contains no rules of its own.
//
// Consensus safety rests on three things here. Execution is deterministic: a block is run by
// [Executor] alone, from the committed state, the block's height and time, and its bytes. The state
// moves by one atomic commit that carries the height, so a crash at any point leaves either the old
// or the new state, and the engine replays the block if needed. And a signature is checked by every
// node before it executes the block that holds it, once, whether the transaction first came by RPC,
// from a peer or in a proposal.
//
// Trust boundary: peers, proposers and RPC callers are not believed. The genesis file, the keys
// given to [Start] and the machine's clock (for proposing block times) are.
package node
