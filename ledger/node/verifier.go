package node

import (
	"crypto/rand"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/oasisprotocol/curve25519-voi/primitives/ed25519"

	"github.com/hufu-id/hufu/keys"
)

const (
	// maxBatch bounds one Ed25519 batch: past about a thousand, batches get no cheaper per signature.
	maxBatch = 1024
	// minBatch is the least that is worth a goroutine of its own.
	minBatch = 32
	// largeBatch is the least for which curve25519-voi uses an algorithm that has no use for tables of keys.
	largeBatch = 95
)

// newBatch is for n Ed25519 signatures.
func newBatch(n int) *ed25519.BatchVerifier {
	batch := ed25519.NewBatchVerifierWithCapacity(n)
	if n >= largeBatch {
		batch.ForceNoPublicKeyExpansion() // tables would be made of the first keys all the same
	}
	return batch
}

// check is one signature to verify by the ledger's rule.
type check struct {
	key          keys.PublicKey
	message, sig []byte
	ok           bool
}

// verifier verifies signatures in batches, and counts them.
type verifier struct {
	verified atomic.Uint64 // signatures, ever
}

// all verifies checks at once, on every processor: for blocks, which wait behind no queue.
func (v *verifier) all(checks []check) bool {
	share := min(max((len(checks)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0), minBatch), maxBatch)
	var group sync.WaitGroup
	for start := 0; start < len(checks); start += share {
		part := checks[start:min(start+share, len(checks))]
		group.Go(func() { v.run(part) })
	}
	group.Wait()
	for i := range checks {
		if !checks[i].ok {
			return false
		}
	}
	return true
}

// run sets ok of every check.
func (v *verifier) run(checks []check) {
	v.verified.Add(uint64(len(checks)))
	edwards := make([]*check, 0, len(checks))
	for i := range checks {
		c := &checks[i]
		if c.key.Suite() == keys.Ed25519 && len(checks) > 1 {
			edwards = append(edwards, c)
			continue
		}
		c.ok = c.key.VerifyConsensus(c.message, c.sig)
	}
	if len(edwards) == 0 {
		return
	}
	batch := newBatch(len(edwards))
	options := &ed25519.Options{Verify: ed25519.VerifyOptionsZIP_215}
	for _, c := range edwards {
		batch.AddWithOptions(c.key.Raw(), c.message, c.sig, options)
	}
	all, each := batch.Verify(rand.Reader)
	for i, c := range edwards {
		c.ok = all || each[i]
	}
}
