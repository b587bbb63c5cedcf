package client_test

import (
	"bytes"
	"testing"

	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/client/clienttest"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/state"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/state/gov"
)

// What a read says that it will need is proven in as few answers as hold it, and not again.
func TestPrefetch(t *testing.T) {
	s := newScene(t)
	c := s.deceived()
	p := s.person(c)
	keys := [][]byte{did.StateKey(p.id), gov.RosterKey()}
	for i := range proof.MaxKeysPerAnswer {
		keys = append(keys, []byte{'n', 'o', byte(i), byte(i >> 8)})
	}
	var asked int
	s.liar.Lie(func(e *clienttest.Exchange) {
		if e.Path() == proof.PathProve {
			asked++
		}
	})
	tries := 0
	err := c.Read(s.ctx, func(v client.View) error {
		tries++
		if err := state.Prefetch(v, keys); err != nil {
			return err
		}
		before := asked
		for i, key := range keys {
			value, err := v.Get(key)
			if err != nil || (value == nil) != (i > 1) {
				t.Errorf("key %d: %x, %v", i, value, err)
			}
		}
		if asked != before {
			t.Errorf("%d questions more for what was proven", asked-before)
		}
		return state.Prefetch(v, keys)
	})
	if err != nil || asked < 2 || asked > 2*tries {
		t.Errorf("%d questions in %d tries, %v", asked, tries, err)
	}
	s.liar.Lie(func(e *clienttest.Exchange) {
		if e.Path() == proof.PathProve {
			e.SetValue(bytes.Repeat([]byte{1}, 9))
		}
	})
	err = c.Read(s.ctx, func(v client.View) error {
		_ = state.Prefetch(v, [][]byte{[]byte("other")}) // what it says is told all the same
		return nil
	})
	wantRule(t, err, client.RuleBadProof)
}
