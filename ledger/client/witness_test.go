package client_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/node/sample"
	"github.com/hufu-id/hufu/ledger/proof"
)

// signs makes headers from height on other ones, and has their validator sign them all the same.
func signs(t *testing.T, validator keys.Signer, from hufu.Height, how clienttest.Lie) clienttest.Lie {
	return header(func(e *clienttest.Exchange) {
		if e.Height() < from || e.Get(head, "header") == nil {
			return
		}
		how(e)
		raw, err := json.Marshal(e.Truth())
		if err != nil {
			t.Error(err)
		}
		sh, err := client.SignedHeaderOf(raw)
		if err != nil {
			t.Error(err)
		}
		hash := sh.Header.Hash()
		sh.Commit.BlockID.Hash = hash[:]
		signature, err := validator.Sign(nil, sh.Commit.SignBytes(sh.Header.Network, 0))
		if err != nil {
			t.Error(err)
		}
		e.Set(fmt.Sprintf("%X", hash[:]), head, "commit", "block_id", "hash")
		e.Set(base64.StdEncoding.EncodeToString(signature), head, "commit", sig, 0, "signature")
	})
}

func otherState(e *clienttest.Exchange) { e.FlipHex(head, "header", "app_hash") }

func otherBlock(e *clienttest.Exchange) {
	e.Set(strings.Repeat("AB", 32), head, "header", "data_hash")
}

func otherRound(e *clienttest.Exchange) {
	otherBlock(e)
	e.Set(7, head, "commit", "round")
}

// watched is a client of two nodes, and the evidence that it found.
type watched struct {
	*client.Client
	mu    sync.Mutex
	found []*client.Evidence
}

func (s *scene) watched(o client.Options, trust client.Trust, primary string, witnesses ...string) *watched {
	s.t.Helper()
	w := &watched{}
	o.Conflict = func(e *client.Evidence) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.found = append(w.found, e)
	}
	for _, url := range witnesses {
		transport, err := client.Dial(url)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { _ = transport.Close() })
		o.Witnesses = append(o.Witnesses, transport)
	}
	w.Client = s.dial(primary, trust, o)
	return w
}

func (w *watched) evidence() []*client.Evidence {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.found
}

// Two headers that are both signed end all trust, whichever node shows which, and convict those who signed.
func TestConflictingHeaders(t *testing.T) {
	s := newScene(t)
	honest := s.honest()
	p := s.person(honest)
	point, err := honest.Checkpoint(s.ctx)
	if err != nil {
		t.Fatal(err)
	}
	validator := s.net.Members[0].Keys.Validator
	from := point.Height + 1
	based := s.trust()
	based.Checkpoint = &point
	for name, c := range map[string]struct {
		lie    clienttest.Lie
		attack client.Attack
		trust  client.Trust
		shared hufu.Height // at least
	}{
		"a state that does not follow": {signs(t, validator, from, otherState), client.Lunatic, based, point.Height},
		"two blocks of one round":      {signs(t, validator, from, otherBlock), client.Equivocation, based, point.Height},
		"two blocks of two rounds":     {signs(t, validator, from, otherRound), client.Amnesia, based, point.Height},
		"from the genesis on":          {signs(t, validator, 1, otherState), client.Lunatic, s.trust(), 0},
	} {
		for _, lead := range []string{"the first lies", "the witness lies"} {
			t.Run(name+", "+lead, func(t *testing.T) {
				s.liar.Lie(c.lie)
				defer s.liar.Lie(nil)
				urls := []string{s.liar.URL(), s.node.URL()}
				if lead == "the witness lies" {
					urls[0], urls[1] = urls[1], urls[0]
				}
				w := s.watched(client.Options{}, c.trust, urls[0], urls[1])
				// With a checkpoint, the first header may be the one that both have.
				var err error
				s.until("the two headers are seen", func() bool {
					_, _, err = record(s.ctx, w.Client, p.id)
					return err != nil && !errors.Is(err, client.ErrUnreachable)
				})
				wantRule(t, err, client.RuleConflict)
				// It is final, whatever the nodes say from now on.
				s.liar.Lie(nil)
				if _, err := w.Head(s.ctx); hufu.RuleOf(err) != client.RuleConflict {
					t.Errorf("afterwards: %v", err)
				}
				if _, err := w.Submit(s.ctx, p.update("never")); hufu.RuleOf(err) != client.RuleConflict {
					t.Errorf("a transaction afterwards: %v", err)
				}
				p.sequence--
				found := w.evidence()
				if len(found) != 1 {
					t.Fatalf("%d pieces of evidence", len(found))
				}
				raw, err := found[0].Encode()
				if err != nil {
					t.Fatal(err)
				}
				e, err := client.ParseEvidence(raw)
				if err != nil {
					t.Fatal(err)
				}
				f, err := e.Verify(c.trust, time.Now())
				if err != nil {
					t.Fatal(err)
				}
				if f.Attack != c.attack || f.Shared < c.shared || f.Height <= f.Shared || f.First.Hash == f.Second.Hash || f.BothOf != 1 || f.AllPower != 1 ||
					len(f.Signers) != 1 || !f.Signers[0].First || !f.Signers[0].Second || string(f.Signers[0].Key[:]) != string(validator.Public().Raw()) {
					t.Errorf("%+v", f)
				}
			})
		}
	}
}

