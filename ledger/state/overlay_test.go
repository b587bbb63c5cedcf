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
				seen := map[string]bool{}
				for _, c := range changes {
					if seen[string(c.Key)] {
						t.Fatalf("%q is changed twice", c.Key)
					}
					seen[string(c.Key)] = true
					if want, ok := model[string(c.Key)]; !ok || !bytes.Equal(c.Value, want) || (c.Value == nil) != (want == nil) {
						t.Fatalf("change %q to %v, want %v", c.Key, c.Value, want)
					}
				}
			},
		})
	})
}

// Changes are in the order in which their keys were first written, and what is undone leaves no trace in it.
func TestOrderOfChanges(t *testing.T) {
	o := state.NewOverlay(state.Empty{})
	set := func(keys ...string) {
		for _, k := range keys {
			o.Set([]byte(k), []byte(k))
		}
	}
	set("z", "a")
	o.Nested()
	set("m", "a", "b", "m")
	o.Nested()
	set("c", "z")
	o.Discard()
	o.Discard()
	set("b", "a", "m")
	var got []string
	for _, c := range o.Changes() {
		got = append(got, string(c.Key))
	}
	if want := []string{"z", "a", "b", "m"}; !slices.Equal(got, want) {
		t.Errorf("%q, not %q", got, want)
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
