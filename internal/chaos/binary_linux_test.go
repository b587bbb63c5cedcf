package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// binaries are built once for all tests, in a directory that TestMain removes.
var binaries = struct {
	dir   string
	mu    sync.Mutex
	built map[string]error
}{built: map[string]error{}}

func TestMain(m *testing.M) {
	if name := os.Getenv(actorEnv); name != "" {
		if err := act(name); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	var err error
	if binaries.dir, err = os.MkdirTemp("", "hufu-chaos-bin-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	status := m.Run()
	_ = os.RemoveAll(binaries.dir)
	os.Exit(status)
}

// hufuBinary is the product as it is.
func hufuBinary(t testing.TB) string { return build(t, "hufu", "-ldflags=-s -w") }

// clockEnv says by how much the clock of a process is off, for the binary of shiftedBinary.
const clockEnv = "HUFU_CHAOS_CLOCK"

// clockArch is the one architecture for which there is code that shifts a process's clock.
const clockArch = "amd64"

// buildShifted builds shiftedBinary while other things go on, and has the test wait for its end.
func buildShifted(t testing.TB) {
	built := make(chan struct{})
	flags := shiftedFlags(t)
	go func() {
		defer close(built)
		_ = buildOnce(shiftedName, flags...) // whoever needs it is told
	}()
	t.Cleanup(func() { <-built })
}

// shiftedBinary is the product with a file beside its main that sets the clock of the whole process by what
// clockEnv says. The product itself has nothing for this to hook into.
func shiftedBinary(t testing.TB) string { return build(t, shiftedName, shiftedFlags(t)...) }

const shiftedName = "hufu-shifted"

func shiftedFlags(t testing.TB) []string {
	return []string{
		"-overlay", overlay(t, map[string]string{
			"../../cmd/hufu/zz_clock.go":      "testdata/clock/clock.go",
			"../../cmd/hufu/zz_clock_amd64.s": "testdata/clock/clock_amd64.s",
		}), "-ldflags=-s -w -checklinkname=0",
	}
}

// overlay writes the file that "go build -overlay" reads: what stands in for what.
func overlay(t testing.TB, replace map[string]string) string {
	t.Helper()
	all := map[string]string{}
	for to, from := range replace {
		a, err := filepath.Abs(to)
		if err != nil {
			t.Fatal(err)
		}
		b, err := filepath.Abs(from)
		if err != nil {
			t.Fatal(err)
		}
		all[a] = b
	}
	raw, err := json.Marshal(map[string]any{"Replace": all})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// build builds the product once and returns where it is.
func build(t testing.TB, name string, flags ...string) string {
	t.Helper()
	if err := buildOnce(name, flags...); err != nil {
		t.Fatalf("building %s: %v", name, err)
	}
	return filepath.Join(binaries.dir, name)
}

func buildOnce(name string, flags ...string) error {
	binaries.mu.Lock()
	defer binaries.mu.Unlock()
	err, done := binaries.built[name]
	if !done {
		c := exec.Command("go", append(append([]string{"build", "-o", filepath.Join(binaries.dir, name)}, flags...), "../../cmd/hufu")...)
		c.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, failed := c.CombinedOutput(); failed != nil {
			err = fmt.Errorf("%w\n%s", failed, out)
		}
		binaries.built[name] = err
	}
	return err
}