// A witness that is away, behind or talks nonsense takes nothing from the client but a line in a log.
func TestWitnessesOfNoUse(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	stranger, err := sample.Key("stranger", 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, lie := range map[string]clienttest.Lie{
		"away": func(e *clienttest.Exchange) { e.Drop() },
		"behind": func(e *clienttest.Exchange) {
			switch {
			case e.Method == "commit" && e.Height() > 1:
				e.Raw(200, []byte(`{"error":{"code":-32603,"message":"no","data":"height must be less"}}`))
			case e.Path() == proof.PathAwait:
				e.SetValue([]byte{0x01})
			}
		},
		"unsigned":             header(otherState),
		"signed by a stranger": signs(t, stranger, 1, otherState),
		"of other validators": func(e *clienttest.Exchange) {
			switch e.Method {
			case "commit":
				signs(t, stranger, 1, func(e *clienttest.Exchange) {
					set := proof.NewValidatorSet([]proof.Validator{{Key: [32]byte(stranger.Public().Raw()), Power: 1}})
					hash := set.Hash()
					e.Set(fmt.Sprintf("%X", hash[:]), head, "header", "validators_hash")
					e.Set(fmt.Sprintf("%X", set[0].Address()), head, "commit", sig, 0, "validator_address")
				})(e)
			case "validators":
				e.Set(base64.StdEncoding.EncodeToString(stranger.Public().Raw()), "validators", 0, "pub_key", "value")
			}
		},
		"another height": header(func(e *clienttest.Exchange) { e.Set("1000000", head, "header", "height") }),
	} {
		t.Run(name, func(t *testing.T) {
			s.liar.Lie(lie)
			defer s.liar.Lie(nil)
			// Rests are over as soon as the next header comes, so that the witness is asked again and again.
			var calls atomic.Int64
			clock := func() time.Time { return time.Now().Add(time.Duration(calls.Add(1)) * time.Second) }
			w := s.watched(client.Options{Drift: time.Hour, Now: clock},
				s.trust(), s.node.URL(), s.liar.URL())
			rec, asOf, err := record(s.ctx, w.Client, p.id)
			if err != nil || rec == nil {
				t.Fatal(rec, err)
			}
			if _, err := w.Await(s.ctx, asOf.Height+2); err != nil {
				t.Fatal(err)
			}
			if n := w.Standings()[1]; n.Agreed != 0 || n.Leads {
				t.Errorf("its word counts: %+v", n)
			}
			s.liar.Lie(nil)
			s.until("the witness agrees", func() bool { return w.Standings()[1].Agreed > asOf.Height })
			if len(w.evidence()) != 0 {
				t.Error("evidence was made of nothing")
			}
		})
	}
}

// Whatever one node does, another takes over, and nobody is told.
func TestAnotherNodeTakesOver(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	for name, lie := range map[string]clienttest.Lie{
		"away":          func(e *clienttest.Exchange) { e.Drop() },
		"no headers":    header(func(e *clienttest.Exchange) { e.FlipHex(head, "header", "data_hash") }),
		"no proofs":     answer(func(a *proof.Answer) { a.Items[0].Proof = nil }),
		"an old state":  answer(func(a *proof.Answer) { a.Height, a.Root, a.Items = 1, hufu.Digest{}, nil }),
		"no heights":    to(proof.PathAwait, func(e *clienttest.Exchange) { e.SetValue([]byte{0x61, 0x61}) }),
		"a past height": to(proof.PathAwait, func(e *clienttest.Exchange) { e.SetValue([]byte{0x01}) }),
	} {
		t.Run(name, func(t *testing.T) {
			s.liar.Lie(nil)
			w := s.watched(client.Options{}, s.trust(), s.liar.URL(), s.node.URL())
			if _, err := w.Await(s.ctx, 3); err != nil {
				t.Fatal(err)
			}
			s.liar.Lie(lie)
			defer s.liar.Lie(nil)
			for range 3 {
				_, asOf, err := record(s.ctx, w.Client, p.id)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := w.Await(s.ctx, asOf.Height+1); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := w.Submit(s.ctx, p.update(strings.ReplaceAll(name, " ", "-"))); err != nil {
				t.Fatal(err)
			}
			if rec, _, err := record(s.ctx, w.Client, p.id); err != nil || rec.Sequence != p.sequence {
				t.Fatalf("%+v, %v", rec, err)
			}
		})
	}

	// With every node away there is nobody to take over, and the error says so at once.
	s.liar.Lie(func(e *clienttest.Exchange) { e.Drop() })
	if _, err := s.watched(client.Options{}, s.trust(), s.liar.URL(), s.liar.URL()).Head(s.ctx); !errors.Is(err, client.ErrUnreachable) {
		t.Error(err)
	}
}

// A node that takes a transaction and keeps it to itself is found out when another takes over.
func TestTransactionKeptBack(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	w := s.watched(client.Options{}, s.trust(), s.liar.URL(), s.node.URL())
	if _, err := w.Head(s.ctx); err != nil {
		t.Fatal(err)
	}
	taken := make(chan struct{})
	var once sync.Once
	s.liar.Lie(to("broadcast_tx_sync", func(e *clienttest.Exchange) {
		e.Answer(map[string]any{"code": 0})
		once.Do(func() { close(taken) })
	}))
	done := make(chan error, 1)
	go func() {
		_, err := w.Submit(s.ctx, p.update("kept-back"))
		done <- err
	}()
	<-taken
	s.liar.Lie(func(e *clienttest.Exchange) { e.Drop() })
	if err := <-done; err != nil {
		t.Error(err)
	}
}
