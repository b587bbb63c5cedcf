// Package bench measures what the network's work costs beside the bare work that it contains: judging
// a presentation beside its signatures, issuing beside signing and hashing, the ledger beside its
// engine. Both are done in one run, in turns, on one machine: a ratio of them means the same on every
// machine, and under whatever else the machine does. Processor time is measured as well as elapsed
// time, as it is the steadier of the two.
//
// Everything runs on real parts in worlds of their own; nothing here is used by them.
package bench
