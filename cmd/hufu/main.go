// Command hufu is the whole of Hufu in one binary: validator, issuer, gate, wallet and auditor, and
// the demonstration of all of them. It only wires: flags, configuration, constructors, and the words
// that a person reads. Exit status: 0 done, 1 refused or failed, 2 wrong usage.
package main

import (
	"context"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"syscall"

	"k8s.io/klog/v2"
)

// version is set by the linker.
var version = "dev"

// heapRoom is memory that is reserved and never touched, so that it costs none. The garbage collector
// counts it: it runs when the heap has doubled, and where little is kept that would be every few MiB,
// which takes a tenth of the time of judging presentations.
const heapRoom = 32 << 20

func main() {
	// What the tile logs' library says of its work.
	klog.SetSlogLogger(slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	room := make([]byte, heapRoom)
	status := run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	runtime.KeepAlive(room)
	os.Exit(status)
}

// run executes one command line and returns the exit status.
func run(args []string, in io.Reader, out, errOut io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: in, out: out, err: errOut}
	root := a.root()
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	if err := root.ExecuteContext(ctx); err != nil {
		// A command line that does not parse may end before its --json was read.
		a.json = a.json || slices.Contains(args, "--json")
		return a.fail(err)
	}
	return exitOK
}
