package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

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

// seasonShare of the records, and at least as many as are inserted, are updated, in large commits, before anything is measured: a store
// that was just filled has tables at the lowest level alone and no page out of use, which makes changes cheaper than they stay. A
// tenth of a million is less than one memtable, and leaves it like that.
const (
	seasonShare = 10
	seasonBatch = 50 // times a commit that is measured
)

// Bytes of disk of a record beside its key and value, and the factor of these, at the most while changes are merged.
// They were seen at 10 and 100 million records.
const (
	plainOverhead, plainFactor = 50, 1.5
	storeOverhead, storeFactor = 190, 1.3
)

// proofs is how many are made at each size, after as many that are not counted: they read tables that
// compactions have just written.
const proofs = 20_000

// StoreConfig says what to measure.
type StoreConfig struct {
	Dir       string   // for both databases, one after the other; nothing is left in it
	Sizes     []int    // records in the databases when they are measured; ascending, each by at least what is inserted at the one before
	PlainUpTo int      // plain pebble is measured beside at sizes up to this
	Batch     int      // records in a commit
	Commits   int      // measured at each size, of updates, and of inserts at most: see Inserts
	ValueSize int      // bytes
	Progress  Progress // told of each record
}

// Steps is how many records Progress will be told of.
func (c *StoreConfig) Steps() (n int) {
	plain := c.plainSizes()
	if len(plain) > 0 {
		n = plain[len(plain)-1]
	}
	for i, size := range c.Sizes {
		each := c.season(size) + c.Batch*c.Commits + c.Inserts(size)
		n += size + each
		if i < len(plain) {
			n += each
		}
		if i < len(plain)-1 {
			n -= c.Inserts(size) // which counts for the next
		}
	}
	return n
}

// Inserts is how many are measured at a size: no more than double it.
func (c *StoreConfig) Inserts(size int) int { return min(c.Batch*c.Commits, size) }

// season is how many updates come before what is measured.
func (c *StoreConfig) season(size int) int { return max(size/seasonShare, c.Inserts(size)) }

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

