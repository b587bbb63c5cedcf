package gate

import (
	"slices"

	"github.com/hufu-id/hufu"
	"github.com/hufu-id/hufu/contract"
	"github.com/hufu-id/hufu/ledger/client"
	"github.com/hufu-id/hufu/ledger/state/did"
	"github.com/hufu-id/hufu/ledger/tx"
	"github.com/hufu-id/hufu/protocol/oid4vp"
	"github.com/hufu-id/hufu/protocol/receipt"
)

// Replayed compares a receipt with what the same answer to the same question comes to again.
type Replayed struct {
	Receipt receipt.Receipt
	Again   contract.Result
	Same    bool // decision, policies and rule agree
}

// Replay decides again. token is the receipt, answer what was presented, v the ledger as of the receipt's
// height. It refuses a receipt that the gate did not sign, that commits to something else than answer,
// or that was decided on another state than v. Refusals for the sake of the session (a replay, a late
// answer …) cannot be replayed from a ledger, and are refused by [RuleNotReplayable].
func Replay(v client.View, token string, answer oid4vp.VPToken) (*Replayed, error) {
	signed, err := receipt.Parse(token)
	if err != nil {
		return nil, err
	}
	if err := VerifyReceipt(v, signed); err != nil {
		return nil, err
	}
	r := &signed.Receipt
	switch r.Rule {
	case RuleUnknownRequest, RuleReplayed, RuleExpiredRequest, RuleUnknownNonce, RuleOtherState, oid4vp.RuleResponse, oid4vp.RuleDenied:
		return nil, hufu.Refuse(RuleNotReplayable, "decided by %s, which is not on the ledger", r.Rule)
	}
	asOf := v.AsOf()
	if r.AsOf.Height != asOf.Height || r.AsOf.AppHash != asOf.AppHash {
		return nil, hufu.Refuse(RuleReplayState, "decided on height %d, not %d, or on another state", r.AsOf.Height, asOf.Height)
	}
	cache := newCache()
	c, err := cache.version(v, r.Contract, r.Version)
	if err != nil {
		return nil, err
	}
	if c.Hash != r.Hash {
		return nil, hufu.Refuse(RuleReplayState, "the contract on the ledger has another text than the receipt's")
	}
	if err := signed.Answers(r.Nonce, answer.InOrder(order(c, answer))); err != nil {
		return nil, err
	}
	var again contract.Result
	if err := cache.standing(v, r.Contract, r.Version); err != nil {
		if again.Rule = hufu.RuleOf(err); again.Rule == "" {
			return nil, err
		}
	} else if again, _, err = cache.judge(v, &question{contract: c, gate: r.Gate, nonce: r.Nonce, asked: r.Asked, answer: answer, now: r.Time}); err != nil {
		return nil, err
	}
	return &Replayed{
		Receipt: *r, Again: again,
		Same: again.Decision == r.Decision && again.Rule == r.Rule && slices.Equal(again.Policies, r.Policies),
	}, nil
}

// VerifyReceipt checks a receipt's signature with the key that its gate had on the ledger when it decided.
func VerifyReceipt(v client.View, s *receipt.Signed) error {
	owner, fragment, err := hufu.SplitDIDURL(s.KeyID)
	if err != nil {
		return hufu.Refuse(receipt.RuleSignature, "kid is no DID URL")
	}
	network, id, err := owner.Parse()
	if err != nil || network != v.Network() {
		return hufu.Refuse(receipt.RuleSignature, "the gate is no DID of this ledger")
	}
	rec, err := did.Get(v, id)
	if err != nil {
		return err
	}
	if rec == nil {
		return hufu.Refuse(receipt.RuleSignature, "the gate is no DID of this ledger")
	}
	key, err := rec.KeyAt(fragment, tx.PurposeAssertion, s.Time.Unix())
	if err != nil {
		return err
	}
	return s.Verify(key)
}
