// Package home is one operator's directory: the key store, the names the operator gives to the
// identifiers it controls, the network's genesis, and beside them each role's own files. It ties keys
// to identifiers and turns what somebody wants said on the ledger into a signed transaction. The key
// store alone is secret; everything else here may be lost and made again from the ledger and the keys.
package home
