package bench

import (
	"testing"

	"github.com/hufu-id/hufu/keys"
)

// The figures are for people; the test is that measuring works, for each suite.
func TestMeasureVerify(t *testing.T) {
	for _, suite := range keys.Suites() {
		f, err := MeasureVerify(t.Context(), suite, 40)
		if err != nil {
			t.Fatal(err)
		}
		if f.Presentations != 40 || f.VerifyPerS <= 0 || f.BarePerS <= 0 || f.Ratio <= 0 || f.RespondPerS <= 0 {
			t.Errorf("%+v", f)
		}
		t.Logf("%+v", f)
	}
}

func BenchmarkJudge(b *testing.B) {
	s, err := stage(keys.P256)
	if err != nil {
		b.Fatal(err)
	}
	v, err := s.visit(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	at := s.world.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.judge(b.Context(), &v, at); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBare(b *testing.B) {
	s, err := stage(keys.P256)
	if err != nil {
		b.Fatal(err)
	}
	v, err := s.visit(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		for _, x := range v.bare {
			if !x.key.Verify([]byte(x.message.SigningInput), x.message.Signature) {
				b.Fatal("no")
			}
		}
	}
}
