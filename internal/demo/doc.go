// Package demo tells the whole story of Hufu on real parts: a network starts as a process of its own,
// an agency is accredited, people are enrolled and given credentials, doors open for the right ones
// and stay shut for everyone else, every known attack is tried, the node is killed, verification goes
// on offline, and an audit replays the ledger from genesis. Whatever is not as it must be makes the
// demonstration fail.
package demo
