// Package jws is the one place where signed tokens in JSON form are made and read: JSON Web
// Signature in compact serialization (RFC 7515 §3.1) and JSON Web Key (RFC 7517) for the suites of
// package keys. Credentials, status lists, receipts and protocol messages all pass through here, so
// the classic mistakes can be made in no second place.
//
// The reader trusts nothing. [Parse] takes exactly one spelling of a token: base64url without
// padding, line breaks or loose bits, one header object without duplicate names, no "crit", no
// "b64". [Message.Verify] takes the algorithm from the key that the caller resolved; the token's
// "alg" can only agree with it or be refused. Keys inside a header (jwk, x5c, jku …) are never
// used: whoever wants one takes it from [Message.Header] on purpose.
//
// The package is pure; randomness is an argument.
package jws
