// Package audit is the role of an auditor: it believes nobody and needs nobody's leave. It replays the
// ledger from genesis through the same rules that the validators ran, into a store of its own, and
// holds every signature, transaction list, result and app hash against the signed headers. And it
// searches all that the ledger holds for values that must not be there.
package audit
