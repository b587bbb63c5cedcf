package chaos

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is the network that one node sees: a loopback, and one interface whose other end is here. It is
// gone with the last process in it and this file, so nothing is left behind, however the test ends.
type namespace struct {
	file *os.File // that setns takes
	wire *os.File // packets of the interface, IPv4, one to a read or write
}

// mtu is Ethernet's.
const mtu = 1500

// missing says what keeps namespaces from being made here, or nothing.
func missing() string {
	if os.Geteuid() != 0 {
		return "root"
	}
	if f, err := os.OpenFile("/dev/net/tun", os.O_RDWR, 0); err != nil {
		return err.Error()
	} else if err := f.Close(); err != nil {
		return err.Error()
	}
	return ""
}

// newNamespace makes one whose interface has an address and a network.
func newNamespace(t testing.TB, address netip.Prefix) *namespace {
	t.Helper()
	n := &namespace{}
	if err := apart(func() error { return unix.Unshare(unix.CLONE_NEWNET) }, func() error { return n.make(address) }); err != nil {
		t.Fatalf("a network namespace: %v", err)
	}
	t.Cleanup(func() {
		_ = n.wire.Close() // the reader of the other end sees it
		_ = n.file.Close()
	})
	return n
}

func (n *namespace) make(address netip.Prefix) (err error) {
	if n.file, err = os.Open("/proc/thread-self/ns/net"); err != nil {
		return err
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("/dev/net/tun: %w", err)
	}
	card, err := unix.NewIfreq("wire")
	if err != nil {
		return err
	}
	card.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, card); err != nil {
		return fmt.Errorf("TUNSETIFF: %w", err)
	}
	n.wire = os.NewFile(uintptr(fd), "wire")
	if err := configure("lo", netip.Prefix{}); err != nil {
		return err
	}
	return configure("wire", address)
}

// configure gives an interface of this thread's namespace its address and switches it on.
func configure(name string, address netip.Prefix) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	set := func(what uint, value func(*unix.Ifreq) error) error {
		r, err := unix.NewIfreq(name)
		if err == nil {
			err = value(r)
		}
		if err == nil {
			err = unix.IoctlIfreq(fd, what, r)
		}
		return err
	}
	if address.IsValid() {
		mask := net.CIDRMask(address.Bits(), 32)
		err = errors.Join(
			set(unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(address.Addr().AsSlice()) }),
			set(unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask) }),
			set(unix.SIOCSIFMTU, func(r *unix.Ifreq) error { r.SetUint32(mtu); return nil }))
	}
	return errors.Join(err, set(unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP); return nil }))
}

// apart runs f on a thread that enter takes to another namespace, and takes it back. No thread may end here: the
// kernel would kill the processes that it has started ever, as they are to die with the test.
func apart(enter, f func() error) error {
	runtime.LockOSThread()
	own, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer own.Close()
	if err := enter(); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if back := unix.Setns(int(own.Fd()), unix.CLONE_NEWNET); back != nil {
		panic(back) // nothing may go on in the wrong network
	}
	runtime.UnlockOSThread()
	return err
}

// in runs f in the namespace: sockets that f makes and processes that it starts are of it.
func (n *namespace) in(f func() error) error {
	return apart(func() error { return unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET) }, f)
}

// dial connects to an address as it is in the namespace.
func (n *namespace) dial(ctx context.Context, address string) (c net.Conn, err error) {
	err = n.in(func() (err error) {
		c, err = new(net.Dialer).DialContext(ctx, "tcp", address)
		return err
	})
	return c, err
}

// listen is for tests of the network itself.
func (n *namespace) listen(ctx context.Context, address string) (l net.Listener, err error) {
	err = n.in(func() (err error) {
		l, err = new(net.ListenConfig).Listen(ctx, "tcp", address)
		return err
	})
	return l, err
}
