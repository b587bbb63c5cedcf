package chaos

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pelletier/go-toml/v2"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/disktest"
)

// scenario is a file of scenarios/: what is done to a network under load.
type scenario struct {
	About  string `toml:"about"`  // what it shows
	Rounds int    `toml:"rounds"` // how often the steps are taken; 0: once
	Short  int    `toml:"short"`  // how often in the short form; 0: not at all
	With   string `toml:"with"`   // name of a network that scenarios share in the short form, one after the other
	Disk   int    `toml:"disk"`   // number of a node with a disk of its own
	Spare  int    `toml:"spare"`  // machines without a node
	Quota  uint64 `toml:"quota"`  // of the last node's member, in units; 0: what founders have
	Cheats bool   `toml:"cheats"` // it is to come to evidence against a validator
	Steps  []step `toml:"steps"`

	name string
}

// step is one thing that is done or waited for. Which of its settings count depends on Do.
type step struct {
	Do      string  `toml:"do"`
	Who     who     `toml:"who"`
	Commits [2]int  `toml:"commits"` // of "commit": the least and the most, drawn from the seed
	Sides   [][]int `toml:"sides"`   // of "part"
	For     span    `toml:"for"`     // of "stall"
	Clock   span    `toml:"clock"`   // of "start" and "launch": how far the process's clock is off
	Says    string  `toml:"says"`    // of "dies": what the node's last words hold
	weather
}

// who is the nodes that a step is about: numbers from 1; "turn", each in turn by rounds; "any", drawn for each
// round; "rest", all others of that; "all".
type who []any

// verbs are what steps do.
var verbs = map[string]func(*run, *step, []*node) error{
	"commit":  (*run).commit,  // wait until that many more transactions are acknowledged
	"kill":    (*run).kill,    // SIGKILL
	"stop":    (*run).halt,    // SIGTERM
	"start":   (*run).start,   // start a process and wait until it has what the others have
	"launch":  (*run).launch,  // start a process
	"part":    (*run).part,    // cut all lines between sides
	"join":    (*run).join,    // no line is cut
	"weather": (*run).weather, // on all lines from and to the nodes
	"stall":   (*run).stall,   // nothing is committed for some time
	"fill":    (*run).fill,    // no room is left on a disk
	"drain":   (*run).drain,   // there is room again
	"dies":    (*run).dies,    // wait until a node ends by itself
	"tear":    (*run).tear,    // what was written last is half there
	"save":    (*run).save,    // copy a home
	"restore": (*run).restore, // put the copy in its place

	"twin":      (*run).twin,      // start a validator twice, told that nobody else signs for it
	"convicted": (*run).convicted, // wait until the ledger has taken a validator's power
	"lie":       (*run).lie,       // let others play a validator, until all lies they propose were refused
	"flood":     (*run).flood,     // a member floods its node
	"calm":      (*run).calm,      // it ends, and had no more than its share
	"garbage":   (*run).garbage,   // a stranger sends the nodes everything that no peer sends
}

func readScenario(path string) (*scenario, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := &scenario{Rounds: 1}
	d := toml.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, err
	}
	for i, st := range s.Steps {
		if verbs[st.Do] == nil {
			return nil, fmt.Errorf("step %d: nothing is called %q", i+1, st.Do)
		}
	}
	if s.About == "" || len(s.Steps) == 0 || s.Short > s.Rounds {
		return nil, fmt.Errorf("it needs what it is about, steps, and no more rounds in the short form than in the full one")
	}
	return s, nil
}

// clocks reports whether some node's clock is off in it.
func (s *scenario) clocks() bool {
	return slices.ContainsFunc(s.Steps, func(s step) bool { return s.Clock != 0 })
}

// order is in which scenarios of one network are played: those last that need another binary, which is built meanwhile.
func (s *scenario) order() int {
	if s.clocks() {
		return 1
	}
	return 0
}

// run is a scenario on its way.
type run struct {
	*network
	scenario *scenario
	load     *load
	round    int
	drawn    int // the node of "any" in this round
	disk     *disktest.Disk
	lied     []lied
	convicts []*node
	flooding flooding
}

// say notes in the test's output what happens when.
func (r *run) say(format string, args ...any) {
	r.t.Helper()
	r.t.Logf("%8s "+format, append([]any{r.load.now().Round(time.Millisecond)}, args...)...)
}

// take takes all steps of one round.
func (r *run) take(round int) error {
	r.round, r.drawn = round, r.random.IntN(len(r.nodes))
	for i := range r.scenario.Steps {
		s := &r.scenario.Steps[i]
		nodes, err := r.who(s.Who)
		if err == nil {
			r.say("round %d: %s %v", round+1, s.Do, nodes)
			err = verbs[s.Do](r, s, nodes)
		}
		if err != nil {
			return fmt.Errorf("round %d, step %d (%s): %w", round+1, i+1, s.Do, err)
		}
	}
	return nil
}

