// Package roster reads and writes resident registers: CSV files with one person a line, in the shape
// that Chinese registries keep them (GB 11643 resident numbers, GB/T 2260 regions).
//
// A register comes from outside, so [Reader] believes nothing: every field of every row is checked,
// a bad row is reported by line and column and the next is read. Its errors never repeat what a
// field holds, as they end in logs and on screens.
//
// [Generate] makes synthetic registers. Their numbers start with 99, a prefix that belongs to no
// region, so no real person is ever in one; their people depend on the seed and date alone.
//
// The package is pure: dates are arguments.
package roster
