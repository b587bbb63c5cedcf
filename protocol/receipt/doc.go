// Package receipt is the record of one decision of a gate: signed by the gate, kept by both the gate
// and the holder, and checkable by an auditor who has neither's data.
//
// A receipt says which contract was applied in which version and with which text (its hash), to which
// state of the ledger (height, app hash, and how old that state was), what came out and which policies
// or which rule made it so. What was presented is in it only as a commitment: SHA-256 over the nonce
// and the digests of the presentations. Someone who holds the presentations can show that they belong
// to the receipt; someone who does not learns nothing from it, because each presentation contains a
// holder's signature over a fresh nonce and so cannot be guessed.
//
// There is no member for a claim, so no claim value can be in a receipt. A receipt proves what the gate
// said, not that it was right: whoever has the presentations and the ledger can decide again and compare.
package receipt
