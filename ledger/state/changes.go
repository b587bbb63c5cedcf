package state

// Changes lists every key written, in the order of its first writing, with its last value. It may name a key
// whose value is what the base already has, or delete one that the base does not have.
func (o *Overlay) Changes() []Change {
	out, size := make([]Change, len(o.changed)), 0
	for i := range o.changed {
		size += len(o.changed[i].key)
	}
	keys := make([]byte, 0, size)
	for i := range o.changed {
		from := len(keys)
		keys = append(keys, o.changed[i].key...)
		out[i] = Change{Key: keys[from:len(keys):len(keys)], Value: o.changed[i].value}
	}
	return out
}

// Empty is the state without any key: what genesis is built on.
type Empty struct{}

// Get finds nothing.
func (Empty) Get([]byte) ([]byte, error) { return nil, nil }
