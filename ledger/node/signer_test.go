package node_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cmtproto "github.com/cometbft/cometbft/proto/tendermint/types"
	"github.com/cometbft/cometbft/types"
	"pgregory.net/rapid"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
)

// patience is how long a test waits for something that has to happen.
const patience = 60 * time.Second

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func sampleKey(t testing.TB, label string) keys.Signer {
	t.Helper()
	k, err := sample.Key(label, 0)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signing runs a signer until the function it returns.
func signing(t *testing.T, cfg node.SignerConfig, validator, connection keys.Signer) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := node.RunSigner(ctx, cfg, validator, connection)
		if ctx.Err() == nil {
			t.Errorf("the signer ended: %v", err)
		}
		ended <- err
	}()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// A node without a key, and its signer: it votes while the signer is there, follows while not, and goes on.
func TestRemoteSigner(t *testing.T) {
	n, cfg := found(t)
	k := n.Members[0].Keys
	connection := sampleKey(t, "connection")
	address, dir := freeAddress(t), t.TempDir()
	done, err := node.HandOver(cfg.Home, dir, []keys.Signer{k.Validator})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := node.Start(t.Context(), cfg, k); !errors.Is(err, node.ErrLocked) {
		t.Fatal("the node started while its keys were handed over:", err)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	cfg.RemoteSigners = []node.RemoteSigner{{ID: node.KeyID(connection.Public()), Listen: address}}
	cfg.BlockInterval = 50 * time.Millisecond
	if _, err := node.Start(t.Context(), cfg, k); err == nil || !strings.Contains(err.Error(), "one of them") {
		t.Fatal("a key here and a remote signer:", err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := node.Start(cancelled, cfg, node.Keys{Node: k.Node}); !errors.Is(err, node.ErrNoSigner) {
		t.Fatal("waited for a signer after it was told to stop:", err)
	}
	signer := node.SignerConfig{Network: n.Name, Dir: dir, Nodes: []string{node.KeyID(k.Node.Public()) + "@" + address}}
	stop := signing(t, signer, k.Validator, connection)
	running, err := node.Start(t.Context(), cfg, node.Keys{Node: k.Node})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := running.Stop(); err != nil {
			t.Error(err)
		}
	}()
	for range 2 {
		above(t, running, running.Height()+2)
		stop()
		// A block that was signed may still be finished; there is none after it.
		at := settled(t, running)
		raw, _, err := n.CreateDID(uint64(at))
		if err != nil {
			t.Fatal(err)
		}
		if err := running.Broadcast(t.Context(), raw); err != nil {
			t.Error("a node whose signer is away takes no transactions:", err)
		}
		time.Sleep(300 * time.Millisecond)
		if running.Height() != at {
			t.Errorf("a block without a signer: %d, then %d", at, running.Height())
		}
		select {
		case <-running.Done():
			t.Fatal("the node ended:", running.Err())
		default:
		}
		stop = signing(t, signer, k.Validator, connection)
	}
	above(t, running, running.Height()+2)
	stop()
	if err := running.Stop(); err != nil {
		t.Fatal(err)
	}
	noSecret(t, cfg.Home, k.Validator)

	// The node knows the key by now, and starts without the signer.
	again, err := node.Start(t.Context(), cfg, node.Keys{Node: k.Node})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	at := again.Height()
	signing(t, signer, k.Validator, connection)
	above(t, again, at+1)
}

func above(t *testing.T, n *node.Node, height hufu.Height) {
	t.Helper()
	for end := time.Now().Add(patience); n.Height() < height; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("height %d, not %d", n.Height(), height)
		}
	}
}

// settled is the height when it has not grown for a while.
func settled(t *testing.T, n *node.Node) hufu.Height {
	t.Helper()
	at, since := n.Height(), time.Now()
	for end := time.Now().Add(patience); time.Since(since) < time.Second; time.Sleep(10 * time.Millisecond) {
		if h := n.Height(); h != at {
			at, since = h, time.Now()
		}
		if time.Now().After(end) {
			t.Fatal("blocks are made without a signer")
		}
	}
	return at
}

