package did

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/tx"
)

// What is written by hand is what encoding.Marshal writes, whatever is in the record; and that of a new
// identifier with keys alone is written by hand.
func TestAppendPlain(t *testing.T) {
	digest := rapid.Custom(func(t *rapid.T) (d hufu.Digest) {
		copy(d[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "digest"))
		return d
	})
	number := rapid.OneOf(rapid.Just(int64(0)), rapid.Int64(), rapid.Int64Range(0, 300))
	height := rapid.Custom(func(t *rapid.T) hufu.Height { return hufu.Height(number.Draw(t, "height")) })
	plain, other := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		r := &Record{
			ID: hufu.ID(digest.Draw(t, "id")), Sequence: rapid.Uint64().Draw(t, "sequence"), Member: hufu.ID(digest.Draw(t, "member")),
			Open: rapid.Bool().Draw(t, "open"), Threshold: rapid.Uint8().Draw(t, "threshold"),
			Next: rapid.SliceOfN(digest, 0, 30).Draw(t, "next"), NextThreshold: rapid.Uint8().Draw(t, "next threshold"),
			Created: height.Draw(t, "created"), CreatedTime: number.Draw(t, "created time"),
			Updated: height.Draw(t, "updated"), UpdatedTime: number.Draw(t, "updated time"), Version: rapid.Uint64().Draw(t, "version"),
		}
		for range rapid.IntRange(0, 30).Draw(t, "keys") {
			r.Keys = append(r.Keys, Key{
				Multikey: rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "multikey"),
				Span:     Span{From: height.Draw(t, "from"), FromTime: number.Draw(t, "from time")},
			})
		}
		want := r.CreatedTime >= 0 && r.UpdatedTime >= 0
		for _, k := range r.Keys {
			want = want && k.FromTime >= 0
		}
		if rapid.Bool().Draw(t, "not plain") {
			change := []func(){
				func() { r.Methods = []MethodRecord{{Fragment: "m"}} },
				func() { r.Services = []tx.Service{{Fragment: "s"}} },
				func() { r.Deactivated = 1 },
				func() { r.DeactivatedTime = 1 },
				func() { r.Guard = &tx.Guard{} },
				func() { r.Recovery = &Recovery{} },
				func() { r.Keys = append(r.Keys, Key{Span: Span{Until: 1}}) },
				func() { r.Keys = append(r.Keys, Key{Span: Span{UntilTime: 1}}) },
				func() { r.Keys = append(r.Keys, Key{Span: Span{Fallen: true}}) },
			}
			change[rapid.IntRange(0, len(change)-1).Draw(t, "change")]()
			want = false
		}
		marshalled, err := encoding.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		got := r.AppendPlain(nil)
		if (got != nil) != want {
			t.Fatalf("%+v: by hand %v", r, got != nil)
		}
		if got == nil {
			other++
			return
		}
		plain++
		if !bytes.Equal(got, marshalled) {
			t.Fatalf("%+v: %x, not %x", r, got, marshalled)
		}
	})
	if plain == 0 || other == 0 {
		t.Errorf("%d by hand, %d not", plain, other)
	}
}
