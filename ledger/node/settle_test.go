package node_test

import (
	"context"
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/did"
)

// gatedFS holds commits of the state where they begin: looking for room on the disk.
type gatedFS struct {
	vfs.FS
	gate   atomic.Pointer[chan struct{}] // nil lets commits through
	waits  chan struct{}                 // gets one value for each that is held
	noRoom atomic.Bool
}

func (f *gatedFS) GetDiskUsage(path string) (vfs.DiskUsage, error) {
	if gate := f.gate.Load(); gate != nil {
		f.waits <- struct{}{}
		<-*gate
	}
	if f.noRoom.Load() {
		return vfs.DiskUsage{}, nil
	}
	return f.FS.GetDiskUsage(path)
}

// hold begins to hold commits until the function it returns is called.
func (f *gatedFS) hold() (release func()) {
	gate := make(chan struct{})
	f.gate.Store(&gate)
	return func() {
		f.gate.Store(nil)
		close(gate)
	}
}

// outstanding is a node that acknowledged a transaction, and wrote down a block whose state it has still to commit.
func outstanding(t *testing.T) (n *sample.Network, home string, running *node.Node, disk *gatedFS, release func()) {
	t.Helper()
	n, cfg := found(t)
	disk = &gatedFS{FS: vfs.Default, waits: make(chan struct{}, 1)}
	cfg.Store.FS = disk
	running = start(t, n, cfg)
	first, _, err := n.CreateDID(1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, n, running.URL()).Submit(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(disk.hold())
	t.Cleanup(release) // before the node is stopped
	second, _, err := n.CreateDID(2)
	if err != nil {
		t.Fatal(err)
	}
	if err := running.Broadcast(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	select {
	case <-disk.waits:
	case <-time.After(time.Minute):
		t.Fatal("no block is committed")
	}
	return n, cfg.Home, running, disk, release
}

// A process ends while the state of a block is being committed beside the engine, which has the block: another on
// the same disk executes the block again, comes to the state that the first comes to, and has what was
// acknowledged.
func TestKilledWhileCommitting(t *testing.T) {
	n, home, running, _, release := outstanding(t)
	left := t.TempDir()
	if err := os.CopyFS(left, os.DirFS(home)); err != nil { // as a kill leaves it
		t.Fatal(err)
	}
	at := running.Height()
	if before := stateIn(t, left); before.Height != at-1 {
		t.Fatalf("the state on disk is that of %d, and block %d is being committed", before.Height, at)
	}
	release()
	again := start(t, n, node.Config{Home: left})
	var hashes [2]string
	for i, each := range []*node.Node{running, again} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		c := connect(t, n, each.URL())
		if _, err := c.Await(ctx, at); err != nil {
			t.Fatal(err)
		}
		hashes[i] = appHash(ctx, t, each.URL(), at)
		if err := c.Read(ctx, func(v client.View) error {
			_, id, err := n.CreateDID(1)
			if err != nil {
				return err
			}
			rec, err := did.Get(v, id)
			if err == nil && rec == nil {
				t.Errorf("node %d has lost what was acknowledged", i)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if hashes[0] != hashes[1] {
		t.Errorf("after block %d the state is %x, and executed again it is %x", at, hashes[0], hashes[1])
	}
}

// appHash is that of the state after a height, in the next header.
func appHash(ctx context.Context, t *testing.T, url string, after hufu.Height) string {
	t.Helper()
	transport, err := client.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.Close()
	header, err := transport.SignedHeader(ctx, after+1)
	if err != nil {
		t.Fatal(err)
	}
	return string(header.Header.AppHash)
}

// A commit beside the engine that fails ends the node, whether or not the engine comes to ask.
func TestFailingCommitEndsTheNode(t *testing.T) {
	_, _, running, disk, release := outstanding(t)
	disk.noRoom.Store(true)
	release()
	select {
	case <-running.Done():
	case <-time.After(time.Minute):
		t.Fatal("the node goes on")
	}
	if err := running.Err(); !errors.Is(err, node.ErrDiskFull) {
		t.Errorf("%v", err)
	}
}
