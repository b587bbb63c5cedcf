// Package storetest is the contract of store.Store as a test. Every implementation runs [Run].
//
// Expected roots come from a naive model written from the definition of the trie alone, and every
// proof is checked with plain ICS-23 as well as with package proof.
package storetest
