package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// process is the node, running as a process of its own: this program, called as "hufu up".
type process struct {
	program    string
	dir        string
	passphrase string
	listen     string // host:port of the HTTP interface
	rpc        string // host:port of the node's RPC

	now *running // nil when none runs
}

// running is one process from its start to its end.
type running struct {
	cmd    *exec.Cmd
	ended  chan struct{} // closed once the process is no more
	status error         // its end, to be read after that
}

// Bounds of how long the node may take.
const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
	probeTimeout = 2 * time.Second // one question whether it is ready
)

// start runs the node and waits until it shows a signed head. On an error nothing runs.
func (p *process) start(ctx context.Context) error {
	in, out, err := os.Pipe()
	if err != nil {
		return err
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	// The passphrase goes through a pipe: it is neither on disk nor in the process's arguments.
	cmd := exec.Command(p.program, "up", "--home", p.dir, "--listen", p.listen, "--rpc", p.rpc, "--passphrase-file", "/dev/fd/3") //nolint:gosec,noctx // ourselves; it is to outlive ctx until killed
	cmd.ExtraFiles = []*os.File{in}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt at the terminal is for us to pass on
	if err := errors.Join(cmd.Start(), log.Close()); err != nil {
		return errors.Join(err, in.Close(), out.Close())
	}
	r := &running{cmd: cmd, ended: make(chan struct{})}
	p.now = r
	go func() {
		r.status = cmd.Wait()
		close(r.ended)
	}()
	// A pipe holds far more than a passphrase, so this waits for nobody.
	_, err = io.WriteString(out, p.passphrase+"\n")
	if err = errors.Join(err, in.Close(), out.Close()); err == nil {
		err = p.awaitReady(ctx)
	}
	if err != nil {
		return errors.Join(err, p.kill())
	}
	return nil
}

func (p *process) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// Connections of its own: none that is left from a process before this one.
	probe := &http.Client{Timeout: probeTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !p.ready(ctx, probe) {
		select {
		case <-p.now.ended:
			return p.died(p.now)
		case <-ctx.Done():
			return fmt.Errorf("demo: the node was not ready within %s: %w\n%s", startTimeout, ctx.Err(), p.lastLog())
		case <-tick.C:
		}
	}
	return nil
}

func (p *process) ready(ctx context.Context, probe *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.listen+"/readyz", nil)
	if err != nil {
		return false
	}
	res, err := probe.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// died tells of an end that nobody asked for. It is called after the end.
func (p *process) died(r *running) error {
	return fmt.Errorf("demo: the node ended by itself: %s\n%s", r.cmd.ProcessState, p.lastLog())
}

// watch derives a context that ends with the process, too, so that nothing waits for a node that is no
// more. Its cause tells what happened.
func (p *process) watch(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if r := p.now; r != nil {
		go func() {
			select {
			case <-r.ended:
				cancel(p.died(r))
			case <-ctx.Done():
			}
		}()
	}
	return ctx, func() { cancel(nil) }
}

func (p *process) logFile() string { return filepath.Join(p.dir, "node.log") }

// lastLog is the end of what the node said, for an error.
func (p *process) lastLog() string {
	raw, err := os.ReadFile(p.logFile())
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
	r := p.now
	if r == nil {
		return nil
	}
	p.now = nil
	var errs []error
	if err := r.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		errs = append(errs, err)
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
		errs = append(errs, fmt.Errorf("demo: the node did not end within %s\n%s", stopTimeout, p.lastLog()), r.cmd.Process.Kill())
		<-r.ended // no process outlasts this signal
	}
	if s != syscall.SIGKILL { // after which its status says that it was killed
		errs = append(errs, r.status)
	}
	return errors.Join(errs...)
}

// Ports of the node are below those that systems hand out by themselves (32768 and up on Linux, 49152
// elsewhere): while the node is down, nobody's outgoing connection takes one of them, and a client that
// calls it is not connected to itself.
const (
	firstPort = 20_000
	lastPort  = 32_000
	portTries = 100
)

// freePorts finds n addresses on loopback that nobody listens on.
func freePorts(ctx context.Context, n int) ([]string, error) {
	var (
		found []string
		last  error
	)
	for range portTries {
		if len(found) == n {
			return found, nil
		}
		port, err := rand.Int(rand.Reader, big.NewInt(lastPort-firstPort))
		if err != nil {
			return nil, err
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", firstPort+port.Int64()))
		if err != nil {
			last = err
			continue
		}
		defer l.Close() // all stay taken until the last is found
		found = append(found, l.Addr().String())
	}
	return nil, fmt.Errorf("demo: no port is free: %w", last)
}
