package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
)

// replaceValidator gives the network another sole validator by vote, and its node the new key.
func (s *scene) replaceValidator(c *client.Client, sequence uint64) {
	s.t.Helper()
	fresh, err := sample.Key("validator after", sequence)
	if err != nil {
		s.t.Fatal(err)
	}
	m := &s.net.Members[0]
	raw, err := s.net.Transaction(sequence, &tx.GovPropose{Title: "A new key", Actions: []tx.Action{{SetMember: &tx.MemberTerms{
		Member: m.ID, Name: "Member 1", ValidatorKey: fresh.Public().Raw(), Power: 1, Quota: tx.MaxQuota, OpenQuota: tx.MaxQuota,
	}}}})
	if err != nil {
		s.t.Fatal(err)
	}
	receipt, err := c.Submit(s.ctx, raw)
	if err != nil {
		s.t.Fatal(err)
	}
	// The old key still signed the block after, which proves the result; the one after that is the new
	// key's.
	if err := s.node.Stop(); err != nil {
		s.t.Fatal(err)
	}
	m.Keys.Validator = fresh
	s.start(m.Keys)
	s.await(c, receipt.Height+4)
}

// Every validator is another one, twice: no height can be skipped over that, and a client finds the
// heights in between that lead there.
func TestValidatorsReplaced(t *testing.T) {
	s := newScene(t)
	follower := s.honest()
	p := s.person(follower)
	s.replaceValidator(follower, 1)
	s.replaceValidator(follower, 2)
	if _, err := follower.Submit(s.ctx, p.update("m")); err != nil {
		t.Fatal(err)
	}
	late := s.deceived()
	if rec, _, err := record(s.ctx, late, p.id); err != nil || rec.Sequence != 2 {
		t.Errorf("from genesis: %+v, %v", rec, err)
	}
	if s.liar.Calls("validators") == 0 {
		t.Error("the validators were not asked for")
	}
	point, err := late.Checkpoint(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	trust := s.trust()
	trust.Checkpoint, trust.Validators = &point, nil
	if rec, _, err := record(s.ctx, s.dial(s.node.URL(), trust, client.Options{}), p.id); err != nil || rec.Sequence != 2 {
		t.Errorf("from a checkpoint: %+v, %v", rec, err)
	}

	// An absent one is refused: the old validators' network with a new head.
	s.told(t, map[string]lie{
		"validators of another height": {to("validators", func(e *clienttest.Exchange) {
			e.Answer(map[string]any{"total": "1", "validators": []any{map[string]any{
				"pub_key":      map[string]any{"type": "tendermint/PubKeyEd25519", "value": p.signer.Public().Raw()},
				"voting_power": "1",
			}}})
		}), client.RuleBadValidators, "not the validators"},
	}, s.deceived, func(c *client.Client) error {
		_, err := c.Head(s.ctx)
		return err
	})
}

func TestTrustExpires(t *testing.T) {
	s := newScene(t)
	c := s.honest()
	p := s.person(c)
	point, err := c.Checkpoint(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	genesis := s.trust()
	genesis.Period = time.Hour // long over: the sample genesis is of a fixed day
	_, err = s.dial(s.node.URL(), genesis, client.Options{}).Head(s.ctx)
	wantRule(t, err, client.RuleTrustExpired)

	// A checkpoint is recent, so the same period does.
	fresh := genesis
	fresh.Checkpoint = &point
	if _, _, err := record(s.ctx, s.dial(s.node.URL(), fresh, client.Options{}), p.id); err != nil {
		t.Error(err)
	}
	later := client.Options{Now: func() time.Time { return time.Now().Add(2 * time.Hour) }}
	_, err = s.dial(s.node.URL(), fresh, later).Head(s.ctx)
	wantRule(t, err, client.RuleTrustExpired)

	early := client.Options{Now: func() time.Time { return time.Now().Add(-time.Hour) }}
	_, err = s.dial(s.node.URL(), s.trust(), early).Head(s.ctx)
	wantRule(t, err, client.RuleBadHeader)
	early.Drift = 2 * time.Hour
	if _, err := s.dial(s.node.URL(), s.trust(), early).Head(s.ctx); err != nil {
		t.Error(err)
	}
}

func TestWrongNetwork(t *testing.T) {
	s := newScene(t)
	other, err := sample.New("other", 1)
	if err != nil {
		t.Fatal(err)
	}
	trust, err := client.ParseGenesis(other.Genesis)
	if err != nil {
		t.Fatal(err)
	}
	trust.Period = longPeriod
	_, err = s.dial(s.node.URL(), trust, client.Options{}).Head(s.ctx)
	wantRule(t, err, client.RuleBadHeader)

	// The same name, founded by somebody else.
	trust.Network = s.net.Name
	_, err = s.dial(s.node.URL(), trust, client.Options{}).Head(s.ctx)
	if r := hufu.RuleOf(err); r != client.RuleBadValidators && r != client.RuleBadCommit {
		t.Errorf("another genesis: %v", err)
	}
}

func TestUnusableTrust(t *testing.T) {
	s := newScene(t)
	for name, change := range map[string]func(*client.Trust){
		"no network":      func(t *client.Trust) { t.Network = "" },
		"bad network":     func(t *client.Trust) { t.Network = "A B" },
		"no validators":   func(t *client.Trust) { t.Validators = nil },
		"no time":         func(t *client.Trust) { t.GenesisTime = time.Time{} },
		"negative period": func(t *client.Trust) { t.Period = -1 },
	} {
		trust := s.trust()
		change(&trust)
		if _, err := client.New(trust, nil, client.Options{}); hufu.RuleOf(err) != client.RuleTrust {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, file := range map[string]string{
		"empty": "", "not JSON": "{", "a list": "[]", "twice": `{"chain_id":"a","chain_id":"b"}`,
		"nothing in it": "{}", "bad key": `{"chain_id":"test","genesis_time":"2026-01-01T00:00:00Z","validators":[{"power":"1"}]}`,
	} {
		if _, err := client.ParseGenesis([]byte(file)); hufu.RuleOf(err) != client.RuleTrust {
			t.Errorf("genesis %s: %v", name, err)
		}
	}
	for _, url := range []string{"", "x", "http://", "http://198.51.100.1:26657", "http://example.org", "ftp://127.0.0.1", "://"} {
		if _, err := client.Dial(url); err == nil {
			t.Errorf("dialled %q", url)
		}
	}
}

// Everything a read sees is of one height, while the ledger moves under it.
func TestReadsAreOfOneHeight(t *testing.T) {
	s := newScene(t)
	c, writer := s.honest(), s.honest()
	a, b := s.person(writer), s.person(writer)
	type written struct {
		height hufu.Height
		who    *person
	}
	var log []written
	ended := make(chan error, 1)
	go func() {
		var err error
		for i := 0; err == nil && i < 40; i++ {
			who := a
			if i%2 == 1 {
				who = b
			}
			var r client.Receipt
			if r, err = writer.Submit(s.ctx, who.update("m-"+string(rune('a'+i/2%26))+string(rune('a'+i/52)))); err == nil {
				log = append(log, written{r.Height, who})
			}
		}
		ended <- err
	}()
	type seen struct {
		height hufu.Height
		a, b   uint64
	}
	var reads []seen
	attempts := 0
	var failed error
	for running := true; running; {
		select {
		case failed = <-ended:
			running = false // and one more
		default:
		}
		var now seen
		err := c.Read(s.ctx, func(v client.View) error {
			attempts++
			ra, err := did.Peek(v, a.id)
			if err != nil {
				return err
			}
			rb, err := did.Get(v, b.id)
			if err != nil {
				return err
			}
			now = seen{v.AsOf().Height, ra.Sequence, rb.Sequence}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		reads = append(reads, now)
		if _, err := c.Await(s.ctx, now.height+1); err != nil { // and at once, while more may follow
			t.Fatal(err)
		}
	}
	if failed != nil {
		t.Fatal(failed)
	}
	if len(reads) < 2 {
		t.Errorf("%d states were seen", len(reads))
	}
	last := hufu.Height(0)
	for _, r := range reads {
		want := seen{r.height, 1, 1}
		for _, w := range log {
			if w.height > r.height {
				continue
			}
			if w.who == a {
				want.a++
			} else {
				want.b++
			}
		}
		if r != want {
			t.Errorf("read %+v, the ledger had %+v", r, want)
		}
		if r.height < last {
			t.Errorf("a read at %d after one at %d", r.height, last)
		}
		last = r.height
	}
	t.Logf("%d states in %d attempts over %d transactions", len(reads), attempts, len(log))
}

// What a record was decoded to is kept as long as the state is the same, and no longer.
func TestDecodedOnce(t *testing.T) {
	s := newScene(t)
	c, writer := s.honest(), s.honest()
	a := s.person(writer)
	peek := func(height hufu.Height) (rec *did.Record, asOf hufu.AsOf) {
		t.Helper()
		if _, err := c.Await(s.ctx, height); err != nil {
			t.Fatal(err)
		}
		if err := c.Read(s.ctx, func(v client.View) (err error) {
			asOf = v.AsOf()
			rec, err = did.Peek(v, a.id)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return rec, asOf
	}
	first, was := peek(a.created.Height)
	again, is := peek(was.Height + 1)
	for is.AppHash != was.AppHash {
		first, was = again, is
		again, is = peek(is.Height + 1)
	}
	if again != first {
		t.Errorf("decoded again at height %d", is.Height)
	}
	r, err := writer.Submit(s.ctx, a.update("m-one"))
	if err != nil {
		t.Fatal(err)
	}
	if rec, is := peek(r.Height); rec == first || rec.Sequence != 2 || first.Sequence != 1 || is.AppHash == was.AppHash {
		t.Errorf("after a change: %+v as of %+v", rec, is)
	}
}

// When the state moves between two reads of one attempt, the attempt is run again on the newer one.
func TestStateMovesDuringARead(t *testing.T) {
	s := newScene(t)
	c, writer := s.honest(), s.honest()
	a, b := s.person(writer), s.person(writer)
	attempts := 0
	var first, second *did.Record
	err := c.Read(s.ctx, func(v client.View) (err error) {
		attempts++
		if first, err = did.Get(v, a.id); err != nil {
			return err
		}
		if attempts == 1 {
			if _, err := writer.Submit(s.ctx, a.update("moved")); err != nil {
				return err
			}
			if _, err := writer.Submit(s.ctx, b.update("moved")); err != nil {
				return err
			}
		}
		second, err = did.Get(v, b.id)
		if attempts == 1 && err == nil {
			t.Error("the second record is of the state after the first")
		}
		return err
	})
	if err != nil || attempts < 2 || first.Sequence != second.Sequence {
		t.Errorf("%d attempts, %+v and %+v, %v", attempts, first, second, err)
	}
	// What went wrong is told even if the function hides it, and its own errors are passed on.
	own := errors.New("own")
	if err := c.Read(s.ctx, func(client.View) error { return own }); !errors.Is(err, own) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	err = c.Read(ctx, func(v client.View) error {
		cancel()
		_, _ = v.Get(did.StateKey(hufu.ID{7}))
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a hidden failure: %v", err)
	}
}
