package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/audit"
)

const (
	fullEnv = "HUFU_CHAOS"      // "full": every round of every scenario
	seedEnv = "HUFU_CHAOS_SEED" // of a run to repeat
)

// TestScenarios runs the files of scenarios/.
func TestScenarios(t *testing.T) {
	if what := missing(); what != "" {
		t.Skipf("chaos needs what is not here: %s", what)
	}
	files, err := filepath.Glob("scenarios/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	full := os.Getenv(fullEnv) == "full"
	for _, file := range files {
		s, err := readScenario(file)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		s.name = strings.TrimSuffix(filepath.Base(file), ".toml")
		rounds := s.Short
		if full {
			rounds = s.Rounds
		}
		if rounds == 0 {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel() // most of the time they wait for each other's votes
			play(t, s, rounds)
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

// play runs one scenario, mends what it broke, and holds what clients were told against the ledger.
func play(t *testing.T, s *scenario, rounds int) {
	clocks := slices.ContainsFunc(s.Steps, func(s step) bool { return s.Clock != 0 })
	r := &run{network: found(t, s.Nodes, seedOf(t), clocks), scenario: s}
	if s.Disk != 0 {
		if err := r.fitDisk(r.nodes[s.Disk-1]); err != nil {
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
	for round := range rounds {
		if err == nil {
			err = r.take(round)
		}
	}
	if err == nil {
		err = r.finish()
	}
	r.say("everything is mended")
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
	r.check()
}

// check holds what clients were told against what the nodes have now, and stops the nodes.
func (r *run) check() {
	r.t.Helper()
	if err := r.fresh(); err != nil {
		r.t.Fatal(err)
	}
	ended := time.Now()
	r.awaitHeight(r.load.floor(), r.nodes...)
	height := r.load.floor() + 1 // whose header proves the last of what was seen
	var chains []chain
	for _, n := range r.nodes {
		c, err := r.read(n, height)
		if err != nil {
			r.t.Fatalf("reading the chain of %s: %v", n, err)
		}
		chains = append(chains, *c)
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
		"accused":   checkAccused(&chains[0], false),
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

// read takes a node's blocks.
func (r *run) read(n *node, last hufu.Height) (*chain, error) {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	c := &chain{node: n.String()}
	for h := hufu.Height(1); h <= last; h++ {
		sh, err := n.rpc.SignedHeader(ctx, h)
		if err != nil {
			return nil, err
		}
		b := block{header: sh.Header}
		if b.txs, err = n.rpc.Block(ctx, h); err != nil {
			return nil, err
		}
		if b.results, err = n.rpc.Results(ctx, h); err != nil {
			return nil, err
		}
		c.blocks = append(c.blocks, b)
	}
	return c, nil
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
