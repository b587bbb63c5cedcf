// Package chaos is the test of promise P9 and of what a client was told: a network of real processes, each
// in a network namespace of its own, under load, with faults of processes, network, clocks and disks, and
// with validators that cheat. It has tests only.
//
// The harness is the network: each namespace has one interface (TUN), whose other end it holds, and every
// packet between two nodes goes through its hands, late, twice as late or never, as the scenario says and the
// seed draws. It needs Linux, root and /dev/net/tun; where one is missing the tests skip and say which.
//
// A scenario is a file in scenarios/. While its steps run, clients of every node submit transactions and read
// and write registers; what they were told is held against the ledger afterwards: see checks. Moments are
// counted in acknowledged transactions, not in seconds. A failure prints the seed that repeats it.
//
// In the short form, scenarios that name the same network ("with") are played on it one after the other. Who cheats
// is a process, too: the product's, or this test's own binary in the part of an actor.
//
//	go test ./internal/chaos                              # a few rounds of each scenario
//	HUFU_CHAOS=full go test ./internal/chaos -timeout 4h  # all rounds of all of them
package chaos
