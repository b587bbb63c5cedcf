// Package state is the ledger's state as values: a map of keys to records, the changes a
// transaction makes to it, and the block a change happens in.
//
// The rules live in the modules below this package (did, gov, trust, status, contracts, anchors), each a set
// of pure functions from (state, transaction, block) to changes or a refusal; package machine
// puts them in order. A module sees the state through [Reader] and writes to an [Overlay], so the
// same code runs in a validator, in an auditor's replay and, reading only, over proven records in a
// client. Nothing here reads a clock, draws randomness or iterates over a map.
//
// Keys are readable prefixes and raw identifiers; values are records in deterministic CBOR. There
// is no way to list keys: every reader has to be able to ask for each key with a proof.
package state
