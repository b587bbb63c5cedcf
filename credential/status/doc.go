// Package status reads and writes status lists in the form other people's wallets and verifiers know:
// Token Status List (draft-ietf-oauth-status-list), a bit-packed, compressed array of the states of
// many credentials, signed as a JWT (media type application/statuslist+jwt) or as a CWT
// (application/statuslist+cwt).
//
// On this network the truth about a status is the ledger's state; a list here is derived from it,
// for those who do not read the ledger. Whoever relies on a list trusts the key that signed it, at
// the time it was issued, and nothing about the server it came from: [Verify] takes the algorithm
// from the issuer's key, binds the list to the URI that the credential names, and decompresses
// nothing before the signature is checked, and then never beyond [MaxListBytes].
//
// The package is pure; time and randomness are arguments.
package status
