package state

import "slices"

// Overlay collects changes on top of a [Reader] and reads through them. Savepoints nest: what was
// written since the innermost [Overlay.Nested] is kept by [Overlay.Commit] or undone by
// [Overlay.Discard]. An Overlay is for one goroutine.
type Overlay struct {
	base    Reader
	changed []change         // in the order in which their keys were first written
	at      map[string]int32 // where a key is in changed
	undo    []undone         // what savepoints need to go back, oldest first
	marks   []int            // length of undo at each open savepoint
}

type change struct {
	key string
	written
}

// written is what was written at a key: nil value when it was deleted, and the record that the value was
// encoded from, when that was given to keep.
type written struct {
	value   []byte
	decoded any
}

// undone is what a change was before it was written within a savepoint.
type undone struct {
	at  int32
	old written
	new bool // there was none: it is the last of changed when it is undone
}

// NewOverlay returns an overlay without changes on base.
func NewOverlay(base Reader) *Overlay {
	return &Overlay{base: base, at: make(map[string]int32)}
}

// Grow makes room in an overlay without changes for n of them.
func (o *Overlay) Grow(n int) {
	if len(o.changed) == 0 {
		o.changed, o.at = make([]change, 0, n), make(map[string]int32, n)
	}
}

// change is nil when key was not written.
func (o *Overlay) change(key []byte) *change {
	if i, ok := o.at[string(key)]; ok {
		return &o.changed[i]
	}
	return nil
}

// Get reads key with the changes so far. See [Reader].
func (o *Overlay) Get(key []byte) ([]byte, error) {
	if c := o.change(key); c != nil {
		return c.value, nil
	}
	return o.base.Get(key)
}

// Has is [Looker]'s.
func (o *Overlay) Has(key []byte) (bool, error) {
	if c := o.change(key); c != nil {
		return c.value != nil, nil
	}
	return Has(o.base, key)
}

// Kept is [Keeper]'s: what was not changed here is the base's to keep.
func (o *Overlay) Kept(key []byte) (raw []byte, decoded any, err error) {
	if c := o.change(key); c != nil {
		return c.value, c.decoded, nil
	}
	if base, ok := o.base.(Keeper); ok {
		return base.Kept(key)
	}
	raw, err = o.base.Get(key)
	return raw, nil, err
}

// Keep is [Keeper]'s.
func (o *Overlay) Keep(key, raw []byte, decoded any) {
	if c := o.change(key); c != nil {
		if sameValue(c.value, raw) {
			c.decoded = decoded
		}
	} else if base, ok := o.base.(Keeper); ok {
		base.Keep(key, raw, decoded)
	}
}

// sameValue reports whether both are one slice.
func sameValue(a, b []byte) bool { return len(a) == len(b) && len(a) > 0 && &a[0] == &b[0] }

// Set writes value at key. The overlay keeps value; the caller must not change it afterwards. An
// empty value is a value; only nil deletes.
func (o *Overlay) Set(key, value []byte) { o.write(key, written{value: value}) }

func (o *Overlay) write(key []byte, w written) {
	i, ok := o.at[string(key)]
	if !ok {
		i = int32(len(o.changed))
		o.changed = append(o.changed, change{key: string(key)})
		o.at[o.changed[i].key] = i
	}
	if len(o.marks) > 0 {
		o.undo = append(o.undo, undone{i, o.changed[i].written, !ok})
	}
	o.changed[i].written = w
}

// Delete removes key.
func (o *Overlay) Delete(key []byte) { o.Set(key, nil) }

// Nested opens a savepoint.
func (o *Overlay) Nested() { o.marks = append(o.marks, len(o.undo)) }

// Commit closes the innermost savepoint and keeps what was written since. Without an open savepoint
// it does nothing.
func (o *Overlay) Commit() {
	if len(o.marks) == 0 {
		return
	}
	o.marks = o.marks[:len(o.marks)-1]
	if len(o.marks) == 0 {
		clear(o.undo)
		o.undo = o.undo[:0]
	}
}

// Discard closes the innermost savepoint and undoes what was written since. Without an open
// savepoint it drops all changes.
func (o *Overlay) Discard() {
	if len(o.marks) == 0 {
		clear(o.at)
		o.changed = nil
		return
	}
	mark := o.marks[len(o.marks)-1]
	o.marks = o.marks[:len(o.marks)-1]
	for _, u := range slices.Backward(o.undo[mark:]) {
		if u.new {
			delete(o.at, o.changed[u.at].key)
			o.changed = o.changed[:u.at]
		} else {
			o.changed[u.at].written = u.old
		}
	}
	clear(o.undo[mark:])
	o.undo = o.undo[:mark]
}

// Len is the number of keys changed.
func (o *Overlay) Len() int { return len(o.changed) }
