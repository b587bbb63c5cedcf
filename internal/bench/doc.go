// Package bench measures what verifying costs, on a world of its own and beside the bare signature checks
// that the work contains, in one run: a ratio means the same on every machine.
package bench
