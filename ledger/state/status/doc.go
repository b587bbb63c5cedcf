// Package status holds the states of credentials on the ledger: status lists in chunks, so that one
// entry is one record with one Merkle proof, and a batch of thousands is one transaction.
//
// An entry is an index that its issuer drew at random; nothing here says whose it is. All entries
// start valid and a chunk that nobody touched does not exist. Suspension can be lifted, revocation
// cannot, by the issuer or anybody. Only the list's issuer changes it, every change names a reason
// in its transaction, and there is one list for everybody: the documents that other wallets fetch
// (package credential/status) are derived from it by [Export].
//
// Trusted for nothing: a reader proves the list's record and the chunk, or their absence.
package status
