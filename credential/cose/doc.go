// Package cose is the one place where signed messages in CBOR form are made and read, as package jws
// is for JSON: COSE_Sign1 (RFC 9052 §4.2) and COSE_Key (RFC 9052 §7) for the suites of package keys.
// mdocs and status lists in CBOR pass through here. (The ledger's transactions have many signers and
// their own, stricter form.)
//
// The reader takes what others write in any form of CBOR, but checks signatures over the bytes that
// were received. The algorithm comes from the key that the caller resolved; the message's alg can only
// agree with it or be refused. Certificates in a header are handed over, not used.
//
// The package is pure; randomness is an argument.
package cose
