// Package oid4vp holds the messages between a verifier and a wallet: request objects, links, wallet
// metadata and responses of OpenID for Verifiable Presentations 1.0, over HTTP (response modes
// direct_post and direct_post.jwt) and over the Digital Credentials API (dc_api and dc_api.jwt). Queries
// are DCQL. A verifier names itself by a decentralized identifier, by a certificate (x509_san_dns,
// x509_hash), or not at all (redirect_uri, and the unsigned requests of the Digital Credentials API).
//
// Reading is strict where the standard lets a reader choose, and follows it where it does not: unknown
// parameters are ignored (§5), what decides who asks, for what and where the answer goes is checked for
// form before anything is looked up. One parameter is added, hufu_contract, which names the published
// access contract that the request claims to be; software that does not know it ignores it. A request
// with it has to have everything that a gate of this network sends. Such gates attach proofs of what the ledger says
// about them, by the standard's verifier_info under a format of this network (see [FormatStaple]).
//
// Nothing in this package looks at a ledger, and nothing that it returns is to be believed before the
// signature has been checked with a key that the ledger or a certificate's authority vouches for. Whether
// a request really equals the contract it names is the wallet's to find out.
package oid4vp
