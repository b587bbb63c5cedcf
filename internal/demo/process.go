package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hufu-id/hufu/internal/home"
)

// process is the node, running as a process of its own: this program, called as "hufu up".
type process struct {
	program    string
	home       *home.Home
	dir        string
	passphrase string
	listen     string // host:port of the HTTP interface
	rpc        string // host:port of the node's RPC

	cmd    *exec.Cmd
	log    *os.File
	exited chan error // gives the process's end once; nil when none runs
}

// startTimeout bounds how long the node may take to come up.
const startTimeout = 30 * time.Second

// stopTimeout bounds how long it may take to end.
const stopTimeout = 30 * time.Second

// start runs the node and waits until it shows a signed head.
func (p *process) start(ctx context.Context) error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	p.log, err = os.OpenFile(filepath.Join(p.dir, "node.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	// The passphrase goes through a pipe: it is neither on disk nor in the process's arguments.
	p.cmd = exec.Command(p.program, "up", "--home", p.dir, "--listen", p.listen, "--rpc", p.rpc, "--passphrase-file", "/dev/fd/3") //nolint:gosec,noctx // ourselves; it is to outlive ctx until killed
	p.cmd.ExtraFiles = []*os.File{in}
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is for us to pass on
	err = p.cmd.Start()
	_, writeErr := io.WriteString(out, p.passphrase+"\n")
	if err = errors.Join(err, writeErr, in.Close(), out.Close()); err != nil {
		return err
	}
	return p.awaitReady(ctx)
}

func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	exited := make(chan error, 1)
	go func() { exited <- p.cmd.Wait() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			return fmt.Errorf("the node ended while starting: %w\n%s", err, p.lastLog())
		case <-ctx.Done():
			return fmt.Errorf("the node was not ready within %s\n%s", startTimeout, p.lastLog())
		case <-tick.C:
		}
		if p.ready(ctx) {
			p.exited = exited
			return nil
		}
	}
}

func (p *process) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// lastLog is the end of what the node said, for an error.
func (p *process) lastLog() string {
	raw, err := os.ReadFile(p.log.Name())
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
	return strings.Join(lines[max(len(lines)-10, 0):], "\n")
}

// kill ends the node as a power cut would.
func (p *process) kill() error {
	return p.end(syscall.SIGKILL)
}

// stop asks the node to end and waits for it.
func (p *process) stop() error {
	return p.end(syscall.SIGTERM)
}

func (p *process) end(s syscall.Signal) error {
	if p.exited == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var err error
	select {
	case err = <-p.exited:
	case <-time.After(stopTimeout):
		err = errors.Join(errors.New("the node did not stop when asked"), p.cmd.Process.Kill(), <-p.exited)
	}
	p.exited = nil
	if s == syscall.SIGKILL {
		err = nil // it says that it was killed
	}
	return errors.Join(err, p.log.Close())
}

// freePort finds an address on loopback that nobody listens on.
func freePort(ctx context.Context) (string, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
