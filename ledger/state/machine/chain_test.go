package machine_test

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
	"github.com/hufu-id/hufu/ledger/state/machine"
	"github.com/hufu-id/hufu/ledger/tx"
)

const network hufu.Network = "demo"

// chain is a ledger in memory. Each transaction gets a block of its own, 10 s after the last.
type chain struct {
	t   testing.TB
	o   *state.Overlay
	now state.Context
}

// actor holds the keys of an identifier: one of each turn, in turn of every suite.
type actor struct {
	c    *chain
	seed byte
	turn int
	id   hufu.ID
}

func params() tx.Params {
	return tx.Params{EpochSeconds: 1000, VotingSeconds: 500, ThresholdNum: 2, ThresholdDen: 3}
}

func secret(t testing.TB, seed byte, turn int) keys.Signer {
	t.Helper()
	suites := keys.Suites()
	k, err := suites[turn%len(suites)].Load(append(bytes.Repeat([]byte{seed}, 31), byte(turn)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func inception(t testing.TB, seed byte) *tx.DIDCreate {
	return &tx.DIDCreate{
		Keys: [][]byte{secret(t, seed, 0).Public().Multikey()}, Threshold: 1,
		Next: []hufu.Digest{secret(t, seed, 1).Public().Digest()}, NextThreshold: 1,
	}
}

func founder(t testing.TB, seed byte) machine.Founder {
	return machine.Founder{
		Name: string('A' + rune(seed)), Inception: *inception(t, seed), ValidatorKey: secret(t, 200+seed, 0).Public().Raw(),
		Power: 10, Quota: 100_000, OpenQuota: 1_000,
	}
}

func doc(t testing.TB, founders int) *machine.GenesisDoc {
	g := &machine.GenesisDoc{Network: network, Params: params()}
	for i := range byte(founders) {
		g.Members = append(g.Members, founder(t, i))
	}
	return g
}

// start is a chain with founders 0, 1, … as its members.
func start(t testing.TB, founders int) *chain {
	t.Helper()
	c := &chain{t: t, o: state.NewOverlay(state.Empty{}), now: state.Context{Network: network, Time: 10_000}}
	if _, err := machine.Genesis(c.now, doc(t, founders), c.o); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *chain) actor(seed byte) *actor {
	return &actor{c: c, seed: seed, id: tx.InceptionID(network, inception(c.t, seed))}
}

// ref is the actor's key of a turn, as a signer.
func (a *actor) ref(turn int) tx.SignerRef {
	return tx.SignerRef{ID: a.id, KeyIndex: uint8(turn), Signer: secret(a.c.t, a.seed, turn)}
}

// payload is one that would be admitted.
func (a *actor) payload() tx.Payload {
	p := tx.Payload{Network: network, Author: a.id, Expires: a.c.now.Height + 10}
	if rec := a.record(); rec != nil {
		p.Sequence = rec.Sequence
	}
	return p
}

func (a *actor) record() *did.Record {
	a.c.t.Helper()
	rec, err := did.Get(a.c.o, a.id)
	if err != nil {
		a.c.t.Fatal(err)
	}
	return rec
}

func (c *chain) sign(p tx.Payload, body tx.Body, signers ...tx.SignerRef) *tx.Tx {
	c.t.Helper()
	raw, err := tx.Build(rand.Reader, p, body, signers...)
	if err != nil {
		c.t.Fatal(err)
	}
	t, err := tx.Parse(raw, network)
	if err != nil {
		c.t.Fatal(err)
	}
	return t
}

// tx is body signed by the actor's present key.
func (a *actor) tx(body tx.Body) *tx.Tx {
	a.c.t.Helper()
	return a.c.sign(a.payload(), body, a.ref(a.turn))
}

func (c *chain) next() state.Context {
	n := c.now
	n.Height++
	n.Time += 10
	return n
}

func (c *chain) admit(t *tx.Tx) (machine.Admission, error) { return machine.Admit(c.next(), c.o, t) }

// run puts t into the next block.
func (c *chain) run(t *tx.Tx) error {
	c.t.Helper()
	a, err := c.admit(t)
	if err != nil {
		return err
	}
	if err := machine.CheckSignatures(t, a.Keys); err != nil {
		return err
	}
	c.now = c.next()
	err = machine.Execute(c.now, c.o, t, a)
	if _, end := machine.EndBlock(c.now, c.o); end != nil {
		c.t.Fatal(end)
	}
	return err
}

func (c *chain) must(t *tx.Tx) {
	c.t.Helper()
	if err := c.run(t); err != nil {
		c.t.Fatal(err)
	}
}

// born is a new identifier that member 0 co-signed, or named without signing.
func (c *chain) born(seed byte, open bool) *actor {
	c.t.Helper()
	a, sponsor := c.actor(seed), c.actor(0)
	p := a.payload()
	p.Sponsor = &sponsor.id
	signers := []tx.SignerRef{a.ref(0)}
	if !open {
		signers = append(signers, sponsor.ref(0))
	}
	c.must(c.sign(p, inception(c.t, seed), signers...))
	return a
}

func (a *actor) rotation() *tx.DIDRotate {
	return &tx.DIDRotate{
		Keys: [][]byte{secret(a.c.t, a.seed, a.turn+1).Public().Multikey()}, Threshold: 1,
		Next: []hufu.Digest{secret(a.c.t, a.seed, a.turn+2).Public().Digest()}, NextThreshold: 1,
	}
}

func (a *actor) usage() gov.Usage {
	a.c.t.Helper()
	u, err := gov.CurrentUsage(a.c.next(), a.c.o, a.id)
	if err != nil {
		a.c.t.Fatal(err)
	}
	return u
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule {
		t.Errorf("got %v, want a refusal by %s", err, rule)
	}
}

func services(fragment string) *tx.DIDUpdate {
	return &tx.DIDUpdate{SetServices: &[]tx.Service{{Fragment: fragment, Type: "T", Endpoint: "https://x.example/"}}}
}
