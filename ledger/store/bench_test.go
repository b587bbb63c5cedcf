package store_test

import (
	"context"
	"os"
	"strconv"
	"testing"

	"github.com/hufu-id/hufu/ledger/store/storebench"
)

// BenchmarkBesidePebble measures once, whatever b.N: HUFU_BENCH_RECORDS sets the number of records
// (default 1,000,000),
// HUFU_BENCH_LEAF_CACHE_MIB the leaf cache, HUFU_BENCH_DIR where.
func BenchmarkBesidePebble(b *testing.B) {
	c := storebench.Config{Dir: os.Getenv("HUFU_BENCH_DIR"), Progress: func(line string) { b.Log(line) }}
	if c.Dir == "" {
		c.Dir = b.TempDir()
	}
	c.Records = int(number(b, "HUFU_BENCH_RECORDS"))
	c.Options.LeafCache = number(b, "HUFU_BENCH_LEAF_CACHE_MIB") << 20
	r, err := storebench.Run(context.Background(), c)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(r.Inserts.Store.PerSecond, "inserts/s")
	b.ReportMetric(r.Inserts.Ratio(), "inserts-of-pebble")
	b.ReportMetric(r.Updates.Store.PerSecond, "updates/s")
	b.ReportMetric(r.Updates.Ratio(), "updates-of-pebble")
	b.ReportMetric(r.Inserts.CPURatio(), "inserts-cpu-of-pebble")
	b.ReportMetric(r.Fill.Ratio(), "fill-of-pebble")
	b.ReportMetric(float64(r.Prove.Microseconds()), "µs/proof")
	b.ReportMetric(float64(r.ProofBytes), "bytes/proof")
	b.ReportMetric(float64(r.Open.Milliseconds()), "ms/open")
	b.Log("fill:", r.Fill, "\ninsert:", r.Inserts, "\nupdate:", r.Updates)
}

func number(b *testing.B, env string) int64 {
	text := os.Getenv(env)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}
