package client_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
)

type stapleWire struct {
	Headers [][]byte `cbor:"1,keyasint"`
	Proofs  [][]byte `cbor:"2,keyasint"`
}

// nowhere is a node that must not be asked.
type nowhere struct {
	client.Transport
	t testing.TB
}

func (n nowhere) Query(context.Context, string, []byte) ([]byte, error) {
	n.t.Error("a node is asked")
	return nil, errors.New("nowhere")
}

// madeUp is a network of which a test has every key.
type madeUp struct {
	t       testing.TB
	signers map[[32]byte]keys.Signer
	start   time.Time
	records []proof.KV // in the order of their hashes
}

func newMadeUp(t testing.TB) *madeUp {
	m := &madeUp{t: t, signers: map[[32]byte]keys.Signer{}, start: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	for i := range 20 {
		m.records = append(m.records, proof.KV{Key: fmt.Appendf(nil, "key %d", i), Value: fmt.Appendf(nil, "value %d", i)})
	}
	slices.SortFunc(m.records, func(a, b proof.KV) int {
		x, y := proof.HashKey(a.Key), proof.HashKey(b.Key)
		return bytes.Compare(x[:], y[:])
	})
	return m
}

// set is the validators with these numbers.
func (m *madeUp) set(numbers ...int) proof.ValidatorSet {
	var vals []proof.Validator
	for _, n := range numbers {
		seed := sha256.Sum256(fmt.Append(nil, "validator ", n))
		signer := must[keys.Signer](m.t)(keys.Ed25519.Load(seed[:]))
		key := [32]byte(signer.Public().Raw())
		m.signers[key] = signer
		vals = append(vals, proof.Validator{Key: key, Power: 10})
	}
	return proof.NewValidatorSet(vals)
}

// at is the time of a height's block.
func (m *madeUp) at(height hufu.Height) time.Time {
	return m.start.Add(time.Duration(height) * time.Second)
}

// block is height's block as changed, signed by all of vals.
func (m *madeUp) block(height hufu.Height, vals, next proof.ValidatorSet, change ...func(*proof.Header)) *proof.LightBlock {
	m.t.Helper()
	root := must[hufu.Digest](m.t)(proof.Root(m.records))
	v, n := vals.Hash(), next.Hash()
	b := &proof.LightBlock{Validators: vals}
	b.Header = proof.Header{
		BlockVersion: 11, AppVersion: 1, Network: "test", Height: height, Time: m.at(height), ValidatorsHash: v[:], NextValidatorsHash: n[:],
		ConsensusHash: make([]byte, 32), AppHash: root[:], ProposerAddress: vals[0].Address(),
	}
	for _, f := range change {
		f(&b.Header)
	}
	hash := b.Header.Hash()
	b.Commit = proof.Commit{Height: height, BlockID: proof.BlockID{Hash: hash[:], PartsTotal: 1, PartsHash: make([]byte, 32)}}
	for i := range vals {
		b.Commit.Votes = append(b.Commit.Votes, proof.Vote{Flag: proof.FlagCommit, Address: vals[i].Address(), Time: b.Header.Time})
		b.Commit.Votes[i].Signature = must[[]byte](m.t)(m.signers[vals[i].Key].Sign(nil, b.Commit.SignBytes(b.Header.Network, i)))
	}
	return b
}

// way is as many blocks.
func (m *madeUp) way(vals proof.ValidatorSet, blocks int) (path []*proof.LightBlock) {
	for i := range blocks {
		path = append(path, m.block(hufu.Height(i)+1, vals, vals))
	}
	return path
}

func (m *madeUp) encode(path []*proof.LightBlock) (out [][]byte) {
	for _, b := range path {
		out = append(out, must[[]byte](m.t)(b.Encode()))
	}
	return out
}

// staple is of the record "key 3" and of the absence of "none", as changed.
func (m *madeUp) staple(path []*proof.LightBlock, change ...func(*stapleWire)) []byte {
	m.t.Helper()
	w := stapleWire{Headers: m.encode(path), Proofs: proof.Prove(m.records, [][]byte{[]byte("key 3"), []byte("none")})}
	for _, f := range change {
		f(&w)
	}
	return must[[]byte](m.t)(encoding.Marshal(&w))
}

// store is a file of headers that a client before kept.
func (m *madeUp) store(path ...*proof.LightBlock) string {
	m.t.Helper()
	raw := must[[]byte](m.t)(encoding.Marshal(m.encode(path)))
	sum := sha256.Sum256(raw)
	file := filepath.Join(m.t.TempDir(), "headers")
	if err := os.WriteFile(file, slices.Concat([]byte("hufu-headers/1\n"), sum[:], raw), 0o600); err != nil {
		m.t.Fatal(err)
	}
	return file
}

// client is one that trusts the genesis with these validators, at a time, and cannot ask anybody.
func (m *madeUp) client(now time.Time, genesis proof.ValidatorSet, o client.Options, change ...func(*client.Trust)) *client.Client {
	m.t.Helper()
	trust := client.Trust{Network: "test", GenesisTime: m.start, Validators: genesis}
	for _, f := range change {
		f(&trust)
	}
	o.Now = func() time.Time { return now }
	c := must[*client.Client](m.t)(client.New(trust, nowhere{t: m.t}, o))
	m.t.Cleanup(func() { _ = c.Close() }) // always nil
	return c
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// What is stapled is what the ledger holds, whoever staples it and however it was come by; and no node is asked by whoever
// reads it.
func TestStaple(t *testing.T) {
	s := newScene(t)
	writer := s.honest()
	a, b := s.person(writer), s.person(writer)
	none := hufu.ID{1}
	c := s.deceived()
	standby := client.NewStandby(c, filepath.Join(t.TempDir(), "snapshot"))
	reads := func(v client.View) error {
		for _, id := range []hufu.ID{a.id, none, a.id} {
			if _, err := did.Get(v, id); err != nil {
				return err
			}
		}
		return nil
	}
	opens := func(name string, staple *client.Staple, sequence uint64) {
		t.Helper()
		reader := must[*client.Client](t)(client.New(s.trust(), nowhere{t: t}, client.Options{}))
		defer reader.Close() //nolint:errcheck // always nil
		v, err := reader.OpenStaple(staple.Bytes)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if v.AsOf() != staple.AsOf || v.AsOf().Height == 0 || v.Network() != s.net.Name {
			t.Errorf("%s: %+v of %s, made as of %+v", name, v.AsOf(), v.Network(), staple.AsOf)
		}
		if rec, err := did.Get(v, a.id); err != nil || rec == nil || rec.Sequence != sequence {
			t.Errorf("%s: %+v, %v", name, rec, err)
		}
		if rec, err := did.Get(v, none); err != nil || rec != nil || v.Missed() {
			t.Errorf("%s: what is not there: %+v, %v", name, rec, err)
		}
		if _, err := did.Get(v, b.id); err == nil || !v.Missed() {
			t.Errorf("%s: what was not stapled: %v", name, err)
		}
		if again := must[*client.Stapled](t)(reader.OpenStaple(staple.Bytes)); again.Missed() || again.AsOf() != v.AsOf() {
			t.Errorf("%s: opened again", name)
		}
	}
	opens("by a client", must[*client.Staple](t)(c.Staple(s.ctx, reads)), 1)
	if err := standby.Renew(s.ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Submit(s.ctx, a.update("later")); err != nil {
		t.Fatal(err)
	}
	s.until("the update is stapled", func() bool {
		return must[*client.Staple](t)(standby.Staple(s.ctx, reads)).AsOf.Height >= must[hufu.AsOf](t)(writer.Head(s.ctx)).Height-1
	})
	opens("by a standby", must[*client.Staple](t)(standby.Staple(s.ctx, reads)), 2)

	// The state moves while it is read: one or the other is stapled whole.
	moved := 0
	opens("of a state that moved", must[*client.Staple](t)(c.Staple(s.ctx, func(v client.View) error {
		if moved++; moved == 1 {
			if _, err := writer.Submit(s.ctx, a.update("meanwhile")); err != nil {
				return err
			}
		}
		return reads(v)
	})), 3)

	own := errors.New("own")
	if _, err := standby.Staple(s.ctx, func(client.View) error { return own }); !errors.Is(err, own) {
		t.Error(err)
	}
	s.liar.Lie(to("/prove", func(e *clienttest.Exchange) { e.SetValue([]byte{0xa0}) }))
	_, err := c.Staple(s.ctx, reads)
	wantRule(t, err, client.RuleBadProof)

	s.liar.Lie(func(e *clienttest.Exchange) { e.Drop() })
	s.until("the node is known to be away", func() bool {
		_, err := c.Head(s.ctx)
		return errors.Is(err, client.ErrUnreachable)
	})
	if _, err := c.Staple(s.ctx, reads); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("without a node: %v", err)
	}
	opens("by a standby in an outage", must[*client.Staple](t)(standby.Staple(s.ctx, reads)), 1)
	bare := client.NewStandby(c, filepath.Join(t.TempDir(), "none"))
	if _, err := bare.Staple(s.ctx, reads); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("without a snapshot: %v", err)
	}
}

// A staple leads on from whatever its reader trusts, also past validators that were replaced.
func TestStapleLeadsOn(t *testing.T) {
	m := newMadeUp(t)
	first, second, third := m.set(1), m.set(2), m.set(3)
	path := []*proof.LightBlock{m.block(10, first, second), m.block(11, second, second), m.block(20, second, third), m.block(21, third, third), m.block(30, third, third)}
	checkpoint := func(height hufu.Height) func(*client.Trust) {
		return func(c *client.Trust) {
			for _, b := range path {
				if b.Header.Height == height {
					c.Checkpoint = &client.Checkpoint{Height: height, Hash: b.Header.Hash()}
				}
			}
		}
	}
	other := m.block(30, third, third, func(h *proof.Header) { h.AppHash = make([]byte, 32) })
	for name, c := range map[string]struct {
		store  []*proof.LightBlock
		trust  func(*client.Trust)
		staple []*proof.LightBlock
		rule   hufu.Rule
	}{
		"from the genesis":                    {staple: path},
		"from what was kept":                  {store: path[:2], staple: path[2:]},
		"from what was kept, the way before":  {store: path[:2], staple: path},
		"from what is newer":                  {store: append(path[:4:4], m.block(31, third, third)), staple: path[4:]},
		"the same header":                     {store: path, staple: path[4:]},
		"from a checkpoint":                   {trust: checkpoint(20), staple: path},
		"of the checkpoint":                   {trust: checkpoint(30), staple: path},
		"from a checkpoint on":                {trust: checkpoint(20), store: path[2:4], staple: path[4:]},
		"the way is too long":                 {staple: path[2:], rule: proof.RuleDistant},
		"the way from what was kept is not":   {store: path[:2], staple: path[4:], rule: proof.RuleDistant},
		"other validators than those trusted": {staple: []*proof.LightBlock{m.block(30, m.set(4, 5, 6), third)}, rule: proof.RuleDistant},
		"not from the checkpoint":             {trust: checkpoint(20), staple: path[3:], rule: proof.RuleDistant},
		"before the checkpoint":               {trust: checkpoint(30), staple: path[:4], rule: proof.RuleDistant},
		"another checkpoint": {trust: func(c *client.Trust) {
			c.Checkpoint = &client.Checkpoint{Height: 20, Hash: hufu.Digest{1}}
		}, staple: path, rule: proof.RuleHeader},
		"of a fork": {store: path, staple: []*proof.LightBlock{other}, rule: client.RuleConflict},
	} {
		t.Run(name, func(t *testing.T) {
			var told []*client.Evidence
			o := client.Options{Conflict: func(e *client.Evidence) { told = append(told, e) }}
			if c.store != nil {
				o.Store = m.store(c.store...)
			}
			change := c.trust
			if change == nil {
				change = func(*client.Trust) {}
			}
			reader := m.client(m.at(40), first, o, change)
			v, err := reader.OpenStaple(m.staple(c.staple))
			wantRule(t, err, c.rule)
			if c.rule == "" {
				if value, err := v.Get([]byte("key 3")); string(value) != "value 3" || err != nil {
					t.Errorf("%q, %v", value, err)
				}
			}
			if (len(told) == 1) != (c.rule == client.RuleConflict) {
				t.Errorf("told of %d", len(told))
			}
			for _, e := range told {
				if _, err := e.Verify(client.Trust{Network: "test", GenesisTime: m.start, Validators: first, Period: longPeriod}, m.at(40)); err != nil || e.Height() != 30 {
					t.Errorf("the evidence: %v", err)
				}
			}
		})
	}
}

func TestStapleRefused(t *testing.T) {
	m := newMadeUp(t)
	vals := m.set(1, 2, 3, 4)
	now := m.at(100)
	signed := func(change ...func(*proof.Header)) []*proof.LightBlock {
		return []*proof.LightBlock{m.block(99, vals, vals, change...)}
	}
	altered := func(change func(*proof.LightBlock)) []*proof.LightBlock {
		path := signed()
		change(path[0])
		return path
	}
	good := m.staple(signed())
	kept := client.Options{Store: m.store(m.block(60, vals, vals))}
	fresh := func(t *testing.T) *client.Client { return m.client(now, vals, client.Options{}) }
	if _, err := fresh(t).OpenStaple(good); err != nil {
		t.Fatal(err)
	}
	elsewhere := m.block(99, vals, vals, func(h *proof.Header) { h.Network = "elsewhere" })
	for name, c := range map[string]struct {
		staple []byte
		rule   hufu.Rule
	}{
		"nothing":            {nil, client.RuleBadStaple},
		"no CBOR":            {[]byte("x"), client.RuleBadStaple},
		"cut off":            {good[:len(good)-1], client.RuleBadStaple},
		"more":               {append(bytes.Clone(good), 0), client.RuleBadStaple},
		"huge":               {m.staple(signed(), func(w *stapleWire) { w.Proofs[1] = make([]byte, client.MaxStaple) }), client.RuleBadStaple},
		"no headers":         {m.staple(nil), client.RuleBadStaple},
		"many headers":       {m.staple(m.way(vals, 17)), client.RuleBadStaple},
		"many proofs":        {m.staple(signed(), func(w *stapleWire) { w.Proofs = slices.Repeat(w.Proofs[:1], 65) }), client.RuleBadStaple},
		"no header":          {m.staple(signed(), func(w *stapleWire) { w.Headers[0] = []byte{1} }), client.RuleBadStaple},
		"back and forth":     {m.staple([]*proof.LightBlock{m.block(50, vals, vals), m.block(120, vals, vals), m.block(99, vals, vals)}), client.RuleBadStaple},
		"of another network": {m.staple([]*proof.LightBlock{elsewhere}), proof.RuleNetwork},
		"of the future":      {m.staple(signed(func(h *proof.Header) { h.Time = now.Add(time.Minute) })), proof.RuleTime},
		"another app hash":   {m.staple(altered(func(b *proof.LightBlock) { b.Header.AppHash[0] ^= 1 })), proof.RuleHeader},
		"a forged vote":      {m.staple(altered(func(b *proof.LightBlock) { b.Commit.Votes[0].Signature[0] ^= 1 })), proof.RuleCommit},
		"too few votes": {m.staple(altered(func(b *proof.LightBlock) {
			b.Commit.Votes[0].Flag, b.Commit.Votes[1].Flag = proof.FlagNil, proof.FlagNil
		})), proof.RulePower},
		"no proof":            {m.staple(signed(), func(w *stapleWire) { w.Proofs[0] = nil }), proof.RuleMalformed},
		"a forged proof":      {m.staple(signed(), func(w *stapleWire) { w.Proofs[0][20] ^= 1 }), proof.RuleNotProven},
		"proofs of elsewhere": {m.staple(signed(func(h *proof.Header) { h.AppHash = make([]byte, 32) })), proof.RuleNotProven},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := fresh(t).OpenStaple(c.staple)
			if rule := hufu.RuleOf(err); rule != c.rule && !(c.rule == proof.RuleNotProven && rule == proof.RuleMalformed) {
				t.Fatalf("error %v, want a refusal by %s", err, c.rule)
			}
		})
	}

	// Whoever cuts a client off does not take it back far behind what it knows.
	behind := func(seconds hufu.Height) error {
		late := m.block(60, vals, vals)
		reader := m.client(now, vals, client.Options{Store: m.store(late)})
		_, err := reader.OpenStaple(m.staple([]*proof.LightBlock{m.block(60-seconds, vals, vals)}))
		return err
	}
	wantRule(t, behind(31), client.RuleStapleBehind)
	wantRule(t, behind(30), "")

	// An old trust proves nothing.
	period := func(p time.Duration) func(*client.Trust) { return func(c *client.Trust) { c.Period = p } }
	_, err := m.client(now, vals, client.Options{}, period(100*time.Second)).OpenStaple(good)
	wantRule(t, err, client.RuleTrustExpired)
	_, err = m.client(now, vals, kept, period(100*time.Second)).OpenStaple(good)
	wantRule(t, err, "")
	_, err = m.client(now.Add(time.Hour), vals, client.Options{Store: m.store(m.block(99, vals, vals))}, period(100*time.Second)).OpenStaple(good)
	wantRule(t, err, client.RuleTrustExpired)

	_, err = m.client(m.at(120), vals, client.Options{Store: m.store(m.block(99, vals, vals))}, period(100*time.Second)).OpenStaple(good)
	wantRule(t, err, "") // it is the header that was kept

	// One staple is not taken for another that was opened before.
	two := fresh(t)
	if _, err := two.OpenStaple(good); err != nil {
		t.Error(err)
	}
	_, err = two.OpenStaple(m.staple(signed(), func(w *stapleWire) { w.Proofs[0] = nil }))
	wantRule(t, err, proof.RuleMalformed)

	closed := fresh(t)
	_ = closed.Close() // always nil
	if _, err := closed.OpenStaple(good); !errors.Is(err, client.ErrClosed) {
		t.Error(err)
	}
}

