package state

import (
	"maps"
	"slices"
)

// Changes lists every key written, in bytewise order, with its last value. It may name a key whose
// value is what the base already has, or delete one that the base does not have.
func (o *Overlay) Changes() []Change {
	out := make([]Change, 0, len(o.changed))
	for _, k := range slices.Sorted(maps.Keys(o.changed)) {
		out = append(out, Change{Key: []byte(k), Value: o.changed[k].value})
	}
	return out
}

// Empty is the state without any key: what genesis is built on.
type Empty struct{}

// Get finds nothing.
func (Empty) Get([]byte) ([]byte, error) { return nil, nil }
