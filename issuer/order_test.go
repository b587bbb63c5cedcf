package issuer

import (
	"testing"

	"pgregory.net/rapid"
)

// An order is a permutation: every entry once, whatever the size.
func TestOrderIsAPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.Uint64Range(1, 3000).Draw(t, "size")
		o, err := newOrder(rapid.SliceOfN(rapid.Byte(), orderSeedLen, orderSeedLen).Draw(t, "seed"), size)
		if err != nil {
			t.Fatal(err)
		}
		seen := make([]bool, size)
		for n := range size {
			at := o.at(n)
			if at >= size || seen[at] {
				t.Fatalf("entry %d of %d is out of the list or given twice", at, size)
			}
			seen[at] = true
			if back := o.position(at); back != n {
				t.Fatalf("entry %d is given as number %d, and is said to be as %d", at, n, back)
			}
		}
	})
}

func TestOrderDependsOnItsSeed(t *testing.T) {
	a, err := newOrder(make([]byte, orderSeedLen), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newOrder(append(make([]byte, orderSeedLen-1), 1), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	same, neighbours := 0, 0
	for n := range uint64(1000) {
		if a.at(n) == b.at(n) {
			same++
		}
		if d := int64(a.at(n+1)) - int64(a.at(n)); d >= -2 && d <= 2 {
			neighbours++
		}
	}
	if same > 5 || neighbours > 5 {
		t.Errorf("%d alike, %d neighbours", same, neighbours)
	}
	for _, bad := range []struct {
		seed int
		size uint64
	}{{15, 8}, {17, 8}, {16, 0}, {16, 1<<32 + 1}} {
		if _, err := newOrder(make([]byte, bad.seed), bad.size); err == nil {
			t.Error(bad, "is an order")
		}
	}
}

// What is sealed opens only as what it is, for whom it is, under its key.
func TestSealedIsBound(t *testing.T) {
	v, err := newVault(zeros{}, [32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	me, you := PersonRef{1}, PersonRef{2}
	key, sealedKey, err := v.newDataKey(me)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := v.seal(key, "file", me, []byte("secret"))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(key, "file", me, sealed); err != nil || string(got) != "secret" {
		t.Fatal(err)
	}
	for name, f := range map[string]func() error{
		"another person": func() error { _, err := open(key, "file", you, sealed); return err },
		"another thing":  func() error { _, err := open(key, "copy", me, sealed); return err },
		"another key":    func() error { _, err := open(v.master, "file", me, sealed); return err },
		"short":          func() error { _, err := open(key, "file", me, sealed[:20]); return err },
		"another's key":  func() error { _, err := v.dataKey(you, sealedKey); return err },
		"altered": func() error {
			_, err := open(key, "file", me, append(sealed[:len(sealed)-1:len(sealed)-1], sealed[len(sealed)-1]^1))
			return err
		},
		"key of other vault": func() error {
			o, err := newVault(zeros{}, [32]byte{2})
			if err != nil {
				t.Fatal(err)
			}
			_, err = o.dataKey(me, sealedKey)
			return err
		},
	} {
		if f() == nil {
			t.Errorf("%s opens", name)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
