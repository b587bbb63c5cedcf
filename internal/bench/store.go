package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/store"
)

// Bars of the authenticated store. The ratio of updates counts at 10 million records, the cost of a
// record at 100 million beside 1 million.
const (
	StoreBar       = 0.3
	StoreGoal      = 0.5
	StoreCostBar   = 1.5
	ProveBarMicros = 100
	ProofBarBytes  = 1536
)

// proofs is how many are made at each size, after as many that are not counted: they read tables that
// compactions have just written.
const proofs = 20_000

// StoreConfig says what to measure.
type StoreConfig struct {
	Dir       string   // for both databases, one after the other; nothing is left in it
	Sizes     []int    // records in the store when it is measured; ascending, each by at least Batch × Commits
	PlainUpTo int      // plain pebble is measured beside at sizes up to this
	Batch     int      // records in a commit
	Commits   int      // measured at each size, of inserts and of updates
	ValueSize int      // bytes
	Progress  Progress // told of each record
}

// Steps is how many records Progress will be told of.
func (c *StoreConfig) Steps() int {
	return c.steps(c.plainSizes()) + c.steps(c.Sizes)
}

func (c *StoreConfig) steps(sizes []int) int {
	if len(sizes) == 0 {
		return 0
	}
	return sizes[len(sizes)-1] + c.Batch*c.Commits*(len(sizes)+1)
}

func (c *StoreConfig) plainSizes() []int {
	n := 0
	for n < len(c.Sizes) && c.Sizes[n] <= c.PlainUpTo {
		n++
	}
	return c.Sizes[:n]
}

// StoreFigures compare the authenticated store with plain pebble: the same records, settings and
// commits, each with an fsync.
type StoreFigures struct {
	Batch      int         `json:"batch"` // records in a commit
	ValueBytes int         `json:"value_bytes"`
	KeyBytes   int         `json:"key_bytes"`
	Sizes      []StoreSize `json:"sizes"`
}

// StoreSize is what was measured at one size. Both databases grow from size to size.
type StoreSize struct {
	Records        int       `json:"records"` // before what is measured
	Stored         int       `json:"stored"`  // after it
	Fill           StoreRate `json:"fill"`    // from the size before
	Inserts        StoreRate `json:"inserts"`
	Updates        StoreRate `json:"updates"`
	Cost           StoreCost `json:"cost"`
	ProveMicros    float64   `json:"prove_micros"` // elapsed, one key
	ProveCPUMicros float64   `json:"prove_cpu_micros"`
	ProofBytes     int       `json:"proof_bytes"`
	OpenMillis     float64   `json:"open_ms"`
	DiskBytes      int64     `json:"disk_bytes"`
	PagesBytes     int64     `json:"pages_bytes"` // of them, what can be made anew from the rest
	PlainDiskBytes int64     `json:"plain_disk_bytes,omitempty"`
	ResidentBytes  int64     `json:"resident_bytes"` // of this process with the store, its caches in use
	OpenedBytes    int64     `json:"opened_bytes"`   // the same, right after opening
}

// StoreRate is one kind of change. The ratios are the store's share of plain pebble's rate; 0 when that
// was not measured.
type StoreRate struct {
	PerS        float64 `json:"per_s"`
	PlainPerS   float64 `json:"plain_per_s,omitempty"`
	Ratio       float64 `json:"ratio,omitempty"`
	Micros      float64 `json:"cpu_micros"` // processor time of one record, compactions included
	PlainMicros float64 `json:"plain_cpu_micros,omitempty"`
	CPURatio    float64 `json:"cpu_ratio,omitempty"`
}

// StoreCost is what one more record takes, beside what it took at the first size.
type StoreCost struct {
	Inserts    float64 `json:"inserts"` // elapsed
	Updates    float64 `json:"updates"`
	InsertsCPU float64 `json:"inserts_cpu"`
	UpdatesCPU float64 `json:"updates_cpu"`
}

