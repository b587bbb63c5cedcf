// Package oid4vci holds the messages between a wallet and an issuer: the key proof, the credential
// request and response and the errors of OpenID for Verifiable Credential Issuance 1.0, as far as
// the network uses them today (proof type jwt with the key in the header, several proofs for a batch
// of copies, no encryption of the response, no deferral).
//
// Unknown parameters are ignored; parameters that ask for something unsupported are refused with the
// standard's own error code, which [CodeOf] tells for every refusal.
//
// A request is only as good as its proofs: nothing in it is to be believed before [VerifyProof] has
// found each one signed by the key it names, for this issuer, under a nonce this issuer gave.
// The package is pure; time and randomness are arguments.
package oid4vci
