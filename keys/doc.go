// Package keys holds the signature suites of the network behind one small interface: Ed25519
// (RFC 8032), ECDSA on P-256 with SHA-256 (FIPS 186-5) and SM2 with SM3 (GB/T 32918).
//
// A public key travels as a Multikey (Controlled Identifiers 1.0 §2.2.2): the suite's multicodec
// prefix and the key's shortest standard form. A signature is the suite's fixed 64-byte form, never
// DER.
//
// There are two rules for accepting a signature. [PublicKey.Verify] is the rule of the credential
// formats (RFC 8032 §5.1.7, FIPS 186-5). [PublicKey.VerifyConsensus] is the ledger's: every node
// must answer alike and nobody may alter a signature, so Ed25519 follows ZIP-215 and ECDSA wants the
// low s.
//
// The package is pure: randomness is an argument. It compiles for js/wasm; batch verification, which
// does not, lives with the node.
package keys
