// Command hufu is the whole of Hufu in one binary: validator, issuer, gate, wallet and auditor, and
// the demonstration of all of them. It only wires: flags, configuration, constructors, and the words
// that a person reads. Exit status: 0 done, 1 refused or failed, 2 wrong usage.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
)

// version is set by the linker.
var version = "dev"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
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
