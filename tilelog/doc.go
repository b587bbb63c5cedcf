// Package tilelog keeps a service's append-only log: digests of what the service has in its database, in
// their order there, as tiles (C2SP tlog-tiles) in a directory of the service's home, and serves them.
//
// The database is what was decided; the log is what everybody can hold the service to. So the log follows the
// database ([Log.Follow]), never the other way, and as both have one order, processes and restarts
// that follow the same database come to the same log. An entry is a SHA-256 digest of something that nobody
// can guess, and tells nothing to those who do not have it.
//
// Trust boundary: a log's readers believe nothing here. They check proofs against checkpoints (package tlog)
// that they have from the ledger.
package tilelog
