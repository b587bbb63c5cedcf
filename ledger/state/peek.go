package state

// Keeper is a [Reader] that keeps records in the form they were decoded to: some are looked at for
// every transaction and change with few.
type Keeper interface {
	Reader
	// Kept is what decode makes of key's present value, now or when it was called for this value
	// before; nil when there is none. One key's records are all decoded to one type. What is returned
	// is shared, and nobody may change it.
	Kept(key []byte, decode func(raw []byte) (any, error)) (any, error)
}

// Peek is [Load] for a record that is only looked at: it may be shared, and must not be changed.
func Peek[T any](r Reader, key []byte) (*T, error) {
	k, ok := r.(Keeper)
	if !ok {
		return Load[T](r, key)
	}
	kept, err := k.Kept(key, func(raw []byte) (any, error) { return decode[T](key, raw) })
	if err != nil || kept == nil {
		return nil, err
	}
	rec, ok := kept.(*T)
	if !ok { // the key's records are of another type after all
		return Load[T](r, key)
	}
	return rec, nil
}
