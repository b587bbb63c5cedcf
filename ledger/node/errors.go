package node

import "errors"

// Errors of homes and of running nodes, to be tested with errors.Is.
var (
	// ErrLocked: another process runs a node in this home.
	ErrLocked = errors.New("node: the home is in use by another process")
	// ErrWrongNetwork: the home belongs to another network than was asked for.
	ErrWrongNetwork = errors.New("node: the home belongs to another network")
	// ErrNoHome: the directory holds no home.
	ErrNoHome = errors.New("node: no home here")
	// ErrExists: the directory already holds a home.
	ErrExists = errors.New("node: there is a home here already")
	// ErrDiskFull: there is too little room to write.
	ErrDiskFull = errors.New("node: not enough free disk space")
	// ErrReadOnly: the home cannot be written to.
	ErrReadOnly = errors.New("node: the home cannot be written")
	// ErrNotKept: the block is not in the home, which has blocks from a later height on, or up to an earlier one.
	ErrNotKept = errors.New("node: the home does not have that block")
	// ErrUpgrade: the members agreed on other rules from this height on, and this program does not have them.
	ErrUpgrade = errors.New("node: the members agreed on an upgrade that this program does not have")
	// ErrClock: a block that the others agreed on is of a time that this machine's clock has not come near.
	ErrClock = errors.New("node: this machine's clock is behind the network's")
	// ErrConsensus: the node stopped taking part because going on would not be safe.
	ErrConsensus = errors.New("node: consensus failed")
	// ErrFork: validators signed two blocks of one height.
	ErrFork = errors.New("node: validators signed two different blocks")
	// ErrTrustExpired: what is trusted is too old to judge headers by.
	ErrTrustExpired = errors.New("node: what this home trusts is too old")
	// ErrSync: no state could be had from the peers.
	ErrSync = errors.New("node: starting from a snapshot failed")
)
