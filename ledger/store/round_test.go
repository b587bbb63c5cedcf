package store_test

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/hufu-id/hufu/ledger/store/storetest"
)

// TestRoundGoesOn opens a store again wherever the round of checkpoints may be, also where one commit wrote the last
// segments and the first: no journal is deleted that a checkpoint still needs, or every record would have to be read.
func TestRoundGoesOn(t *testing.T) {
	var log strings.Builder
	opts := crashOptions()
	opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
	dir := fastDir(t)
	p := progress{model: storetest.Model{}}
	for commits := 1; commits <= 60; commits++ {
		p.goOn(t, dir, opts, 1+commits%3)
		if log.Len() > 0 {
			t.Fatalf("at height %d: %s", p.at, log.String())
		}
	}
	p.check(t, dir, opts, p.at, p.at)
}
