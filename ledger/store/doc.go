// Package store keeps the state of the ledger: a set of records under one Merkle root, each provable
// present or absent to anybody who knows that root.
//
// The root is a function of the records alone (see package proof for its form): two nodes that took
// different roads to the same records, with different settings, have the same root. Nothing else in
// a store is part of consensus.
//
// Trust boundary: a store believes its caller and its disk as far as block checksums and the root
// go. Opening recomputes the root that the last commit wrote down and fails with [ErrCorrupt] when
// it cannot be reached. Clients believe no store: they check the proofs.
//
// Two implementations satisfy [Store]: [Open] keeps records in pebble, one row each, and the upper
// part of the trie in memory; [NewMemory] keeps everything in memory for tests, audits and
// snapshots. Package storetest is the contract as a test.
package store
