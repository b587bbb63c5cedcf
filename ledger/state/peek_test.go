package state_test

import (
	"testing"

	"github.com/hufu-id/hufu/ledger/state"
)

// keeper is a state that decodes each value once.
type keeper struct {
	values  map[string][]byte
	decoded map[string]any
	times   int
}

func (k *keeper) Get(key []byte) ([]byte, error) { return k.values[string(key)], nil }

func (k *keeper) Kept(key []byte) ([]byte, any, error) {
	return k.values[string(key)], k.decoded[string(key)], nil
}

func (k *keeper) Keep(key, raw []byte, decoded any) {
	k.times++
	k.decoded[string(key)] = decoded
}

type counter struct {
	N uint64 `cbor:"1,keyasint"`
}

// Peek sees what Load sees: the base's records, decoded once, and those that were changed on top.
func TestPeek(t *testing.T) {
	base := &keeper{values: map[string][]byte{"a": {0xa1, 0x01, 0x07}}, decoded: map[string]any{}}
	o := state.NewOverlay(base)
	check := func(key string, want uint64, there bool) {
		t.Helper()
		for _, r := range []state.Reader{o, state.NewOverlay(o)} {
			for range 2 {
				peeked, err := state.Peek[counter](r, []byte(key))
				if err != nil || (peeked != nil) != there || there && peeked.N != want {
					t.Fatalf("%s is %+v (%v)", key, peeked, err)
				}
				loaded, err := state.Load[counter](r, []byte(key))
				if err != nil || (loaded != nil) != there || there && *loaded != *peeked {
					t.Fatalf("%s is loaded as %+v (%v)", key, loaded, err)
				}
			}
		}
	}
	check("a", 7, true)
	check("b", 0, false)
	if base.times != 1 {
		t.Errorf("decoded %d times", base.times)
	}
	if err := state.Save(o, []byte("a"), &counter{N: 8}); err != nil {
		t.Fatal(err)
	}
	check("a", 8, true)
	kept := &counter{N: 9}
	o.Nested()
	if err := state.SaveKept(o, []byte("a"), kept); err != nil {
		t.Fatal(err)
	}
	check("a", 9, true)
	if peeked, err := state.Peek[counter](o, []byte("a")); peeked != kept {
		t.Errorf("what was kept was decoded again: %v", err)
	}
	if changes := o.Changes(); len(changes) != 1 || string(changes[0].Value) != "\xa1\x01\x09" {
		t.Errorf("the changes are %x", changes)
	}
	o.Discard()
	check("a", 8, true)
	o.Delete([]byte("a"))
	check("a", 0, false)
	o.Set([]byte("a"), []byte{0xff})
	if _, err := state.Peek[counter](o, []byte("a")); err == nil {
		t.Error("a damaged record was read")
	}
}
