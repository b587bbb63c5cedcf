package bench

import (
	"context"
	"time"

	"github.com/hufu-id/hufu/ledger/store/storebench"
)

// StoreFigures compare the authenticated store with plain pebble: the same records, settings and
// commits, each with an fsync.
type StoreFigures struct {
	Records     int       `json:"records"` // before what is measured
	Batch       int       `json:"batch"`   // records in a commit
	ValueBytes  int       `json:"value_bytes"`
	Fill        StoreRate `json:"fill"`
	Inserts     StoreRate `json:"inserts"`
	Updates     StoreRate `json:"updates"`
	ProveMicros float64   `json:"prove_micros"` // of processor time, one key
	ProofBytes  int       `json:"proof_bytes"`
	OpenMillis  float64   `json:"open_ms"` // at full size
}

// StoreRate is one kind of change. The ratios are the store's share of plain pebble's rate.
type StoreRate struct {
	PerS        float64 `json:"per_s"`
	PlainPerS   float64 `json:"plain_per_s"`
	Ratio       float64 `json:"ratio"`
	Micros      float64 `json:"cpu_micros"` // processor time of one record, compactions included
	PlainMicros float64 `json:"plain_cpu_micros"`
	CPURatio    float64 `json:"cpu_ratio"`
}

// StoreBar is the least that the ratio of updates may be, at 10 million records; the goal is
// [StoreGoal].
const (
	StoreBar  = 0.3
	StoreGoal = 0.5
)

// MeasureStore runs the comparison.
func MeasureStore(ctx context.Context, c storebench.Config) (StoreFigures, error) {
	r, err := storebench.Run(ctx, c)
	if err != nil {
		return StoreFigures{}, err
	}
	return StoreFigures{
		Records: c.Records, Batch: c.Batch, ValueBytes: c.ValueSize,
		Fill: storeRate(r.Fill), Inserts: storeRate(r.Inserts), Updates: storeRate(r.Updates),
		ProveMicros: micros(1, r.ProveCPU), ProofBytes: r.ProofBytes, OpenMillis: float64(r.Open) / float64(time.Millisecond),
	}, nil
}

func storeRate(r storebench.Rate) StoreRate {
	return StoreRate{
		PerS: r.Store.PerSecond, PlainPerS: r.Plain.PerSecond, Ratio: r.Ratio(),
		Micros: micros(1, r.Store.CPU), PlainMicros: micros(1, r.Plain.CPU), CPURatio: r.CPURatio(),
	}
}
