package state

// Keeper is a [Reader] that keeps records in the form they were decoded to: some are looked at for
// every transaction and change with few.
type Keeper interface {
	Reader
	// Kept is key's present value, nil when there is none, and what it was decoded to, nil when Keep was not
	// told yet. One key's records are all decoded to one type. What is returned is shared, and nobody may
	// change it.
	Kept(key []byte) (raw []byte, decoded any, err error)
	// Keep says what a value from Kept was decoded to.
	Keep(key, raw []byte, decoded any)
}

// Peek is [Load] for a record that is only looked at: it may be shared, and must not be changed.
func Peek[T any](r Reader, key []byte) (*T, error) {
	k, ok := r.(Keeper)
	if !ok {
		return Load[T](r, key)
	}
	raw, kept, err := k.Kept(key)
	if err != nil || raw == nil {
		return nil, err
	}
	if rec, ok := kept.(*T); ok {
		return rec, nil
	}
	rec, err := decode[T](key, raw)
	if err == nil && kept == nil { // otherwise the key's records are of another type after all
		k.Keep(key, raw, rec)
	}
	return rec, err
}