// MeasureStore runs the comparison. The context is looked at between commits.
func MeasureStore(ctx context.Context, c StoreConfig) (StoreFigures, error) {
	f := StoreFigures{Batch: c.Batch, ValueBytes: c.ValueSize, KeyBytes: len(storeKey(0)), Sizes: make([]StoreSize, len(c.Sizes))}
	for i, n := range c.Sizes {
		f.Sizes[i].Records = n
	}
	if err := c.plain(ctx, f.Sizes); err != nil {
		return f, err
	}
	if err := c.store(ctx, f.Sizes); err != nil {
		return f, err
	}
	for i := range f.Sizes {
		s, first := &f.Sizes[i], &f.Sizes[0]
		for _, r := range []*StoreRate{&s.Fill, &s.Inserts, &s.Updates} {
			if r.PlainPerS > 0 {
				r.Ratio, r.CPURatio = r.PerS/r.PlainPerS, r.PlainMicros/r.Micros
			}
		}
		s.Cost = StoreCost{
			Inserts: first.Inserts.PerS / s.Inserts.PerS, InsertsCPU: s.Inserts.Micros / first.Inserts.Micros,
			Updates: first.Updates.PerS / s.Updates.PerS, UpdatesCPU: s.Updates.Micros / first.Updates.Micros,
		}
	}
	return f, nil
}

func (c *StoreConfig) plain(ctx context.Context, sizes []StoreSize) (err error) {
	if len(c.plainSizes()) == 0 {
		return nil
	}
	dir := filepath.Join(c.Dir, "plain")
	db, err := pebble.Open(dir, store.PebbleOptions(store.Settings{CacheBytes: store.StateCache}))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close(), os.RemoveAll(dir)) }()
	g := c.grower(func(changes []store.Change) error {
		b := db.NewBatch()
		for _, x := range changes {
			if err := b.Set(x.Key, x.Value, nil); err != nil {
				return err
			}
		}
		return b.Commit(pebble.Sync)
	})
	for i := range c.plainSizes() {
		s := &sizes[i]
		err := g.measure(ctx, s.Records, func(fill, inserts, updates speed) {
			s.Fill.PlainPerS, s.Fill.PlainMicros = fill.perS, fill.micros
			s.Inserts.PlainPerS, s.Inserts.PlainMicros = inserts.perS, inserts.micros
			s.Updates.PlainPerS, s.Updates.PlainMicros = updates.perS, updates.micros
		})
		if err != nil {
			return err
		}
		if s.PlainDiskBytes, err = diskBytes(dir); err != nil {
			return err
		}
	}
	return nil
}

func (c *StoreConfig) store(ctx context.Context, sizes []StoreSize) (err error) {
	dir := filepath.Join(c.Dir, "store")
	disk, err := store.Open(dir, store.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, disk.Close(), os.RemoveAll(dir)) }()
	height := hufu.Height(0)
	g := c.grower(func(changes []store.Change) error {
		staged, err := disk.Stage(changes)
		if err != nil {
			return err
		}
		height++
		return disk.Commit(staged, height, nil)
	})
	for i := range sizes {
		s := &sizes[i]
		err := g.measure(ctx, s.Records, func(fill, inserts, updates speed) {
			s.Fill.PerS, s.Fill.Micros = fill.perS, fill.micros
			s.Inserts.PerS, s.Inserts.Micros = inserts.perS, inserts.micros
			s.Updates.PerS, s.Updates.Micros = updates.perS, updates.micros
		})
		if err != nil {
			return err
		}
		s.Stored = g.next
		if err := g.prove(ctx, disk, s); err != nil {
			return err
		}
		debug.FreeOSMemory()
		s.ResidentBytes = residentMemory()
		if err := disk.Close(); err != nil {
			return err
		}
		debug.FreeOSMemory()
		start := time.Now()
		if disk, err = store.Open(dir, store.Options{}); err != nil {
			return err
		}
		s.OpenMillis = float64(time.Since(start)) / float64(time.Millisecond)
		debug.FreeOSMemory()
		s.OpenedBytes = residentMemory()
		if s.DiskBytes, err = diskBytes(dir); err != nil {
			return err
		}
		if s.PagesBytes, err = diskBytes(filepath.Join(dir, "pages")); err != nil {
			return err
		}
	}
	return nil
}

