package client_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
)

// lie is one kind of lie and what must come of it.
type lie struct {
	how    clienttest.Lie
	rule   hufu.Rule // the refusal, or, when empty, client.ErrUnreachable
	detail string    // part of the error's text
}

// to makes a lie about one method or query path alone.
func to(what string, how clienttest.Lie) clienttest.Lie {
	return func(e *clienttest.Exchange) {
		if e.Method == what || e.Path() == what {
			how(e)
		}
	}
}

// header makes a lie about signed headers.
func header(how clienttest.Lie) clienttest.Lie { return to("commit", how) }

// answer makes a lie about proven reads.
func answer(how func(*proof.Answer)) clienttest.Lie {
	return to(proof.PathProve, func(e *clienttest.Exchange) {
		var a proof.Answer
		if encoding.Unmarshal(e.Value(), &a) != nil {
			return // the node had none
		}
		how(&a)
		raw, err := encoding.Marshal(&a)
		if err != nil {
			panic(err) // the answer was encoded before
		}
		e.SetValue(raw)
	})
}

// told runs do under each lie with a client of its own, sees it refused every time, and sees the client
// go on when the node is honest again.
func (s *scene) told(t *testing.T, lies map[string]lie, dial func() *client.Client, do func(*client.Client) error) {
	for name, l := range lies {
		t.Run(name, func(t *testing.T) {
			c := dial()
			s.liar.Lie(l.how)
			defer s.liar.Lie(nil)
			for range 2 {
				err := do(c)
				if err == nil {
					t.Fatal("believed")
				}
				if l.rule == "" && !errors.Is(err, client.ErrUnreachable) {
					t.Fatalf("error %v, want client.ErrUnreachable", err)
				}
				wantRule(t, err, l.rule)
				if !strings.Contains(err.Error(), l.detail) {
					t.Fatalf("error %q says nothing of %q", err, l.detail)
				}
			}
			s.liar.Lie(nil)
			s.until("the client goes on with an honest node", func() bool { return do(c) == nil })
		})
	}
}

const (
	abciQuery = "abci_query"
	sig       = "signatures"
	head      = "signed_header"
)

func TestLiesAboutHeaders(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	flip := func(path ...any) clienttest.Lie {
		return header(func(e *clienttest.Exchange) { e.FlipHex(path...) })
	}
	set := func(value any, path ...any) clienttest.Lie {
		return header(func(e *clienttest.Exchange) { e.Set(value, path...) })
	}
	lies := map[string]lie{
		"other height": {header(func(e *clienttest.Exchange) {
			e.Set("1000000", head, "header", "height")
		}), client.RuleBadHeader, "given 1000000"},
		"other network":      {set("other", head, "header", "chain_id"), client.RuleBadHeader, "another network"},
		"other time":         {set("2026-01-01T00:00:00Z", head, "header", "time"), client.RuleBadHeader, "the header's hash"},
		"other protocol":     {set("12", head, "header", "version", "block"), client.RuleBadHeader, "block protocol 12"},
		"no app hash":        {set("", head, "header", "app_hash"), client.RuleBadHeader, "app hash of 0 bytes"},
		"commit of height 1": {set("1000000", head, "commit", "height"), client.RuleBadHeader, "with a commit for 1000000"},
		"commit of another":  {flip(head, "commit", "block_id", "hash"), client.RuleBadHeader, "the commit is for"},
		"other round":        {set(7, head, "commit", "round"), client.RuleBadCommit, "signature"},
		"negative round":     {set(-1, head, "commit", "round"), client.RuleBadCommit, "round -1"},
		"other parts":        {flip(head, "commit", "block_id", "parts", "hash"), client.RuleBadCommit, "signature"},
		"signature": {header(func(e *clienttest.Exchange) {
			e.FlipBase64(head, "commit", sig, 0, "signature")
		}), client.RuleBadCommit, "signature of validator"},
		"no signature":    {set("", head, "commit", sig, 0, "signature"), client.RuleBadCommit, "signature of validator"},
		"vote's time":     {set("2026-01-01T00:00:00Z", head, "commit", sig, 0, "timestamp"), client.RuleBadCommit, "signature of validator"},
		"impossible time": {set("0000-01-01T00:00:00Z", head, "commit", sig, 0, "timestamp"), client.RuleBadCommit, "signature of validator"},
		"somebody's vote": {flip(head, "commit", sig, 0, "validator_address"), client.RuleBadCommit, "not of validator"},
		"vote for nil":    {set(3, head, "commit", sig, 0, "block_id_flag"), client.RuleBadCommit, "0 of 1 power"},
		"absent":          {set(1, head, "commit", sig, 0, "block_id_flag"), client.RuleBadCommit, "0 of 1 power"},
		"no votes":        {set([]any{}, head, "commit", sig), client.RuleBadCommit, "0 votes for 1"},
		"vote twice": {header(func(e *clienttest.Exchange) {
			v := e.Get(head, "commit", sig, 0)
			e.Set([]any{v, v}, head, "commit", sig)
		}), client.RuleBadCommit, "2 votes for 1"},
		"other validators": {flip(head, "header", "validators_hash"), client.RuleBadHeader, "the header's hash"},
		"height no number": {to(proof.PathAwait, func(e *clienttest.Exchange) { e.SetValue([]byte{0x61, 0x61}) }), client.RuleBadHeader, "not a number"},
		"height that is not": {to(proof.PathAwait, func(e *clienttest.Exchange) {
			e.SetValue([]byte{0x1a, 0x7f, 0, 0, 0})
		}), "", "the node answers"},
		"not a header": {set([]any{}, head), "", "does not read"},
		"null header":  {header(func(e *clienttest.Exchange) { e.Raw(http.StatusOK, []byte(`{"result":null}`)) }), client.RuleBadHeader, "given 0"},
	}
	for _, field := range []string{"last_commit_hash", "data_hash", "next_validators_hash", "consensus_hash", "app_hash", "last_results_hash", "evidence_hash", "proposer_address"} {
		lies[field] = lie{header(func(e *clienttest.Exchange) {
			if e.Get(head, "header", field) == "" {
				e.Set(strings.Repeat("AB", 32), head, "header", field)
			} else {
				e.FlipHex(head, "header", field)
			}
		}), client.RuleBadHeader, "the header's hash"}
	}
	s.told(t, lies, s.deceived, func(c *client.Client) error {
		_, _, err := record(s.ctx, c, p.id)
		return err
	})
}

