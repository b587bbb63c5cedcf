package node_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/store"
)

const crashHomeEnv = "HUFU_NODE_CRASH_HOME"

// TestNodeChild is the process that TestKill kills: a node that runs until its standard input ends.
func TestNodeChild(t *testing.T) {
	home := os.Getenv(crashHomeEnv)
	if home == "" {
		t.Skip("runs in a process of its own, started by TestKill")
	}
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	running := start(t, n, node.Config{Home: home})
	fmt.Println(urlMark + running.URL())
	go func() {
		<-running.Done()
		os.Exit(3) // it cannot go on; or the test is over
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}

const urlMark = "node at "

// child is a node in a process of its own.
type child struct {
	cmd *exec.Cmd
	in  io.Closer
	url string
}

func startChild(t *testing.T, home string) *child {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel) // and with it the process, should the test end early
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestNodeChild$", "-test.count=1")
	cmd.Env = append(os.Environ(), crashHomeEnv+"="+home)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var said []string
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if url, ok := strings.CutPrefix(lines.Text(), urlMark); ok {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return &child{cmd, in, url}
		}
		said = append(said, lines.Text())
	}
	t.Fatalf("the node did not start: %v\n%s", cmd.Wait(), strings.Join(said, "\n"))
	return nil
}

// kill ends the process as a power cut would.
func (c *child) kill(t *testing.T) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.cmd.Wait() // killed
}

// written is what clients were told to be on the ledger.
type written struct {
	mu       sync.Mutex
	receipts map[hufu.ID]client.Receipt
	next     atomic.Uint64
}

// load writes identifiers from many at once until ctx ends, and tells of the first that was acknowledged.
func (w *written) load(ctx context.Context, n *sample.Network, c *client.Client) (first <-chan struct{}, wait func()) {
	acknowledged := make(chan struct{}, 1)
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for ctx.Err() == nil {
				raw, id, err := n.CreateDID(w.next.Add(1))
				if err != nil {
					continue
				}
				receipt, err := c.Submit(ctx, raw)
				if err != nil {
					continue // not acknowledged: it may be there or not
				}
				w.mu.Lock()
				w.receipts[id] = receipt
				w.mu.Unlock()
				select {
				case acknowledged <- struct{}{}:
				default:
				}
			}
		})
	}
	return acknowledged, group.Wait
}

// TestKill kills a node under load, again and again. Each time the state on disk is the one that the
// next header commits to, and whatever was acknowledged is there. At the end each is in one block.
func TestKill(t *testing.T) {
	rounds := 20
	if testing.Short() {
		rounds = 4
	}
	n, cfg := found(t)
	w := &written{receipts: map[hufu.ID]client.Receipt{}}
	random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := range rounds {
		w.killOnce(t, n, cfg.Home, time.Duration(random.IntN(120_000))*time.Microsecond)
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	running := start(t, n, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	w.eachOnce(ctx, t, running)
	t.Logf("%d rounds, %d acknowledged, height %d", rounds, len(w.receipts), running.Height())
}

// killOnce starts the node, checks what it has, loads it and kills it that long after its first
// acknowledgement.
func (w *written) killOnce(t *testing.T, n *sample.Network, home string, after time.Duration) {
	t.Helper()
	left := stateIn(t, home)
	running := startChild(t, home)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	c := connect(t, n, running.url)
	sameRoot(ctx, t, c, running.url, left)
	w.allThere(ctx, t, c)
	load, stop := context.WithCancel(ctx)
	first, wait := w.load(load, n, c)
	select {
	case <-first:
	case <-ctx.Done():
		t.Errorf("nothing was acknowledged: %v", ctx.Err())
	}
	<-time.After(after) // somewhere in some block
	running.kill(t)
	stop()
	wait()
}

// allThere looks for everything acknowledged.
func (w *written) allThere(ctx context.Context, t *testing.T, c *client.Client) {
	t.Helper()
	if err := c.Read(ctx, func(v client.View) error {
		for id, receipt := range w.receipts {
			rec, err := did.Get(v, id)
			if err != nil {
				return err
			}
			if rec == nil || rec.Created != receipt.Height {
				t.Errorf("%s, acknowledged in block %d: %+v", id, receipt.Height, rec)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// stateIn is the state on disk of a home whose node does not run.
func stateIn(t *testing.T, home string) store.State {
	t.Helper()
	st, err := store.Open(filepath.Join(home, node.StateDir), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	return st.State()
}

// sameRoot compares the state that a killed node left with the header that commits to it.
func sameRoot(ctx context.Context, t *testing.T, c *client.Client, url string, left store.State) {
	t.Helper()
	if left.Height == 0 {
		return // no block was committed yet
	}
	if _, err := c.Await(ctx, left.Height); err != nil {
		t.Fatal(err)
	}
	if hash := appHash(ctx, t, url, left.Height); hash != string(left.Root[:]) {
		t.Errorf("killed with the state %s of height %d, of which the next header says %x", left.Root, left.Height, hash)
	}
}

// eachOnce counts every transaction of every block.
func (w *written) eachOnce(ctx context.Context, t *testing.T, running *node.Node) {
	t.Helper()
	transport, err := client.Dial(running.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	in := map[hufu.Digest]hufu.Height{}
	for height := hufu.Height(1); height <= running.Height(); height++ {
		txs, err := transport.Block(ctx, height)
		if err != nil {
			t.Fatal(err)
		}
		for _, raw := range txs {
			id := hufu.Digest(sha256.Sum256(raw))
			if before, ok := in[id]; ok {
				t.Errorf("%s is in block %d and in block %d", id, before, height)
			}
			in[id] = height
		}
	}
	for id, receipt := range w.receipts {
		if in[receipt.TxID] != receipt.Height {
			t.Errorf("%s, acknowledged in block %d, is in block %d", id, receipt.Height, in[receipt.TxID])
		}
	}
}