func noSecret(t *testing.T, dir string, k keys.Signer) {
	t.Helper()
	secret := k.(keys.Secret).Secret()
	if err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, secret) || bytes.Contains(raw, []byte(fmt.Sprintf("%x", secret))) {
			t.Errorf("%s has the validator's key", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// ballot is a vote of k that names a block by a number.
func ballot(k keys.Signer, height int64, round int32, step cmtproto.SignedMsgType, block byte) *cmtproto.Vote {
	address := sha256.Sum256(k.Public().Raw())
	hash := bytes.Repeat([]byte{block}, 32)
	return &cmtproto.Vote{
		Type: step, Height: height, Round: round, ValidatorAddress: address[:20], Timestamp: time.Unix(1_760_000_000+height, 0).UTC(),
		BlockID: cmtproto.BlockID{Hash: hash, PartSetHeader: cmtproto.PartSetHeader{Total: 1, Hash: hash}},
	}
}

func handed(t testing.TB, k keys.Signer) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := node.NewSigned(dir, k); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Two nodes have one signer, as after somebody restored a node and forgot to stop the other: one of two different
// votes is signed, whoever asks first, also after the signer was killed.
func TestTwoNodesOneSigner(t *testing.T) {
	const network = "test"
	k, connection := sampleKey(t, "validator"), sampleKey(t, "connection")
	dir := handed(t, k)
	cfg := node.SignerConfig{Network: network, Dir: dir}
	nodes := make([]types.PrivValidator, 2)
	var listening []node.RemoteSigner
	for i := range nodes {
		own := sampleKey(t, fmt.Sprint("node ", i))
		listening = append(listening, node.RemoteSigner{ID: node.KeyID(connection.Public()), Listen: freeAddress(t)})
		cfg.Nodes = append(cfg.Nodes, node.KeyID(own.Public())+"@"+listening[i].Listen)
	}
	stop := signing(t, cfg, k, connection)
	for i := range nodes {
		r, done, err := node.ListenRemote(t.Context(), listening[i], network, t.TempDir(), sampleKey(t, fmt.Sprint("node ", i)), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { done() })
		nodes[i] = r
	}
	sign := func(i int, v *cmtproto.Vote) error {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			err := nodes[i].SignVote(network, v)
			if !errors.Is(err, node.ErrNoSigner) && !isClosed(err) || time.Now().After(end) {
				return err
			}
		}
	}
	first := ballot(k, 7, 0, cmtproto.PrevoteType, 1)
	if err := sign(0, first); err != nil || !k.Public().Verify(types.VoteSignBytes(network, first), first.Signature) {
		t.Fatal(err)
	}
	for range 2 {
		same := ballot(k, 7, 0, cmtproto.PrevoteType, 1)
		if err := sign(1, same); err != nil || !bytes.Equal(same.Signature, first.Signature) {
			t.Error("the same vote again:", err)
		}
		for name, v := range map[string]*cmtproto.Vote{
			"another block":  ballot(k, 7, 0, cmtproto.PrevoteType, 2),
			"a lower height": ballot(k, 6, 3, cmtproto.PrecommitType, 1),
			"another validator": func() *cmtproto.Vote {
				v := ballot(k, 8, 0, cmtproto.PrevoteType, 1)
				v.ValidatorAddress = make([]byte, 20)
				return v
			}(),
		} {
			for i := range nodes {
				if err := sign(i, v); err == nil || len(v.Signature) > 0 {
					t.Errorf("%s was signed for node %d", name, i)
				}
			}
		}
		p := &cmtproto.Proposal{Type: cmtproto.ProposalType, Height: 7, Round: 0, PolRound: -1, BlockID: first.BlockID}
		if err := nodes[0].SignProposal(network, p); err == nil {
			t.Error("a proposal after the vote of its round was signed")
		}
		stop()
		stop = signing(t, cfg, k, connection)
	}
	for i := range nodes {
		if err := sign(i, ballot(k, int64(20+i), 0, cmtproto.PrecommitType, 1)); err != nil {
			t.Error("goes on:", err)
		}
	}
	if err := sign(0, ballot(k, 30, 0, 0, 1)); err == nil { // the engine's code panics at it
		t.Error("a vote of no kind was signed")
	}
	if err := sign(0, ballot(k, 31, 0, cmtproto.PrevoteType, 1)); err != nil {
		t.Error("goes on:", err)
	}
	if err := nodes[0].SignVote("elsewhere", ballot(k, 40, 0, cmtproto.PrevoteType, 1)); err == nil {
		t.Error("signed for another network")
	}
}

// The home of a signer may have two keys, of which each is asked for at an address of its own.
func TestTwoKeysOneSigner(t *testing.T) {
	const network = "test"
	connection, own, dir := sampleKey(t, "connection"), sampleKey(t, "node"), t.TempDir()
	for i, k := range []keys.Signer{sampleKey(t, "validator"), sampleKey(t, "next")} {
		at := node.RemoteSigner{ID: node.KeyID(connection.Public()), Listen: freeAddress(t)}
		cfg := node.SignerConfig{Network: network, Dir: handed(t, k), Nodes: []string{node.KeyID(own.Public()) + "@" + at.Listen}}
		signing(t, cfg, k, connection)
		r, done, err := node.ListenRemote(t.Context(), at, network, dir, own, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { done() })
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			v := ballot(k, 7, 0, cmtproto.PrevoteType, byte(i))
			err := r.SignVote(network, v)
			if err == nil && k.Public().Verify(types.VoteSignBytes(network, v), v.Signature) {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("key %d: %v", i, err)
			}
		}
	}
}

