package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/node"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// longPeriod covers the sample genesis, which is of a fixed day.
const longPeriod = 100 * 365 * 24 * time.Hour

// patience bounds every wait of these tests, also under the race detector on a machine with other work;
// nothing is measured by it.
const patience = 5 * time.Minute

// scene is a network of one real node, and a liar in front of it.
type scene struct {
	t    *testing.T
	net  *sample.Network
	cfg  node.Config
	node *node.Node
	liar *clienttest.Liar
	ctx  context.Context

	people uint64
}

func newScene(t *testing.T) *scene {
	t.Helper()
	t.Parallel() // most of the time is waiting for blocks
	n, err := sample.New("test", 1)
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, net: n, cfg: node.Config{Home: t.TempDir(), BlockInterval: 200 * time.Millisecond}}
	if err := node.InitHome(s.cfg.Home, n.Genesis); err != nil {
		t.Fatal(err)
	}
	var cancel context.CancelFunc
	s.ctx, cancel = context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	s.start(n.Members[0].Keys)
	s.liar = clienttest.New(t, s.node.URL())
	return s
}

func (s *scene) start(k node.Keys) {
	s.t.Helper()
	running, err := node.Start(s.ctx, s.cfg, k)
	if err != nil {
		s.t.Fatal(err)
	}
	s.node = running
	s.t.Cleanup(func() {
		if err := running.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	s.cfg.ListenRPC = running.URL()[len("http://"):] // the same address after a restart
}

func (s *scene) trust() client.Trust {
	s.t.Helper()
	trust, err := client.ParseGenesis(s.net.Genesis)
	if err != nil {
		s.t.Fatal(err)
	}
	trust.Period = longPeriod
	return trust
}

func (s *scene) dial(url string, trust client.Trust, o client.Options) *client.Client {
	s.t.Helper()
	transport, err := client.Dial(url)
	if err != nil {
		s.t.Fatal(err)
	}
	c, err := client.New(trust, transport, o)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = c.Close() // always nil
		_ = transport.Close()
	})
	return c
}

// honest is a client of the node itself, deceived of the liar.
func (s *scene) honest() *client.Client {
	return s.dial(s.node.URL(), s.trust(), client.Options{})
}

// deceived is a client that knows only the liar.
func (s *scene) deceived() *client.Client {
	return s.dial(s.liar.URL(), s.trust(), client.Options{})
}

// await waits for a height, also past a node that is away.
func (s *scene) await(c *client.Client, height hufu.Height) {
	s.t.Helper()
	s.until("the height is reached", func() bool {
		_, err := c.Await(s.ctx, height)
		if err != nil && !errors.Is(err, client.ErrUnreachable) {
			s.t.Fatal(err)
		}
		return err == nil
	})
}

// until tries again until what is so.
func (s *scene) until(what string, so func() bool) {
	s.t.Helper()
	for !so() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-s.ctx.Done():
			s.t.Fatalf("it never came to be that %s", what)
		}
	}
}

// person is an identifier on the ledger.
type person struct {
	scene    *scene
	id       hufu.ID
	signer   keys.Signer
	sequence uint64
	created  client.Receipt
}

// person creates an identifier.
func (s *scene) person(c *client.Client) *person {
	s.t.Helper()
	s.people++
	raw, id, err := s.net.CreateDID(s.people)
	if err != nil {
		s.t.Fatal(err)
	}
	p := &person{scene: s, id: id, sequence: 1}
	if p.signer, err = sample.Key("person", s.people); err != nil {
		s.t.Fatal(err)
	}
	if p.created, err = c.Submit(s.ctx, raw); err != nil {
		s.t.Fatal(err)
	}
	return p
}

// update is a transaction of p's that adds a method under a fragment.
func (p *person) update(fragment string, change ...func(*tx.Payload)) []byte {
	p.scene.t.Helper()
	payload := tx.Payload{Network: p.scene.net.Name, Author: p.id, Sequence: p.sequence, Expires: sample.Lifetime}
	for _, f := range change {
		f(&payload)
	}
	p.sequence++
	body := &tx.DIDUpdate{AddMethods: []tx.Method{{Fragment: fragment, Key: p.signer.Public().Multikey(), Purposes: tx.PurposeAssertion}}}
	raw, err := tx.Build(nil, payload, body, tx.SignerRef{Signer: p.signer})
	if err != nil {
		p.scene.t.Fatal(err)
	}
	return raw
}

// record reads an identifier's record.
func record(ctx context.Context, c *client.Client, id hufu.ID) (rec *did.Record, asOf hufu.AsOf, err error) {
	err = c.Read(ctx, func(v client.View) (err error) {
		asOf = v.AsOf()
		rec, err = did.Get(v, id)
		return err
	})
	return rec, asOf, err
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Fatalf("error %v, want a refusal by %s", err, rule)
	}
}
