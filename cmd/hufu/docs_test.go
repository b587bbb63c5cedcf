package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// documentTimeout bounds one document's commands on a busy machine.
const documentTimeout = 4 * time.Minute

// Every console block of the documents is executed, in order, and says what the document says it says:
// each line below a command, in which … stands for anything, is found in the command's output.
func TestDocuments(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("needs bash")
	}
	for _, name := range []string{"docs/operators-guide.md", "README.md"} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			raw, err := os.ReadFile(filepath.Join("../..", name))
			if err != nil {
				t.Fatal(err)
			}
			steps := consoleSteps(string(raw))
			if len(steps) == 0 {
				t.Fatal("no console block")
			}
			runSteps(t, steps)
		})
	}
}

// step is one command of a document and what it must say.
type step struct {
	line    int
	command string
	says    []string
}

func consoleSteps(doc string) []step {
	var out []step
	in := false
	for i, line := range strings.Split(doc, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			in = line == "```console"
		case !in:
		case strings.HasPrefix(line, "$ "):
			out = append(out, step{line: i + 1, command: line[2:]})
		case len(out) > 0 && strings.TrimSpace(line) != "":
			out[len(out)-1].says = append(out[len(out)-1].says, line)
		}
	}
	return out
}

func runSteps(t *testing.T, steps []step) {
	dir := t.TempDir()
	bin := filepath.Join(dir, "bin")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.Mkdir(bin, 0o700), os.Symlink(self, filepath.Join(bin, "hufu")), os.Symlink(examples, filepath.Join(dir, "examples")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), documentTimeout)
	defer cancel()
	c := exec.CommandContext(ctx, "bash", "-c", script(steps, freePort(t), freePort(t), portRange(t, 5)))
	c.Dir = dir
	c.Env = append(os.Environ(), "PATH="+bin+string(os.PathListSeparator)+os.Getenv("PATH"), "HOME="+dir, "HUFU_HOME=", "HUFU_KEY_FILE=", "HUFU_PASSPHRASE_FILE=")
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what the document starts ends with it
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = 10 * time.Second
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	runErr := c.Run()
	said := strings.Split(out.String(), mark)
	for i, s := range steps {
		if i+1 >= len(said) {
			t.Fatalf("line %d: %s: not reached (%v)\n%s", s.line, s.command, runErr, said[len(said)-1])
		}
		for _, want := range s.says {
			if !sayingOf(want).MatchString(said[i+1]) {
				t.Errorf("line %d: %s\nshould say %q, says:\n%s", s.line, s.command, want, said[i+1])
			}
		}
	}
	if runErr != nil {
		t.Errorf("%v after:\n%s", runErr, said[len(said)-1])
	}
}

// mark separates what the commands say.
const mark = "\x1e"

// script is the document as one shell session. Ports are free ones in place of the usual ones, and a node
// that is started by itself is waited for as long as its process lives.
func script(steps []step, listen, rpc string, port int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `set -eo pipefail
hufu() {
  if [ "$1" = up ]; then shift; exec hufu up --listen %[1]s --rpc %[2]s "$@"; fi
  if [ "$1 $2" = "node start" ]; then exec hufu "$@"; fi
  if [ "$1 $2" = "net init" ]; then set -- "$@" --port %[3]d; fi
  command hufu "$@"
}
ready() {
  until command curl -sf -o /dev/null http://%[1]s/readyz; do kill -0 "$1" || { cat up.log; exit 1; }; sleep 0.1; done
  cat up.log
}
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
`, listen, rpc, port)
	fifth := 4 * portStep // of a network on one machine
	usual := strings.NewReplacer("127.0.0.1:8080", listen, "127.0.0.1:26657", rpc, loopback(peerPort), loopback(port),
		loopback(peerPort+fifth), loopback(port+fifth), loopback(peerPort+fifth+1), loopback(port+fifth+1))
	for _, s := range steps {
		command := usual.Replace(s.command)
		fmt.Fprintf(&b, "printf '\\036'\n")
		switch {
		case strings.HasPrefix(command, "hufu up") && strings.HasSuffix(command, "&"):
			fmt.Fprintf(&b, "%s\nready $!\n", strings.TrimSuffix(command, "&")+"> up.log 2>&1 &")
		case strings.HasPrefix(command, "kill "):
			fmt.Fprintf(&b, "%s\nwait\n", command)
		default:
			fmt.Fprintf(&b, "%s\n", command)
		}
	}
	return b.String()
}

func sayingOf(line string) *regexp.Regexp {
	line = strings.TrimLeft(line, " ") // how far a line is indented is not what it says
	return regexp.MustCompile("(?m)^ *" + strings.ReplaceAll(regexp.QuoteMeta(line), "…", ".*") + ".*$")
}

// freePort is a loopback address where nobody listens now.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// listenable reports whether nobody listens at address now.
func listenable(address string) bool {
	l, err := net.Listen("tcp", address)
	return err == nil && l.Close() == nil
}
