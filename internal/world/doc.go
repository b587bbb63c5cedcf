// Package world is a small honest world for tests and measurements: a ledger whose every record was made
// by the real state machine from signed transactions, members who run it, an accredited agency that
// issues credentials, gates with published contracts. No rule is imitated here; what the ledger would
// refuse, this world refuses. It has its own clock and its own source of randomness, so it is the same
// every time.
package world