// StoreSize is what was measured at one size. The store is filled anew for each, plain pebble grows from size to size.
type StoreSize struct {
	Records        int       `json:"records"` // before what is measured
	Stored         int       `json:"stored"`  // after it
	Fill           StoreRate `json:"fill"`    // restored as from a snapshot; plain pebble is not compared
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
// was not measured. A database that is written to puts off merging what was written, up to a limit: PerS leaves out what
// was put off when the last commit returned, MergedPerS and Micros count it until all is merged with the level below.
type StoreRate struct {
	PerS            float64 `json:"per_s"`
	PlainPerS       float64 `json:"plain_per_s,omitempty"`
	Ratio           float64 `json:"ratio,omitempty"`
	MergedPerS      float64 `json:"merged_per_s,omitempty"`
	PlainMergedPerS float64 `json:"plain_merged_per_s,omitempty"`
	MergedRatio     float64 `json:"merged_ratio,omitempty"`
	Micros          float64 `json:"cpu_micros"` // processor time of one record, with all merging
	PlainMicros     float64 `json:"plain_cpu_micros,omitempty"`
	CPURatio        float64 `json:"cpu_ratio,omitempty"`
}

// StoreCost is what one more record takes, beside what it took at the first size. The bar is about the whole of it: commits put off a
// part of merging, of which the inserts that double a store of a million make a large part.
type StoreCost struct {
	Inserts       float64 `json:"inserts"` // elapsed, of the commits alone
	Updates       float64 `json:"updates"`
	InsertsMerged float64 `json:"inserts_merged"` // elapsed, until what they put off is merged
	UpdatesMerged float64 `json:"updates_merged"`
	InsertsCPU    float64 `json:"inserts_cpu"`
	UpdatesCPU    float64 `json:"updates_cpu"`
}

// MeasureStore runs the comparison. The context is looked at between commits.
func MeasureStore(ctx context.Context, c StoreConfig) (StoreFigures, error) {
	f := StoreFigures{Batch: c.Batch, ValueBytes: c.ValueSize, KeyBytes: len(storeKey(0)), Sizes: make([]StoreSize, len(c.Sizes))}
	for i, n := range c.Sizes {
		f.Sizes[i].Records = n
	}
	if err := c.room(); err != nil {
		return f, err
	}
	if err := c.plain(ctx, f.Sizes); err != nil {
		return f, err
	}
	if err := c.store(ctx, f.Sizes); err != nil {
		return f, err
	}
	for i := range f.Sizes {
		s, first := &f.Sizes[i], &f.Sizes[0]
		for _, r := range []*StoreRate{&s.Inserts, &s.Updates} {
			if r.PlainPerS > 0 {
				r.Ratio, r.CPURatio = r.PerS/r.PlainPerS, r.PlainMicros/r.Micros
				r.MergedRatio = r.MergedPerS / r.PlainMergedPerS
			}
		}
		s.Cost = StoreCost{
			Inserts: first.Inserts.PerS / s.Inserts.PerS, InsertsCPU: s.Inserts.Micros / first.Inserts.Micros,
			Updates: first.Updates.PerS / s.Updates.PerS, UpdatesCPU: s.Updates.Micros / first.Updates.Micros,
			InsertsMerged: first.Inserts.MergedPerS / s.Inserts.MergedPerS, UpdatesMerged: first.Updates.MergedPerS / s.Updates.MergedPerS,
		}
	}
	return f, nil
}

func (c *StoreConfig) plain(ctx context.Context, sizes []StoreSize) (err error) {
	if len(c.plainSizes()) == 0 {
		return nil
	}
	dir := filepath.Join(c.Dir, "plain")
	open := func() (*pebble.DB, error) { return pebble.Open(dir, databaseOptions()) }
	db, err := open()
	if err != nil {
		return err
	}
	defer func() {
		if db != nil {
			err = errors.Join(err, db.Close())
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	g := c.grower(dir, func(changes []store.Change) error {
		b := db.NewBatch()
		for _, x := range changes {
			if err := b.Set(x.Key, x.Value, nil); err != nil {
				return err
			}
		}
		return b.Commit(pebble.Sync)
	}, closed(&db, open))
	for i := range c.plainSizes() {
		s := &sizes[i]
		if _, err := g.run(ctx, s.Records-g.next, seasonBatch*c.Batch, g.fresh); err != nil {
			return err
		}
		inserts, updates, err := g.measure(ctx, s.Records)
		if err != nil {
			return err
		}
		s.Inserts.PlainPerS, s.Inserts.PlainMergedPerS, s.Inserts.PlainMicros = inserts.perS, inserts.mergedPerS, inserts.micros
		s.Updates.PlainPerS, s.Updates.PlainMergedPerS, s.Updates.PlainMicros = updates.perS, updates.mergedPerS, updates.micros
		if s.PlainDiskBytes, err = diskBytes(dir); err != nil {
			return err
		}
	}
	return nil
}

func (c *StoreConfig) store(ctx context.Context, sizes []StoreSize) error {
	for i := range sizes {
		if err := c.storeOf(ctx, &sizes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (c *StoreConfig) storeOf(ctx context.Context, s *StoreSize) (err error) {
	dir := filepath.Join(c.Dir, "store")
	open := func() (store.Store, error) { return store.Open(dir, store.Options{}) }
	disk, err := open()
	if err != nil {
		return err
	}
	defer func() {
		if disk != nil {
			err = errors.Join(err, disk.Close())
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	if s.Fill, err = c.restore(ctx, disk, s.Records); err != nil {
		return err
	}
	g := c.grower(dir, func(changes []store.Change) error {
		staged, err := disk.Stage(changes)
		if err != nil {
			return err
		}
		return disk.Commit(staged, disk.State().Height+1, nil)
	}, closed(&disk, open))
	g.next = s.Records
	inserts, updates, err := g.measure(ctx, s.Records)
	if err != nil {
		return err
	}
	s.Inserts.PerS, s.Inserts.MergedPerS, s.Inserts.Micros = inserts.perS, inserts.mergedPerS, inserts.micros
	s.Updates.PerS, s.Updates.MergedPerS, s.Updates.Micros = updates.perS, updates.mergedPerS, updates.micros
	s.Stored = g.next
	if err := g.prove(ctx, disk, s); err != nil {
		return err
	}
	debug.FreeOSMemory()
	s.ResidentBytes = residentMemory()
	var start time.Time
	if err := g.aside(func() error {
		debug.FreeOSMemory()
		start = time.Now()
		return nil
	}); err != nil {
		return err
	}
	s.OpenMillis = float64(time.Since(start)) / float64(time.Millisecond)
	debug.FreeOSMemory()
	s.OpenedBytes = residentMemory()
	if s.DiskBytes, err = diskBytes(dir); err != nil {
		return err
	}
	s.PagesBytes, err = diskBytes(filepath.Join(dir, "pages"))
	return err
}

// restore fills an empty store.
func (c *StoreConfig) restore(ctx context.Context, disk store.Store, n int) (StoreRate, error) {
	r, err := newRecords(ctx, n, c.ValueSize)
	if err != nil {
		return StoreRate{}, err
	}
	took, err := measure(func() error { return disk.Restore(store.State{Root: r.root}, r.all(ctx, c.Progress)) })
	return StoreRate{PerS: perSecond(n, took.wall), Micros: micros(n, took.cpu)}, err
}

// room fails when the disk has not enough of it.
func (c *StoreConfig) room() error {
	need, most := 0.0, 0
	estimate := func(sizes []int, overhead, factor float64) {
		if len(sizes) == 0 {
			return
		}
		n := sizes[len(sizes)-1]
		if bytes := float64(n+c.Inserts(n)) * (overhead + factor*float64(len(storeKey(0))+c.ValueSize)); bytes > need {
			need, most = bytes, n
		}
	}
	estimate(c.plainSizes(), plainOverhead, plainFactor)
	estimate(c.Sizes, storeOverhead, storeFactor)
	free, err := vfs.Default.GetDiskUsage(c.Dir)
	if err != nil {
		return fmt.Errorf("bench: free disk space: %w", err)
	}
	if float64(free.AvailBytes) < need {
		return fmt.Errorf("bench: %d records take up to %.1f GB of disk, %s has %.1f GB free", most, need/1e9, c.Dir, float64(free.AvailBytes)/1e9)
	}
	return nil
}

// grower makes records for one database.
type grower struct {
	*StoreConfig
	dir    string // of the database
	commit func([]store.Change) error
	aside  func(meanwhile func() error) error // closes the database for that long
	random *rand.Rand
	next   int           // number of the next new record
	making time.Duration // processor time of making one change
}

type speed struct{ perS, mergedPerS, micros float64 }

func (c *StoreConfig) grower(dir string, commit func([]store.Change) error, aside func(func() error) error) *grower {
	g := &grower{StoreConfig: c, dir: dir, commit: commit, aside: aside, random: rand.New(rand.NewPCG(1, 2))}
	took, _ := measure(func() error {
		for i := range 10 {
			g.batch(c.Batch, func(at int) int { return i*c.Batch + at })
		}
		return nil
	})
	g.making = took.cpu / time.Duration(10*c.Batch)
	return g
}

func (g *grower) fresh(int) int { g.next++; return g.next - 1 }

// measure seasons a database that has a size, then updates and inserts.
func (g *grower) measure(ctx context.Context, size int) (inserts, updates speed, err error) {
	old := func(int) int { return g.random.IntN(size) }
	if _, err = g.run(ctx, g.season(size), seasonBatch*g.Batch, old); err != nil {
		return inserts, updates, err
	}
	if updates, err = g.run(ctx, g.Batch*g.Commits, g.Batch, old); err != nil {
		return inserts, updates, err
	}
	inserts, err = g.run(ctx, g.Inserts(size), g.Batch, g.fresh)
	return inserts, updates, err
}

// run makes n changes to records of these numbers, and has all of it merged. Elapsed is the time of the commits, not of making
// records, and the same with merging; processor time is that of both.
func (g *grower) run(ctx context.Context, n, batch int, number func(int) int) (speed, error) {
	var spent time.Duration
	worked := CPUTime()
	for done := 0; done < n; done += batch {
		if err := ctx.Err(); err != nil {
			return speed{}, err
		}
		changes := g.batch(min(batch, n-done), number)
		start := time.Now()
		if err := g.commit(changes); err != nil {
			return speed{}, err
		}
		spent += time.Since(start)
		g.Progress.done(len(changes))
	}
	merging, err := settle(ctx)
	if err != nil {
		return speed{}, err
	}
	cpu := CPUTime() - worked - time.Duration(n)*g.making
	if err := g.aside(func() error {
		more, err := merge(ctx, g.dir)
		merging, cpu = merging+more.wall, cpu+more.cpu
		return err
	}); err != nil {
		return speed{}, err
	}
	return speed{perS: perSecond(n, spent), mergedPerS: perSecond(n, spent+merging), micros: micros(n, cpu)}, nil
}

// closed closes a database for as long as something else takes, and opens it again. When that fails there is none: it must not be
// closed twice.
func closed[D io.Closer](db *D, open func() (D, error)) func(meanwhile func() error) error {
	return func(meanwhile func() error) error {
		err := (*db).Close()
		var none D
		*db = none
		if err = errors.Join(err, meanwhile()); err != nil {
			return err
		}
		again, err := open()
		if err == nil {
			*db = again
		}
		return err
	}
}

// databaseOptions are those of the store's database, and of plain pebble.
func databaseOptions() *pebble.Options {
	return store.PebbleOptions(store.Settings{CacheBytes: store.StateCache, MemTableBytes: store.StateMemTable})
}

// merge does all that a database puts off until more comes: what is in its log becomes tables, and these, which it gathers, are merged
// with the level below.
func merge(ctx context.Context, dir string) (took spent, err error) {
	o := databaseOptions()
	o.L0CompactionThreshold = 1
	cpu, start := CPUTime(), time.Now()
	db, err := pebble.Open(dir, o)
	if err != nil {
		return took, err
	}
	opened := time.Since(start)
	merging, err := settle(ctx)
	return spent{cpu: CPUTime() - cpu, wall: opened + merging}, errors.Join(err, db.Close())
}

// settle waits until nothing goes on in this process any more, and says how long something did: compactions and what they make to be
// collected. One that waits for the disk takes no processor time for a moment.
func settle(ctx context.Context) (busy time.Duration, err error) {
	const (
		moment = 100 * time.Millisecond
		quiet  = 4 // moments one after the other
		idle   = moment / 20
	)
	tick := time.NewTicker(moment)
	defer tick.Stop()
	start := time.Now()
	for calm := 0; calm < quiet; calm++ {
		worked := CPUTime()
		select {
		case <-tick.C:
		case <-ctx.Done():
			return busy, ctx.Err()
		}
		if CPUTime()-worked > idle {
			calm, busy = -1, time.Since(start)
		}
	}
	return busy, nil
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
		fillValue(value, g.random)
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
