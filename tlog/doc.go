// Package tlog is the part of transparency logs that a verifier needs: signed checkpoints (C2SP
// tlog-checkpoint and signed-note, Ed25519) and the proofs over a Merkle tree of RFC 9162 §2.1 that one
// entry is in a log, that one log continues another, and that two checkpoints contradict each other.
//
// It believes nobody: a checkpoint is what its signer said at one time, and a proof either computes to the
// roots of checkpoints or is refused. It runs in the ledger's rules as in wallets, so it reads no clock and
// keeps nothing. Logs themselves, their tiles and their order, are their services' affair.
//
// A log's origin is "<DID of its owner>/<name>", and the signing key's name in the note is the origin too,
// so a checkpoint of one owner's log cannot be passed off as another's.
package tlog
