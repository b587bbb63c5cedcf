package state

import (
	"fmt"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// Reader reads one version of the state. Implementations answer the same for the same key as long
// as they live.
type Reader interface {
	// Get returns the value of key, or nil when the state has no such key. The caller must not
	// change the slice. An error means the state could not be read, never that a key is absent.
	Get(key []byte) ([]byte, error)
}

// Prefetcher is a [Reader] to which many keys at once are less work than one by one.
type Prefetcher interface {
	Reader
	// Prefetch makes Get of these keys quick. Errors are those of Get.
	Prefetch(keys [][]byte) error
}

// Prefetch tells r which keys will be read, if r wants to know.
func Prefetch(r Reader, keys [][]byte) error {
	if p, ok := r.(Prefetcher); ok {
		return p.Prefetch(keys)
	}
	return nil
}

// Looker is a [Reader] that can say more cheaply than by Get whether there is a key.
type Looker interface {
	Reader
	// Has reports whether Get of key has a value.
	Has(key []byte) (bool, error)
}

// Has reports whether r has key.
func Has(r Reader, key []byte) (bool, error) {
	if l, ok := r.(Looker); ok {
		return l.Has(key)
	}
	value, err := r.Get(key)
	return value != nil, err
}

// Change is one key's new value. A nil Value deletes the key.
type Change struct {
	Key, Value []byte
}

// Context is the block, and within it the transaction, that a change happens in.
type Context struct {
	Network hufu.Network
	Height  hufu.Height // of the block
	Time    int64       // of the block, in unix seconds: the only time there is
	TxID    hufu.Digest // zero at genesis and at a block's end
}

// Load reads the record at key, or nil when there is none. A value that is not such a record is an
// error: the state is damaged, or key belongs to another module.
func Load[T any](r Reader, key []byte) (*T, error) {
	raw, err := r.Get(key)
	if err != nil || raw == nil {
		return nil, err
	}
	return decode[T](key, raw)
}

func decode[T any](key, raw []byte) (*T, error) {
	rec := new(T)
	if err := encoding.Unmarshal(raw, rec); err != nil {
		return nil, fmt.Errorf("state: record at %q: %w", prefix(key), err)
	}
	return rec, nil
}

// Save writes rec at key.
func Save[T any](o *Overlay, key []byte, rec *T) error {
	raw, err := encode(key, rec)
	if err != nil {
		return err
	}
	o.Set(key, raw)
	return nil
}

// SaveKept is [Save] for a record that the next transaction looks at again: [Peek] gives rec itself, which
// nobody may change any more.
func SaveKept[T any](o *Overlay, key []byte, rec *T) error {
	raw, err := encode(key, rec)
	if err != nil {
		return err
	}
	o.write(key, written{value: raw, decoded: rec})
	return nil
}

// Plain is a record that is written with nearly every transaction, and has a form that is simple and common
// enough to be written by hand. What AppendPlain appends is what [encoding.Marshal] gives; it is nil when
// the record is not of that form.
type Plain interface{ AppendPlain(b []byte) []byte }

func encode[T any](key []byte, rec *T) ([]byte, error) {
	if p, ok := any(rec).(Plain); ok {
		if raw := p.AppendPlain(nil); raw != nil {
			return raw, nil
		}
	}
	raw, err := encoding.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("state: record at %q: %w", prefix(key), err)
	}
	return raw, nil
}

// prefix is the readable start of a key.
func prefix(key []byte) string {
	for i, c := range key {
		if c < 0x20 || c > 0x7e {
			return string(key[:i])
		}
	}
	return string(key)
}
