// Package anchors keeps the newest signed checkpoint of each log that somebody anchors here: the receipts of
// a gate, an agency's record of its looks at files. The ledger so remembers for everybody which log it was,
// and its owner can neither take an entry out nor show two people two logs.
//
// A log only grows: a checkpoint replaces the last one if a proof shows that its tree begins with the last
// one's. What is refused leaves the state as it is, and the refused transaction stays in its block with the
// owner's signature on it. Two checkpoints that contradict each other, wherever they were shown, become a
// [Fork] by anybody's report. That is kept for good, and the log it convicts takes no more checkpoints.
//
// Checkpoints are signed by an Ed25519 key that their owner's document has for assertions, and not by the
// transaction alone: what an owner showed to one person must count on the ledger too. A commit needs a
// present key. A report may use any key whose signatures stand, as an owner who changes keys is still bound
// by what the old ones signed; keys declared fallen convict nobody.
//
// Only digests are here. What an entry is, and that it tells nothing about a person, is the log's affair.
package anchors
