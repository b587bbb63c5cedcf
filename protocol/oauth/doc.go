// Package oauth holds what a wallet and an authorization server say to each other before a credential
// is asked for: OAuth 2.0 (RFC 6749) with PKCE (RFC 7636), pushed authorization requests (RFC 9126), the
// issuer in the answer (RFC 9207), server metadata (RFC 8414), tokens bound to a key by DPoP
// (RFC 9449), and wallets that a provider vouches for (Attestation-Based Client Authentication).
//
// The package parses, makes and checks messages. It keeps no state: that a code, a nonce or the jti of
// a proof is used once is the caller's to see to, and each checked message says what to remember for
// how long. Every refusal is by a rule of this package, and [CodeOf] gives the standard's own error
// code for it.
//
// A message is parsed strictly: a parameter that is repeated, too long or of another type is refused;
// one that is unknown is ignored, as the standards ask. The package is pure; time and randomness are
// arguments.
package oauth
