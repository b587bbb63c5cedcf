package storetest

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"testing"

	ics23 "github.com/cosmos/ics23/go"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/ledger/proof"
	"github.com/hufu-id/hufu/ledger/store"
)

// Model is the state of a store as a map.
type Model map[string]string

// Root is the root of the model, from the definition: one recursion on bits, no cleverness.
func (m Model) Root() hufu.Digest {
	leaves := make(map[[32]byte][32]byte, len(m))
	for k, v := range m {
		kh, vh := sha256.Sum256([]byte(k)), sha256.Sum256([]byte(v))
		leaves[kh] = sha256.Sum256(slices.Concat([]byte{0}, kh[:], vh[:]))
	}
	return naive(leaves, 0)
}

func naive(leaves map[[32]byte][32]byte, depth int) [32]byte {
	switch len(leaves) {
	case 0:
		return [32]byte{}
	case 1:
		for _, h := range leaves {
			return h
		}
	}
	var halves [2]map[[32]byte][32]byte
	halves[0], halves[1] = map[[32]byte][32]byte{}, map[[32]byte][32]byte{}
	for kh, h := range leaves {
		halves[kh[depth/8]>>(7-depth%8)&1][kh] = h
	}
	// A leaf alone on its side with nothing on the other cannot be here: that is case 1.
	l, r := naive(halves[0], depth+1), naive(halves[1], depth+1)
	return sha256.Sum256(slices.Concat([]byte{1}, l[:], r[:]))
}

// With is the model after the changes.
func (m Model) With(changes []store.Change) Model {
	next := maps.Clone(m)
	for _, c := range changes {
		if c.Value == nil {
			delete(next, string(c.Key))
		} else {
			next[string(c.Key)] = string(c.Value)
		}
	}
	return next
}

// Value is the model's value of key, nil when absent.
func (m Model) Value(key string) []byte {
	if v, ok := m[key]; ok {
		return []byte(v)
	}
	return nil
}

// Check compares everything a store says about keys with the model.
func Check(t testing.TB, s store.Store, m Model, keys []string) {
	t.Helper()
	root := m.Root()
	if st := s.State(); st.Root != root || st.Count != uint64(len(m)) {
		t.Fatalf("root %s of %d records, the model has %s of %d", st.Root, st.Count, root, len(m))
	}
	ask := make([][]byte, len(keys))
	for i, k := range keys {
		ask[i] = []byte(k)
		got, err := s.Get(ask[i])
		if err != nil || string(got) != m[k] || (got == nil) != (m.Value(k) == nil) {
			t.Fatalf("Get(%q) = %q, %v; want %q", k, got, err, m[k])
		}
		if has, err := s.Has(ask[i]); err != nil || has != (got != nil) {
			t.Fatalf("Has(%q) = %v, %v; its value is %q", k, has, err, got)
		}
	}
	a, err := s.Prove(ask)
	if err != nil {
		t.Fatal(err)
	}
	if a.Root != root || a.Height != s.State().Height || len(a.Items) != len(ask) {
		t.Fatalf("Prove answers for root %s at %d with %d items", a.Root, a.Height, len(a.Items))
	}
	for i, item := range a.Items {
		if string(item.Key) != keys[i] || string(item.Value) != m[keys[i]] {
			t.Fatalf("Prove(%q) = %q: %q", keys[i], item.Key, item.Value)
		}
		if err := CheckProof(root, keys[i], m.Value(keys[i]), item.Proof); err != nil {
			t.Fatal(err)
		}
	}
}

// CheckProof checks a proof with package proof and with plain ICS-23, which must agree.
func CheckProof(root hufu.Digest, key string, value, bytes []byte) error {
	ours := proof.VerifyValue(root, []byte(key), value, bytes)
	if root == (hufu.Digest{}) {
		return ours
	}
	var p ics23.CommitmentProof
	if err := p.Unmarshal(bytes); err != nil {
		return err
	}
	var plain bool
	if value != nil {
		plain = ics23.VerifyMembership(proof.Spec(), root[:], &p, []byte(key), value)
	} else {
		plain = ics23.VerifyNonMembership(proof.Spec(), root[:], &p, []byte(key))
	}
	if plain != (ours == nil) {
		return fmt.Errorf("plain ICS-23 says %v about %q, this project says %w", plain, key, ours)
	}
	return ours
}
