package chaos

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
)

// twin runs the validator of a stopped node twice, on its own machine and on a spare one, each told that nobody
// else signs for it: what an operator does who believes the first machine dead.
func (r *run) twin(_ *step, nodes []*node) error {
	for _, n := range nodes {
		t := r.process(n.String()+"-twin", r.spare[0])
		r.guests = append(r.guests, t)
		if err := os.Mkdir(t.dir, 0o700); err != nil {
			return err
		}
		if err := copyTree(n.dir, t.dir); err != nil {
			return err
		}
		opens, err := os.ReadFile(n.dir + ".key")
		if err != nil {
			return err
		}
		if err := os.WriteFile(t.dir+".key", opens, 0o600); err != nil {
			return err
		}
		// Its peers would not be connected with two of one name.
		h, err := home.Open(t.dir, keystore.KeyFile(t.dir+".key"))
		if err != nil {
			return err
		}
		const name = "node/p2p"
		if err := h.Keys().Remove(name); err != nil {
			return err
		}
		if _, err := h.Keys().Generate(rand.Reader, name, keys.Ed25519); err != nil {
			return err
		}
		for _, n := range []*node{n, t} {
			n.flags = []string{"--sign-again"}
			if err := n.start(); err != nil {
				return err
			}
		}
	}
	return nil
}

// convicted waits until the ledger has taken a validator's power for signing twice, and the others go on without it.
func (r *run) convicted(_ *step, nodes []*node) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	c := r.nodes[0].client
	for _, n := range nodes {
		address := gov.AddressOf(n.validator.Raw())
		var is *gov.ValidatorKey
		for at := hufu.Height(0); is == nil || is.Conviction == nil; {
			if _, err := c.Await(ctx, at+1); err != nil {
				return fmt.Errorf("waiting for the conviction of %s: %w", n, err)
			}
			if err := c.Read(ctx, func(v client.View) (err error) {
				at = v.AsOf().Height
				is, err = gov.GetValidatorKey(v, address)
				return err
			}); err != nil {
				return err
			}
		}
		r.convicts = append(r.convicts, n)
		if m := is.Conviction.Proofs[0].Misbehaviour; m.Offence != gov.DuplicateVote || is.Conviction.Took != m.Power || is.Member != n.id {
			return fmt.Errorf("%s is convicted of something else: %+v", n, is.Conviction)
		}
		// What a block decides about validators holds from the next but one on.
		h := is.Conviction.Height + 3
		if _, err := c.Await(ctx, h); err != nil {
			return err
		}
		s, err := c.SignedAt(ctx, h)
		if err != nil {
			return err
		}
		if len(s.Validators) != len(r.nodes)-1 || slices.ContainsFunc(s.Validators, func(v client.Signature) bool { return bytes.Equal(v.Key[:], n.validator.Raw()) }) {
			return fmt.Errorf("%d validators have votes at height %d, with %s in the place of none", len(s.Validators), h, n)
		}
	}
	return nil
}

// actor starts one of actors for a member on a machine.
func (r *run) actor(name string, m *node, space *namespace, env ...string) (*node, error) {
	a := r.process(name+"-"+strconv.Itoa(len(r.guests)), space)
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a.binary, a.env = self, append(env, actorEnv+"="+name, memberEnv+"="+m.dir)
	r.guests = append(r.guests, a)
	return a, a.start()
}

// dismiss ends an actor, which had nothing to complain of.
func dismiss(a *node) error {
	if err := a.end(syscall.SIGTERM); err != nil {
		return fmt.Errorf("%w: %s", err, a.log())
	}
	if how := a.exit(); how != "exit status 0" {
		return fmt.Errorf("%s ended with %s: %s", a, how, a.log())
	}
	return nil
}

