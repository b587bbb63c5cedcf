// Package machine runs the ledger's rules in their order: genesis, then for each transaction
// admission and execution, then the block's end.
//
// Admission says whether a transaction may be in a block at all: its author and sequence, its
// expiry, whose quota it uses, and which keys must have signed it. A block with a transaction that is
// not admitted, or with a signature that does not hold, is invalid. Admission names the keys and does
// no signature mathematics, so that a node can check a whole block's signatures in batches;
// [CheckSignatures] is the plain reference for that.
//
// Execution uses up the sequence number and the quota, and then applies the transaction. What the
// state's rules refuse changes nothing else, and the refusal is the transaction's result.
//
// Every error that is not a [hufu.Refusal] means that the state could not be read or is damaged: a
// node must stop rather than go on.
package machine