// grower makes records for one database.
type grower struct {
	*StoreConfig
	commit func([]store.Change) error
	random *rand.Rand
	next   int           // number of the next new record
	making time.Duration // processor time of making one change
}

type speed struct{ perS, micros float64 }

func (c *StoreConfig) grower(commit func([]store.Change) error) *grower {
	g := &grower{StoreConfig: c, commit: commit, random: rand.New(rand.NewPCG(1, 2))}
	took, _ := measure(func() error {
		for i := range 10 {
			g.batch(c.Batch, func(at int) int { return i*c.Batch + at })
		}
		return nil
	})
	g.making = took.cpu / time.Duration(10*c.Batch)
	return g
}

// measure grows to a size, then inserts and updates.
func (g *grower) measure(ctx context.Context, size int, report func(fill, inserts, updates speed)) error {
	fresh := func(int) int { g.next++; return g.next - 1 }
	fill, err := g.run(ctx, size-g.next, fresh)
	if err != nil {
		return err
	}
	inserts, err := g.run(ctx, g.Batch*g.Commits, fresh)
	if err != nil {
		return err
	}
	updates, err := g.run(ctx, g.Batch*g.Commits, func(int) int { return g.random.IntN(size) })
	report(fill, inserts, updates)
	return err
}

// run makes n changes to records of these numbers. Only the commits are timed, not the making of
// records; what compactions do after the last is missing.
func (g *grower) run(ctx context.Context, n int, number func(int) int) (speed, error) {
	var spent time.Duration
	worked := CPUTime()
	for done := 0; done < n; done += g.Batch {
		if err := ctx.Err(); err != nil {
			return speed{}, err
		}
		changes := g.batch(min(g.Batch, n-done), number)
		start := time.Now()
		if err := g.commit(changes); err != nil {
			return speed{}, err
		}
		spent += time.Since(start)
		g.Progress.done(len(changes))
	}
	return speed{perS: perSecond(n, spent), micros: micros(n, CPUTime()-worked-time.Duration(n)*g.making)}, nil
}

// batch makes n changes of different records.
func (g *grower) batch(n int, number func(int) int) []store.Change {
	changes := make([]store.Change, n)
	values := make([]byte, n*g.ValueSize)
	seen := make(map[int]bool, n)
	for i := range changes {
		at := number(i)
		for seen[at] {
			at = number(i)
		}
		seen[at] = true
		value := values[i*g.ValueSize : (i+1)*g.ValueSize]
		for j := 0; j+8 <= len(value); j += 8 {
			binary.BigEndian.PutUint64(value[j:], g.random.Uint64())
		}
		changes[i] = store.Change{Key: storeKey(at), Value: value}
	}
	return changes
}

// storeKey scatters numbers over the key space in no order.
func storeKey(number int) []byte {
	random := rand.NewPCG(uint64(number), 7)
	out := append(make([]byte, 0, 36), "did/"...)
	for range 4 {
		out = binary.BigEndian.AppendUint64(out, random.Uint64())
	}
	return out
}

func (g *grower) prove(ctx context.Context, s store.Store, f *StoreSize) error {
	var size int
	n := min(proofs, f.Records)
	run := func() error {
		size = 0
		for range n {
			if err := ctx.Err(); err != nil {
				return err
			}
			a, err := s.Prove([][]byte{storeKey(g.random.IntN(f.Records))})
			if err != nil {
				return err
			}
			size += len(a.Items[0].Proof)
		}
		return nil
	}
	if err := run(); err != nil {
		return err
	}
	took, err := measure(run)
	f.ProveMicros, f.ProveCPUMicros, f.ProofBytes = micros(n, took.wall), micros(n, took.cpu), size/n
	return err
}

// diskBytes is the size of the files in a directory and below.
func diskBytes(dir string) (total int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) { // compactions go on
			return nil
		}
		if err == nil {
			total += info.Size()
		}
		return err
	})
	return total, err
}
