package proof

import (
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"testing"
	"time"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/keys"
)

const testNet = hufu.Network("chain")

// A chain is a made-up network whose validators sign whatever the test wants.
type chain struct {
	t       *testing.T
	signers map[[32]byte]keys.Signer
	start   time.Time
}

func newChain(t *testing.T) *chain {
	return &chain{t: t, signers: map[[32]byte]keys.Signer{}, start: time.Date(2026, 3, 1, 12, 0, 0, 5, time.UTC)}
}

// set makes the validators with these numbers, each with power 10, or what powers says.
func (c *chain) set(numbers ...int) ValidatorSet {
	var vals []Validator
	for _, n := range numbers {
		seed := sha256.Sum256([]byte(fmt.Sprint("validator ", n)))
		signer, err := keys.Ed25519.Load(seed[:ed25519.SeedSize])
		if err != nil {
			c.t.Fatal(err)
		}
		key := [32]byte(signer.Public().Raw())
		c.signers[key] = signer
		vals = append(vals, Validator{Key: key, Power: 10})
	}
	return NewValidatorSet(vals)
}

// block is height's block, one second after the last, signed by all of vals.
func (c *chain) block(height hufu.Height, vals, next ValidatorSet) *LightBlock {
	v, n := vals.Hash(), next.Hash()
	b := &LightBlock{Validators: vals}
	b.Header = Header{
		BlockVersion: blockProtocol, AppVersion: 1, Network: testNet, Height: height,
		Time:           c.start.Add(time.Duration(height) * time.Second),
		LastBlockID:    BlockID{Hash: digest("last"), PartsTotal: 1, PartsHash: digest("parts")},
		LastCommitHash: digest("commit"), DataHash: digest("data"),
		ValidatorsHash: v[:], NextValidatorsHash: n[:], ConsensusHash: digest("consensus"),
		AppHash: digest(fmt.Sprint("app ", height)), LastResultsHash: digest("results"),
		EvidenceHash: digest("evidence"), ProposerAddress: vals[0].Address(),
	}
	c.sign(b)
	return b
}

// sign makes the commit for b's header as it is now.
func (c *chain) sign(b *LightBlock) {
	hash := b.Header.Hash()
	b.Commit = Commit{
		Height: b.Header.Height, Round: 1,
		BlockID: BlockID{Hash: hash[:], PartsTotal: 2, PartsHash: digest("parts of this")},
	}
	for i := range b.Validators {
		b.Commit.Votes = append(b.Commit.Votes, Vote{
			Flag: FlagCommit, Address: b.Validators[i].Address(), Time: b.Header.Time.Add(time.Duration(i) * time.Millisecond),
		})
	}
	for i := range b.Commit.Votes {
		c.vote(b, i)
	}
}

func (c *chain) vote(b *LightBlock, i int) {
	sig, err := c.signers[b.Validators[i].Key].Sign(nil, b.Commit.SignBytes(testNet, i))
	if err != nil {
		c.t.Fatal(err)
	}
	b.Commit.Votes[i].Signature = sig
}

func (b *LightBlock) absent(i int) { b.Commit.Votes[i] = Vote{Flag: FlagAbsent} }

func digest(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}

func wantRule(t *testing.T, err error, rule hufu.Rule) {
	t.Helper()
	if hufu.RuleOf(err) != rule || (rule == "") != (err == nil) {
		t.Fatalf("%v, where rule %q is wanted", err, rule)
	}
}
