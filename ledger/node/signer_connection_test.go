package node_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"

	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/node"
)

// Each end lets in the one it knows.
func TestSignerStrangers(t *testing.T) {
	k, connection, own, stranger := sampleKey(t, "validator"), sampleKey(t, "connection"), sampleKey(t, "node"), sampleKey(t, "stranger")
	for name, c := range map[string]struct{ signer, node keys.Signer }{
		"a stranger signs": {stranger, own}, "a stranger asks": {connection, stranger},
	} {
		address := freeAddress(t)
		var log lines
		ctx, cancel := context.WithCancel(t.Context())
		log.at("no signer was let in", cancel)
		signing(t, node.SignerConfig{
			Network: "test", Dir: handed(t, k), Nodes: []string{node.KeyID(own.Public()) + "@" + address},
		}, k, c.signer)
		if _, done, err := node.ListenRemote(ctx, node.RemoteSigner{ID: node.KeyID(connection.Public()), Listen: address}, "test", t.TempDir(), c.node, slog.New(slog.NewTextHandler(&log, nil))); !errors.Is(err, node.ErrNoSigner) {
			t.Errorf("%s: %v", name, err)
		} else if err := done(); err != nil {
			t.Error(err)
		}
	}
	// Another network's validator, and a signer that comes back with another key.
	dir, address := t.TempDir(), freeAddress(t)
	at := node.RemoteSigner{ID: node.KeyID(connection.Public()), Listen: address}
	nodes := []string{node.KeyID(own.Public()) + "@" + address}
	stop := signing(t, node.SignerConfig{Network: "test", Dir: handed(t, k), Nodes: nodes}, k, connection)
	pv, done, err := node.ListenRemote(t.Context(), at, "test", dir, own, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	if err := done(); err != nil {
		t.Fatal(err)
	}
	if public, err := pv.GetPubKey(); err != nil || !bytes.Equal(public.Bytes(), k.Public().Raw()) {
		t.Fatal(err)
	}
	for name, cfg := range map[string]node.SignerConfig{
		"another key":     {Network: "test", Dir: handed(t, stranger), Nodes: nodes},
		"another network": {Network: "elsewhere", Dir: handed(t, k), Nodes: nodes},
	} {
		var log, signers lines
		refused, knows := make(chan struct{}), make(chan struct{})
		log.at("no signer was let in", func() { close(refused) })
		signers.at("why it does not take this signer is in its log", func() { close(knows) })
		cfg.Log = slog.New(slog.NewTextHandler(&signers, nil))
		pv, done, err := node.ListenRemote(t.Context(), at, "test", dir, own, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		validator := k
		if name == "another key" {
			validator = stranger
		}
		stop := signing(t, cfg, validator, connection)
		select {
		case <-refused:
		case <-time.After(patience):
			t.Errorf("%s: was let in", name)
		}
		if err := pv.SignVote("test", ballot(validator, 1, 0, cmtproto.PrevoteType, 1)); !errors.Is(err, node.ErrNoSigner) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "another key" {
			<-knows
			if n := signers.count("signing for the node"); n > 0 {
				t.Errorf("it says %d times that it signs for a node that does not take it", n)
			}
		}
		stop()
		if err := done(); err != nil {
			t.Error(err)
		}
	}
}

// A node tells once whom it does not let in, however often they come, and again when it has had its signer meanwhile. So does
// a signer of its nodes.
func TestSignerLogsOnce(t *testing.T) {
	const knocks = 5
	k, connection, own := sampleKey(t, "validator"), sampleKey(t, "connection"), sampleKey(t, "node")
	address := freeAddress(t)
	signer := node.SignerConfig{Network: "test", Dir: handed(t, k), Nodes: []string{node.KeyID(own.Public()) + "@" + address}}
	listening := func(log *lines) (done func() error) {
		_, done, err := node.ListenRemote(t.Context(), node.RemoteSigner{ID: node.KeyID(connection.Public()), Listen: address}, "test", t.TempDir(), own, slog.New(slog.NewTextHandler(log, nil)))
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	var log lines
	stop := signing(t, signer, k, connection)
	done := listening(&log)
	// What was told is forgotten with the connection of the signer, which may come a moment after its key is known.
	eventually(t, "the signer is there", func() bool { return log.count("the signer is connected") > 0 })
	for round := range 2 {
		for range knocks {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(c.(*net.TCPConn).CloseWrite(), c.SetDeadline(time.Now().Add(patience))); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, c); err != nil { // until it hangs up
				t.Fatal(err)
			}
			_ = c.Close()
		}
		if n := log.count("no signer was let in"); n != round+1 {
			t.Errorf("it tells %d times that somebody who knocked %d times was not let in", n, knocks*(round+1))
		}
		if round == 0 {
			connected := log.count("the signer is connected")
			stop()
			stop = signing(t, signer, k, connection)
			eventually(t, "the signer is back", func() bool { return log.count("the signer is connected") > connected })
		}
	}
	stop()
	if err := done(); err != nil {
		t.Fatal(err)
	}
	// Nobody is at home.
	var nobody lines
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	signer.Log = slog.New(slog.NewTextHandler(&nobody, nil))
	stop = signing(t, signer, k, connection)
	for range 3 {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	stop()
	if n := nobody.count("the node is not connected"); n < 1 || n > 2 { // it hangs up, or resets the connection
		t.Errorf("it tells %d times that nobody is at home", n)
	}
}

// Two signers with one connection key, each with a memory of its own: the first stays, the second is not let in, and the node tells
// so once, and once more when they have changed places.
func TestTwoSignersOneConnectionKey(t *testing.T) {
	const knocks = 5
	k, connection, own := sampleKey(t, "validator"), sampleKey(t, "connection"), sampleKey(t, "node")
	address := freeAddress(t)
	var log lines
	var came [2]atomic.Int64 // connections of each signer
	var signers [2]lines
	var stop [2]func()
	run := func(i int) {
		stop[i] = signing(t, node.SignerConfig{
			Network: "test", Dir: handed(t, k), Nodes: []string{node.KeyID(own.Public()) + "@" + passing(t, address, &came[i])},
			Log: slog.New(slog.NewTextHandler(&signers[i], nil)),
		}, k, connection)
	}
	told := func(connected, refused int) {
		t.Helper()
		if n := log.count("the signer is connected"); n != connected {
			t.Errorf("it tells %d times that its signer is connected, and %d did", n, connected)
		}
		if n := log.count("no signer was let in"); n != refused || log.count("two are running") != refused {
			t.Errorf("it tells %d times that another is running, and it was news %d times:\n%s", n, refused, log.all.String())
		}
		if n := log.count("the signer is gone"); n >= connected {
			t.Errorf("it tells %d times that a signer is gone", n)
		}
	}
	knock := func(i int) {
		t.Helper()
		before := came[i].Load()
		eventually(t, "the second signer knocks", func() bool { return came[i].Load() > before+knocks })
	}
	run(0)
	pv, done, err := node.ListenRemote(t.Context(), node.RemoteSigner{ID: node.KeyID(connection.Public()), Listen: address}, "test", t.TempDir(), own, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { done() })
	eventually(t, "the first signer is connected", func() bool { return log.count("the signer is connected") == 1 })
	sign := func(height int64) {
		t.Helper()
		if err := pv.SignVote("test", ballot(k, height, 0, cmtproto.PrevoteType, 1)); err != nil {
			t.Error(err)
		}
	}
	sign(1)
	run(1)
	knock(1)
	told(1, 1)
	sign(2)
	if n := signers[1].count("the node is not connected"); n != 1 || signers[1].count("signing for the node") > 0 {
		t.Errorf("the second signer tells %d times that the node does not take it", n)
	}

	stop[0]()
	eventually(t, "the second has its place", func() bool { return log.count("the signer is connected") == 2 })
	sign(3)
	run(0)
	knock(0)
	told(2, 2)
}

// passing is an address whose connections are passed on to another, and counted.
func passing(t *testing.T, to string, came *atomic.Int64) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			came.Add(1)
			go func() {
				defer from.Close()
				c, err := net.Dial("tcp", to)
				if err != nil {
					return
				}
				defer c.Close()
				go func() {
					_, _ = io.Copy(c, from)
					_ = c.(*net.TCPConn).CloseWrite()
				}()
				_, _ = io.Copy(from, c)
			}()
		}
	}()
	return l.Addr().String()
}

// lines calls do when something is logged for the first time, and counts what is.
type lines struct {
	mu   sync.Mutex
	text string
	do   func()
	all  strings.Builder
}

func (l *lines) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.all.String(), text)
}

func (l *lines) at(text string, do func()) { l.text, l.do = text, do }

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.do != nil && strings.Contains(string(p), l.text) {
		l.do()
		l.do = nil
	}
	return l.all.Write(p)
}
