package node_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/cometbft/cometbft/consensus"

	"github.com/hufu-id/hufu/ledger/node"
)

// marks reads the heights that a log says are done, and where in the file each mark begins.
func marks(t *testing.T, path string) (heights []int64, at []int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	dec := consensus.NewWALDecoder(f)
	for {
		begin, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := dec.Decode()
		if errors.Is(err, io.EOF) {
			return heights, at
		}
		if err != nil {
			t.Fatal(err)
		}
		if m, ok := msg.Msg.(consensus.EndHeightMessage); ok {
			heights, at = append(heights, m.Height), append(at, begin)
		}
	}
}

// A kill after a block was stored and before the log said so leaves a log without that mark. The next
// start puts it there.
func TestLogOfAHeightIsClosed(t *testing.T) {
	n, cfg := found(t)
	write := func(number uint64) {
		running, err := node.Start(context.Background(), cfg, n.Members[0].Keys)
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := n.CreateDID(number)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := connect(t, n, running.URL()).Submit(context.Background(), raw); err != nil {
			t.Error(err)
		}
		if err := running.Stop(); err != nil {
			t.Fatal(err)
		}
	}
	write(1)
	path := filepath.Join(cfg.Home, node.LogFile)
	heights, at := marks(t, path)
	last := heights[len(heights)-1]
	if err := os.Truncate(path, at[len(at)-1]); err != nil {
		t.Fatal(err)
	}
	write(2)
	again, _ := marks(t, path)
	for i, height := range again {
		if height != int64(i) {
			t.Fatalf("the log says that these heights are done: %v", again)
		}
	}
	if again[len(again)-1] <= last {
		t.Errorf("the log ends with height %d, before the cut %d", again[len(again)-1], last)
	}
}
