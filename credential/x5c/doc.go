// Package x5c holds the certificate chains by which issuers and gates are known to software that
// reads certificates and no ledger: the x5c header of a JWS (RFC 7515 §4.1.6) and the x5chain header
// of COSE (RFC 9360), with the profiles of ISO/IEC 18013-5 Annex B for mdoc.
//
// A certification authority is no new kind of thing here. It is a public key that is a verification
// method, for assertions, of an identifier on the ledger; the certificates it signs name that
// identifier in a URI subject alternative name. So the ledger says which authorities there are, since
// when and until when, and a certificate by itself proves nothing: [Chain.Verify] asks the caller
// which keys the identifier has.
//
// What is read is a small profile of RFC 5280, the same at every place: P-256 with SHA-256, at most
// [MaxCertificates], no name constraints, no critical extension but the four that are checked. There
// is no revocation list; a key's history on the ledger takes that place, and leaves live shortly.
//
// The package is pure: time and randomness are arguments.
package x5c
