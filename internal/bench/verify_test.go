package bench

import (
	"testing"

	"github.com/hufu-id/hufu/keys"
)

// The figures are for people; the test is that measuring works, for each suite.
func TestMeasureVerify(t *testing.T) {
	for _, suite := range keys.Suites() {
		f, err := MeasureVerify(t.Context(), suite, 40, nil)
		if err != nil {
			t.Fatal(err)
		}
		if f.Presentations != 40 || f.VerifyPerS <= 0 || f.BarePerS <= 0 || f.Ratio <= 0 || f.RespondPerS <= 0 {
			t.Errorf("%+v", f)
		}
		t.Logf("%+v", f)
	}
}

// stagedVisits is a setting and some hundred people's answers.
func stagedVisits(b *testing.B, suite *keys.Suite) (*setting, []visit) {
	b.Helper()
	s, err := stage(suite)
	if err != nil {
		b.Fatal(err)
	}
	visits := make([]visit, 300)
	for i := range visits {
		if visits[i], err = s.visit(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	return s, visits
}

func BenchmarkJudge(b *testing.B) {
	for _, suite := range keys.Suites() {
		b.Run(suite.Name(), func(b *testing.B) {
			s, visits := stagedVisits(b, suite)
			at := s.world.Now()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if _, err := s.judge(b.Context(), &visits[i%len(visits)], at); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkBare(b *testing.B) {
	for _, suite := range keys.Suites() {
		b.Run(suite.Name(), func(b *testing.B) {
			_, visits := stagedVisits(b, suite)
			for i := 0; b.Loop(); i++ {
				if err := bareChecks(visits[i%len(visits):], 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
