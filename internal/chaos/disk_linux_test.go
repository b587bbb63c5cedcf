package chaos

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/hufu-id/hufu/internal/disktest"
)

// diskSize has room for a node, which keeps 256 MiB free, and for what it writes here.
const diskSize = 512 << 20

// fitDisk moves the home of a node that does not run to a disk of its own.
func (r *run) fitDisk(n *node) error {
	away := n.dir + ".away"
	if err := os.Rename(n.dir, away); err != nil {
		return err
	}
	if err := os.Mkdir(n.dir, 0o700); err != nil {
		return err
	}
	r.disk = disktest.Mount(r.t, n.dir, diskSize)
	if err := copyTree(away, n.dir); err != nil {
		return err
	}
	return os.RemoveAll(away)
}

// copyTree copies what is in a directory into another, with modes and times.
func copyTree(from, to string) error {
	if out, err := exec.Command("cp", "-a", from+"/.", to).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// fill leaves no room at once: whatever the node writes next fails.
func (r *run) fill(*step, []*node) error {
	if r.disk == nil {
		return fmt.Errorf("no node has a disk of its own")
	}
	r.disk.Leave(0)
	return nil
}

func (r *run) drain(*step, []*node) error {
	if r.disk != nil {
		r.disk.Whole()
	}
	return nil
}

func saved(n *node) string { return n.dir + ".saved" }

// save copies the homes of nodes that do not run.
func (r *run) save(_ *step, nodes []*node) error {
	for _, n := range nodes {
		if n.up() {
			return fmt.Errorf("%s runs: a copy of its home would be of several moments", n)
		}
		if err := os.MkdirAll(saved(n), 0o700); err != nil {
			return err
		}
		if err := copyTree(n.dir, saved(n)); err != nil {
			return err
		}
	}
	return nil
}

// restore puts the copies in the place of the homes, of which nothing is left.
func (r *run) restore(_ *step, nodes []*node) error {
	for _, n := range nodes {
		if n.up() {
			return fmt.Errorf("%s runs", n)
		}
		if err := os.RemoveAll(n.dir); err != nil {
			return err
		}
		if err := os.Mkdir(n.dir, 0o700); err != nil {
			return err
		}
		if err := copyTree(saved(n), n.dir); err != nil {
			return err
		}
	}
	return nil
}

// tear does to the homes of killed nodes what a power cut does to a write that was under way: of the logs that
// are written ahead, one ends with a part of a record, or with room that was never written to. What had been
// synced before stays, except at the end of the engine's log of consensus messages, of which a validator may lose
// what it likes without saying anything twice.
func (r *run) tear(_ *step, nodes []*node) error {
	for _, n := range nodes {
		if n.up() {
			return fmt.Errorf("%s runs", n)
		}
		logs, err := aheadLogs(n.dir)
		if err != nil {
			return err
		}
		if err := r.tearLog(logs[r.random.IntN(len(logs))]); err != nil {
			return err
		}
		if err := r.cut(filepath.Join(n.dir, consensusLog)); err != nil {
			return err
		}
	}
	return nil
}

const consensusLog = "node/engine/data/cs.wal/wal"

// aheadLogs are the last log of each of a node's databases.
func aheadLogs(dir string) (out []string, err error) {
	for _, pattern := range []string{"node/state", "node/state/*", "node/engine/*"} {
		dirs, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, d := range dirs {
			logs, err := filepath.Glob(filepath.Join(d, "*.log"))
			if err != nil {
				return nil, err
			}
			if len(logs) > 0 {
				out = append(out, slices.Max(logs)) // their names are numbers of six digits
			}
		}
	}
	if len(out) < 3 { // at least of the ledger's state, the blocks and the engine's state
		return nil, fmt.Errorf("only %v are logs of databases in %s", out, dir)
	}
	return out, nil
}

// tearLog adds a part of a record.
func (r *run) tearLog(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	part := make([]byte, 1+r.random.IntN(1000))
	how := "zeros"
	if len(raw) > len(part) && r.random.IntN(2) == 0 {
		// The log begins with a whole record, so this is the beginning of one.
		how = "the beginning of a record"
		copy(part, raw)
	}
	r.t.Logf("%s gets %d bytes: %s", path, len(part), how)
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	if _, err := f.Write(part); err != nil {
		return err
	}
	return f.Close()
}

// cut takes bytes from the end of a file.
func (r *run) cut(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	size := max(0, info.Size()-1-r.random.Int64N(400))
	r.t.Logf("%s has %d of its %d bytes left", path, size, info.Size())
	return os.Truncate(path, size)
}
