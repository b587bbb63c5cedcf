// Package jwe is the one place where messages are encrypted to a key in JSON form: JSON Web Encryption
// in compact serialization (RFC 7516 §3.1) with direct key agreement, "ECDH-ES" over P-256 (RFC 7518
// §4.6), and the content encryptions A128GCM and A256GCM. That is what OpenID4VP, OpenID4VCI and their
// high assurance profile ask for; everything else is refused, so that no sender can talk a reader into
// a weaker algorithm, a passphrase or compression.
//
// Anybody can encrypt to a public key: that a message decrypts says who could read it, never who wrote
// it. What it holds has to bring its own proof. The header is authenticated with the content, but who
// reads it before [Message.Decrypt] reads what anybody could have written.
//
// The package is pure; randomness is an argument and decides the ephemeral key and the IV.
package jwe
