package tx

import (
	"crypto/sha256"
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/encoding"
)

// Guard is who may recover an identifier when its keys are lost, and how long everybody has to notice.
// The guardians are committed to, each under a salt of its own, and a commitment is opened by its
// guardian when it approves a recovery: until then the ledger says how many there are and not who.
type Guard struct {
	Threshold    uint8         `cbor:"1,keyasint" json:"threshold"`     // how many guardians have to approve one plan
	Guardians    []hufu.Digest `cbor:"2,keyasint" json:"guardians"`     // [GuardianCommitment] of each, ascending
	DelayBlocks  hufu.Height   `cbor:"3,keyasint" json:"delay_blocks"`  // a recovery is pending for as many blocks, and
	DelaySeconds uint32        `cbor:"4,keyasint" json:"delay_seconds"` // for as long in the time of blocks, whichever ends later
}

// DIDRecover is one guardian's approval, signed as its author, of new control keys for another
// identifier. When as many guardians as the guard's threshold have approved the same plan, it is
// pending.
type DIDRecover struct {
	Subject hufu.ID      `cbor:"1,keyasint"` // the identifier to recover
	Salt    []byte       `cbor:"2,keyasint"` // opens the commitment to the author
	Plan    RecoveryPlan `cbor:"3,keyasint"`
}

// RecoveryPlan is what a recovery makes of an identifier's keys.
type RecoveryPlan struct {
	First         uint16        `cbor:"1,keyasint" json:"first"` // index of the first of Keys: how many there were before
	Keys          [][]byte      `cbor:"2,keyasint" json:"keys"`  // Multikeys
	Threshold     uint8         `cbor:"3,keyasint" json:"threshold"`
	Next          []hufu.Digest `cbor:"4,keyasint" json:"next"`
	NextThreshold uint8         `cbor:"5,keyasint" json:"next_threshold"`
	Fall          bool          `cbor:"6,keyasint,omitempty" json:"fall,omitempty"` // signatures made with the keys replaced no longer stand
}

// DIDVeto ends whatever recovery of the author is under way. It is signed by the author's present
// keys.
type DIDVeto struct{}

// DIDFinish makes the pending recovery of the author so. It is signed by the plan's Keys, as many as
// its Threshold: keys that nobody has cannot become an identifier's.
type DIDFinish struct{}

// Kind is [KindDIDRecover].
func (*DIDRecover) Kind() Kind { return KindDIDRecover }

// Kind is [KindDIDVeto].
func (*DIDVeto) Kind() Kind { return KindDIDVeto }

// Kind is [KindDIDFinish].
func (*DIDFinish) Kind() Kind { return KindDIDFinish }

// Validate implements [Body].
func (b *DIDRecover) Validate() error {
	if err := checkID("subject", b.Subject); err != nil {
		return err
	}
	if len(b.Salt) != SaltLen {
		return invalid("a salt of %d bytes, not %d", len(b.Salt), SaltLen)
	}
	return b.Plan.Validate()
}

// Validate refuses a plan that no identifier could have.
func (p *RecoveryPlan) Validate() error {
	if p.First == 0 {
		return invalid("a recovery of an identifier without keys")
	}
	_, err := checkControl(p.Keys, p.Threshold, p.Next, p.NextThreshold, noKey)
	return err
}

// Validate implements [Body].
func (*DIDVeto) Validate() error { return nil }

// Validate implements [Body].
func (*DIDFinish) Validate() error { return nil }

// IsNone reports whether the guard is that of nobody: a rotation to it ends the guardians' power.
func (g *Guard) IsNone() bool {
	return g.Threshold == 0 && len(g.Guardians) == 0 && g.DelayBlocks == 0 && g.DelaySeconds == 0
}

// Validate refuses a guard that could not recover anything, or before anybody could notice. The least
// delay in seconds is the network's to say ([Params.RecoveryMinSeconds]).
func (g *Guard) Validate() error {
	switch n := len(g.Guardians); {
	case n == 0 || n > MaxGuardians:
		return invalid("%d guardians, not 1 to %d", n, MaxGuardians)
	case g.Threshold == 0 || int(g.Threshold) > n:
		return invalid("a threshold of %d for %d guardians", g.Threshold, n)
	case g.DelayBlocks < MinRecoveryBlocks || g.DelayBlocks > MaxRecoveryBlocks:
		return invalid("a delay of %d blocks, not %d to %d", g.DelayBlocks, MinRecoveryBlocks, MaxRecoveryBlocks)
	case g.DelaySeconds == 0 || g.DelaySeconds > MaxRecoverySeconds:
		return invalid("a delay of %d s, not 1 to %d", g.DelaySeconds, MaxRecoverySeconds)
	}
	for i := 1; i < len(g.Guardians); i++ {
		// In no order but their own, so that the order tells nothing; and none twice.
		if slices.Compare(g.Guardians[i-1][:], g.Guardians[i][:]) >= 0 {
			return invalid("guardian commitment %d is not above the one before", i)
		}
	}
	return nil
}

const (
	guardianDomain = "hufu/guardian/v1\x00"
	planDomain     = "hufu/recovery/v1\x00"
)

// GuardianCommitment commits to a guardian: the SHA-256 of "hufu/guardian/v1" 0x00, the salt of SaltLen
// random bytes and the guardian's identifier.
func GuardianCommitment(salt []byte, guardian hufu.ID) hufu.Digest {
	in := append(append(make([]byte, 0, len(guardianDomain)+len(salt)+len(guardian)), guardianDomain...), salt...)
	return sha256.Sum256(append(in, guardian[:]...))
}

// Digest names a plan for an identifier, to be compared by people before they approve it: the SHA-256
// of "hufu/recovery/v1" 0x00, the identifier and the plan's CBOR.
func (p *RecoveryPlan) Digest(subject hufu.ID) hufu.Digest {
	raw, err := encoding.Marshal(p)
	if err != nil {
		return hufu.Digest{} // no plan has fields that cannot be written
	}
	in := append(append(make([]byte, 0, len(planDomain)+len(subject)+len(raw)), planDomain...), subject[:]...)
	return sha256.Sum256(append(in, raw...))
}
