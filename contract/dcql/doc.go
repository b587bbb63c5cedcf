// Package dcql is the Digital Credentials Query Language (OpenID4VP 1.0 §6) with its claims path
// pointers (§7): what a verifier may ask a wallet for.
//
// The same query is read by both sides and they must agree on it, so both halves live here: [Match]
// chooses for the wallet which credentials to present and which claims to disclose, no more than the
// query needs; [Satisfies] tells the verifier whether what arrived is what was asked for. Neither
// trusts the other: a wallet gives nothing for a query it cannot satisfy, and a verifier that
// restricts values checks them again.
//
// The package checks no signatures and knows no issuers; its callers do. Everything is pure, and the
// order of every result is the order of the query.
package dcql
