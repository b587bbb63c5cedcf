package state_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu/ledger/state"
)

// base is a state in memory.
type base map[string][]byte

func (b base) Get(key []byte) ([]byte, error) { return b[string(key)], nil }

// Overlays do what copying the whole map at each savepoint would do.
func TestOverlayAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		under := base{"a": {1}, "b": {2}}
		o := state.NewOverlay(under)
		model, saved := map[string][]byte{}, []map[string][]byte(nil)
		key := rapid.SampledFrom([]string{"a", "b", "c", "d"})
		t.Repeat(map[string]func(*rapid.T){
			"set": func(t *rapid.T) {
				k, v := key.Draw(t, "key"), rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(t, "value")
				o.Set([]byte(k), v)
				model[k] = v
			},
			"delete": func(t *rapid.T) {
				k := key.Draw(t, "key")
				o.Delete([]byte(k))
				model[k] = nil
			},
			"nested": func(*rapid.T) {
				o.Nested()
				saved = append(saved, maps.Clone(model))
			},
			"commit": func(*rapid.T) {
				o.Commit()
				if len(saved) > 0 {
					saved = saved[:len(saved)-1]
				}
			},
			"discard": func(*rapid.T) {
				o.Discard()
				if len(saved) == 0 {
					model = map[string][]byte{}
					return
				}
				model = saved[len(saved)-1]
				saved = saved[:len(saved)-1]
			},
			"": func(t *rapid.T) {
				for _, k := range []string{"a", "b", "c", "d"} {
					want, ok := model[k]
					if !ok {
						want = under[k]
					}
					got, err := o.Get([]byte(k))
					if err != nil || !bytes.Equal(got, want) || (got == nil) != (want == nil) {
						t.Fatalf("%s is %v, want %v", k, got, want)
					}
				}
				changes := o.Changes()
				if len(changes) != len(model) || o.Len() != len(model) {
					t.Fatalf("%d changes, want %d", len(changes), len(model))
				}
				for i, c := range changes {
					if i > 0 && bytes.Compare(changes[i-1].Key, c.Key) >= 0 {
						t.Fatal("changes out of order")
					}
					if want, ok := model[string(c.Key)]; !ok || !bytes.Equal(c.Value, want) || (c.Value == nil) != (want == nil) {
						t.Fatalf("change %q to %v, want %v", c.Key, c.Value, want)
					}
				}
			},
		})
	})
}

// The order of writing leaves no trace in the changes.
func TestChangesAreSorted(t *testing.T) {
	keys := []string{"z", "a", "m", "aa", "a\x00"}
	forward, backward := state.NewOverlay(state.Empty{}), state.NewOverlay(state.Empty{})
	for _, k := range keys {
		forward.Set([]byte(k), []byte(k))
	}
	slices.Reverse(keys)
	for _, k := range keys {
		backward.Set([]byte(k), []byte(k))
	}
	same := func(a, b state.Change) bool { return bytes.Equal(a.Key, b.Key) && bytes.Equal(a.Value, b.Value) }
	if !slices.EqualFunc(forward.Changes(), backward.Changes(), same) {
		t.Error("changes depend on the order of writing")
	}
}

type record struct {
	Name string `cbor:"1,keyasint"`
}

var errDisk = errors.New("disk")

type broken struct{}

func (broken) Get([]byte) ([]byte, error) { return nil, errDisk }

func TestLoad(t *testing.T) {
	o := state.NewOverlay(state.Empty{})
	key := []byte("room/\x01\x02")
	if rec, err := state.Load[record](o, key); rec != nil || err != nil {
		t.Errorf("absent: %v, %v", rec, err)
	}
	if err := state.Save(o, key, &record{Name: "x"}); err != nil {
		t.Fatal(err)
	}
	if rec, err := state.Load[record](o, key); err != nil || rec.Name != "x" {
		t.Errorf("saved: %v, %v", rec, err)
	}
	o.Set(key, []byte{0xff})
	if _, err := state.Load[record](o, key); err == nil || !strings.Contains(err.Error(), `"room/"`) {
		t.Errorf("damaged: %v", err)
	}
	if _, err := state.Load[record](broken{}, key); !errors.Is(err, errDisk) {
		t.Errorf("unreadable: %v", err)
	}
	if err := state.Save(o, []byte("room"), &struct{ F func() }{}); err == nil {
		t.Error("saved what has no encoding")
	}
}

func BenchmarkOverlay(b *testing.B) {
	b.ReportAllocs()
	o, value := state.NewOverlay(state.Empty{}), make([]byte, 200)
	key := make([]byte, 36)
	for i := 0; b.Loop(); i++ {
		key[0], key[1], key[2] = byte(i), byte(i>>8), byte(i>>16)
		o.Nested()
		o.Set(key, value)
		o.Commit()
	}
}
