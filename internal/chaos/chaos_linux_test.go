package chaos

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
)

const (
	fullEnv = "HUFU_CHAOS"      // "full": every round of every scenario
	seedEnv = "HUFU_CHAOS_SEED" // of a run to repeat
)

// validators of each network: one may fail or lie.
const validators = 4

// TestScenarios runs the files of scenarios/: all rounds of each on a network of its own, or a few on networks
// that they share.
func TestScenarios(t *testing.T) {
	if what := missing(); what != "" {
		t.Skipf("chaos needs what is not here: %s", what)
	}
	files, err := filepath.Glob("scenarios/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	full := os.Getenv(fullEnv) == "full"
	plays := map[string][]*scenario{}
	for _, file := range files {
		s, err := readScenario(file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		s.name = strings.TrimSuffix(filepath.Base(file), ".toml")
		if s.clocks() && runtime.GOARCH != clockArch {
			t.Logf("SKIPPED: %s: clocks are shifted by code for %s, and this is %s", s.name, clockArch, runtime.GOARCH)
			continue
		}
		name := s.name
		if !full {
			s.Rounds, name = s.Short, cmp.Or(s.With, s.name)
		}
		if s.Rounds > 0 {
			plays[name] = append(plays[name], s)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(plays)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time they wait for each other's votes
			play(t, plays[name])
		})
	}
}

// seedOf is the one that is asked for, or one nobody has seen.
func seedOf(t *testing.T) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(seedEnv); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat: %s=%s %s=%d go test ./internal/chaos -timeout 1h -run '%s$'", fullEnv, os.Getenv(fullEnv), seedEnv, seed, t.Name())
		}
	})
	return seed
}

// play runs scenarios one after the other, mends after each what it broke, and holds what clients were told
// against the ledger.
func play(t *testing.T, scenarios []*scenario) {
	g := ground{nodes: validators}
	disk := 0
	for _, s := range scenarios {
		g.spare, g.quota, disk = max(g.spare, s.Spare), max(g.quota, s.Quota), max(disk, s.Disk)
		g.early = g.early || s.clocks()
	}
	slices.SortStableFunc(scenarios, func(a, b *scenario) int { return cmp.Compare(a.order(), b.order()) })
	r := &run{network: found(t, g, seedOf(t))}
	if g.early {
		buildShifted(t)
	}
	if disk != 0 {
		if err := r.fitDisk(r.nodes[disk-1]); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range r.nodes {
		if err := n.start(); err != nil {
			t.Fatal(err)
		}
	}
	r.awaitHeight(1, r.nodes...)
	r.load = r.startLoad()
	r.say("under load")
	err := r.commit(&step{Commits: [2]int{20, 20}}, nil)
	for _, r.scenario = range scenarios {
		if err == nil {
			err = r.playOne()
		}
	}
	r.load.end()
	if err != nil {
		t.Error(err)
	}
	for _, fault := range r.load.faults {
		t.Error(fault)
	}
	if t.Failed() {
		return
	}
	r.check(slices.ContainsFunc(scenarios, func(s *scenario) bool { return s.Cheats }))
}

// playOne plays all rounds of the scenario.
func (r *run) playOne() error {
	r.flooding = flooding{since: r.load.now()}
	for round := range r.scenario.Rounds {
		if err := r.take(round); err != nil {
			return fmt.Errorf("%s: %w", r.scenario.name, err)
		}
	}
	if err := r.finish(); err != nil {
		return fmt.Errorf("after %s: %w", r.scenario.name, err)
	}
	r.say("%s: everything is mended", r.scenario.name)
	return nil
}

// check holds what clients were told against what the nodes have now, and stops the nodes.
func (r *run) check(cheated bool) {
	r.t.Helper()
	if err := r.fresh(); err != nil {
		r.t.Fatal(err)
	}
	ended := time.Now()
	r.awaitHeight(r.load.floor(), r.nodes...)
	height := r.load.floor() + 1 // whose header proves the last of what was seen
	chains := make([]chain, len(r.nodes))
	var group errgroup.Group
	for i, n := range r.nodes {
		group.Go(func() error {
			c, err := r.read(n, height)
			if err != nil {
				return fmt.Errorf("reading the chain of %s: %w", n, err)
			}
			chains[i] = *c
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		r.t.Fatal(err)
	}
	reads := 0
	for _, o := range r.load.ops {
		if !o.write {
			reads++
		}
	}
	for what, err := range map[string]error{
		"one chain": checkChains(chains),
		"once":      checkOnce(&chains[0], r.load.acks),
		"reads":     checkReads(&chains[0], r.load.ops),
		"registers": checkLinearizable(r.load.ops),
		"accused":   checkAccused(&chains[0], cheated),
		"lies":      checkLies(&chains[0], r.lied),
		"times":     checkTimes(&chains[0], r.load.began.Add(-clockRoom), ended.Add(clockRoom)),
		"replay":    r.replay(height),
	} {
		if err != nil {
			r.t.Errorf("%s: %v", what, err)
		}
	}
	r.say("%d acknowledged, %d reads and %d writes of registers, height %d, %s", len(r.load.acks), reads, len(r.load.ops)-reads, height, r.wire)
	if err := r.halt(nil, r.nodes); err != nil {
		r.t.Error(err)
	}
}

// clockRoom is how far from the time of votes a block's time may be: it is that of the votes for the block
// before, and the first blocks are older than the load.
const clockRoom = time.Minute

// readers is how many blocks of a node are read at once.
const readers = 8

// read takes a node's blocks.
func (r *run) read(n *node, last hufu.Height) (*chain, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	c := &chain{node: n.String(), blocks: make([]block, last)}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for i := range c.blocks {
		group.Go(func() (err error) {
			c.blocks[i], err = readBlock(ctx, n, hufu.Height(i+1))
			return err
		})
	}
	return c, group.Wait()
}

func readBlock(ctx context.Context, n *node, height hufu.Height) (b block, err error) {
	sh, err := n.rpc.SignedHeader(ctx, height)
	if err != nil {
		return b, err
	}
	b.header = sh.Header
	if b.txs, err = n.rpc.Block(ctx, height); err != nil {
		return b, err
	}
	b.results, err = n.rpc.Results(ctx, height)
	return b, err
}

// replay runs all blocks of one of the nodes through the rules.
func (r *run) replay(height hufu.Height) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	n := r.nodes[r.random.IntN(len(r.nodes))]
	out, err := audit.Replay(ctx, r.genesis, audit.FromNode(n.rpc), audit.Options{Until: height - 1})
	if err != nil {
		return err
	}
	defer out.Close()
	if !out.AppHashMatch {
		return fmt.Errorf("%s: %w", n, out.Divergence)
	}
	convicted := len(out.Convictions) == len(r.convicts)
	for _, n := range r.convicts {
		convicted = convicted && slices.ContainsFunc(out.Convictions, func(c audit.Conviction) bool { return c.Member == n.id.DID(networkName) })
	}
	if !convicted {
		return fmt.Errorf("the auditor finds %+v, and %v were convicted", out.Convictions, r.convicts)
	}
	return nil
}

// fresh lets clients that know the genesis alone read all registers through each node. Their reads are part of the
// history.
func (r *run) fresh() error {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	registers := map[hufu.ID]bool{}
	for _, o := range r.load.ops {
		registers[o.register] = true
	}
	for i, n := range r.nodes {
		believer := r.dial(n)
		for id := range registers {
			if _, err := r.load.read(ctx, n, believer, -1-i, id); err != nil {
				return fmt.Errorf("a new client of %s: %w", n, err)
			}
		}
	}
	return nil
}
