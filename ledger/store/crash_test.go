package store_test

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
	"github.com/hufu-id/hufu/ledger/store/storetest"
)

const crashKeys = 400

// crashKey is key number i. Half of the first belong to one segment, whose pages then are soon enough to
// be written anew.
func crashKey(i int) string {
	if i < crashKeys && i%2 == 0 {
		return busyKeys()[i/2]
	}
	return fmt.Sprintf("crash/%d", i)
}

const busySegment = 0x07

var busyKeys = sync.OnceValue(func() []string {
	var keys []string
	for i := 0; len(keys) < crashKeys/2; i++ {
		key := fmt.Sprintf("busy/%d", i)
		if kh := proof.HashKey([]byte(key)); kh[0] == busySegment {
			keys = append(keys, key)
		}
	}
	return keys
})

// crashChanges are what every process commits at a height.
func crashChanges(height hufu.Height) []store.Change {
	r := rand.New(rand.NewPCG(uint64(height), 11))
	var out []store.Change
	for _, i := range r.Perm(crashKeys)[:1+r.IntN(80)] {
		c := store.Change{Key: []byte(crashKey(i))}
		if r.IntN(4) > 0 {
			c.Value = fmt.Appendf(nil, "height %d %0*d", height, r.IntN(2000), i)
		}
		out = append(out, c)
	}
	return out
}

func crashOptions() store.Options {
	o := store.Options{Bucket: 2, Reserve: 1}
	o.CacheBytes, o.MemTableBytes = 1<<20, 256<<10
	return o
}

func commitNext(s store.Store, height hufu.Height) error {
	staged, err := s.Stage(crashChanges(height))
	if err != nil {
		return err
	}
	return s.Commit(staged, height, fmt.Appendf(nil, "meta %d", height))
}

// progress is the model of a store that runs crashChanges.
type progress struct {
	at    hufu.Height
	model storetest.Model
}

// check opens the store and compares all of it: its height is from least to most.
func (p *progress) check(t *testing.T, dir string, opts store.Options, least, most hufu.Height) {
	t.Helper()
	s, err := store.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st := s.State()
	if st.Height < least || st.Height > most {
		t.Fatalf("height %d, acknowledged %d, begun %d", st.Height, least, most)
	}
	for p.at < st.Height {
		p.at++
		p.model = p.model.With(crashChanges(p.at))
	}
	if p.at > 0 && string(st.Meta) != fmt.Sprintf("meta %d", p.at) {
		t.Fatalf("meta %q at height %d", st.Meta, p.at)
	}
	var keys []string
	for i := range crashKeys {
		keys = append(keys, crashKey(i))
	}
	storetest.Check(t, s, p.model, keys)
}

const crashDirEnv = "HUFU_STORE_CRASH_DIR"

