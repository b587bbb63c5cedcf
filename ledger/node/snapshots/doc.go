// Package snapshots keeps copies of the ledger's state on disk for nodes that join, and makes a state of
// what such a node is sent. A snapshot is cut into chunks in the order of SHA-256(key), the same on every
// node that takes it at the same height; its metadata lists the hashes of the chunks, so that a bad chunk is
// known from whom it came. That the whole is the ledger's state, only the root says, which the caller has
// from headers that the validators signed.
package snapshots
