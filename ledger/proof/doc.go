// Package proof checks what a ledger node says without believing the node.
//
// The state of the ledger is a set of records under one Merkle root, the app hash, which more than
// 2/3 of the voting power signs in the header of the next block. This package holds both halves of
// the check: that a record, or the absence of one, follows from a root (ICS-23 proofs over a sparse
// Merkle trie), and that a root was signed by the validators a client trusts.
//
// Trust boundary: every argument except the trusted root or validator set comes from a party that
// may lie; sizes are capped and nothing panics. The package is pure and does no I/O; time is an
// argument, so it also runs in a browser.
//
// # The trie
//
// A binary trie over SHA-256(key), most significant bit first, in the form of ICS-23's SMT
// specification: any ICS-23 client given [Spec] can check the proofs.
//
//	leaf  = SHA-256(0x00 ‖ SHA-256(key) ‖ SHA-256(value))
//	inner = SHA-256(0x01 ‖ left ‖ right)
//	empty = 32 zero bytes
//
// A leaf stands at the shallowest depth at which no other key shares its prefix, so the root is a
// function of the records alone, never of the order in which they came. Keys and values are not
// empty: ICS-23 cannot prove an empty one.
package proof
