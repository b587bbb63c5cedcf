package chaos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cometbft/cometbft/types"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/internal/home"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/keys/keystore"
	"github.com/hufu-id/hufu/ledger/client"
	ledgernode "github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
)

const (
	// patience bounds every wait for something that has to come. Nothing is measured by it.
	patience = 10 * time.Minute
	// glance is between two looks at something that is waited for.
	glance = 20 * time.Millisecond

	networkName = "chaos"
	peerPort    = 26656
	// rpcAddress is where each node's RPC is, in its own namespace: products listen there on loopback alone.
	rpcAddress = "127.0.0.1:26657"
)

// network is a network of validators, each a process of the product in a namespace of its own.
type network struct {
	t       *testing.T
	dir     string
	seed    uint64
	random  *rand.Rand // of the scenario's choices; the lines and clients have their own
	binary  string     // that nodes run
	wire    *wire
	nodes   []*node
	spare   []*namespace // machines of nobody
	guests  []*node      // processes besides, of whomever
	genesis []byte
	trust   client.Trust
}

// node is a member's node, and the clients beside it.
type node struct {
	network *network
	name    string
	number  int // from 0; the scenarios count from 1
	dir     string
	space   *namespace
	rpc     *client.HTTP   // through the relay
	client  *client.Client // one for the whole scenario, so that it sees all that the node ever says

	id        hufu.ID // the member
	control   keys.Signer
	validator keys.PublicKey
	metered   bool         // its quota will not be enough
	noRoom    atomic.Int64 // refusals of its clients because others had taken the room, or the quota

	binary string   // in place of the network's
	env    []string // of the process, besides
	flags  []string // of "node start", besides

	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when the process is gone
	state *os.ProcessState
}

// ground is what a network is founded for.
type ground struct {
	nodes, spare int
	quota        uint64 // of the last node's member; 0: what founders have
	early        bool   // founded an hour ago: a node waits for its network's genesis, by its own clock
}

// found makes the homes of a network as its operators would, and connects its machines; no node runs yet.
func found(t *testing.T, g ground, seed uint64) *network {
	t.Helper()
	// Not t.TempDir: what failed is kept.
	dir, err := os.MkdirTemp("", "hufu-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	w := &network{t: t, dir: dir, seed: seed, random: rand.New(rand.NewPCG(seed, 0)), binary: hufuBinary(t)}
	t.Cleanup(w.leave)
	var hosts []string
	for i := range g.nodes {
		hosts = append(hosts, nodeAddress(i).String())
	}
	w.must("net", "init", "--validators", strconv.Itoa(g.nodes), "--out", filepath.Join(dir, "net"),
		"--network", networkName, "--hosts", strings.Join(hosts, ","), "--port", strconv.Itoa(peerPort))
	var spaces []*namespace
	w.wire, spaces = newWire(t, g.nodes+g.spare, seed)
	w.spare = spaces[g.nodes:]
	for i := range g.nodes {
		w.nodes = append(w.nodes, w.member(i, spaces[i]))
	}
	if err := w.amend(&g); err != nil {
		t.Fatal(err)
	}
	if w.genesis, err = os.ReadFile(filepath.Join(w.nodes[0].dir, home.GenesisFile)); err != nil {
		t.Fatal(err)
	}
	if w.trust, err = client.ParseGenesis(w.genesis); err != nil {
		t.Fatal(err)
	}
	for _, n := range w.nodes {
		n.client = w.dial(n)
	}
	return w
}

// amend makes the genesis, which no node has seen yet, what the ground wants.
func (w *network) amend(g *ground) error {
	n := w.nodes[g.nodes-1]
	old, err := os.ReadFile(filepath.Join(n.dir, home.GenesisFile))
	if err != nil {
		return err
	}
	file, err := types.GenesisDocFromJSON(old)
	if err != nil {
		return err
	}
	doc, err := machine.ParseGenesis(file.AppState)
	if err != nil {
		return err
	}
	if g.early {
		file.GenesisTime = file.GenesisTime.Add(-time.Hour)
	}
	if g.quota > 0 {
		at := slices.IndexFunc(doc.Members, func(m machine.Founder) bool { return bytes.Equal(m.ValidatorKey, n.validator.Raw()) })
		if at < 0 {
			return fmt.Errorf("%s is not in its genesis", n)
		}
		n.metered, doc.Members[at].Quota = true, g.quota
	}
	changed, err := ledgernode.NewGenesis(doc, file.GenesisTime)
	if err != nil {
		return err
	}
	for _, n := range w.nodes {
		if err := os.WriteFile(filepath.Join(n.dir, home.GenesisFile), changed, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// leave ends whatever still runs, and keeps what a failure leaves.
func (w *network) leave() {
	for _, n := range slices.Concat(w.nodes, w.guests) {
		_ = n.end(syscall.SIGKILL)
	}
	if !w.t.Failed() {
		if err := os.RemoveAll(w.dir); err != nil {
			w.t.Error(err)
		}
		return
	}
	w.t.Logf("homes and logs are kept in %s", w.dir)
	for _, n := range slices.Concat(w.nodes, w.guests) {
		if log := n.log(); len(log) > 0 {
			w.t.Logf("the end of %s.log:\n%s", n, log[max(0, len(log)-3000):])
		}
	}
}

// must runs a command of the product.
func (w *network) must(args ...string) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, w.binary, args...)
	c.Env = environment()
	if out, err := c.CombinedOutput(); err != nil {
		w.t.Fatalf("hufu %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func environment(more ...string) []string {
	return append(append(os.Environ(), "HUFU_HOME=", "HUFU_KEY_FILE=", "HUFU_PASSPHRASE_FILE="), more...)
}

// process is one that does not run yet, with a home of its name.
func (w *network) process(name string, space *namespace) *node {
	n := &node{network: w, name: name, dir: filepath.Join(w.dir, "net", name), space: space, ended: make(chan struct{})}
	close(n.ended)
	return n
}

func (w *network) member(i int, space *namespace) *node {
	w.t.Helper()
	n := w.process("node"+strconv.Itoa(i+1), space)
	n.number = i
	h, err := home.Open(n.dir, keystore.KeyFile(n.dir+".key"))
	if err != nil {
		w.t.Fatal(err)
	}
	did, err := h.Identity("member")
	if err != nil {
		w.t.Fatal(err)
	}
	if _, n.id, err = did.Parse(); err != nil {
		w.t.Fatal(err)
	}
	if n.control, err = h.Keys().Signer("member/control/0"); err != nil {
		w.t.Fatal(err)
	}
	signers, err := h.NodeSigners()
	if err != nil {
		w.t.Fatal(err)
	}
	n.validator = signers.Validator.Public()
	if n.rpc, err = client.Dial("http://" + relay(w.t, space)); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// dial is a client of a node that believes the genesis and nothing else.
func (w *network) dial(n *node) *client.Client {
	w.t.Helper()
	c, err := client.New(w.trust, counting{n.rpc, n}, client.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() }) // always nil
	return c
}

// counting counts what a node has no room for.
type counting struct {
	client.Transport
	node *node
}

func (c counting) Broadcast(ctx context.Context, raw []byte) (client.Admission, error) {
	a, err := c.Transport.Broadcast(ctx, raw)
	if a.Rule == client.RuleBusy || a.Rule == gov.RuleQuotaExhausted {
		c.node.noRoom.Add(1)
	}
	return a, err
}

// relay listens on this machine and connects whoever comes with the RPC in a namespace.
func relay(t *testing.T, space *namespace) (address string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer near.Close()
				far, err := space.dial(t.Context(), rpcAddress)
				if err != nil {
					return
				}
				defer far.Close()
				go func() {
					_, _ = io.Copy(far, near)
					_ = far.Close()
				}()
				_, _ = io.Copy(near, far)
			}()
		}
	}()
	return l.Addr().String()
}

func (n *node) String() string { return n.name }

// start runs the node's process and does not wait until it answers.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.ended:
	default:
		return fmt.Errorf("%s runs already", n)
	}
	log, err := os.OpenFile(n.dir+".log", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	binary := n.network.binary
	if n.binary != "" {
		binary = n.binary
	}
	c := exec.Command(binary, append([]string{"node", "start", "--home", n.dir, "--key-file", n.dir + ".key"}, n.flags...)...)
	c.Env = environment(n.env...)
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // should the test be killed
	if err := n.space.in(c.Start); err != nil {
		return fmt.Errorf("%s: %w", n, err)
	}
	ended := make(chan struct{})
	n.cmd, n.ended = c, ended
	go func() {
		_ = c.Wait() // how it ended is in its state
		n.mu.Lock()
		n.state = c.ProcessState
		n.mu.Unlock()
		close(ended)
	}()
	return nil
}