// From a checkpoint, the validators come from the node too.
func TestLiesAboutValidators(t *testing.T) {
	s := newScene(t)
	honest := s.honest()
	p := s.person(honest)
	point, err := honest.Checkpoint(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	trust := s.trust()
	trust.Checkpoint, trust.Validators, trust.GenesisTime = &point, nil, time.Time{}
	validators := func(how clienttest.Lie) clienttest.Lie { return to("validators", how) }
	crowd := func(n int) clienttest.Lie {
		all := make([]any, n)
		for i := range all {
			key := map[string]any{"type": "tendermint/PubKeyEd25519", "value": s.net.Members[0].Keys.Validator.Public().Raw()}
			all[i] = map[string]any{"pub_key": key, "voting_power": "1"}
		}
		return validators(func(e *clienttest.Exchange) { e.Answer(map[string]any{"validators": all, "total": "100000"}) })
	}
	s.told(t, map[string]lie{
		"power":     {validators(func(e *clienttest.Exchange) { e.Set("2", "validators", 0, "voting_power") }), client.RuleBadValidators, "not the validators"},
		"key":       {validators(func(e *clienttest.Exchange) { e.FlipBase64("validators", 0, "pub_key", "value") }), client.RuleBadValidators, "not the validators"},
		"key type":  {validators(func(e *clienttest.Exchange) { e.Set("x", "validators", 0, "pub_key", "type") }), client.RuleBadValidators, "without an Ed25519 key"},
		"short key": {validators(func(e *clienttest.Exchange) { e.Set("AAAA", "validators", 0, "pub_key", "value") }), client.RuleBadValidators, "without an Ed25519 key"},
		"none":      {validators(func(e *clienttest.Exchange) { e.Set([]any{}, "validators") }), client.RuleBadValidators, "not the validators"},
		"crowd":     {crowd(100), client.RuleBadValidators, "more than 1000"},
		"long page": {crowd(101), client.RuleBadValidators, "a page of more than 100"},
		"checkpoint of another": {header(func(e *clienttest.Exchange) {
			if e.Height() == point.Height {
				e.Set("2026-01-01T00:00:00Z", head, "header", "time")
			}
		}), client.RuleBadHeader, "not the trusted checkpoint"},
		"checkpoint's commit": {header(func(e *clienttest.Exchange) {
			if e.Height() == point.Height {
				e.FlipBase64(head, "commit", sig, 0, "signature")
			}
		}), client.RuleBadCommit, "signature"},
	}, func() *client.Client { return s.dial(s.liar.URL(), trust, client.Options{}) }, func(c *client.Client) error {
		_, _, err := record(s.ctx, c, p.id)
		return err
	})
}

func TestLiesAboutRecords(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	key, other := did.StateKey(p.id), did.StateKey(hufu.ID{9})
	forged := &proof.Membership{KV: proof.KV{Key: key, Value: []byte("forged")}}
	forge := func(height func(hufu.Height) hufu.Height) clienttest.Lie {
		return answer(func(a *proof.Answer) {
			a.Height, a.Root = height(a.Height), proof.LeafOf(key, forged.Value).Hash
			a.Items = []proof.Proven{{Key: key, Value: forged.Value, Proof: forged.Encode()}}
		})
	}
	var absence, presence proof.Proven
	s.liar.Lie(answer(func(a *proof.Answer) {
		for _, item := range a.Items {
			if len(item.Value) == 0 {
				absence = item
			} else {
				presence = item
			}
		}
	}))
	both := s.deceived()
	if err := both.Read(s.ctx, func(v client.View) error {
		_, err := v.Get(key)
		_, err2 := v.Get(other)
		return errors.Join(err, err2)
	}); err != nil || len(absence.Proof) == 0 || len(presence.Proof) == 0 {
		t.Fatal(err)
	}

	flip := func(b []byte) []byte {
		b = bytes.Clone(b)
		b[len(b)/2] ^= 1
		return b
	}
	bad := func(detail string, how func(*proof.Answer)) lie {
		return lie{answer(how), client.RuleBadProof, detail}
	}
	one := func(how func(*proof.Proven)) func(*proof.Answer) {
		return func(a *proof.Answer) { how(&a.Items[0]) }
	}
	s.told(t, map[string]lie{
		"value":             bad("does not follow from the root", one(func(p *proof.Proven) { p.Value = flip(p.Value) })),
		"proof":             bad("proof.", one(func(p *proof.Proven) { p.Proof = flip(p.Proof) })),
		"no proof":          bad("a proof of 0 bytes", one(func(p *proof.Proven) { p.Proof = nil })),
		"absent":            bad("a proof of presence", one(func(p *proof.Proven) { p.Value = nil })),
		"absent by another": bad("absence of another key", one(func(p *proof.Proven) { p.Value, p.Proof = nil, absence.Proof })),
		"another record":    bad("another key", one(func(p *proof.Proven) { *p = absence })),
		"no item":           bad("0 items for 1", func(a *proof.Answer) { a.Items = nil }),
		"two items":         bad("2 items for 1", func(a *proof.Answer) { a.Items = append(a.Items, a.Items[0]) }),
		"root":              bad("does not follow from the root", func(a *proof.Answer) { a.Root[0] ^= 1 }),
		"empty state":       bad("empty state", func(a *proof.Answer) { a.Root = hufu.Digest{} }),
		"forged, now":       {forge(func(h hufu.Height) hufu.Height { return h }), client.RuleBadRoot, "height"},
		"forged, soon":      {forge(func(h hufu.Height) hufu.Height { return h + 1 }), client.RuleBadRoot, "height"},
		"forged, never":     {forge(func(h hufu.Height) hufu.Height { return h + 1_000_000 }), client.RuleBadRoot, "of a node at height"},
		"forged, once":      {forge(func(hufu.Height) hufu.Height { return 1 }), client.RuleBadRoot, "known to have another app hash"},
		"not an answer":     {to(proof.PathProve, func(e *clienttest.Exchange) { e.SetValue([]byte{0x80}) }), client.RuleBadProof, "not an answer"},
		"more than one": {to(proof.PathProve, func(e *clienttest.Exchange) {
			e.SetValue(append(e.Value(), 0))
		}), client.RuleBadProof, "trailing"},
		"refuses": {to(proof.PathProve, func(e *clienttest.Exchange) {
			e.Answer(map[string]any{"response": map[string]any{"code": 1, "log": "no", "codespace": "query"}})
		}), "", "the node answers: query: no"},
	}, s.deceived, func(c *client.Client) error {
		_, _, err := record(s.ctx, c, p.id)
		return err
	})

	s.told(t, map[string]lie{
		"present":            bad("a proof of absence for a claimed value", one(func(p *proof.Proven) { p.Value = []byte("here") })),
		"present by another": bad("does not follow from the root", one(func(p *proof.Proven) { p.Value, p.Proof = presence.Value, presence.Proof })),
		"absence's proof":    bad("proof.", one(func(p *proof.Proven) { p.Proof = flip(p.Proof) })),
		"no neighbours":      bad("proof.", one(func(p *proof.Proven) { p.Proof = []byte{} })),
	}, s.deceived, func(c *client.Client) error {
		return c.Read(s.ctx, func(v client.View) error {
			value, err := v.Get(other)
			if err == nil && value != nil {
				t.Error("an absent record was believed to be there")
			}
			return err
		})
	})
}

// A node cannot take a client back behind what it has seen.
func TestOldStateReplayed(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	var old []byte
	s.liar.Lie(to(proof.PathProve, func(e *clienttest.Exchange) {
		if old == nil {
			old = e.Value()
		}
	}))
	if rec, _, err := record(s.ctx, c, p.id); err != nil || rec.Sequence != 1 {
		t.Fatal(rec, err)
	}
	if _, err := c.Submit(s.ctx, p.update("later")); err != nil {
		t.Fatal(err)
	}
	s.liar.Lie(to(proof.PathProve, func(e *clienttest.Exchange) { e.SetValue(old) }))
	_, _, err := record(s.ctx, c, p.id)
	wantRule(t, err, client.RuleBadRoot)
	// Nor by calling the old state a newer one.
	for _, later := range []hufu.Height{1, 1_000_000} {
		head, err := c.Head(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		s.liar.Lie(to(proof.PathProve, func(e *clienttest.Exchange) {
			var a proof.Answer
			if err := encoding.Unmarshal(old, &a); err != nil {
				t.Error(err)
			}
			a.Height = head.Height + later
			raw, err := encoding.Marshal(&a)
			if err != nil {
				t.Error(err)
			}
			e.SetValue(raw)
		}))
		_, _, err = record(s.ctx, c, p.id)
		wantRule(t, err, client.RuleBadRoot)
	}

	s.liar.Lie(nil)
	if rec, _, err := record(s.ctx, c, p.id); err != nil || rec.Sequence != 2 {
		t.Fatal(rec, err)
	}
	// An older height than the one known is no head.
	before, err := c.Head(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	s.liar.Lie(to(proof.PathAwait, func(e *clienttest.Exchange) { e.SetValue([]byte{0x01}) }))
	short, cancel := context.WithTimeout(s.ctx, 300*time.Millisecond)
	defer cancel()
	if _, err := c.Await(short, before.Height+1000); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if after, err := c.Head(s.ctx); err != nil || after.Height < before.Height {
		t.Fatalf("the head went from %+v to %+v, %v", before, after, err)
	}
}

func TestNoAnswers(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	raw := func(status int, body string) clienttest.Lie {
		return func(e *clienttest.Exchange) { e.Raw(status, []byte(body)) }
	}
	other := clienttest.New(t, s.node.URL())
	lies := map[string]lie{
		"garbage":       {raw(http.StatusOK, "\x00\xff"), "", "no JSON-RPC answer"},
		"empty":         {raw(http.StatusOK, ""), "", "no JSON-RPC answer"},
		"bad gateway":   {raw(http.StatusBadGateway, "<html>"), "", "HTTP status 502"},
		"no result":     {raw(http.StatusOK, `{"jsonrpc":"2.0","id":1}`), "", "does not read"},
		"another type":  {raw(http.StatusOK, `{"result":[1]}`), "", "does not read"},
		"error":         {raw(http.StatusOK, `{"error":{"code":-32603,"message":"no","data":"`+strings.Repeat("x", 1000)+`"}}`), "", "…"},
		"dropped":       {func(e *clienttest.Exchange) { e.Drop() }, "", "cannot be reached"},
		"redirected":    {func(e *clienttest.Exchange) { e.Redirect(other.URL()) }, "", "HTTP status 307"},
		"JSON too deep": {raw(http.StatusOK, `{"result":`+strings.Repeat("[", 100_000)), "", "no JSON-RPC answer"},
		"truncated": {func(e *clienttest.Exchange) {
			whole, err := json.Marshal(map[string]any{"result": e.Truth()})
			if err != nil {
				panic(err)
			}
			e.Raw(http.StatusOK, whole[:len(whole)/2])
		}, "", "no JSON-RPC answer"},
		"too large": {func(e *clienttest.Exchange) {
			space := bytes.Repeat([]byte{' '}, 1<<20)
			for range 65 {
				e.Raw(http.StatusOK, space)
			}
			e.Raw(http.StatusOK, []byte(`{"result":{}}`))
		}, "", "an answer above 67108864 bytes"},
	}
	if testing.Short() {
		delete(lies, "too large") // slow under the race detector
	}
	s.told(t, lies, s.deceived, func(c *client.Client) error {
		_, _, err := record(s.ctx, c, p.id)
		return err
	})
	if n := other.Calls(abciQuery); n != 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// A node that does not answer keeps nobody longer than they want to wait.
func TestSlowAnswers(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	c := s.deceived()
	if _, err := c.Head(s.ctx); err != nil {
		t.Fatal(err)
	}
	released := make(chan struct{})
	s.liar.Lie(to(proof.PathProve, func(e *clienttest.Exchange) { e.Hold(released) }))
	ctx, cancel := context.WithCancel(s.ctx)
	asked := make(chan error)
	go func() {
		_, _, err := record(ctx, c, p.id)
		asked <- err
	}()
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("a read that was cancelled: %v", err)
	}
	close(released)
	if _, _, err := record(s.ctx, c, p.id); err != nil {
		t.Error(err)
	}

	silent := s.deceived()
	s.liar.Lie(func(e *clienttest.Exchange) { e.Hold(nil) })
	ctx, cancel = context.WithCancel(s.ctx)
	go func() {
		_, err := silent.Head(ctx)
		asked <- err
	}()
	cancel()
	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("a head that was cancelled: %v", err)
	}
	if err := silent.Close(); err != nil {
		t.Error(err)
	}
	if _, err := silent.Head(s.ctx); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestLiesAboutTransactions(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	block := func(how func(txs []any) []any) clienttest.Lie {
		return to("block", func(e *clienttest.Exchange) {
			if txs, _ := e.Get("block", "data", "txs").([]any); len(txs) > 0 {
				e.Set(how(txs), "block", "data", "txs")
			}
		})
	}
	results := func(how clienttest.Lie) clienttest.Lie {
		return to("block_results", func(e *clienttest.Exchange) {
			if r, _ := e.Get("txs_results").([]any); len(r) > 0 {
				how(e)
			}
		})
	}
	n := 0
	for name, l := range map[string]lie{
		"hidden": {block(func([]any) []any { return nil }), client.RuleBadBlock, "the transactions of height"},
		"altered": {block(func(txs []any) []any {
			raw, _ := base64.StdEncoding.DecodeString(txs[0].(string))
			raw[len(raw)-1] ^= 1
			return []any{base64.StdEncoding.EncodeToString(raw)}
		}), client.RuleBadBlock, "the transactions of height"},
		"twice": {block(func(txs []any) []any { return append(txs, txs[0]) }), client.RuleBadBlock, "the transactions of height"},
		"refused": {results(func(e *clienttest.Exchange) {
			e.Set(1, "txs_results", 0, "code")
			e.Set(base64.StdEncoding.EncodeToString([]byte("did.method")), "txs_results", 0, "data")
		}), client.RuleBadResult, "the results of height"},
		"other data": {results(func(e *clienttest.Exchange) { e.Set("AAAA", "txs_results", 0, "data") }), client.RuleBadResult, "the results of height"},
		"no results": {results(func(e *clienttest.Exchange) { e.Set([]any{}, "txs_results") }), client.RuleBadResult, "the results of height"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.deceived()
			n++
			s.liar.Lie(l.how)
			_, err := c.Submit(s.ctx, p.update("m-"+string(rune('a'+n))))
			wantRule(t, err, l.rule)
			if !errors.Is(err, client.ErrUnknownOutcome) || !strings.Contains(err.Error(), l.detail) {
				t.Fatal(err)
			}
			s.liar.Lie(nil)
			s.until("the client goes on with an honest node", func() bool {
				rec, _, err := record(s.ctx, c, p.id)
				if err == nil && rec.Sequence != p.sequence {
					t.Fatalf("the record has sequence %d, not %d", rec.Sequence, p.sequence)
				}
				return err == nil
			})
		})
	}
}
