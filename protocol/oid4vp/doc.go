// Package oid4vp holds the messages between a gate and a wallet: the signed request and the response
// of OpenID for Verifiable Presentations 1.0, as far as the network uses them today (signed request
// object, client identifier prefix decentralized_identifier, DCQL, response mode direct_post).
//
// Reading is strict where the standard lets a reader choose, and follows it where it does not: unknown
// parameters are ignored (§5), transaction_data is refused because nothing here understands it (§5.1).
// One parameter is added, hufu_contract, which names the published access contract the request claims
// to be. Whether the request really equals that contract is the wallet's to find out: nothing in this
// package looks at a ledger, so nothing that it returns is to be believed before its signature has
// been checked with a key that the ledger gives.
package oid4vp
