package client_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/node/sample"
)

// kept is a file that a client left behind, and how far it is.
func (s *scene) kept(trust client.Trust) (file string, height hufu.Height) {
	s.t.Helper()
	file = filepath.Join(s.t.TempDir(), "headers")
	c := s.dial(s.node.URL(), trust, client.Options{Store: file})
	head, err := c.Head(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = c.Close() // always nil
	return file, head.Height
}

// A client goes on from the last header that one before it verified, also where no node has the way there
// any more.
func TestStoreGoesOn(t *testing.T) {
	s := newScene(t)
	first := s.honest()
	p := s.person(first)
	s.replaceValidator(first, 1)
	s.replaceValidator(first, 2)
	file, height := s.kept(s.trust())

	pruned := func(e *clienttest.Exchange) {
		if h := e.Height(); h > 0 && h <= height {
			e.Raw(200, []byte(`{"error":{"code":-32603,"message":"no","data":"height is not available"}}`))
		}
	}
	s.liar.Lie(pruned)
	if _, err := s.deceived().Head(s.ctx); !errors.Is(err, client.ErrUnreachable) {
		t.Fatalf("without the store: %v", err)
	}
	c := s.dial(s.liar.URL(), s.trust(), client.Options{Store: file})
	if rec, asOf, err := record(s.ctx, c, p.id); err != nil || rec == nil || asOf.Height < height {
		t.Fatal(rec, asOf, err)
	}
	// A whole path is in it: a snapshot opens from the genesis, without the node.
	if _, err := c.SignedAt(s.ctx, height); err != nil {
		t.Error(err)
	}
	// Nor does a node take it back behind that.
	s.liar.Lie(to("/await", func(e *clienttest.Exchange) { e.SetValue([]byte{0x01}) }))
	back := s.dial(s.liar.URL(), s.trust(), client.Options{Store: file})
	if _, err := back.Head(s.ctx); !errors.Is(err, client.ErrBehind) {
		t.Errorf("a node of the past: %v", err)
	}
}

// The trusting period counts from the header that was kept.
func TestStoreExpires(t *testing.T) {
	s := newScene(t)
	short := s.trust()
	short.Period = time.Hour
	s.await(s.honest(), 1)
	file, _ := s.kept(s.trust())
	if _, err := s.dial(s.node.URL(), short, client.Options{}).Head(s.ctx); hufu.RuleOf(err) != client.RuleTrustExpired {
		t.Fatalf("the genesis is recent: %v", err)
	}
	if _, err := s.dial(s.node.URL(), short, client.Options{Store: file}).Head(s.ctx); err != nil {
		t.Error(err)
	}
	later := func() time.Time { return time.Now().Add(2 * time.Hour) }
	_, err := s.dial(s.node.URL(), short, client.Options{Store: file, Now: later}).Head(s.ctx)
	wantRule(t, err, client.RuleTrustExpired)
}

// What is in the file is verified, and a file that is not right is as good as none.
func TestStoreRefused(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	file, _ := s.kept(s.trust())
	good, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other, err := sample.New("other", 1)
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := client.ParseGenesis(other.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	foreign.Network, foreign.Period = s.net.Name, longPeriod
	use := func(t *testing.T, content []byte, trust client.Trust) (kept bool, err error) {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		c := s.dial(s.node.URL(), trust, client.Options{Store: file, Log: slog.New(slog.NewTextHandler(&log, nil))})
		_, _, err = record(s.ctx, c, p.id)
		_ = c.Close()
		return !strings.Contains(log.String(), "cannot be used"), err
	}
	if kept, err := use(t, good, s.trust()); !kept || err != nil {
		t.Fatal(kept, err)
	}
	for i := range good {
		if i > 20 && i%61 != 0 { // each byte of the front, and some of the rest: every client is a new one
			continue
		}
		bad := append([]byte{}, good...)
		bad[i] ^= 1
		if kept, err := use(t, bad, s.trust()); kept || err != nil {
			t.Errorf("byte %d altered: kept %v, %v", i, kept, err)
		}
	}
	for _, n := range []int{0, 1, len(good) / 2, len(good) - 1} {
		if kept, err := use(t, good[:n], s.trust()); kept || err != nil {
			t.Errorf("cut off at %d: kept %v, %v", n, kept, err)
		}
	}
	// Damage that was covered up is found by the signatures.
	magic := len("hufu-headers/1\n")
	for i := magic + sha256.Size; i < len(good); i += 211 {
		bad := append([]byte{}, good...)
		bad[i] ^= 1
		sum := sha256.Sum256(bad[magic+sha256.Size:])
		copy(bad[magic:], sum[:])
		if _, err := use(t, bad, s.trust()); err != nil {
			t.Errorf("byte %d altered and covered up: %v", i, err)
		}
	}
	if kept, err := use(t, good, foreign); kept || err == nil {
		t.Errorf("of other founders: kept %v, %v", kept, err)
	}
}

// Of clients that share a file the one that is further on has the last word.
func TestStoreShared(t *testing.T) {
	s := newScene(t)
	file := filepath.Join(t.TempDir(), "headers")
	early := s.dial(s.liar.URL(), s.trust(), client.Options{Store: file})
	head, err := early.Head(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.liar.Lie(func(e *clienttest.Exchange) { e.Drop() }) // it sees no more
	late := s.dial(s.node.URL(), s.trust(), client.Options{Store: file})
	if _, err := late.Await(s.ctx, head.Height+5); err != nil {
		t.Fatal(err)
	}
	_ = late.Close()
	after, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_ = early.Close()
	if again, err := os.ReadFile(file); err != nil || string(again) != string(after) {
		t.Errorf("the one behind wrote over it: %v", err)
	}
	// A directory that cannot be written costs a line in the log.
	nowhere := s.dial(s.node.URL(), s.trust(), client.Options{Store: filepath.Join(file, "none")})
	if _, err := nowhere.Head(s.ctx); err != nil {
		t.Error(err)
	}
	if err := nowhere.Close(); err != nil {
		t.Error(err)
	}
}