func isClosed(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "EOF") || strings.Contains(err.Error(), "reset") || strings.Contains(err.Error(), "closed") || strings.Contains(err.Error(), "broken pipe"))
}

// Whatever two nodes ask for in whatever order, and however often the signer is started again: no step of a round has two
// signatures for different blocks.
func TestNeverTwice(t *testing.T) {
	k := sampleKey(t, "validator")
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(t.TempDir(), "")
		if err != nil {
			rt.Fatal(err)
		}
		if err := node.NewSigned(dir, k); err != nil {
			rt.Fatal(err)
		}
		signed := map[string]byte{}
		var pv types.PrivValidator
		var done func() error
		for range rapid.IntRange(1, 30).Draw(rt, "steps") {
			if pv == nil || rapid.IntRange(0, 5).Draw(rt, "again") == 0 {
				if done != nil {
					if err := done(); err != nil {
						rt.Fatal(err)
					}
				}
				if pv, done, err = node.OpenOnce(dir, k); err != nil {
					rt.Fatal(err)
				}
			}
			v := ballot(k, rapid.Int64Range(1, 3).Draw(rt, "height"), rapid.Int32Range(0, 2).Draw(rt, "round"),
				rapid.SampledFrom([]cmtproto.SignedMsgType{cmtproto.PrevoteType, cmtproto.PrecommitType}).Draw(rt, "step"), rapid.Byte().Draw(rt, "block")%3)
			v.Timestamp = v.Timestamp.Add(time.Duration(rapid.IntRange(0, 3).Draw(rt, "late")) * time.Second)
			if pv.SignVote("test", v) != nil {
				continue
			}
			if !k.Public().Verify(types.VoteSignBytes("test", v), v.Signature) {
				rt.Fatal("a signature that does not verify")
			}
			step := fmt.Sprint(v.Height, v.Round, v.Type)
			if before, ok := signed[step]; ok && before != v.BlockID.Hash[0] {
				rt.Fatalf("%s: both %d and %d", step, before, v.BlockID.Hash[0])
			}
			signed[step] = v.BlockID.Hash[0]
		}
		if done != nil {
			if err := done(); err != nil {
				rt.Fatal(err)
			}
		}
	})
}

