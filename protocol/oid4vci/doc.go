// Package oid4vci holds the messages between a wallet and an issuer: OpenID for Verifiable Credential
// Issuance 1.0, after package oauth has given the wallet an access token. Metadata of an issuer, plain
// and signed; credential offers; authorization details; key proofs and key attestations; credential
// requests and responses, deferred and encrypted ones too; notifications.
//
// Unknown parameters are ignored; parameters that ask for something unsupported are refused with the
// standard's own error code, which [CodeOf] tells for every refusal.
//
// A request is only as good as its proofs: nothing in it is to be believed before [VerifyProofs] has
// found each one signed by the key it names, or each key attested by somebody trusted, for this
// issuer, under a nonce this issuer gave. An offer and plain metadata prove nothing of who made them.
// The package is pure; time and randomness are arguments.
package oid4vci
