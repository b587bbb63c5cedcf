// Package archtest holds the architecture as tests: which package may import which, what a pure
// package may not touch, what consensus code may not do, and that every package says what it is.
package archtest