func TestSignerRefuses(t *testing.T) {
	k, connection := sampleKey(t, "validator"), sampleKey(t, "connection")
	p256, err := keys.P256.Load(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	good := node.KeyID(connection.Public()) + "@127.0.0.1:1"
	dir := handed(t, k)
	for name, c := range map[string]struct {
		cfg       node.SignerConfig
		validator keys.Signer
		want      string
	}{
		"a P-256 key":          {node.SignerConfig{Dir: dir, Nodes: []string{good}}, p256, "must be an Ed25519 key"},
		"no node":              {node.SignerConfig{Dir: dir}, k, "needs a node"},
		"no such node":         {node.SignerConfig{Dir: dir, Nodes: []string{"x@127.0.0.1:1"}}, k, "40 hexadecimal digits"},
		"no port":              {node.SignerConfig{Dir: dir, Nodes: []string{node.KeyID(k.Public()) + "@127.0.0.1"}}, k, "names no address"},
		"nothing handed over":  {node.SignerConfig{Dir: t.TempDir(), Nodes: []string{good}}, k, "sign twice"},
		"another key's memory": {node.SignerConfig{Dir: dir, Nodes: []string{good}}, connection, "sign twice"},
	} {
		if err := node.RunSigner(t.Context(), c.cfg, c.validator, connection); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, done, err := node.OpenOnce(dir, k)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.RunSigner(t.Context(), node.SignerConfig{Dir: dir, Nodes: []string{good}}, k, connection); !errors.Is(err, node.ErrSignerLocked) {
		t.Error("two signers of one key:", err)
	}
	if err := done(); err != nil {
		t.Fatal(err)
	}
	file, err := filepath.Glob(filepath.Join(dir, "signed-*.json"))
	if err != nil || len(file) != 1 {
		t.Fatal(file, err)
	}
	if err := os.WriteFile(file[0], []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := node.RunSigner(t.Context(), node.SignerConfig{Dir: dir, Nodes: []string{good}}, k, connection); err == nil || !strings.Contains(err.Error(), "does not read") {
		t.Error("a damaged memory:", err)
	}
}

// What cannot be written down is not signed, and nothing ends.
func TestUnwritableSignerDirectory(t *testing.T) {
	k := sampleKey(t, "validator")
	dir := handed(t, k)
	pv, done, err := node.OpenOnce(dir, k)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if err := pv.SignVote("test", ballot(k, 1, 0, cmtproto.PrevoteType, 1)); err != nil {
		t.Fatal(err)
	}
	away := dir + "-away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	v := ballot(k, 2, 0, cmtproto.PrevoteType, 1)
	for range 2 {
		if err := pv.SignVote("test", v); err == nil || len(v.Signature) > 0 {
			t.Fatal("signed what is not written down:", err)
		}
	}
	if err := os.Rename(away, dir); err != nil {
		t.Fatal(err)
	}
	if err := pv.SignVote("test", ballot(k, 1, 0, cmtproto.PrevoteType, 2)); err == nil {
		t.Error("forgot what it had signed")
	}
	if err := pv.SignVote("test", ballot(k, 2, 0, cmtproto.PrevoteType, 2)); err != nil {
		t.Error("what was never signed cannot be signed otherwise:", err)
	}
}

// What was signed last goes with the key, and never back.
func TestHandOver(t *testing.T) {
	n, cfg := found(t)
	k := n.Members[0].Keys
	cfg.BlockInterval = 20 * time.Millisecond
	running := start(t, n, cfg)
	above(t, running, 3)
	dir := t.TempDir()
	if _, err := node.HandOver(cfg.Home, dir, []keys.Signer{k.Validator}); !errors.Is(err, node.ErrLocked) {
		t.Fatal("taken from a node that runs:", err)
	}
	if err := running.Stop(); err != nil {
		t.Fatal(err)
	}
	over := func(dir string) {
		t.Helper()
		done, err := node.HandOver(cfg.Home, dir, []keys.Signer{k.Validator})
		if err != nil {
			t.Fatal(err)
		}
		if err := done(); err != nil {
			t.Fatal(err)
		}
	}
	over(dir)
	sign := func(height int64) error {
		pv, done, err := node.OpenOnce(dir, k.Validator)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		return pv.SignVote(string(n.Name), ballot(k.Validator, height, 100, cmtproto.PrecommitType, 1))
	}
	if err := sign(1); err == nil {
		t.Error("a height that was signed before")
	}
	if err := sign(1000); err != nil {
		t.Fatal(err)
	}
	over(dir) // again, of a node that has forgotten
	if err := sign(999); err == nil {
		t.Error("handing over again forgot what the signer signed")
	}
	if left, err := filepath.Glob(filepath.Join(cfg.Home, "*", "signed*")); err != nil || len(left) > 0 {
		t.Errorf("the node kept %v, %v", left, err)
	}
}
