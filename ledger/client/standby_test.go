package client_test

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state/did"
)

// What was verified can be read without any node, from memory first and then from the snapshot; and the
// ledger again as soon as a node is back.
func TestStandby(t *testing.T) {
	s := newScene(t)
	writer := s.honest()
	a, b := s.person(writer), s.person(writer)
	file := filepath.Join(t.TempDir(), "snapshot")
	c := s.deceived()
	standby := client.NewStandby(c, file)
	read := func(id hufu.ID) (rec *did.Record, asOf hufu.AsOf, err error) {
		err = standby.Read(s.ctx, func(v client.View) (err error) {
			asOf = v.AsOf()
			rec, err = did.Get(v, id)
			return err
		})
		return rec, asOf, err
	}
	if err := standby.Renew(s.ctx); err != nil {
		t.Fatal(err)
	}
	snap := func() hufu.AsOf {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		sn, err := client.OpenSnapshot(f, s.trust(), time.Now(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return sn.AsOf()
	}()
	if _, err := writer.Submit(s.ctx, a.update("later")); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Await(s.ctx, snap.Height+3); err != nil {
		t.Fatal(err)
	}
	rec, live, err := read(a.id)
	if err != nil || rec.Sequence != 2 {
		t.Fatal(rec, err)
	}

	s.liar.Lie(func(e *clienttest.Exchange) { e.Drop() })
	s.until("the node is known to be away", func() bool {
		_, err := c.Head(s.ctx)
		return errors.Is(err, client.ErrUnreachable)
	})
	if rec, asOf, err := read(a.id); err != nil || rec.Sequence != 2 || asOf.AppHash != live.AppHash {
		t.Errorf("what was read before: %+v as of %+v, %v", rec, asOf, err)
	}
	if rec, asOf, err := read(b.id); err != nil || rec == nil || asOf != snap {
		t.Errorf("what was not: %+v as of %+v, %v", rec, asOf, err)
	}
	if head, err := standby.Head(s.ctx); err != nil || head.AppHash != live.AppHash {
		t.Errorf("the head is %+v, %v", head, err)
	}
	// The readers' own errors are theirs.
	own := errors.New("own")
	if err := standby.Read(s.ctx, func(client.View) error { return own }); !errors.Is(err, own) {
		t.Error(err)
	}

	// A process that begins now has the snapshot alone.
	fresh := client.NewStandby(s.deceived(), file)
	if head, err := fresh.Head(s.ctx); err != nil || head != snap {
		t.Errorf("the head of a new process is %+v, %v", head, err)
	}
	if err := fresh.Read(s.ctx, func(v client.View) error {
		if rec, err := did.Get(v, a.id); err != nil || rec.Sequence != 1 || v.AsOf() != snap {
			t.Errorf("%+v, %v", rec, err)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	none := client.NewStandby(s.deceived(), file+"-none")
	if err := none.Read(s.ctx, func(client.View) error { return nil }); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("without a snapshot: %v", err)
	}
	if _, err := none.Head(s.ctx); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("without a snapshot: %v", err)
	}
	// Nothing of a renewal that fails is left, and what was there stays.
	if err := standby.Renew(s.ctx); !errors.Is(err, client.ErrUnreachable) {
		t.Errorf("renewed without a node: %v", err)
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(file), "*")); err != nil || len(left) != 1 {
		t.Errorf("in the directory: %v, %v", left, err)
	}

	s.liar.Lie(nil)
	s.until("the ledger is read again", func() bool {
		_, asOf, err := read(b.id)
		if err != nil {
			t.Fatal(err)
		}
		return asOf.Height > live.Height
	})
	if err := standby.Renew(s.ctx); err != nil {
		t.Error(err)
	}
}

// What is damaged, or too old to be trusted, is not read in an outage either; nor is anything after a conflict.
func TestStandbyRefuses(t *testing.T) {
	s := newScene(t)
	p := s.person(s.honest())
	file := filepath.Join(t.TempDir(), "snapshot")
	if err := client.NewStandby(s.honest(), file).Renew(s.ctx); err != nil {
		t.Fatal(err)
	}
	get := func(b *client.Standby) error {
		return b.Read(s.ctx, func(v client.View) error {
			_, err := v.Get(did.StateKey(p.id))
			return err
		})
	}
	from := s.signs1()
	w := s.watched(client.Options{}, s.trust(), s.node.URL(), s.liar.URL())
	standby := client.NewStandby(w.Client, file)
	if err := get(standby); err != nil {
		t.Fatal(err)
	}
	s.liar.Lie(from)
	s.until("the conflict is seen", func() bool { return hufu.RuleOf(get(standby)) == client.RuleConflict })
	if _, err := standby.Head(s.ctx); hufu.RuleOf(err) != client.RuleConflict {
		t.Error(err)
	}

	s.liar.Lie(func(e *clienttest.Exchange) { e.Drop() })
	old := s.dial(s.liar.URL(), s.trust(), client.Options{Now: func() time.Time { return time.Now().Add(longPeriod) }})
	if err := get(client.NewStandby(old, file)); hufu.RuleOf(err) != proof.RuleExpired && !errors.Is(err, client.ErrUnreachable) || err == nil {
		t.Errorf("beyond the trusting period: %v", err)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)-10] ^= 1
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := get(client.NewStandby(s.deceived(), file)); err == nil {
		t.Error("a damaged snapshot was read")
	}
}

// signs1 is a lie by which all headers are of another state.
func (s *scene) signs1() clienttest.Lie {
	return signs(s.t, s.net.Members[0].Keys.Validator, 1, otherState)
}

// A node whose newest state nobody signs, as its network stands still, is as good as one that is away.
func TestNetworkStandsStill(t *testing.T) {
	s := newScene(t)
	writer := s.honest()
	p := s.person(writer)
	file := filepath.Join(t.TempDir(), "snapshot")
	c := s.deceived()
	standby := client.NewStandby(c, file)
	if err := standby.Renew(s.ctx); err != nil {
		t.Fatal(err)
	}
	// Its state goes on, its headers do not.
	var mu sync.Mutex
	var still []byte
	s.liar.Lie(func(e *clienttest.Exchange) {
		mu.Lock()
		defer mu.Unlock()
		switch e.Path() {
		case proof.PathAwait:
			if still == nil {
				still = e.Value()
			}
			e.SetValue(still)
		case proof.PathProve:
			answer(func(a *proof.Answer) {
				if encoding.Unmarshal(still, &a.Height) != nil {
					t.Error("no height")
				}
			})(e)
		}
	})
	s.until("the client is at the last header", func() bool {
		mu.Lock()
		defer mu.Unlock()
		head, err := c.Head(s.ctx)
		var last hufu.Height
		return err == nil && still != nil && encoding.Unmarshal(still, &last) == nil && head.Height+1 == last
	})
	if _, err := writer.Submit(s.ctx, p.update("unsigned")); err != nil {
		t.Fatal(err)
	}
	s.until("the network is known to stand still", func() bool {
		_, _, err := record(s.ctx, c, p.id)
		return errors.Is(err, client.ErrHalted)
	})
	if err := standby.Read(s.ctx, func(v client.View) error {
		rec, err := did.Get(v, p.id)
		if err == nil && rec.Sequence != 1 {
			t.Errorf("%+v", rec)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	s.liar.Lie(nil)
	s.until("it goes on", func() bool {
		rec, _, err := record(s.ctx, c, p.id)
		return err == nil && rec.Sequence == 2
	})
}
