package issuer_test

import (
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/hufu-id/hufu/issuer"
	"github.com/hufu-id/hufu/keys"
)

// A whole issue of 4 copies: proofs checked, file read, entries drawn, all of it on disk.
func BenchmarkIssue(b *testing.B) {
	s := start(b)
	list := people(1000)
	s.enrol(list)
	const copies = 4
	proofs := make([][]string, b.N)
	for i := range proofs {
		proofs[i] = s.proofs(s.wallet(copies))
	}
	b.ResetTimer()
	var wg sync.WaitGroup
	work := make(chan int)
	for range 8 * runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range work {
				req := issuer.IssueRequest{Types: []string{issuer.TypeResidentID}, Proofs: proofs[i]}
				if _, err := s.Issue(b.Context(), s.Ref(list[i%len(list)].ResidentNumber), req); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range b.N {
		work <- i
	}
	close(work)
	wg.Wait()
	b.ReportMetric(float64(copies*b.N)/b.Elapsed().Seconds(), "copies/s")
}

func BenchmarkEnrol(b *testing.B) {
	list := people(b.N)
	s := start(b)
	b.ResetTimer()
	s.enrol(list)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "people/s")
}

// elapsed stands for the processor time: nothing else runs here.
func elapsed() func() time.Duration {
	start := time.Now()
	return func() time.Duration { return time.Since(start) }
}

func BenchmarkBareIssue(b *testing.B) {
	for _, suite := range keys.Suites() {
		b.Run(suite.Name(), func(b *testing.B) {
			f, err := issuer.MeasureIssue(b.Context(), suite, b.N, 10, elapsed(), func(int) {})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(f.CopiesPerS, "copies/s")
			b.ReportMetric(f.BarePerS, "bare/s")
			b.ReportMetric(f.Ratio, "ratio")
		})
	}
}
