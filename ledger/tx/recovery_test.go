package tx_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"testing"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
	"github.com/hufu-id/hufu/ledger/tx"
)

var guardianSalt = bytes.Repeat([]byte{0x5a}, tx.SaltLen)

func guard() *tx.Guard {
	g := &tx.Guard{Threshold: 2, DelayBlocks: 100, DelaySeconds: tx.DefaultRecoverySeconds}
	for n := range byte(3) {
		g.Guardians = append(g.Guardians, tx.GuardianCommitment(guardianSalt, id(20+n)))
	}
	slices.SortFunc(g.Guardians, func(a, b hufu.Digest) int { return bytes.Compare(a[:], b[:]) })
	return g
}

func plan(t testing.TB) tx.RecoveryPlan {
	b := inception(t)
	return tx.RecoveryPlan{First: 3, Keys: b.Keys, Threshold: 1, Next: b.Next, NextThreshold: 1}
}

func approval(t testing.TB) *tx.DIDRecover {
	return &tx.DIDRecover{Subject: id(9), Salt: guardianSalt, Plan: plan(t)}
}

// The bytes of an approval are frozen, and so are those of what it opens and names.
const goldenApproval = `
a3                                                 # map of 3
  01 5820 0909090909090909090909090909090909090909090909090909090909090909 # subject
  02 50 5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a           # salt
  03 a5                                            # plan, map of 5
    01 03                                          #   first: 3
    02 81 5822                                     #   keys: 1 of 34 bytes
       ed01 8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c # Ed25519
    03 01                                          #   threshold: 1
    04 81 5820                                     #   next key digests: 1
       6c303aa28a7d3c8239b7c501ed6ed63116a288dc7088215ef7ac61e50f52495b #
    05 01                                          #   next threshold: 1
`

// A guard's, within an inception or a rotation.
const goldenGuard = `
a4                                                 # map of 4
  01 02                                            # threshold: 2
  02 81 5820 COMMITMENT                            # guardians: 1
  03 1864                                          # delay: 100 blocks
  04 1a 00015180                                   # delay: 86400 s
`

func TestGoldenRecovery(t *testing.T) {
	if got := hex.EncodeToString(marshal(t, approval(t))); got != annotated(goldenApproval) {
		t.Errorf("got\n%s\nwant\n%s", got, annotated(goldenApproval))
	}
	commitment := tx.GuardianCommitment(guardianSalt, id(20))
	member := id(20)
	if want := sha256.Sum256(slices.Concat([]byte("hufu/guardian/v1\x00"), guardianSalt, member[:])); commitment != want {
		t.Errorf("commitment %s, want %x", commitment, want)
	}
	g := guard()
	g.Guardians = []hufu.Digest{commitment}
	want := annotated(string(bytes.ReplaceAll([]byte(goldenGuard), []byte("COMMITMENT"), []byte(hex.EncodeToString(commitment[:])))))
	if got := hex.EncodeToString(marshal(t, g)); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	p, subject := plan(t), id(9)
	if want := sha256.Sum256(slices.Concat([]byte("hufu/recovery/v1\x00"), subject[:], marshal(t, &p))); p.Digest(subject) != want {
		t.Errorf("plan %s, want %x", p.Digest(subject), want)
	}
	other := p
	other.Fall = true
	if p.Digest(subject) == p.Digest(id(8)) || p.Digest(subject) == other.Digest(subject) {
		t.Error("another subject or another plan, and the same digest")
	}
}

func TestRefusedRecovery(t *testing.T) {
	type R = *tx.DIDRecover
	refuse(t, func() R { return approval(t) }, []change[R]{
		{"nobody", func(b R) { b.Subject = hufu.ID{} }},
		{"short salt", func(b R) { b.Salt = b.Salt[1:] }},
		{"long salt", func(b R) { b.Salt = append(slices.Clone(b.Salt), 0) }},
		{"no salt", func(b R) { b.Salt = nil }},
		{"first 0", func(b R) { b.Plan.First = 0 }},
		{"no keys", func(b R) { b.Plan.Keys = nil }},
		{"threshold 0", func(b R) { b.Plan.Threshold = 0 }},
		{"no next", func(b R) { b.Plan.Next = nil }},
		{"next is a key", func(b R) { b.Plan.Next[0] = key(t, keys.Ed25519, 1).Public().Digest() }},
	}...)
	bad := map[string]func(*tx.Guard){
		"no guardians":           func(g *tx.Guard) { g.Guardians = nil },
		"too many":               func(g *tx.Guard) { g.Guardians = make([]hufu.Digest, tx.MaxGuardians+1) },
		"threshold 0":            func(g *tx.Guard) { g.Threshold = 0 },
		"threshold above them":   func(g *tx.Guard) { g.Threshold = 4 },
		"a guardian twice":       func(g *tx.Guard) { g.Guardians[1] = g.Guardians[0] },
		"guardians out of order": func(g *tx.Guard) { slices.Reverse(g.Guardians) },
		"few blocks":             func(g *tx.Guard) { g.DelayBlocks = tx.MinRecoveryBlocks - 1 },
		"many blocks":            func(g *tx.Guard) { g.DelayBlocks = tx.MaxRecoveryBlocks + 1 },
		"no seconds":             func(g *tx.Guard) { g.DelaySeconds = 0 },
		"many seconds":           func(g *tx.Guard) { g.DelaySeconds = tx.MaxRecoverySeconds + 1 },
	}
	for name, change := range bad {
		c, r := create(t), rotate(t)
		c.Guard, r.Guard = guard(), guard()
		change(c.Guard)
		change(r.Guard)
		for _, b := range []tx.Body{c, r} {
			if err := b.Validate(); hufu.RuleOf(err) != tx.RuleBody {
				t.Errorf("%s with %s: got %v, want a refusal by %s", b.Kind(), name, err, tx.RuleBody)
			}
		}
	}
	c, r := create(t), rotate(t)
	c.Guard, r.Guard = new(tx.Guard), new(tx.Guard)
	if err := r.Validate(); err != nil {
		t.Errorf("a rotation that ends the guardians' power: %v", err)
	}
	if err := c.Validate(); hufu.RuleOf(err) != tx.RuleBody {
		t.Errorf("an inception with nobody as its guardians: %v", err)
	}
}

func TestRecoveryFloor(t *testing.T) {
	if p := params(); p.RecoveryFloor() != tx.DefaultRecoverySeconds {
		t.Errorf("%d s", p.RecoveryFloor())
	}
	if p := (&tx.Params{RecoveryMinSeconds: 5}); p.RecoveryFloor() != 5 {
		t.Errorf("%d s", p.RecoveryFloor())
	}
}