// TestCrashChild is the process that TestKill kills: it commits for ever, writing each height to
// standard output once Commit returned.
func TestCrashChild(t *testing.T) {
	dir := os.Getenv(crashDirEnv)
	if dir == "" {
		t.Skip("runs in a process of its own, started by TestKill")
	}
	s, err := store.Open(dir, crashOptions())
	if err != nil {
		t.Fatal(err)
	}
	for height := s.State().Height + 1; ; height++ {
		if err := commitNext(s, height); err != nil {
			t.Fatal(err)
		}
		if err := binary.Write(os.Stdout, binary.BigEndian, uint64(height)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKill(t *testing.T) {
	dir := fastDir(t)
	p := progress{model: storetest.Model{}}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		acknowledged := killChild(t, dir, p.at, random)
		p.check(t, dir, crashOptions(), acknowledged, acknowledged+1)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	if p.at < hufu.Height(rounds) {
		t.Fatalf("only %d commits", p.at)
	}
}

// killChild lets a child commit and kills it at some point: the last height it acknowledged.
func killChild(t *testing.T, dir string, at hufu.Height, random *rand.Rand) hufu.Height {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$", "-test.count=1")
	child.Env = append(os.Environ(), crashDirEnv+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(out)
	for n := range 1 + random.IntN(30) {
		if at = readHeight(t, in, at); n == 0 {
			if _, err := store.Open(dir, crashOptions()); !errors.Is(err, store.ErrLocked) {
				t.Errorf("opened what another process has open: %v", err)
			}
		}
	}
	<-time.After(time.Duration(random.IntN(1500)) * time.Microsecond) // somewhere within the next commits
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	if whole := len(rest) / 8 * 8; whole > 0 {
		at = hufu.Height(binary.BigEndian.Uint64(rest[whole-8:]))
	}
	_ = child.Wait() // killed
	return at
}

func readHeight(t *testing.T, in io.Reader, after hufu.Height) hufu.Height {
	t.Helper()
	var b [8]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		t.Fatalf("the child ended by itself: %v", err)
	}
	at := hufu.Height(binary.BigEndian.Uint64(b[:]))
	if at != after+1 {
		t.Fatalf("the child acknowledged %d after %d (%q)", at, after, b)
	}
	return at
}

// TestPowerLoss takes from under a committing store what a disk keeps when power fails: what was
// synced, and some of what was not.
func TestPowerLoss(t *testing.T) {
	const dir = "/var/lib/store"
	opts := crashOptions()
	disk := vfs.NewCrashableMem()
	p := progress{model: storetest.Model{}}
	rounds := 20
	if testing.Short() {
		rounds = 6
	}
	for round := range rounds {
		opts.FS = disk
		s, err := store.Open(dir, opts)
		if err != nil {
			t.Fatal(err)
		}
		var acknowledged atomic.Uint64
		acknowledged.Store(uint64(s.State().Height))
		ready, stop, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
		go func() {
			for i := 0; ; i++ {
				height := acknowledged.Load() + 1
				if err := commitNext(s, hufu.Height(height)); err != nil {
					done <- err
					return
				}
				acknowledged.Store(height)
				if i == round {
					close(ready)
				}
				select {
				case <-stop:
					done <- nil
					return
				default:
				}
			}
		}()
		select {
		case <-ready:
		case err := <-done:
			t.Fatal(err)
		}
		least := acknowledged.Load()
		random := rand.New(rand.NewPCG(uint64(round), 5))
		after := disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: round % 5 * 25, RNG: random})
		most := acknowledged.Load() + 1
		close(stop)
		if err := errors.Join(<-done, s.Close()); err != nil {
			t.Fatal(err)
		}
		disk, opts.FS = after, after
		p.check(t, dir, opts, hufu.Height(least), hufu.Height(most))
	}
}

// TestRestoreCrash loses power while a restore writes records, and right after another was done.
func TestRestoreCrash(t *testing.T) {
	from := store.NewMemory()
	big := make([]byte, store.MaxValue)
	for i := range 100 { // many tables
		storetest.Put(t, from, store.Change{Key: []byte(crashKey(i)), Value: big})
	}
	snap, err := from.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	disk := vfs.NewCrashableMem()
	opts := crashOptions()
	opts.FS = disk
	s, err := store.Open("/store", opts)
	if err != nil {
		t.Fatal(err)
	}
	var during *vfs.MemFS
	err = s.Restore(snap.State(), func(yield func(proof.KV, error) bool) {
		for r, err := range snap.Records() {
			if !yield(r, err) {
				return
			}
		}
		during = disk.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 100, RNG: rand.New(rand.NewPCG(1, 1))})
	})
	if err != nil {
		t.Fatal(err)
	}
	after := disk.CrashClone(vfs.CrashCloneCfg{})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opts.FS = during
	if s, err = store.Open("/store", opts); err != nil {
		t.Fatal(err)
	}
	storetest.Check(t, s, storetest.Model{}, []string{crashKey(0)})
	if err := s.Restore(snap.State(), snap.Records()); err != nil {
		t.Fatal("a second restore:", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	opts.FS = after
	if s, err = store.Open("/store", opts); err != nil {
		t.Fatal(err)
	}
	if got, want := s.State(), from.State(); got.Root != want.Root || got.Count != 100 || got.Height != 100 {
		t.Fatalf("restored %+v, not %+v", got, want)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}
