// Package storebench measures the authenticated store beside plain pebble with the same records, the
// same settings and an fsync for each batch, in one run: the ratio is what authentication costs.
package storebench

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/store"
)

// Config says what to measure. Zero fields have the defaults given.
type Config struct {
	Dir       string // for both databases; emptied of them afterwards
	Records   int    // in the store before measuring; 1,000,000
	Batch     int    // records in a commit; 10,000
	Commits   int    // measured, of each kind; 50
	ValueSize int    // bytes; 200
	Options   store.Options
	Progress  func(string)      // told of what was measured; may be nil
	Step      func(records int) // told of each commit; may be nil
}

// Steps is how many records Step will be told of.
func (c Config) Steps() int {
	c.defaults()
	return 2 * (c.Records + 2*c.Batch*c.Commits)
}

// Result holds rates in records per second and ratios of them.
type Result struct {
	Fill, Inserts, Updates Rate
	Prove                  time.Duration // mean for one existing key
	ProveCPU               time.Duration // the same, processor time
	ProofBytes             int           // mean
	Open                   time.Duration // of the store at its full size
}

// Rate compares the store with plain pebble.
type Rate struct{ Store, Plain Speed }

// Speed is what one database did. The processor time, compactions included, is the steadier figure
// on a machine that has other work.
type Speed struct {
	PerSecond float64       // records
	CPU       time.Duration // for a record; 0 when not known
}

// Ratio is the store's share of plain pebble's rate.
func (r Rate) Ratio() float64 { return r.Store.PerSecond / r.Plain.PerSecond }

// CPURatio is plain pebble's share of the store's processor time: the ratio of the rates that a
// machine with nothing else to wait for would have.
func (r Rate) CPURatio() float64 { return float64(r.Plain.CPU) / float64(r.Store.CPU) }

// String is a table row's worth.
func (r Rate) String() string {
	return fmt.Sprintf("%.0f/s (CPU %v), plain pebble %.0f/s (CPU %v): %.2f (CPU %.2f)",
		r.Store.PerSecond, r.Store.CPU, r.Plain.PerSecond, r.Plain.CPU, r.Ratio(), r.CPURatio())
}

func (c *Config) defaults() {
	for _, d := range []struct {
		field *int
		value int
	}{{&c.Records, 1_000_000}, {&c.Batch, 10_000}, {&c.Commits, 50}, {&c.ValueSize, 200}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	if c.Step == nil {
		c.Step = func(int) {}
	}
}

// Run measures. The context is looked at between commits.
func Run(ctx context.Context, c Config) (Result, error) {
	c.defaults()
	var r Result
	dir := filepath.Join(c.Dir, "plain")
	c.Progress("plain pebble")
	db, err := pebble.Open(dir, store.PebbleOptions(c.Options.Settings))
	if err != nil {
		return r, err
	}
	err = c.measure(ctx, func(rate *Rate) *Speed { return &rate.Plain }, &r, func(ch []store.Change, _ int) error {
		b := db.NewBatch()
		for _, x := range ch {
			if err := b.Set(x.Key, x.Value, nil); err != nil {
				return err
			}
		}
		return b.Commit(pebble.Sync)
	})
	if err := firstError(err, db.Close(), os.RemoveAll(dir)); err != nil {
		return r, err
	}
	c.Progress("authenticated store")
	dir = filepath.Join(c.Dir, "store")
	s, err := store.Open(dir, c.Options)
	if err != nil {
		return r, err
	}
	err = c.measure(ctx, func(rate *Rate) *Speed { return &rate.Store }, &r, func(ch []store.Change, i int) error {
		staged, err := s.Stage(ch)
		if err != nil {
			return err
		}
		return s.Commit(staged, hufu.Height(i), nil)
	})
	if err == nil {
		err = c.prove(s, &r)
	}
	if err := firstError(err, s.Close()); err != nil {
		return r, err
	}
	start := time.Now()
	s, err = store.Open(dir, c.Options)
	if err != nil {
		return r, err
	}
	r.Open = time.Since(start)
	return r, firstError(s.Close(), os.RemoveAll(dir))
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// measure fills, inserts and updates. Only the commits are timed, not the making of records; what
// compactions do meanwhile is missing from the processor time.
func (c *Config) measure(ctx context.Context, which func(*Rate) *Speed, r *Result, commit func([]store.Change, int) error) error {
	random := rand.New(rand.NewPCG(1, 2))
	commits := 0
	run := func(name string, n int, number func(i int) int, rate *Rate) error {
		var spent, making time.Duration
		worked := cpu()
		for done := 0; done < n; done += c.Batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			before := cpu()
			changes := make([]store.Change, min(c.Batch, n-done))
			seen := make(map[int]bool, len(changes))
			for i := range changes {
				at := number(done + i)
				for seen[at] {
					at = number(done + i)
				}
				seen[at] = true
				changes[i] = c.record(at, random)
			}
			commits++
			making += cpu() - before
			start := time.Now()
			if err := commit(changes, commits); err != nil {
				return err
			}
			spent += time.Since(start)
			c.Step(len(changes))
		}
		speed := which(rate)
		speed.PerSecond = float64(n) / spent.Seconds()
		speed.CPU = (cpu() - worked - making) / time.Duration(n)
		c.Progress(fmt.Sprintf("%s: %d records, %.0f/s, CPU %v each", name, n, speed.PerSecond, speed.CPU))
		return nil
	}
	return firstError(
		run("fill", c.Records, func(i int) int { return i }, &r.Fill),
		run("insert", c.Batch*c.Commits, func(i int) int { return c.Records + i }, &r.Inserts),
		run("update", c.Batch*c.Commits, func(int) int { return random.IntN(c.Records) }, &r.Updates))
}

// key scatters numbers over the key space in no order.
func key(number int) []byte {
	random := rand.New(rand.NewPCG(uint64(number), 7))
	out := []byte("did/")
	for range 4 {
		out = binary.BigEndian.AppendUint64(out, random.Uint64())
	}
	return out
}

func (c *Config) record(number int, random *rand.Rand) store.Change {
	value := make([]byte, c.ValueSize)
	for i := 0; i+8 <= len(value); i += 8 {
		binary.BigEndian.PutUint64(value[i:], random.Uint64())
	}
	return store.Change{Key: key(number), Value: value}
}

func (c *Config) prove(s store.Store, r *Result) error {
	const proofs = 20_000
	random := rand.New(rand.NewPCG(3, 4))
	var spent, worked time.Duration
	size := 0
	for i := range 2 * proofs {
		if i == proofs { // the first half read tables that compactions have just written
			spent, size, worked = 0, 0, cpu()
		}
		ask := [][]byte{key(random.IntN(c.Records))}
		start := time.Now()
		a, err := s.Prove(ask)
		if err != nil {
			return err
		}
		spent += time.Since(start)
		size += len(a.Items[0].Proof)
	}
	r.Prove, r.ProveCPU, r.ProofBytes = spent/proofs, (cpu()-worked)/proofs, size/proofs
	c.Progress(fmt.Sprintf("prove: %v (CPU %v), %d bytes", r.Prove, r.ProveCPU, r.ProofBytes))
	return nil
}