// lie lets somebody else play a stopped node's validator until every kind of lie was refused by all others.
func (r *run) lie(_ *step, nodes []*node) error {
	for _, n := range nodes {
		a, err := r.actor("proposer", n, n.space)
		if err != nil {
			return err
		}
		m, err := openMember(n.dir)
		if err != nil {
			return err
		}
		kinds, err := m.lies(1)
		if err != nil {
			return err
		}
		var lies []lied
		r.until("the others have refused all lies", func() (bool, string) {
			refused := map[string]bool{}
			lies, err = told[lied](a.log())
			for _, l := range lies {
				refused[l.Name] = refused[l.Name] || r.refused(&l, n)
			}
			missing := slices.DeleteFunc(slices.Clone(kinds), func(l lie) bool { return refused[l.name] })
			var names []string
			for _, l := range missing {
				names = append(names, l.name)
			}
			return len(missing) == 0 || err != nil || !a.up(), fmt.Sprintf("not yet: %s", strings.Join(names, ", "))
		})
		if err != nil {
			return err
		}
		if err := dismiss(a); err != nil {
			return err
		}
		r.lied = append(r.lied, lies...)
		r.say("%d lies by %s", len(lies), n)
	}
	return nil
}

// refused reports whether all nodes but the liar refused a lie, by its rule.
func (r *run) refused(l *lied, liar *node) bool {
	words := fmt.Sprintf(`"msg":"a proposal is refused","height":%d,"error":"`, l.Height)
	for _, n := range r.nodes {
		if n == liar {
			continue
		}
		_, after, found := strings.Cut(n.log(), words)
		line, _, _ := strings.Cut(after, "\n")
		if !found || !strings.Contains(line, string(l.Rule)) {
			return false
		}
	}
	return true
}

// flooding is the floods of a network, one after the other.
type flooding struct {
	member *node
	actor  *node // nil: it is calm
	since  time.Duration
	all    flooded

	before, during []wait // of the others
}

// flood begins when the flood has all that it sends.
func (r *run) flood(_ *step, nodes []*node) error {
	f := &r.flooding
	if f.actor != nil || len(nodes) != 1 {
		return errors.New("one floods at a time")
	}
	a, err := r.actor("flood", nodes[0], nodes[0].space)
	if err != nil {
		return err
	}
	r.until(a.String()+" begins", func() (bool, string) { return strings.Contains(a.log(), "}") || !a.up(), a.log() })
	f.before = append(f.before, r.others(nodes[0], f.since, r.load.now())...)
	for _, n := range r.nodes {
		n.noRoom.Store(0)
	}
	f.member, f.actor, f.since = nodes[0], a, r.load.now()
	return nil
}

// calm ends the flood. The member's quota paid for all of it that came onto the ledger, and the rest was refused. Nobody else
// was refused for want of room, and of the others 99 of 100 waited at most twice as many blocks, and one, as between
// floods: how long those take is the machine's affair, and the flood's and all nodes' have two cores.
func (r *run) calm(*step, []*node) error {
	f := &r.flooding
	if f.actor == nil {
		return errors.New("nobody floods")
	}
	a, until := f.actor, r.load.now()
	f.actor = nil
	if err := dismiss(a); err != nil {
		return err
	}
	lines, err := told[flooded](a.log())
	if err != nil || len(lines) != 2 {
		return fmt.Errorf("%s told %v: %w", a, lines, err)
	}
	f.all.add(&lines[1])
	if f.all.Refused[gov.RuleQuotaExhausted] == 0 || f.all.Refused[machine.RuleSignature] == 0 || f.all.Admitted == 0 {
		return fmt.Errorf("the flood was not refused what exceeds the quota and what is forged: %+v", f.all)
	}
	if err := r.metered(f.member); err != nil {
		return err
	}
	during := r.others(f.member, f.since, until)
	f.during, f.since = append(f.during, during...), r.load.now()
	for _, n := range r.nodes {
		if n == f.member {
			continue
		}
		if !slices.ContainsFunc(during, func(w wait) bool { return w.through == n.String() }) {
			return fmt.Errorf("nothing came through %s while %s flooded", n, f.member)
		}
		if refused := n.noRoom.Load(); refused > 0 {
			return fmt.Errorf("%s had %d times no room for its own clients, while %s flooded", n, refused, f.member)
		}
	}
	blocks := func(w wait) hufu.Height { return w.blocks }
	took := func(w wait) time.Duration { return (w.back - w.call).Round(time.Millisecond) }
	r.say("flood of %d transactions, %d admitted, refused: %v; the others waited %d blocks (99 %% of %d; half of them %d) between floods, %d (of %d; %d) in them: %s, %s",
		f.all.Sent, f.all.Admitted, f.all.Refused, percentile(99, f.before, blocks), len(f.before), percentile(50, f.before, blocks),
		percentile(99, f.during, blocks), len(f.during), percentile(50, f.during, blocks), percentile(99, f.before, took), percentile(99, f.during, took))
	return checkFair(f.before, f.during)
}

