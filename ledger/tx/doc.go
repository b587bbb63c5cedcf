// Package tx is the form of transactions: what members, issuers, services and holders of
// identifiers sign to change the ledger.
//
// A transaction is a COSE_Sign message (RFC 9052 §4.1) whose payload is one deterministic CBOR map.
// The network's name goes into every signature, unprotected headers are empty, and each signature's
// protected header has exactly the algorithm and the key it was made with. Bytes that [Parse] accepts
// are the only bytes for that transaction: nobody without the keys can make a second form of it.
//
// Everything that can be said about a transaction without the state is said here: shape, limits, and
// whether its body makes sense by itself. Who may send it and whether its signatures hold is for
// ledger/state/machine, which has the keys. A parsed transaction is therefore well formed, and
// nothing more.
package tx