// No more is stapled than is read.
func TestStapleIsBounded(t *testing.T) {
	m := newMadeUp(t)
	vals := m.set(1)
	var records []proof.Record
	for _, kv := range m.records {
		records = append(records, proof.Record{Key: kv.Key, Value: kv.Value})
	}
	path := must[[]byte](t)(encoding.Marshal(m.encode(m.way(vals, 20))))
	file := whole([]byte("hufu-snapshot/1\n"), path, must[[]byte](t)(encoding.Marshal(records)), nil)
	trust := client.Trust{Network: "test", GenesisTime: m.start, Validators: vals}
	snap := must[*client.Snapshot](t)(client.OpenSnapshot(bytes.NewReader(file), trust, m.at(30), 0))
	reads := func(n int) func(client.View) error {
		return func(v client.View) error {
			for i := range n {
				if _, err := v.Get(fmt.Appendf(nil, "key %d", i)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	staple := must[*client.Staple](t)(snap.Staple(reads(64)))
	if _, err := m.client(m.at(30), vals, client.Options{}).OpenStaple(staple.Bytes); err != nil {
		t.Error(err)
	}
	if _, err := snap.Staple(reads(65)); err == nil {
		t.Error("more proofs than are read")
	}
}

// A client that saw two histories believes no staple either.
func TestStapleAfterConflict(t *testing.T) {
	s := newScene(t)
	honest := s.honest()
	s.await(honest, 2)
	staple := must[*client.Staple](t)(honest.Staple(s.ctx, func(v client.View) error { _, err := did.Get(v, hufu.ID{1}); return err }))
	s.liar.Lie(signs(t, s.net.Members[0].Keys.Validator, 1, otherState))
	w := s.watched(client.Options{}, s.trust(), s.node.URL(), s.liar.URL())
	must[*client.Stapled](t)(w.OpenStaple(staple.Bytes))
	s.until("the two headers are seen", func() bool {
		_, err := w.Head(s.ctx)
		return hufu.RuleOf(err) == client.RuleConflict
	})
	_, err := w.OpenStaple(staple.Bytes)
	wantRule(t, err, client.RuleConflict)
}

// What opens is true, and what does not is refused by a rule.
func FuzzOpenStaple(f *testing.F) {
	m := newMadeUp(f)
	vals := m.set(1)
	path := []*proof.LightBlock{m.block(10, vals, vals), m.block(99, vals, vals)}
	f.Add(m.staple(path))
	f.Add(m.staple(path[1:], func(w *stapleWire) { w.Proofs = nil }))
	f.Add([]byte{0xa0})
	c := m.client(m.at(100), vals, client.Options{})
	f.Fuzz(func(t *testing.T, raw []byte) {
		v, err := c.OpenStaple(raw)
		if err != nil {
			if hufu.RuleOf(err) == "" {
				t.Fatalf("not a refusal: %v", err)
			}
			return
		}
		for i := range 20 {
			value, err := v.Get(fmt.Appendf(nil, "key %d", i))
			if err == nil && string(value) != fmt.Sprint("value ", i) {
				t.Fatalf("key %d is %q", i, value)
			}
		}
	})
}