func (f *flooded) add(more *flooded) {
	f.Sent, f.Admitted = f.Sent+more.Sent, f.Admitted+more.Admitted
	if f.Refused == nil {
		f.Refused = map[hufu.Rule]int{}
	}
	for rule, n := range more.Refused {
		f.Refused[rule] += n
	}
}

// others are the waits between two moments of who is not the member's client.
func (r *run) others(member *node, from, to time.Duration) []wait {
	return slices.DeleteFunc(r.load.waited(from, to), func(w wait) bool { return w.through == member.String() })
}

// metered wants a member to have used nearly all of its quota, and no more, and the others not even half of theirs.
func (r *run) metered(member *node) error {
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	for _, n := range r.nodes {
		var m *gov.Member
		var u gov.Usage
		r.until("the usage of "+n.String()+" is read", func() (bool, string) {
			err := r.nodes[0].client.Read(ctx, func(v client.View) (err error) {
				if m, err = gov.GetMember(v, n.id); err != nil {
					return err
				}
				u, err = gov.CurrentUsage(state.Context{Network: networkName, Height: v.AsOf().Height, Time: v.AsOf().Time.Unix()}, v, n.id)
				return err
			})
			return err == nil, fmt.Sprint(err) // such as that blocks come faster than it reads
		})
		if u.Used > m.Quota || (u.Used > m.Quota/2) != (n == member) {
			return fmt.Errorf("%s has used %d of %d units", n, u.Used, m.Quota)
		}
	}
	return nil
}

// garbage lets a stranger send nodes garbage, and waits until each connection of it was ended.
func (r *run) garbage(_ *step, nodes []*node) error {
	var targets []string
	before := map[string]int{}
	for _, n := range nodes {
		targets = append(targets, "whoever@"+net.JoinHostPort(nodeAddress(n.number).String(), strconv.Itoa(peerPort)))
		before[n.String()] = n.memory()
	}
	// What it forges is in the name of a member with quota: else it would be refused before its signatures are looked at.
	a, err := r.actor("garbage", r.nodes[0], r.spare[0], targetEnv+"="+strings.Join(targets, ","))
	if err != nil {
		return err
	}
	r.until(a.String()+" is through", func() (bool, string) { return !a.up(), a.log() })
	if how := a.exit(); how != "exit status 0" {
		return fmt.Errorf("%s ended with %s: %s", a, how, a.log())
	}
	for _, n := range nodes {
		if !n.up() {
			return fmt.Errorf("%s ended by garbage: %s", n, n.exit())
		}
	}
	for _, n := range slices.Sorted(maps.Keys(before)) {
		i := slices.IndexFunc(nodes, func(x *node) bool { return x.String() == n })
		r.say("%s has %d MiB after it, %d before", n, nodes[i].memory()>>10, before[n]>>10)
	}
	return nil
}

// memory is the resident memory of the node's process, in KiB (proc(5), VmRSS).
func (n *node) memory() (kib int) {
	n.mu.Lock()
	pid := n.cmd.Process.Pid
	n.mu.Unlock()
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(raw), "VmRSS:")
	_, _ = fmt.Sscan(after, &kib)
	return kib
}
