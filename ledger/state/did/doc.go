// Package did is the ledger's room for identifiers: create, rotate, update, recover, veto, finish,
// deactivate.
//
// An identifier is the digest of its inception event. Each event commits to the digests of the
// control keys that come next, so whoever steals the present keys cannot rotate, and the owner, who
// still has the next ones, can. Keys and methods are never forgotten: a record says from when until
// when each one held and whether what it signed still stands, so a signature can be judged as of the
// time it was made, by [Record.KeyAt].
//
// When the keys are lost, the guardians that an identifier committed to give it new ones: as many of
// them as its threshold approve one plan, which is then pending for a delay in which the present keys may
// veto it. Guardians change in a rotation only, so a thief of the present keys, who can veto and
// deactivate, cannot make guardians of its own; and fewer guardians than the threshold can do nothing.
//
// A record holds public keys and endpoints that its owner chose to publish and nothing about a person.
package did