func (r *run) who(names who) (out []*node, err error) {
	for _, name := range names {
		switch name := name.(type) {
		case int64:
			if name < 1 || int(name) > len(r.nodes) {
				return nil, fmt.Errorf("there is no node %d", name)
			}
			out = append(out, r.nodes[name-1])
		case string:
			turn := r.nodes[r.round%len(r.nodes)]
			switch name {
			case "turn":
				out = append(out, turn)
			case "any":
				out = append(out, r.nodes[r.drawn])
			case "all":
				out = append(out, r.nodes...)
			default:
				return nil, fmt.Errorf("nobody is called %q", name)
			}
		}
	}
	return out, nil
}

// finish mends everything, as operators would, and waits until all nodes have all that was acknowledged and go on.
func (r *run) finish() error {
	for _, mend := range []func(*run, *step, []*node) error{(*run).join, (*run).drain} {
		if err := mend(r, nil, nil); err != nil {
			return err
		}
	}
	r.wire.set(func(int, int) bool { return true }, func(l *line) { l.weather = weather{} })
	for _, n := range r.guests {
		if n.up() {
			if err := n.end(syscall.SIGTERM); err != nil {
				return err
			}
		}
	}
	var down []*node
	for _, n := range r.nodes {
		if !n.up() {
			down = append(down, n)
		}
	}
	if err := r.start(&step{}, down); err != nil {
		return err
	}
	return r.commit(&step{Commits: [2]int{20, 20}}, nil)
}

func (r *run) commit(s *step, _ []*node) error {
	more := s.Commits[0] + r.random.IntN(s.Commits[1]-s.Commits[0]+1)
	begin, _ := r.load.count()
	timeout := time.NewTimer(patience)
	defer timeout.Stop()
	for {
		now, moved := r.load.count()
		if now >= begin+more {
			return nil
		}
		select {
		case <-moved:
		case <-timeout.C:
			return fmt.Errorf("%d transactions were acknowledged within %s, and %d were waited for", now-begin, patience, more)
		}
	}
}

func (r *run) kill(_ *step, nodes []*node) error { return end(nodes, syscall.SIGKILL) }

func (r *run) halt(_ *step, nodes []*node) error {
	if err := end(nodes, syscall.SIGTERM); err != nil {
		return err
	}
	for _, n := range nodes {
		if how := n.exit(); how != "exit status 0" {
			return fmt.Errorf("%s was told to stop and ended with %s", n, how)
		}
	}
	return nil
}

// end ends all at once.
func end(nodes []*node, s syscall.Signal) error {
	ended := make(chan error, len(nodes))
	for _, n := range nodes {
		go func() { ended <- n.end(s) }()
	}
	var err error
	for range nodes {
		if e := <-ended; e != nil {
			err = e
		}
	}
	return err
}

func (r *run) launch(s *step, nodes []*node) error {
	for _, n := range nodes {
		n.env, n.binary, n.flags = nil, "", nil
		if s.Clock != 0 {
			n.binary, n.env = shiftedBinary(r.t), []string{clockEnv + "=" + time.Duration(s.Clock).String()}
		}
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) start(s *step, nodes []*node) error {
	if err := r.launch(s, nodes); err != nil {
		return err
	}
	r.awaitHeight(r.load.floor(), nodes...)
	return nil
}

func (r *run) part(s *step, _ []*node) error {
	var sides [][]int
	all := 0
	for _, side := range s.Sides {
		var indexes []int
		for _, number := range side {
			indexes = append(indexes, number-1)
		}
		all += len(indexes)
		sides = append(sides, indexes)
	}
	if all != len(r.nodes) {
		return fmt.Errorf("sides with %d of %d nodes", all, len(r.nodes))
	}
	r.wire.part(sides)
	return nil
}

func (r *run) join(*step, []*node) error {
	r.wire.set(func(int, int) bool { return true }, func(l *line) { l.cut = false })
	return nil
}

func (r *run) weather(s *step, nodes []*node) error {
	touched := func(i int) bool { return i < len(r.nodes) && slices.Contains(nodes, r.nodes[i]) } // else a spare machine
	r.wire.set(func(from, to int) bool { return touched(from) || touched(to) }, func(l *line) { l.weather = s.weather })
	return nil
}

// stall wants that nobody goes on: what had its votes already may be finished, and nothing else.
func (r *run) stall(s *step, _ []*node) error {
	heights := func() (top hufu.Height) {
		for _, n := range r.nodes {
			if h, err := n.height(); err == nil {
				top = max(top, h)
			}
		}
		return top
	}
	before := heights()
	time.Sleep(time.Duration(s.For))
	if after := heights(); after > before+2 {
		return fmt.Errorf("the network went on from height %d to %d", before, after)
	}
	return nil
}

func (r *run) dies(s *step, nodes []*node) error {
	for _, n := range nodes {
		r.until(n.String()+" ends by itself", func() (bool, string) { return !n.up(), strings.TrimSpace(n.log()) })
		if how := n.exit(); how == "exit status 0" {
			return fmt.Errorf("%s ended by itself as if all were well", n)
		}
		log := n.log()
		if last := log[max(0, len(log)-1000):]; !strings.Contains(last, s.Says) {
			return fmt.Errorf("the last words of %s do not say %q: %s", n, s.Says, last)
		}
	}
	return nil
}
