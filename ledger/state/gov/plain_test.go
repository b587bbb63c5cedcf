package gov

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu/encoding"
)

// What is written by hand is what encoding.Marshal writes.
func TestUsageAppendPlain(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u := &Usage{
			Epoch: rapid.Int64().Draw(t, "epoch"), Used: rapid.Uint64().Draw(t, "used"),
			OpenUsed: rapid.OneOf(rapid.Just(uint64(0)), rapid.Uint64()).Draw(t, "open"),
		}
		want, err := encoding.Marshal(u)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.AppendPlain(nil); (got == nil) != (u.Epoch < 0) || got != nil && !bytes.Equal(got, want) {
			t.Fatalf("%+v: %x, not %x", u, got, want)
		}
	})
}