// end sends the node's process a signal and waits until it is gone. One that has ended before is an error.
func (n *node) end(s syscall.Signal) error {
	n.mu.Lock()
	cmd, ended := n.cmd, n.ended
	n.mu.Unlock()
	select {
	case <-ended:
		return fmt.Errorf("%s does not run: %s", n, n.exit())
	default:
	}
	if err := cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-ended:
		return nil
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		return fmt.Errorf("%s did not end by %s", n, s)
	}
}

// up reports whether the process is there.
func (n *node) up() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	select {
	case <-n.ended:
		return false
	default:
		return true
	}
}

// exit says how the process ended.
func (n *node) exit() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return fmt.Sprint(n.state)
}

func (n *node) log() string {
	raw, _ := os.ReadFile(n.dir + ".log")
	return string(raw)
}

// height is the last block of which the node shows the client that it is signed.
func (n *node) height() (hufu.Height, error) {
	ctx, cancel := context.WithTimeout(n.network.t.Context(), 5*time.Second)
	defer cancel()
	// The client may not have noticed yet that the node is away.
	if _, err := n.rpc.Query(ctx, proof.PathAwait, []byte{0}); err != nil {
		return 0, err
	}
	head, err := n.client.Head(ctx)
	return head.Height, err
}

// until looks again and again until what is so.
func (w *network) until(what string, so func() (bool, string)) {
	w.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		ok, detail := so()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("it never came to be that %s: %s", what, detail)
		}
		time.Sleep(glance)
	}
}

// awaitHeight waits until each node shows that it has a height.
func (w *network) awaitHeight(height hufu.Height, nodes ...*node) {
	w.t.Helper()
	w.until(fmt.Sprintf("%v are at height %d", nodes, height), func() (bool, string) {
		for _, n := range nodes {
			if !n.up() {
				w.t.Fatalf("%s has ended by itself: %s", n, n.exit())
			}
			if h, err := n.height(); err != nil || h < height {
				return false, fmt.Sprintf("%s is at %d, %v", n, h, err)
			}
		}
		return true, ""
	})
}
